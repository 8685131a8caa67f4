"""Rotations, footprints and the order in which to paint: the geometry that rendering, LiDAR and tables share."""

import numpy as np


def rotation_z(yaw):
    """Rotation matrix [3,3] about +z by `yaw` radians."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def rotation_y(pitch):
    """Rotation matrix [3,3] about +y by `pitch` radians."""
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rotation_x(roll):
    """Rotation matrix [3,3] about +x by `roll` radians."""
    c, s = np.cos(roll), np.sin(roll)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def matrix(rotation, translation):
    """Homogeneous matrix [4,4] from a rotation [3,3] and a translation [3]."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, translation
    return out


def pose_matrix(x, y, yaw):
    """Homogeneous matrix [4,4] of a body on flat ground: body frame to global."""
    return matrix(rotation_z(yaw), (x, y, 0.0))


def quaternion(rotation):
    """Unit quaternion [w, x, y, z] with w >= 0 of a rotation matrix [3,3] (Shepperd's method)."""
    m = rotation
    squares = np.array(
        [
            1 + m[0, 0] + m[1, 1] + m[2, 2],
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    symmetric = {(1, 2): m[1, 0] + m[0, 1], (1, 3): m[0, 2] + m[2, 0], (2, 3): m[2, 1] + m[1, 2]}
    symmetric |= {(0, 1): m[2, 1] - m[1, 2], (0, 2): m[0, 2] - m[2, 0], (0, 3): m[1, 0] - m[0, 1]}
    k = int(squares.argmax())
    q = np.array([squares[k] if i == k else symmetric[min(i, k), max(i, k)] for i in range(4)])
    q /= np.linalg.norm(q)
    return q if q[0] >= 0 else -q


def footprint(x, y, yaw, length, width):
    """Ground corners [...,4,2] (counter-clockwise) of oriented rectangles; arguments broadcast."""
    x, y, yaw, length, width = np.broadcast_arrays(x, y, yaw, length, width)
    c, s = np.cos(yaw), np.sin(yaw)
    along = np.stack([length, -length, -length, length], -1) / 2
    across = np.stack([width, width, -width, -width], -1) / 2
    px = x[..., None] + c[..., None] * along - s[..., None] * across
    py = y[..., None] + s[..., None] * along + c[..., None] * across
    return np.stack([px, py], -1)


def edge_distances(a, b):
    """Signed distance [n,4,m,4] of every corner of `b` [m,4,2] outside every edge line of `a` [n,4,2]."""
    edge = np.roll(a, -1, axis=1) - a
    normal = np.stack([edge[..., 1], -edge[..., 0]], -1)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    offset = (normal * a).sum(-1)
    return np.einsum("nkc,mpc->nkmp", normal, b) - offset[:, :, None, None]


def overlaps(rectangle, others, margin=0.0):
    """Whether a footprint [4,2] comes within `margin` m of any of `others` [m,4,2] (separating axis test)."""
    if len(others) == 0:
        return False
    one = rectangle[None]
    apart = (edge_distances(one, others).min(-1) > margin).any(1)[0] | (
        (edge_distances(others, one).min(-1) > margin).any(1)[:, 0]
    )
    return bool((~apart).any())


def in_front(footprints, eye):
    """Matrix [n,n]: footprint i [4,2] is on the side of `eye` [2] of a line between it and footprint j."""
    gap = edge_distances(footprints, footprints).min(-1) > -0.02
    camera = edge_distances(footprints, np.broadcast_to(eye, (1, 4, 2)))[:, :, 0, 0]
    nearer = (gap & (camera < 0)[:, :, None]).any(1)
    beyond = (gap & (camera >= 0)[:, :, None]).any(1)
    return nearer | beyond.T


def boxes_in_front(bounds, eye):
    """Matrix [s,s]: box i (bounds [s,2,3]) is on the side of `eye` [3] of a plane between i and j."""
    low, high = bounds[:, 0], bounds[:, 1]
    below = high[:, None] <= low[None] + 0.011
    return ((below & (eye <= low)[None]) | (below.transpose(1, 0, 2) & (eye >= high)[None])).any(-1)


def paint_order(front, distance):
    """Indices far to near: j before i where i is in front of j and not the reverse; else the farther one first."""
    after = front & ~front.T
    score = np.asarray(distance, float) - 1e6 * after.sum(1)
    gain = after * 1e6
    order = []
    for _ in range(len(score)):
        pick = int(score.argmax())
        order.append(pick)
        score += gain[:, pick]
        score[pick] = -np.inf
    return order
