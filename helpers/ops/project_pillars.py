"""Projection of a map's pillars into cameras: definition, PyTorch operator, ONNX node, call of the compiled kernel.

In PyTorch it runs as `torch.ops.onramp.project_pillars`; the ONNX exporter leaves one node in the domain `trt.plugins`.
Points behind a camera reach 1e7 image widths, so it computes in float32 whatever surrounds it: one operator is what
keeps a builder from taking it apart.
"""

import ctypes

import torch

from helpers.errors import BadInput
from helpers.graph.functions import DOMAIN
from helpers.graph.functions.project_pillars import ATTRIBUTES, FEWEST, NEAREST_DEPTH, OP_TYPE
from helpers.ops import common

Pair = tuple[torch.Tensor, torch.Tensor]


def project_pillars(lidar2img: torch.Tensor, points: torch.Tensor, image_size: tuple[int, int]) -> Pair:
    """Where every camera sees the points of every pillar, and which cameras see a pillar at all.

    Args:
        lidar2img: [B, cameras, 4, 4], LiDAR (x, y, z, 1) to (u*d, v*d, d, 1) in pixels.
        points: [Q, P, 3], P points of each of Q pillars, meters in the LiDAR frame.
        image_size: (height, width) in pixels.

    Returns:
        references [B*cameras, Q, 1, 2*P], (u, v) of each point in image units, its depth taken as 1e-5 at least;
        mask [B, cameras, Q, 1], 1 / (number of cameras that see any point of the pillar) for those that do, else 0. A
        camera sees a point that lies deeper than 1e-5 and inside the image, not on its border. What is not a number
        gives NaN and is not seen. Both in the operands' type, in float32 for half precision.

    Raises:
        BadInput: another rank or another last extent, an image without extent.
    """
    common.check_tensors("project_pillars", lidar2img=lidar2img, points=points)
    fits = lidar2img.dim() == 4 and lidar2img.shape[2:] == (4, 4) and points.dim() == 3 and points.shape[2] == 3
    seen = fits and lidar2img.shape[1] > 0 and points.shape[1] > 0
    if not seen or len(image_size) != 2 or min(image_size) < 1:
        shown = [common.shape_text(tensor) for tensor in (lidar2img, points)]
        found = "lidar2img {}, points {}, ".format(*shown) + f"image_size {tuple(image_size)}"
        expected = "lidar2img [B,cameras,4,4], points [Q,P,3], image_size (height, width) above 0"
        raise BadInput("project_pillars", found, expected, "pass the matrices of all cameras and the points of a map")
    if torch.onnx.is_in_onnx_export():
        return torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{OP_TYPE}",
            (common.full_precision(lidar2img), common.full_precision(points)),
            dict(zip(ATTRIBUTES, image_size, strict=True)),
            dtypes=(common.full_precision(points).dtype,) * 2,
            shapes=shapes(lidar2img, points),
            version=1,
        )
    return torch.ops.onramp.project_pillars(lidar2img, points, image_size)


def reference(lidar2img: torch.Tensor, points: torch.Tensor, image_size: tuple[int, int]) -> Pair:
    """`project_pillars` in plain PyTorch, differentiable."""
    # Filled on the device: a copy from the host is not possible while a CUDA graph is captured.
    size = torch.cat([common.full_precision(points).new_full((1,), extent) for extent in image_size[::-1]])
    return projected(lidar2img, points, size)


def projected(lidar2img: torch.Tensor, points: torch.Tensor, size: torch.Tensor) -> Pair:
    """`reference` of a tensor (width, height)."""
    matrix = common.full_precision(lidar2img)[:, :, None, None, :3]
    coordinates = points[:, :, None]
    image = (matrix[..., :3] * coordinates).sum(-1) + matrix[..., 3]
    depth = image[..., 2:]
    uv = image[..., :2] / depth.clamp(min=NEAREST_DEPTH) / size
    inside = (uv > 0) & (uv < 1) & (depth > NEAREST_DEPTH)
    visible = (inside[..., 0] & inside[..., 1]).to(uv.dtype).amax(-1, keepdim=True)
    mask = visible / visible.sum(1, keepdim=True).clamp(min=FEWEST)
    return uv.flatten(3).flatten(0, 1).unsqueeze(2), mask


def shapes(lidar2img: torch.Tensor, points: torch.Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of references and mask, for the operands of `project_pillars`."""
    (batch, cameras), (pillars, count) = lidar2img.shape[:2], points.shape[:2]
    return (batch * cameras, pillars, 1, 2 * count), (batch, cameras, pillars, 1)


# ------------------------------------------------------------------------------------------------- compiled kernel


@common.in_32_bits
class Sizes(ctypes.Structure):  # OnrampProjection of plugins/kernels/project_pillars.h
    _fields_ = [(name, ctypes.c_int) for name in ("batch", "cameras", "pillars", "points", *ATTRIBUTES)]


def launch(
    library: ctypes.CDLL,
    lidar2img: torch.Tensor,
    points: torch.Tensor,
    outputs: Pair,
    image_size: tuple[int, int],
) -> None:
    """Queue the compiled kernel on the current stream: the operands of `project_pillars`, contiguous, on one device.

    Args:
        library: of `helpers.ops.library.load`, for the tensors' device.
        outputs: references and mask, which are written; all in float32.

    Raises:
        BadInput: a tensor that is not contiguous, another type, outputs of other shapes.
    """
    tensors = (lidar2img, points, *outputs)
    fits = tuple(tuple(output.shape) for output in outputs) == shapes(lidar2img, points)
    if any(tensor.dtype != torch.float32 for tensor in tensors) or not fits:
        found = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in tensors)
        raise BadInput("project_pillars.launch", found, "float32, shapes as project_pillars has them",
                       "see helpers.ops.project_pillars")  # fmt: skip
    sizes = Sizes(*lidar2img.shape[:2], *points.shape[:2], *image_size)
    common.launch(library, "onramp_project_pillars_fp32", sizes, tensors)


def _takes(lidar2img, points, image_size):
    return lidar2img.dtype == points.dtype == torch.float32


def _kernel(library, lidar2img, points, image_size):
    outputs = _fake(lidar2img, points, image_size)
    launch(library, common.packed(lidar2img), common.packed(points), outputs, image_size)
    return outputs


# ---------------------------------------------------------------------------------------------------- registration


def _fake(lidar2img, points, image_size):
    references, mask = (points.new_empty(shape) for shape in shapes(lidar2img, points))
    return references, mask


common.register(
    "project_pillars(Tensor lidar2img, Tensor points, int[] image_size) -> (Tensor, Tensor)",
    reference, _takes, _kernel, _fake,
)  # fmt: skip
