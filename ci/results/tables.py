"""The tables of docs/results.md and of the README. Every row is one artifact, with a link to its record."""

from ci.results import recorded
from ci.results.driving import driving, driving_times, smoothed
from ci.results.endtoend import end_to_end, end_to_end_gpu
from ci.results.forms import FURTHER, PREFIX, forms
from ci.results.kernels import gridsample, gridsample_cases, limits, mixture, operators, sanitized
from ci.results.language import language
from ci.results.occupancy import (
    occupancy,
    occupancy_before,
    occupancy_farthest,
    occupancy_parts,
    occupancy_profiles,
    occupancy_times,
)
from ci.results.precisions import minding, planned, planned_on_gpu, planned_times, schedules
from ci.results.recorded import CPU, farthest_rows, figure, markdown, on_gpu, ratio, rounded
from ci.results.steps import step_operators, steps
from helpers.errors import BadInput

PUBLISHED, MINI, PTQ = "bevformer-published-", "bevformer-mini-", "modelopt_ptq-"
LABELS = {  # the end of a record's name: what the row is called
    "pytorch-fp32": "PyTorch eager FP32",
    "pytorch-tf32": "PyTorch eager, TF32 allowed",
    "pytorch-fp16": "PyTorch eager FP16",
    "pytorch-compile-fp16": "torch.compile FP16",
    "tensorrt-fp32": "TensorRT FP32, native",
    "tensorrt-fp32-plugin": "TensorRT FP32",
    "tensorrt-tf32-plugin": "FP32 with TF32 allowed",
    "tensorrt-fp16-plugin": "FP16, projection in FP32",
    "tensorrt-qdq-tf32-plugin": "INT8 by Q/DQ, the rest TF32",
    "tensorrt-best-plugin": "`--best`: INT8 by a calibrator, and FP16",
    "tensorrt-qdq-plugin": "INT8 by Q/DQ, the rest FP16: **wrong**, see below",
}
WRONG = "tensorrt-qdq-plugin"  # its output is not what the graph says
PROJECTED = "bevformer-inputs-"  # the network whose projection the host computes
BY_HOST = f"{PROJECTED}mini-{WRONG}"
PROJECTED_LABELS = {  # of these, the rows that are recorded
    "pytorch-fp32": LABELS["pytorch-fp32"], "pytorch-tf32": LABELS["pytorch-tf32"],
    "pytorch-fp16": LABELS["pytorch-fp16"], "pytorch-compile-fp32": "torch.compile FP32",
    "pytorch-compile-tf32": "torch.compile, TF32 allowed", "pytorch-compile-fp16": LABELS["pytorch-compile-fp16"],
    "tensorrt-fp32": LABELS["tensorrt-fp32"], "tensorrt-fp32-plugin": LABELS["tensorrt-fp32-plugin"],
    "tensorrt-tf32-plugin": LABELS["tensorrt-tf32-plugin"], "tensorrt-fp16-plugin": "FP16",
    "tensorrt-qdq-tf32-plugin": LABELS["tensorrt-qdq-tf32-plugin"], WRONG: "INT8 by Q/DQ, the rest FP16",
}  # fmt: skip
OF_ONE_RUN = tuple(f"{PREFIX}tensorrt-{name}-plugin" for name in ("fp32", "tf32", "fp16", "qdq"))
MINI_LABELS = {name: label for name, label in LABELS.items() if name == "pytorch-fp32" or "tensorrt" in name}
A40 = {  # ms, published for BEVFormer-tiny with TensorRT 10.3: NVIDIA/DL4AGX
    "tensorrt-fp32-plugin": 18.82, "tensorrt-fp16-plugin": 9.36, "tensorrt-qdq-plugin": 6.02,
    "tensorrt-best-plugin": 6.20,
}  # fmt: skip
ON_CPU = [  # the row, the record with its accuracy, its name in the record that compares speeds
    ("PyTorch FP32", MINI + "pytorch-fp32", ""),
    ("ONNX Runtime FP32", PTQ + "fp32", "fp32"),
    ("INT8 (ModelOpt, entropy, no MatMul)", PTQ + "int8-entropy", "int8_entropy"),
    ("the same, rewritten for CPUs (`quantize.for_cpu`)", PTQ + "int8-for-cpu", "int8_for_cpu"),
    ("INT8 (max)", PTQ + "int8-max", ""),
    ("FP8 (max), emulated by ONNX Runtime", PTQ + "fp8-max", "fp8_max"),
    ("INT8 calibrated on faint noise: the control that must fail", PTQ + "int8-faint-noise", ""),
]
SPEEDS = MINI + "precisions-latency"
SCALES = {
    "six cameras, 480x800, a map of 50x50 cells": "base", "2 sets of six cameras": "batch_2", "4 sets": "batch_4",
    "8 sets": "batch_8", "a map of 100x100 cells": "bev_100", "a map of 150x150 cells": "bev_150",
    "pictures of 736x1280": "image_736x1280", "pictures of 928x1600": "image_928x1600",
}  # fmt: skip


def published(results):
    """Latency and size of BEVFormer-tiny at its published size, precision by precision."""
    rows = []
    for name, label in LABELS.items():
        record = results.latest(PUBLISHED + name)
        rows.append({
            "": label,
            **on_gpu(record),
            "engine, MiB": "" if name == WRONG else figure(record, "engine_mib", 0),
            "FP32 / this": _over(results, record, "fp32"),
            "TF32 / this": _over(results, record, "tf32"),
            "A40, ms": rounded(A40[name], 2) if name in A40 else "",
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def projected(results):
    """Latency of BEVFormer-tiny at its published size where the host computes its projection."""
    return markdown([
        {
            "": PROJECTED_LABELS[name],
            **on_gpu(record),
            "queued in, ms": figure(record, "enqueue_ms_p50", 1),
            "with copies, ms": figure(record, "host_ms_p50", 1),
            "engine, MiB": figure(record, "engine_mib", 0),
            "FP32 / this": _over(results, record, "fp32"),
            "TF32 / this": _over(results, record, "tf32"),
            "over the roofline": figure(record, "over_roofline", 1),
            "record": results.link(record),
        }
        for name, record in _projected(results).items()
    ])  # fmt: skip


def _projected(results):
    """{name: record} of `PROJECTED_LABELS`; of the newest run with all of `OF_ONE_RUN`, if all are there."""
    found = _there(results, PREFIX, PROJECTED_LABELS)
    if {PREFIX + name for name in found} >= {*OF_ONE_RUN}:
        found |= {name.removeprefix(PREFIX): one for name, one in results.together(OF_ONE_RUN).items()}
    return found


def lacking(results):
    """What of `PROJECTED_LABELS`, of profiles and of the way from JPEG files is not recorded, as one clause."""
    labels = PROJECTED_LABELS | FURTHER
    there = _there(results, PREFIX, labels)
    found = [label for name, label in labels.items() if name not in there]
    kinds = {"profiles": "published-tensorrt-*-profile", "the way from JPEG files to boxes": "*-tensorrt-*-end-to-end*"}
    found += [kind for kind, pattern in kinds.items() if not results.fitting(PROJECTED + pattern)]
    return "; ".join(found) or "nothing"


def farthest(results):
    """The layers that are farthest from the roofline, of every engine of that network with a profile."""
    return recorded.farthest([
        {"": PROJECTED_LABELS[name], **row}
        for name in PROJECTED_LABELS
        for record in results.fitting(f"{PREFIX}{name}-profile")
        for row in farthest_rows(record, 3, results.link(record))
    ])  # fmt: skip


def _there(results, prefix, labels):
    """{name: latest record} of those of `labels` that have one."""
    return {name: record for name in labels for record in results.fitting(prefix + name)}


def mini(results):
    """Latency and accuracy of the trained mini on the GPU."""
    rows = []
    named = {label: MINI + name for name, label in MINI_LABELS.items()}
    by_host = {f"{PROJECTED_LABELS[name]}, projected by the host": record.name
               for name, record in _there(results, f"{PROJECTED}mini-", PROJECTED_LABELS).items()}  # fmt: skip
    for label, name in (named | by_host).items():
        record = results.latest(name)
        rows.append({
            "": label,
            **on_gpu(record),
            "FP32 / this": _over(results, record, "fp32"),
            "NDS": figure(record, "NDS", 3),
            "mAP": figure(record, "mAP", 3),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def _over(results, record, base):
    """How many times as long the engine `base`, with the kernel, took in the same run; empty where it did not."""
    if not record.name.endswith("-plugin") or "gpu_ms_p50" not in record.metrics:
        return ""
    try:
        found = results.beside(record, record.name.partition("tensorrt-")[0] + f"tensorrt-{base}-plugin")
    except BadInput:
        return ""  # the base failed in that run, or was left out
    return ratio(found.metrics["gpu_ms_p50"] / record.metrics["gpu_ms_p50"])


def on_cpu(results):
    """Accuracy and speed of the mini under ONNX Runtime; the speeds are of one run that compared the files."""
    rows, speeds = [], results.latest(SPEEDS, CPU)
    for label, name, speed in ON_CPU:
        record = results.latest(name, CPU)
        links = [results.link(record)] + ([results.link(speeds, "speed")] if speed else [])
        rows.append({
            "": label,
            "NDS": figure(record, "NDS", 3) or "not measured",
            "mAP": figure(record, "mAP", 3) or "not measured",
            "latency, ms": figure(speeds, f"latency_ms_p50_{speed}", 0),
            "FP32 / this": ratio(speeds.metrics[f"speedup_{speed}"]) if speed else "",
            "record": ", ".join(links),
        })  # fmt: skip
    return markdown(rows)


def scaling(results):
    """How the time of the published size grows with cameras, map and pictures."""
    engine, eager = (results.latest(f"bevformer-scaling-{runtime}") for runtime in ("tensorrt", "pytorch"))
    links = f"{results.link(engine, 'TensorRT')}, {results.link(eager, 'PyTorch')}"
    rows = [{
        "": label,
        "TensorRT FP16, CUDA graph, ms": figure(engine, f"{scale}_gpu_ms_p50", 1),
        "activations, MiB": figure(engine, f"{scale}_activations_mib", 0),
        "PyTorch eager FP32, ms": figure(eager, f"{scale}_gpu_ms_p50", 1),
        "record": links,
    } for label, scale in SCALES.items()]  # fmt: skip
    return markdown(rows)


def ceilings(results):
    """What the card reaches by itself."""
    record = results.latest("gpu-ceilings")
    columns = {"copy, GB/s": "copy_gb_s", "FP32, TFLOP/s": "fp32_tflop_s", "TF32, TFLOP/s": "tf32_tflop_s",
               "FP16, TFLOP/s": "fp16_tflop_s", "BF16, TFLOP/s": "bf16_tflop_s"}  # fmt: skip
    row = {column: figure(record, metric, 0) for column, metric in columns.items()}
    return markdown([row | {"record": results.link(record)}])


TABLES = (
    published,
    projected,
    forms,
    farthest,
    mini,
    end_to_end,
    end_to_end_gpu,
    occupancy,
    occupancy_before,
    occupancy_times,
    occupancy_profiles,
    occupancy_parts,
    occupancy_farthest,
    language,
    on_cpu,
    driving,
    driving_times,
    smoothed,
    planned,
    planned_on_gpu,
    planned_times,
    schedules,
    minding,
    scaling,
    operators,
    limits,
    sanitized,
    mixture,
    step_operators,
    steps,
    gridsample,
    gridsample_cases,
    ceilings,
)
