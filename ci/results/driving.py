"""The tables of UniAD on a GPU: what its mini's engines find, and how long the published size takes.

They have the rows that are recorded.
"""

from ci.results.recorded import CPU, GPU, figure, markdown, on_gpu, ratio
from helpers.errors import BadInput

ENGINES = {
    "tensorrt-fp32-plugin": "TensorRT FP32", "tensorrt-tf32-plugin": "TensorRT, TF32 allowed",
    "tensorrt-qdq-tf32-plugin": "TensorRT, convolutions INT8 by Q/DQ, the rest TF32",
    "tensorrt-fp16-plugin": "TensorRT FP16, places and tracks in FP32",
    "tensorrt-qdq-plugin": "TensorRT, convolutions INT8 by Q/DQ, the rest FP16, places and tracks in FP32",
    "tensorrt-pair-plugin": "two engines: backbone and pyramid FP16; the rest TF32",
    "tensorrt-pair-qdq-plugin": "two engines: backbone and pyramid INT8 and FP16; the rest INT8 and TF32",
}  # fmt: skip
MINI = {
    "pytorch-fp32": "PyTorch eager FP32", "pytorch-fp16": "PyTorch eager, backbone and pyramid FP16", **ENGINES,
    "tensorrt-definition": "TensorRT FP32, layer by layer without ONNX",
    "tensorrt-definition-fp16": "TensorRT FP16, layer by layer without ONNX",
    "tensorrt-fp16-all": "TensorRT FP16 everywhere: the control",
}  # fmt: skip
TORCH = {
    "pytorch-fp32": "PyTorch eager FP32", "pytorch-tf32": "PyTorch eager, TF32 allowed",
    "pytorch-fp16": "PyTorch eager, backbone and pyramid FP16",
    "pytorch-compile-tf32": "torch.compile, TF32 allowed",
    "pytorch-compile-fp16": "torch.compile, backbone and pyramid FP16",
}  # fmt: skip
ORIN = {"tensorrt-fp32-plugin": 13.2, "tensorrt-fp16-plugin": 17.0, "tensorrt-qdq-plugin": 21.5}  # of PyTorch FP32
LINEARS = "uniad-mini-onnxruntime-linears-"  # the mini with its Linears in INT8, or in FP32
RANGES = {"few": "6 frames of one scene", "many": "32 frames of eight scenes"}
SMOOTHED = {"AMOTA": 3, "mAP": 3, "IoU-lane": 3, "minADE/car": 3, "EPA/car": 3, "VPQ-n": 2, "L2/mean@3s": 3}
ALPHAS = ("plain", "0.25", "0.5", "0.65", "0.75", "0.9")
NONE = "Nothing of it is recorded yet."


def driving(results):
    """What the mini's engines find in the 40 frames of mini_val, and their time for one of them."""
    rows = []
    for name, record in found(results, "uniad-mini-", MINI).items():
        broken = record.metrics.get("finite") == "False"
        rows.append({
            "": MINI[name],
            **{metric: "not finite" if broken else figure(record, metric, 3)
               for metric in ("AMOTA", "mAP", "IoU-lane", "minADE/car", "L2/mean@3s")},
            **on_gpu(record),
            "built in, s": figure(record, "build_seconds", 0),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows) if rows else NONE


def smoothed(results):
    """What the mini finds with its Linears in INT8: a row for each set that gave the ranges, and each alpha."""
    named = {"fp32": ("FP32", "")}
    named |= {f"{which}-{alpha}": (said, alpha) for which, said in RANGES.items() for alpha in ALPHAS}
    rows = []
    for name, record in found(results, LINEARS, named, CPU).items():
        ranges, alpha = named[name]
        rows.append({
            "": ranges,
            "alpha": "not smoothed" if alpha == "plain" else alpha,
            **{metric: figure(record, metric, digits) for metric, digits in SMOOTHED.items()},
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def driving_times(results):
    """Latency of UniAD-tiny with random weights."""
    return times(results, "uniad-published-", TORCH | ENGINES, ORIN)


def times(results, prefix, labels, published):
    """Latency of a network; its ratio to eager PyTorch in FP32 of the same card and code, and the published one."""
    records = found(results, prefix, labels)
    base, rows = records.get("pytorch-fp32"), []
    for name, record in records.items():
        ms = record.metrics.get("gpu_ms_p50")
        alike = ms and base and (base.device, base.commit) == (record.device, record.commit)
        rows.append({
            "": labels[name],
            **on_gpu(record),
            "with copies, ms": figure(record, "host_ms_p50", 1),
            "eager FP32 / this": ratio(base.metrics["gpu_ms_p50"] / ms) if alike else "",
            "the same, published": str(published.get(name, "")),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows) if rows else NONE


def found(results, prefix, labels, on=GPU):
    """{name: record} of those of `labels` that are recorded on a GPU, or on a CPU."""
    there = {}
    for name in labels:
        try:
            there[name] = results.latest(prefix + name, on)
        except BadInput:
            continue
    return there
