"""The proof that a checkpoint holds what was quantized: written, read back, and its logits compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from helpers.files import PathLike
from helpers.layers.llama import Llama
from helpers.llm.formats import FORMATS
from helpers.llm.tensorrt_llm.quantized import quantize
from helpers.llm.tensorrt_llm.reader import read
from helpers.llm.tensorrt_llm.writer import write


class Proof(NamedTuple):
    """One format for `tp` GPUs.

    error: largest difference of the logits read back from those of the quantized model, over the largest of these.
    agreement: share of tokens whose argmax is the same, or tied with it. noise: the error of the quantized model
    against the one in FP32. bytes: of the tensors' files.
    """

    format: str
    tp: int
    sm: int
    error: float
    agreement: float
    noise: float
    bytes: int


@torch.no_grad()
def prove(model: Llama, ids: Tensor, work: PathLike, formats: Sequence[str] = tuple(FORMATS),
          tps: Sequence[int] = (1, 2), sms: Sequence[int] = (80, 90)) -> list[Proof]:  # fmt: skip
    """Rows of every format, by number of GPUs, and where the order of weights depends on it by GPU.

    Args:
        ids: [B, T], for calibration and for the comparison.
        work: a folder for the checkpoints, one each, which stay.
    """
    rows, exact = [], model(ids)
    for name in formats:
        quantized = quantize(model, name, ids)
        expected = quantized(ids)
        for tp in tps:
            for sm in sms if FORMATS[name].preprocessed else sms[:1]:
                folder = write(quantized, Path(work) / f"{name}_tp{tp}_sm{sm}", name, tp, sm)
                logits = read(folder, sm)(ids)
                size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
                agreed = agreement(logits, expected)
                rows.append(Proof(name, tp, sm, error(logits, expected), agreed, error(expected, exact), size))
    return rows


def error(logits: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    return ((logits - expected).abs().max() / expected.abs().max()).item()


def agreement(logits: Tensor, expected: Tensor) -> float:
    """Share of the tokens, logits [..., V], whose argmax is the expected, or a tie within the difference."""
    gap = (logits - expected).abs().amax(-1)
    picked = expected.gather(-1, logits.argmax(-1, keepdim=True))[..., 0]
    return (picked >= expected.amax(-1) - 2 * gap).float().mean().item()
