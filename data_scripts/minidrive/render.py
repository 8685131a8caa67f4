"""Draws what a camera sees: sky, ground, shadows, then every solid from far to near, each polygon shaded once.

Occlusion: footprints do not overlap, so for any two objects there is a line on the ground between them, and the one
on the camera's side is painted last; the same holds for the solids within an object and planes along its axes.
"""

import cv2
import numpy as np

from . import backdrop, geometry, mesh
from .projection import FACES, NEAR, SHIFT, clip, corners, pixels
from .rig import HEIGHT, WIDTH
from .streets import GRASS

REACH = 160.0
HAZE = 420.0
ID_SCALE = 4


class Scene:
    """All items of a world as flat arrays in global coordinates, for drawing at one time.

    Args:
        world: the World.
        t: time in s; agents stand where they are at this time.
    """

    def __init__(self, world, t):
        self.world, self.t, self.light = world, t, world.light
        items = world.items
        self.meshes = [item.mesh(t) for item in items]
        self.poses = np.array([item.pose(t) for item in items])
        self.sizes = np.array([item.size for item in items])
        self.radius = np.linalg.norm(self.sizes, axis=1) / 2 + 0.3
        self.footprints = geometry.footprint(*self.poses.T, self.sizes[:, 1], self.sizes[:, 0])
        self.matrices = [geometry.pose_matrix(*pose) for pose in self.poses]

    def near(self, world2cam, focal):
        """Indices of the items that may be in the picture, and their depth."""
        center = np.column_stack([self.poses[:, :2], self.sizes[:, 2] / 2])
        local = center @ world2cam[:3, :3].T + world2cam[:3, 3]
        depth = local[:, 2]
        side = (np.abs(local[:, 0]) - self.radius * 1.25) / np.maximum(depth + self.radius, 0.1)
        seen = (depth > -self.radius) & (depth < REACH) & (side < (WIDTH / 2 + 40) / focal)
        return np.flatnonzero(seen), depth


class Picture:
    """One image being drawn."""

    def __init__(self, scene, camera, ego2global):
        self.scene, self.light = scene, scene.light
        self.intrinsic, self.focal = camera.intrinsic, camera.intrinsic[0, 0]
        cam2world = ego2global @ camera.sensor2ego
        self.eye = cam2world[:3, 3]
        self.world2cam = np.linalg.inv(cam2world)
        self.cam2world = cam2world
        self.image = backdrop.sky(self.light, cam2world[:3, :3], camera.intrinsic, scene.world)
        self.haze = np.array(backdrop.haze(self.light), float)

    def local(self, points):
        """Global [k,3] to camera coordinates."""
        return points @ self.world2cam[:3, :3].T + self.world2cam[:3, 3]

    def lit(self, colors, normals, glow=0.0):
        """Colors [n,3] under the scene's light for surfaces with the given normals [n,3]."""
        light = self.light
        sun = np.clip(normals @ np.asarray(light.sun), 0.0, 1.0)[:, None]
        sky = (0.78 + 0.22 * normals[:, 2])[:, None]
        glow = np.reshape(glow, (-1, 1))
        return colors * (glow + (1 - glow) * (np.asarray(light.ambient) * sky + np.asarray(light.direct) * sun))

    def ground(self):
        """Road, sidewalk and paint, then haze towards the horizon."""
        streets = self.scene.world.streets
        up = np.array([[0.0, 0.0, 1.0]])
        x, y = self.eye[:2]
        far = 3000.0
        field = np.array(
            [(x - far, y - far, 0), (x + far, y - far, 0), (x + far, y + far, 0), (x - far, y + far, 0)], float
        )
        self._fill([field], self.lit(np.array([GRASS], float), up)[0])
        for polygon, color in streets.bands:
            if np.abs(polygon[:, :2] - (x, y)).max(1).min() < REACH:
                self._fill([polygon], self.lit(np.array([color], float), up)[0])
        for quads, color in streets.marks:
            close = [q for q in quads if abs(q[0, 0] - x) < 90 and abs(q[0, 1] - y) < 90]
            self._fill(close, self.lit(np.array([color], float), up)[0])
        backdrop.ground_haze(self.image, self.cam2world, self.intrinsic, self.haze, HAZE)

    def _fill(self, polygons, color):
        if not polygons:
            return
        local = self.local(np.concatenate(polygons))
        flat, first = [], 0
        for polygon in polygons:
            points, first = local[first : first + len(polygon)], first + len(polygon)
            if points[:, 2].min() < 1.0:
                points = clip(points, self.focal)
            if len(points) > 2:
                flat.append(pixels(points, self.intrinsic))
        if flat:
            cv2.fillPoly(self.image, flat, color.tolist(), cv2.LINE_AA, SHIFT)

    def shadows(self, indices):
        """Ground under and behind every object, away from the sun, made darker."""
        light = self.light
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        sun = np.asarray(light.sun)
        groups = [points for i in indices for points in self._casters(i)]
        if not groups:
            return
        world = np.concatenate(groups)
        slant = np.array((0.0, 0.0, 1.0)) if light.name == "overcast" else sun / sun[2]
        local = self.local(world - world[:, 2:] * slant)
        ends = np.cumsum([len(points) for points in groups])
        whole = np.minimum.reduceat(local[:, 2], np.append(0, ends[:-1])) > 1.0
        uv = pixels(np.maximum(local, (-np.inf, -np.inf, 1.0)), self.intrinsic)
        for first, last, simple in zip(np.append(0, ends[:-1]), ends, whole, strict=True):
            hull = uv[first:last] if simple else self._clipped_hull(world[first:last], slant)
            if len(hull) > 2:
                cv2.fillConvexPoly(mask, cv2.convexHull(hull), 255, cv2.LINE_8, SHIFT)
        rows = np.flatnonzero(mask.any(1))
        if len(rows):
            part, cover = self.image[rows[0] : rows[-1] + 1], mask[rows[0] : rows[-1] + 1]
            cv2.copyTo(cv2.convertScaleAbs(part, alpha=1 - light.shadow), cover, part)

    def _clipped_hull(self, world, slant):
        """Pixels of the shadow of points [k,3] that reaches behind the camera."""
        hull = cv2.convexHull((world - world[:, 2:] * slant)[:, :2].astype(np.float32))[:, 0]
        local = clip(self.local(np.insert(hull.astype(float), 2, 0.0, axis=1)), self.focal)
        return pixels(local, self.intrinsic)

    def _casters(self, i):
        """Point sets [k,3] (global) whose convex hulls cast the shadow of item i: its solids if it is near."""
        shape, to_world = self.scene.meshes[i], self.scene.matrices[i]
        near = np.hypot(*(to_world[:2, 3] - self.eye[:2])) < 30
        points = corners(shape.bounds) @ to_world[:3, :3].T + to_world[:3, 3]
        return points.reshape(-1, 8, 3) if near else [points]

    def items(self, indices, depth):
        """Everything that stands on the ground, far to near. Returns {item: (visible, whole) pixel counts}."""
        scene = self.scene
        front = geometry.in_front(scene.footprints[indices], self.eye[:2])
        order = indices[geometry.paint_order(front, depth[indices])]
        ids = np.zeros((HEIGHT // ID_SCALE, WIDTH // ID_SCALE), np.int32)
        whole = {}
        for i in order:
            area = self._item(i, ids)
            if scene.world.items[i].category:
                whole[i] = area
        counts = np.bincount(ids.ravel(), minlength=len(scene.meshes) + 1)
        return {int(i): (int(counts[i + 1]), area) for i, area in whole.items()}

    def _item(self, i, ids):
        scene, shape = self.scene, self.scene.meshes[i]
        to_world = scene.matrices[i]
        world = shape.vertices @ to_world[:3, :3].T + to_world[:3, 3]
        local = self.local(world)
        eye = to_world[:3, :3].T @ (self.eye - to_world[:3, 3])
        firsts = shape.starts[:-1]
        facing = ((eye - shape.vertices[firsts]) * shape.normals).sum(1) > 0
        facing |= shape.kinds != mesh.POLYGON
        depth = np.minimum.reduceat(local[:, 2], firsts)
        span = shape.sizes * self.focal / np.maximum(depth, NEAR)
        chosen = np.flatnonzero(facing & (span > 1.2))
        if len(chosen) == 0:
            return 0
        colors = self.lit(shape.colors, shape.normals @ to_world[:3, :3].T, shape.glow)
        veil = np.exp(-max(np.linalg.norm(to_world[:2, 3] - self.eye[:2]) - 10, 0) / HAZE)
        colors = np.clip(colors * veil + self.haze * (1 - veil), 0, 255).tolist()
        if len(shape.bounds) > 1:
            ahead = geometry.boxes_in_front(shape.bounds, eye)
            span_to = np.linalg.norm(shape.bounds.mean(1) - eye, axis=1)
            rank = np.empty(len(shape.bounds), int)
            rank[geometry.paint_order(ahead, span_to)] = np.arange(len(rank))
            chosen = chosen[np.argsort(rank[shape.solids[chosen]], kind="stable")]
        safe = local.copy()
        safe[:, 2] = np.maximum(safe[:, 2], NEAR)
        uv = pixels(np.clip(safe, -400, 400), self.intrinsic)
        for p in chosen:
            self._primitive(shape, p, local, uv, colors[p], depth[p])
        return self._mark(i, shape, local, ids)

    def _primitive(self, shape, p, local, uv, color, depth):
        a, b = shape.starts[p], shape.starts[p + 1]
        kind = shape.kinds[p]
        if kind == mesh.POLYGON:
            points = uv[a:b]
            if depth < 1.0:
                clipped = clip(local[a:b], self.focal)
                if len(clipped) < 3:
                    return
                points = pixels(clipped, self.intrinsic)
            cv2.fillConvexPoly(self.image, points, color, cv2.LINE_AA, SHIFT)
        elif depth > NEAR:
            size = shape.sizes[p] * self.focal / local[a:b, 2].mean()
            if kind == mesh.BALL:
                self._ball(uv[a], size, color)
            else:
                cv2.polylines(self.image, [uv[a:b]], kind == mesh.LOOP, color, max(1, round(size)), cv2.LINE_AA, SHIFT)

    def _ball(self, uv, radius, color):
        u, v = (int(c) for c in uv)
        r = int(radius * (1 << SHIFT))
        if abs(u) > 1 << 18 or abs(v) > 1 << 18:
            return
        cv2.circle(self.image, (u, v), r, color, -1, cv2.LINE_AA, SHIFT)
        if radius > 4:
            lighter = [min(255.0, c * 1.12) for c in color]
            cv2.circle(self.image, (u - r // 6, v - r // 4), int(r * 0.68), lighter, -1, cv2.LINE_AA, SHIFT)

    def _mark(self, i, shape, local, ids):
        """Paint the silhouette into the id image; returns its pixel count were nothing in front of it."""
        points = local
        if (local[:, 2] < NEAR).any():
            to_world = self.scene.matrices[i]
            box = corners(np.array([[shape.vertices.min(0), shape.vertices.max(0)]]))
            box = self.local(box @ to_world[:3, :3].T + to_world[:3, 3])
            pieces = [clip(box[list(face)], self.focal) for face in FACES]
            points = np.concatenate(pieces)
            if len(points) < 3:
                return 0
        elif (
            (shape.kinds == mesh.BALL).any()
            and shape.kinds[0] != mesh.BALL
            and self.scene.world.items[i].category is None
        ):
            ball = shape.kinds == mesh.BALL
            center, r = local[shape.starts[:-1][ball]], shape.sizes[ball, None]
            points = np.concatenate([local, center + r * (1, 0, 0), center - r * (1, 0, 0), center - r * (0, 1, 0)])
        hull = cv2.convexHull(pixels(points, self.intrinsic)) // ID_SCALE
        low = np.clip((hull.min((0, 1)) >> SHIFT) - 1, 0, (ids.shape[1], ids.shape[0]))
        high = np.clip((hull.max((0, 1)) >> SHIFT) + 2, 0, (ids.shape[1], ids.shape[0]))
        if (high <= low).any():
            return 0
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillConvexPoly(mask, hull - (low << SHIFT), 1, cv2.LINE_8, SHIFT)
        ids[low[1] : high[1], low[0] : high[0]][mask > 0] = i + 1
        return int(np.count_nonzero(mask))


def render(scene, camera, ego2global):
    """Image [900,1600,3] uint8 BGR of a camera, and {item index: (visible, whole) pixel counts at a quarter size}."""
    picture = Picture(scene, camera, ego2global)
    indices, depth = scene.near(picture.world2cam, picture.focal)
    picture.ground()
    picture.shadows(indices[depth[indices] < 70])
    return picture.image, picture.items(indices, depth)
