"""What TensorRT 8.6, 10.x and 11.x differ in, all in one place; the other modules ask here and never compare versions.

Every fact names the public source it rests on: the Python bindings of github.com/NVIDIA/TensorRT (`pyCore.cpp` and
`pyGraph.cpp` in python/src/infer, by tag), its public headers (include/NvInfer.h), the ONNX parser
(github.com/onnx/onnx-tensorrt, branch release/8.6-GA, builtin_op_importers.cpp), or the release notes.
"""

import dataclasses
from collections.abc import Collection, Iterable

from helpers.errors import BadInput

PRECISIONS = ("fp32", "fp16", "int8-implicit", "explicit", "best", "obey", "strong")
AUTOCAST = "python -m modelopt.onnx.autocast --onnx_path=MODEL.onnx writes the FP16 types into the graph"
QDQ = "python -m helpers quantize writes INT8 as Q/DQ nodes into the graph"


@dataclasses.dataclass(frozen=True)
class Facts:
    """Abilities of one installed TensorRT.

    Attributes:
        version: such as "8.6.0".
        weak_typing: the builder chooses types by precision flags (FP16, INT8, ...), per-layer precisions can be set,
            and INT8 calibrators exist. 8.6 to 10.x; gone from 11.0's bindings (BuilderFlag has no FP16, INT8 or
            OBEY_PRECISION_CONSTRAINTS, IBuilderConfig no int8_calibrator: pyCore.cpp at v10.13.0 and v11.0).
        strong_typing: types come from the ONNX file. NetworkDefinitionCreationFlag.STRONGLY_TYPED is in pyCore.cpp at
            v10.0.0, absent from 8.6.0's module; from 11.0 every network is (NvInfer.h at v11.0).
        strong_typing_flag: the flag has to be asked for: 10.x. From 11.0 it is accepted and ignored.
        explicit_batch_flag: 8.6 needs EXPLICIT_BATCH for ONNX; ignored in 10.x, gone from pyCore.cpp at v11.0.
        int64: INT64 is a type of its own (DataType.INT64, 10.0). 8.6 imports INT64 as INT32 and clamps it
            (onnx-tensorrt release/8.6-GA, docs/operators.md), so inputs and outputs of that type become INT32.
        best_flags: what trtexec --best sets (samples/common/sampleOptions.cpp at v10.13.0: FP16, INT8, and BF16 from
            compute capability 8.0; at 8.6: FP16 and INT8).
        half_beside_qdq: half precision may be allowed beside Q/DQ nodes without suspicion. With 8.6.0 a slice of the
            mini BEVFormer then handed on other values than it was given (seen on an H200, docs/results.md).
        opset: the ONNX opset that graphs have to be brought down to, None if there is no need. 8.6 reads 17; later
            forms of ReduceMax, Split, Pad, ... parse and compute something else (builtin_op_importers.cpp).
        cumulative_layer: the parser has a layer for CumSum; before it makes a loop, which no CUDA graph holds
            (builtin_op_importers.cpp at 8.6-GA; ICumulativeLayer: NvInfer.h, absent at v10.7, there at v10.8).
        tactic_sources: names in TacticSource (8.6.0's module; pyCore.cpp at v10.13.0 and v11.1).
        hardware_levels: names in HardwareCompatibilityLevel besides NONE (SAME_COMPUTE_CAPABILITY: pyCore.cpp, absent
            at v10.0.0, there at v10.13.0).
        device_memory: attribute of ICudaEngine with the activation memory (v2: from 10.1; the first is gone at v11.0).
        registry_loads_plugins: IPluginRegistry.load_library takes libraries that export getCreators (10.x). 8.6 has the
            method too, but its libraries register when they are loaded, so they are loaded with dlopen.
    """

    version: str
    weak_typing: bool
    strong_typing: bool
    strong_typing_flag: bool
    explicit_batch_flag: bool
    int64: bool
    best_flags: tuple[str, ...]
    half_beside_qdq: bool
    opset: int | None
    cumulative_layer: bool
    tactic_sources: tuple[str, ...]
    hardware_levels: tuple[str, ...]
    device_memory: str
    registry_loads_plugins: bool


_EDGE = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")
_LIBRARIES = ("CUBLAS", "CUBLAS_LT", "CUDNN")


def facts(version: str) -> Facts:
    """`Facts` of a TensorRT version such as "10.13.0"; BadInput before 8.6."""
    release = tuple(int(part) for part in version.split(".")[:2])
    if release < (8, 6):
        raise BadInput("tensorrt", version, "8.6, 10.x or 11.x", "install one of these")
    ten, eleven = release >= (10, 0), release >= (11, 0)
    return Facts(
        version=version,
        weak_typing=not eleven,
        strong_typing=ten,
        strong_typing_flag=ten and not eleven,
        explicit_batch_flag=not ten,
        int64=ten,
        best_flags=("FP16", "INT8", "BF16") if ten else ("FP16", "INT8"),
        half_beside_qdq=ten,
        opset=None if ten else 17,
        cumulative_layer=release >= (10, 8),
        tactic_sources=_EDGE if eleven else _LIBRARIES + _EDGE,
        hardware_levels=("AMPERE_PLUS", *(["SAME_COMPUTE_CAPABILITY"] if release >= (10, 9) else [])),
        device_memory="device_memory_size_v2" if release >= (10, 1) else "device_memory_size",
        registry_loads_plugins=ten,
    )


def check_precision(known: Facts, precision: str) -> None:
    """BadInput, with the reason and the way that version does it, unless this TensorRT can build with `precision`."""
    where = f"precision {precision!r}"
    if precision not in PRECISIONS:
        raise BadInput("option precision", repr(precision), f"one of {list(PRECISIONS)}", "correct it")
    if precision == "strong" and not known.strong_typing:
        found = f"TensorRT {known.version}, which has no strongly typed networks (they came with 10.0)"
        raise BadInput(where, found, "TensorRT 10 or later", "use fp16, best, obey or explicit, which this version has")
    if known.weak_typing or precision in ("strong", "explicit", "fp32"):
        return
    found = (
        f"TensorRT {known.version}, whose networks are all strongly typed: precision flags, per-layer precisions and "
    )
    ways = {"fp16": AUTOCAST, "int8-implicit": QDQ, "best": f"{QDQ}; {AUTOCAST}", "obey": AUTOCAST}
    raise BadInput(where, found + "calibrators ended with 10.x", "types in the ONNX file, built with precision strong",
                   ways[precision])  # fmt: skip


def flags(known: Facts, precision: str, int8: bool, constrained: bool, capability: str) -> list[str]:
    """Names of the BuilderFlags that a precision stands for, where typing is weak.

    Args:
        int8: whether INT8 ranges are known, from Q/DQ nodes or a calibration set.
        constrained: whether single layers have a precision of their own.
        capability: compute capability of the GPU, such as "9.0" (BF16 needs 8.0).
    """
    if not known.weak_typing or precision == "strong":
        return []
    best = [flag for flag in known.best_flags if flag != "BF16" or float(capability) >= 8]
    chosen = {
        "fp32": [],
        "fp16": ["FP16"],
        "int8-implicit": ["INT8"],
        "explicit": ["INT8"],
        "best": best,
        "obey": ["FP16", *(["INT8"] if int8 else [])],
    }[precision]
    return [*chosen, "OBEY_PRECISION_CONSTRAINTS"] if constrained else chosen


def creation_flags(known: Facts, precision: str) -> list[str]:
    """Names of the NetworkDefinitionCreationFlags."""
    if known.explicit_batch_flag:
        return ["EXPLICIT_BATCH"]
    return ["STRONGLY_TYPED"] if known.strong_typing_flag and precision == "strong" else []


def check_names(option: str, names: Iterable[str], known_names: Collection[str], version: str) -> None:
    """BadInput unless every one of `names` is known to this version."""
    for name in names:
        if name not in known_names:
            raise BadInput(f"option {option}", repr(name), f"one of {list(known_names)} (TensorRT {version})",
                           "correct it")  # fmt: skip
