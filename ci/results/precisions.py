"""The tables of precisions of a network with a language model behind it: boxes and planned paths."""

from ci.results import driving
from ci.results.recorded import CPU, figure, markdown

CELLS = "omnidrive-mini-cpu-"
FARTHEST = "L2/mean@3s"
SMALLEST = "what the search keeps in FP32, the rest FP16"
ROWS = (  # vision part, language model, the end of the record's name
    ("PyTorch", "PyTorch", "pytorch-pytorch"),
    ("FP32", "FP16", "fp32-fp16"),
    ("FP32", "W4A16", "fp32-w4a16"),
    ("FP32", "FP16, drawn as published", "fp32-fp16-sampled"),
    ("FP32", "W4A16, drawn as published", "fp32-w4a16-sampled"),
    ("backbone FP16, the rest FP32", "FP16", "mixed-fp16"),
    ("backbone FP16, the rest FP32", "W4A16", "mixed-w4a16"),
    (SMALLEST, "FP16", "smallest-fp16"),
    (SMALLEST, "W4A16", "smallest-w4a16"),
    ("backbone INT8 and FP16, the rest FP32", "FP16", "mixed-int8-fp16"),
    ("backbone INT8 and FP16, the rest FP32", "W4A16", "mixed-int8-w4a16"),
    ("backbone FP8 and FP16, the rest FP32", "FP16", "mixed-fp8-fp16"),
    ("backbone FP8 and FP16, the rest FP32", "W4A16", "mixed-fp8-w4a16"),
    ("everything FP16: the control that must fail", "", "fp16"),
    ("memory and poses FP16", "FP16", "memory-fp16-fp16"),
    ("FP32, map origin 2 km away", "FP16", "fp32-far-fp16"),
    ("backbone FP16, map origin 2 km away", "FP16", "mixed-far-fp16"),
    (f"{SMALLEST}, map origin 2 km away", "FP16", "smallest-far-fp16"),
    ("memory and poses FP16, map origin 2 km away: must fail", "FP16", "memory-fp16-far-fp16"),
)

ON_GPU = {  # the end of a record's name: what its row is called
    "fp32": "FP32",
    "tf32": "TF32",
    "fp16": "backbone FP16, the rest TF32",
    "fp16-norms": "backbone FP16, the rest TF32; norms in simple operators",
    "pair": "backbone FP16, the rest TF32; two engines",
    "smallest": SMALLEST,
    "fp16-full": "FP16 wherever the builder takes it",
    "fp16-all": "everything FP16: the control that must fail",
    "pair-qdq": "backbone INT8 and FP16, the rest TF32; two engines",
    "qdq-tf32": "backbone INT8 by Q/DQ, the rest TF32",
}
OF_PYTORCH = {"tensorrt-fp32": 3.7, "tensorrt-fp16": 10.8}  # the published ratios of PyTorch's time to theirs
SHAPES = {"published": "published size, random weights", "mini": "the mini"}
FORMS = {"fp16": "TensorRT, standard operators", "fp16-plugins": "our kernels", "w4a16-plugins": "our kernels, INT4"}


def planned_on_gpu(results):
    """Boxes and paths of the same network's engines that are recorded; a score that was not made is empty."""
    rows = []
    named = [
        (label, one) for name, label in ON_GPU.items() for one in results.fitting(f"omnidrive-mini-tensorrt-{name}")
    ]
    for label, record in named:
        error = record.metrics["vision_embeded_mean_rel"]
        rows.append({
            "": label,
            "NDS": figure(record, "NDS", 4),
            "mAP": figure(record, "mAP", 4),
            **{f"L2 {k} s": figure(record, f"L2/mean@{k}s", 4) for k in (1, 2, 3)},
            "mean error of the tokens": error if isinstance(error, str) else f"{error:.1e}",
            "built in, s": figure(record, "build_seconds", 0),
            "engine, MiB": figure(record, "engine_mib", 1),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def planned_times(results):
    """Latency of the vision part at its published size, with random weights."""
    labels = {name: label.replace(" and pyramid", "") for name, label in driving.TORCH.items()}
    labels |= {f"tensorrt-{name}": label for name, label in ON_GPU.items()}
    return driving.times(results, "omnidrive-published-", labels, OF_PYTORCH)


def schedules(results):
    """Frames one after the other, and the next one's vision beside the words of this one; a sentence without any."""
    rows = []
    for shape, of in SHAPES.items():
        for name, label in ON_GPU.items():
            for form, spoken in FORMS.items():
                for record in results.fitting(f"omnidrive-{shape}-tensorrt-{name}-{form}-schedule"):
                    rows.append({"": of, "vision": label, "language model": spoken} | _schedule(record)
                                | {"record": results.link(record)})  # fmt: skip
    return markdown(rows) if rows else "Nothing is recorded yet."


def _schedule(record):
    return {
        "vision alone, ms": figure(record, "vision_ms_p50", 2),
        "words alone, ms": figure(record, "language_ms_p50", 1),
        "frames/s": figure(record, "serial_frames_per_second", 2),
        "overlapped": figure(record, "overlapped_frames_per_second", 2),
        "ratio": figure(record, "faster", 2),
        "latency, ms": figure(record, "serial_latency_ms_p50", 1),
        "overlapped, ms": figure(record, "overlapped_latency_ms_p50", 1),
    }


def planned(results):
    """Boxes and paths of the trained mini OmniDrive, precision by precision."""
    rows = []
    for vision, language, name in ROWS:
        record = results.latest(CELLS + name, CPU)
        broken = record.metrics["finite"] == "False"
        rows.append({
            "": vision,
            "language model": language,
            "nodes in FP16": f"{record.metrics['fp16_share']:.0%}" if "fp16_share" in record.metrics else "",
            "mAP": "not finite" if broken else figure(record, "mAP", 4),
            **{f"L2 {k} s": figure(record, f"L2/mean@{k}s", 4) for k in (1, 2, 3)},
            "answers with a path": f"{record.metrics['parsed']:.0%}" if "parsed" in record.metrics else "",
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def minding(results):
    """What each part does alone in FP16."""
    record = results.latest(f"{CELLS}parts", CPU)
    parts = [key.removeprefix("alone/") for key in record.metrics if key.startswith("alone/")]
    return markdown([
        {"": part, "worst error": _error(record, f"alone/{part}"),
         "map origin 2 km away": _error(record, f"alone_far/{part}"),
         "share of the arithmetic": f"{record.metrics[f'flops/{part}']:.3%}", "record": results.link(record)}
        for part in parts
    ])  # fmt: skip


def told(results):
    """The figures that the prose quotes: what mAP loses against FP32, L2 at 3 s, what is left in FP32."""

    def metrics(name):
        return results.latest(CELLS + name, CPU).metrics

    fp32, parts = metrics("fp32-fp16"), metrics("parts")
    rule = [share for key, share in parts.items() if key.startswith("flops/") and key != "flops/backbone"]
    kept = [parts[f"flops/{part}"] for part in parts["kept"].split(", ")]
    names = {"mixed": "mixed-fp16", "smallest": "smallest-fp16", "int8": "mixed-int8-fp16", "fp8": "mixed-fp8-fp16",
             "smallest_far": "smallest-far-fp16", "memory_far": "memory-fp16-far-fp16"}  # fmt: skip
    found = {f"{name}_map_loss": fp32["mAP"] - metrics(record)["mAP"] for name, record in names.items()}
    found["smallest_map"] = metrics("smallest-fp16")["mAP"]
    found |= {f"{name}_l2": metrics(record)[FARTHEST] for name, record in names.items()}
    four_bits = metrics("fp32-w4a16")[FARTHEST]
    found |= {"fp32_l2": fp32[FARTHEST], "four_bits_l2": four_bits, "four_bits_cm": 100 * (four_bits - fp32[FARTHEST]),
              "kept": parts["kept"], "rule_flops": sum(rule), "kept_flops": sum(kept)}  # fmt: skip
    return {f"planned_{name}": value for name, value in found.items()}


def _error(record, metric):
    value = record.metrics[metric]
    return value if isinstance(value, str) else f"{value:.1e}"
