"""The projection of the map's pillars into the cameras on the host. NumPy only."""

import numpy as np

PROJECTED = ("reference_points_cam", "bev_mask")  # the inputs that take the place of lidar2img


def project(lidar2img: np.ndarray, points: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What `helpers.ops.project_pillars` defines, to the last bit, in NumPy on one core.

    Args:
        lidar2img: float32 [B, cameras, 4, 4]. points: float32 [Q, P, 3], meters in the LiDAR frame.
        image_size: (height, width) in pixels.

    Returns:
        references float32 [B*cameras, Q, 1, 2*P] in image units; mask float32 [B, cameras, Q, 1].
    """
    from helpers.graph.functions.project_pillars import FEWEST, NEAREST_DEPTH  # onnx: shapes alone must not need it

    (batch, cameras), (count, each) = lidar2img.shape[:2], points.shape[:2]
    axes = np.ascontiguousarray(points.reshape(-1, 3).T)  # [3, Q*P]
    matrix = lidar2img.reshape(-1, 4, 4)[:, :, :, None]
    references = np.empty((batch * cameras, count * each, 2), np.float32)
    with np.errstate(all="ignore"):  # points behind a camera, and what is no number
        depth = _along(matrix[:, 2], axes)
        floored, inside = np.maximum(depth, np.float32(NEAREST_DEPTH)), depth > np.float32(NEAREST_DEPTH)
        for index, size in enumerate(image_size[::-1]):
            share = _along(matrix[:, index], axes) / floored / np.float32(size)
            inside &= (share > 0) & (share < 1)
            references[..., index] = share
        visible = inside.reshape(batch, cameras, count, each).any(-1, keepdims=True).astype(np.float32)
        mask = visible / np.maximum(visible.sum(1, keepdims=True), np.float32(FEWEST))
    return references.reshape(batch * cameras, count, 1, 2 * each), mask


def _along(row, axes):
    """[B*cameras, 4, 1] times (x, y, z, 1): [B*cameras, Q*P], summed in the definition's order."""
    return row[:, 0] * axes[0] + row[:, 1] * axes[1] + row[:, 2] * axes[2] + row[:, 3]
