"""Numbers as vectors of sines, the inverse of the sigmoid, angles: how detectors write places, times, directions."""

import math

import torch
from torch import Tensor

LEAST = 1e-18  # below which a length across is none


def inverse_sigmoid(x: Tensor, least: float = 1e-5) -> Tensor:
    """Logit of values in 0..1, with both arguments of the quotient kept above `least`."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=least) / (1 - x).clamp(min=least))


def heading(y: Tensor, x: Tensor) -> Tensor:
    """The angle of (x, y), rad, as `torch.atan2` has it but for the sign of a zero; of the origin 0.

    In arithmetic alone: ONNX has no atan2, and the exporter's own form chooses between numbers by truths, which
    TensorRT 8.6.0 did not build between layers held in FP32.
    """
    across = y.abs()
    side = (y.sign() + 0.5).sign() * (x.abs() + across).sign()
    return side * (math.pi / 2 - torch.atan(x / across.clamp(min=LEAST)))


def fourier(x: Tensor, octaves: int = 6) -> Tensor:
    """[..., D] -> [..., 2 * octaves * D]: sines of the whole vector, then its cosines, at 1, 2, 4, ... times x.

    Source: NeRF (arXiv:2003.08934), without the factor pi and without x itself.
    """
    factors = 2.0 ** torch.arange(octaves, dtype=x.dtype, device=x.device)
    angles = x.unsqueeze(-2) * factors[:, None]
    return torch.stack([angles.sin(), angles.cos()], -2).flatten(-3)


def sine(x: Tensor, dims: int, temperature: float = 10000.0) -> Tensor:
    """[..., 1] -> [..., dims]: sine and cosine in turn, of 2 pi x over `temperature`^(2k / dims)."""
    steps = torch.arange(dims // 2, dtype=torch.float32, device=x.device)
    angles = x * (2 * math.pi) / temperature ** (2 * steps / dims)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
