"""The forms that a Llama's graph can take, and which one a runtime builds and runs."""

import re
from dataclasses import dataclass

from helpers.arguments import typed
from helpers.errors import BadInput


@dataclass(frozen=True)
class Flavor:
    """opset: of ONNX, at least. static: the cache has its whole length from the beginning, and keys and values are put
    into it where they belong; else they are appended. fused: attention, rotation and norm are one node each. plugins:
    attention with its rotation and cache, and norms with their sum, are nodes of this project's plugin library. single:
    one token of each row at a time, and every product with a weight is a kernel of that library.
    """

    opset: int
    static: bool
    fused: bool
    plugins: bool = False
    single: bool = False


FLAVORS = {
    "scatter": Flavor(24, static=True, fused=True),
    "concat": Flavor(23, static=False, fused=True),
    "decomposed": Flavor(17, static=False, fused=False),
    "fixed": Flavor(17, static=True, fused=False),
    "plugins": Flavor(17, static=True, fused=False, plugins=True),
    "matvec": Flavor(17, static=True, fused=False, plugins=True, single=True),
}
INPUTS = ("ids", "embeds", "table")
DTYPES = ("float32", "float16")
# The first versions with TensorScatter, Attention, RotaryEmbedding and RMSNormalization: TensorRT's by its release
# notes, the others the oldest that were tried.
FUSED_SINCE = {"onnxruntime": (1, 31), "tensorrt": (10, 15), "tensorrt_rtx": (1, 7)}


@typed
def flavor_for(runtime: str, version: str, dtype: str = "float32") -> str:
    """The name of the flavor to export for a runtime of `helpers.engine.RUNTIMES`.

    Older versions get standard operators alone, and so does TensorRT in FP32: its attention has kernels for FP16, and
    TensorRT-RTX 1.7 ends the build with "Attention operation was not supported by a dedicated kernel". TensorRT's
    cache is static in any case, as `helpers.llm.tensorrt` wants it.

    Raises:
        BadInput: another runtime, what is no version, or a dtype that no flavor has.
    """
    if runtime not in FUSED_SINCE:
        raise BadInput("runtime", repr(runtime), f"one of {', '.join(FUSED_SINCE)}", "choose one of them")
    check_dtype(dtype)
    if not re.match(r"[0-9]{1,6}(\.[0-9]|$)", version):
        raise BadInput("version", repr(version), f"that of {runtime}, such as 10.15", "correct it")
    numbers = tuple(int(number) for number in re.findall("[0-9]+", version)[:2])
    fused = numbers >= FUSED_SINCE[runtime] and (runtime == "onnxruntime" or dtype == "float16")
    return "scatter" if fused else "fixed" if runtime == "tensorrt" else "decomposed"


def check_dtype(dtype: str) -> None:
    """BadInput for a dtype that is not exported: kernels of the CPU know no BF16."""
    if dtype not in DTYPES:
        raise BadInput("dtype", repr(dtype), " or ".join(DTYPES), "choose one of them")
