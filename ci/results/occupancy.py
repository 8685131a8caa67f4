"""The tables of FB-OCC on a GPU: accuracy of the mini, latency of the published size, where its time goes.

They have the rows that are recorded.
"""

from ci.results.recorded import CPU, GPU, day, farthest, farthest_rows, figure, markdown, on_gpu, rounded
from helpers.errors import BadInput

BEFORE = "2026-11-28"  # the day of the graph whose head enlarged volumes before it predicted
TIMES = {
    "pytorch-fp32": "PyTorch eager FP32", "pytorch-tf32": "PyTorch eager, TF32 allowed",
    "pytorch-fp16": "PyTorch eager FP16", "pytorch-fp32-kernels": "eager with our kernels, FP32",
    "pytorch-tf32-kernels": "eager with our kernels, TF32", "pytorch-fp16-kernels": "eager with our kernels, FP16",
    "pytorch-compile-fp32": "torch.compile FP32", "pytorch-compile-tf32": "torch.compile, TF32 allowed",
    "pytorch-compile-fp16": "torch.compile FP16",
    "pytorch-compile-fp32-kernels": "torch.compile with our kernels, FP32",
    "pytorch-compile-tf32-kernels": "torch.compile with our kernels, TF32",
    "pytorch-compile-fp16-kernels": "torch.compile with our kernels, FP16",
    "tensorrt-fp32-plugin": "TensorRT FP32", "tensorrt-tf32-plugin": "TensorRT, TF32 allowed",
    "tensorrt-qdq-tf32-plugin": "TensorRT, INT8 by Q/DQ, the rest TF32",
    "tensorrt-fp16-plugin": "TensorRT FP16, what needs it in FP32",
    "tensorrt-fp16-half-plugin": "TensorRT FP16, plugins on single halves",
    "tensorrt-qdq-plugin": "TensorRT, INT8 by Q/DQ, the rest FP16",
    "tensorrt-qdq-half-plugin": "TensorRT, INT8 by Q/DQ, the rest FP16, plugins on single halves",
}  # fmt: skip
BY_TYPE = {"plugins": ("PluginV2",), "enlarged volumes": ("Resize",), "changes of layout": ("Reformat",),
           "fused by Myelin": ("Myelin",)}  # fmt: skip
PROFILED = {"tensorrt-tf32-plugin": "TF32", "tensorrt-fp16-plugin": "FP16", "tensorrt-qdq-plugin": "INT8 and FP16"}
SCORED = {  # what only the mini has, whose accuracy counts and not its time
    "tensorrt-fp16-all-plugin": "TensorRT, FP16 everywhere: the control",
    "tensorrt-create-engine": "TensorRT, `create_engine --fp16`",
    "onnxruntime-fp32": "ONNX Runtime FP32, on a CPU", "onnxruntime-qdq": "ONNX Runtime, INT8 by Q/DQ, on a CPU",
}  # fmt: skip


def occupancy(results):
    """Accuracy of the trained mini FB-OCC on the GPU, then on a CPU, and how far it is from ONNX Runtime."""
    found = [
        (_recorded(results, f"fbocc-mini-{name}", CPU if name.startswith("onnxruntime") else GPU), label)
        for name, label in (TIMES | SCORED).items()
        if not name.startswith("pytorch")
    ]
    of_classes = [{key for key in record.metrics if key.startswith("IoU/")} for record, _ in found if record]
    classes = set.intersection(*filter(None, of_classes)) if any(of_classes) else set()
    return markdown([{
        "": label + ", the later graph" * _later(record),
        "mIoU": figure(record, "mIoU", 2),
        "mIoU, labeled classes": _labeled(record, classes),
        "RayIoU": figure(record, "RayIoU", 2),
        "voxels of another class": f"{record.metrics['classes_differ']:.1e}",
        "largest error of a logit, over the largest": f"{record.metrics['logits_rel']:.1e}",
        "record": results.link(record),
    } for record, label in found if record])  # fmt: skip


def _labeled(record, classes):
    """`mIoU/labeled` of a record; of one made before there was such a metric, the mean over `classes`.

    All records are of the same frames, so a class that one of them has no IoU of is not in the labels.
    """
    of = [record.metrics[name] for name in classes if name in record.metrics]
    value = record.metrics.get("mIoU/labeled", sum(of) / len(of) if of else None)
    return "" if value is None else rounded(value, 2)


def occupancy_before(results):
    """Latency of FB-OCC at its published size as its graph was on the day `BEFORE`, beside PyTorch."""
    found = {name: _recorded(results, f"fbocc-published-{name}", at=BEFORE) for name in TIMES}
    return _times(results, {name: record for name, record in found.items() if record})


def occupancy_times(results):
    """The same of the graph of today."""
    return _times(results, today(results))


def occupancy_profiles(results):
    """Where the time of that graph's engines goes, by type of layer."""
    rows = []
    for name, label in TIMES.items():
        record = _recorded(results, f"fbocc-published-{name}-profile")
        if not _later(record):
            continue
        ms = {key: value for key, value in record.metrics.items() if key.startswith("type/")}
        sums = {"convolutions": sum(value for key, value in ms.items() if key.startswith("type/Cask"))}
        sums |= {column: sum(ms.get(f"type/{kind}_ms", 0) for kind in kinds) for column, kinds in BY_TYPE.items()}
        sums["other layers"] = record.metrics["sum_ms"] - sum(sums.values())
        rows.append({
            "": label,
            **{f"{column}, ms": rounded(value, 2) for column, value in sums.items()},
            "sum, ms": figure(record, "sum_ms", 2),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows) if rows else "No profile of an engine of this graph is recorded."


def occupancy_parts(results):
    """Milliseconds of each module of the network in those engines, the longest of the last first."""
    parts = {}
    for name, label in PROFILED.items():
        record = _recorded(results, f"fbocc-published-{name}-profile")
        found = {key: ms for key, ms in record.metrics.items() if key.startswith("part/")} if _later(record) else {}
        parts |= {label: found} if found else {}
    if not parts:
        return "What the parts of this graph take is not recorded."
    last = next(reversed(parts.values()))
    names = sorted(set().union(*parts.values()), key=lambda name: (-last.get(name, 0.0), name))
    return markdown([
        {"part": _part(name), **{f"{label}, ms": rounded(ms.get(name, 0.0), 2) for label, ms in parts.items()}}
        for name in names
    ])  # fmt: skip


def _part(key):
    name = key.removeprefix("part/").removesuffix("_ms")
    return "between modules" if name == "none" else f"`{name}`"


def occupancy_farthest(results):
    """The layers of that graph's FP16 engine that are farthest from the roofline."""
    record = _recorded(results, "fbocc-published-tensorrt-fp16-plugin-profile")
    return farthest(farthest_rows(record, 8, results.link(record)) if _later(record) else [])


def today(results):
    """{name: record} of `TIMES`, of the graph of today."""
    found = {name: _recorded(results, f"fbocc-published-{name}") for name in TIMES}
    return {name: record for name, record in found.items() if _later(record)}


def missing(results):
    """What of `TIMES` has no record of the graph of today, as one clause."""
    there = today(results)
    return "; ".join(label for name, label in TIMES.items() if name not in there) or "nothing"


def _recorded(results, name, on=GPU, at=""):
    """The latest record of a name, None where there is none."""
    try:
        return results.latest(name, on, at)
    except BadInput:
        return None


def _later(record):
    """Whether there is a record, and of the graph of today."""
    return record is not None and str(day(record).date()) > BEFORE


def _times(results, found):
    rows = []
    for name, record in found.items():
        level = record.metrics.get("builder_level")
        rows.append({
            "": TIMES[name] + f" (builder level {level})" * (level is not None),
            **on_gpu(record),
            "queued in, ms": figure(record, "enqueue_ms_p50", 1),
            "with copies, ms": figure(record, "host_ms_p50", 1),
            "over the roofline": figure(record, "over_roofline", 1),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)
