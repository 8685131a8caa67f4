"""What takes several tensors, or makes a layer of its own, under PyTorch's names."""

import math
from collections.abc import Sequence
from typing import Any

from helpers.engine.definition.tensor import REAL, Tensor


def cat(tensors: Sequence[Any], axis: int) -> Tensor:
    """Tensors one after the other along an axis; one of them at least is no constant."""
    network = next(each.network for each in tensors if isinstance(each, Tensor))
    given = [network.given(each).operand() for each in tensors]
    return network.add("concatenation", [each.raw for each in given], axis=axis % len(given[0].shape))


def stack(tensors: Sequence[Any], axis: int) -> Tensor:
    """Tensors of one shape along a new axis."""
    network = next(each.network for each in tensors if isinstance(each, Tensor))
    return cat([network.given(each).unsqueeze(axis) for each in tensors], axis)


def where(condition: Tensor, chosen: Any, other: Any) -> Tensor:
    """`chosen` where `condition` (BOOL) holds, else `other`: tensors of one type, arrays or numbers."""
    network = condition.network
    a, b = (network.given(each) for each in (chosen, other))
    if a.kind in REAL or b.kind in REAL:
        a, b = a.real(), b.real()
    rank = max(len(each.shape) for each in (condition, a, b))
    return network.add("select", *(each.of_rank(rank).raw for each in (condition, a, b)))


def atan2(y: Tensor, x: Tensor) -> Tensor:
    """`helpers.layers.encoding.heading`: the angle of (x, y) from -pi to pi, of the origin 0, in arithmetic alone."""
    across = y.abs()
    side = (y.sign() + 0.5).sign() * (x.abs() + across).sign()
    return side * (math.pi / 2 - (x / across.clamp(1e-18)).atan())


def grid_sample(image: Tensor, grid: Any, mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    """image [N, C, H, W] read at grid [N, P, Q, 2], (x, y) from -1 to 1; zeros outside. -> [N, C, P, Q]."""
    network = image.network
    return network.add(
        "grid_sample",
        image.real().raw,
        network.given(grid).real().raw,
        interpolation_mode=network.enum("InterpolationMode", {"bilinear": "LINEAR", "nearest": "NEAREST"}[mode]),
        align_corners=align_corners,
        sample_mode=network.enum("SampleMode", "FILL"),
    )


def interpolate(x: Tensor, size: tuple[int, int], mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    """x [N, C, H, W] at another size, bilinear about the cells' centers or corners, or the nearest below."""
    network = x.network
    corners = "ALIGN_CORNERS" if align_corners else "HALF_PIXEL"
    settings = {
        "shape": (*x.shape[:2], *size),
        "resize_mode": network.enum("InterpolationMode", {"bilinear": "LINEAR", "nearest": "NEAREST"}[mode]),
        "coordinate_transformation": network.enum(
            "ResizeCoordinateTransformation", corners if mode == "bilinear" else "ASYMMETRIC"
        ),
        "nearest_rounding": network.enum("ResizeRoundMode", "FLOOR"),
    }
    if not hasattr(network.trt.IResizeLayer, "resize_mode"):
        settings["interpolation_mode"] = settings.pop("resize_mode")
    return network.add("resize", x.real().raw, **settings)


def max_pool(x: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """[N, C, H, W], the largest of every window."""
    network = x.network
    return network.add("pooling_nd", x.real().raw, network.enum("PoolingType", "MAX"), (kernel, kernel),
                       stride_nd=(stride, stride), padding_nd=(padding, padding))  # fmt: skip
