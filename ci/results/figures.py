"""The figures that the prose of docs/results.md quotes, by the names that template.md gives them."""

import collections

from ci.results.driving import LINEARS
from ci.results.endtoend import ON_HOST, ends, gains, of_limit
from ci.results.forms import PREFIX, QUOTED_FORMS, of_graphs
from ci.results.occupancy import BEFORE, missing
from ci.results.precisions import told
from ci.results.recorded import CPU, day, device
from ci.results.tables import A40, BY_HOST, MINI, PROJECTED, PUBLISHED, SPEEDS, lacking

QUOTED = {  # name in the template: record, taken on a GPU
    "eager_fp32": PUBLISHED + "pytorch-fp32",
    "eager_tf32": PUBLISHED + "pytorch-tf32",
    "eager_fp16": PUBLISHED + "pytorch-fp16",
    "compiled": PUBLISHED + "pytorch-compile-fp16",
    "fp32": PUBLISHED + "tensorrt-fp32-plugin",
    "tf32": PUBLISHED + "tensorrt-tf32-plugin",
    "fp16": PUBLISHED + "tensorrt-fp16-plugin",
    "int8": PUBLISHED + "tensorrt-qdq-tf32-plugin",
    "profile": PUBLISHED + "tensorrt-qdq-tf32-plugin-profile",
    "mini": MINI + "tensorrt-qdq-tf32-plugin",
    **{
        f"host_{name}": f"{PREFIX}tensorrt-{end}-plugin"
        for name, end in {"fp32": "fp32", "tf32": "tf32", "fp16": "fp16", "int8": "qdq-tf32", "qdq": "qdq"}.items()
    },
    "host_eager": f"{PREFIX}pytorch-fp16",
    **ends("ends", "published"),
    **ends("ends_codec", "published", "-nvimgcodec"),
    **ends("ends_without", "published", "-nvimgcodec-without-engine"),
    **ends("ends_mini", "mini"),
    **QUOTED_FORMS,
    "by_host": BY_HOST,
    "by_host_fp32": BY_HOST.replace("qdq", "fp32"),
    "mini_host_fp16": f"{PROJECTED}mini-tensorrt-fp16-plugin",
    "occupancy_fp32": "fbocc-published-tensorrt-fp32-plugin",
    "occupancy_tf32": "fbocc-published-tensorrt-tf32-plugin",
    "occupancy_fp16": "fbocc-published-tensorrt-fp16-plugin",
    "occupancy_qdq": "fbocc-published-tensorrt-qdq-plugin",
    "occupancy_qdq_profile": "fbocc-published-tensorrt-qdq-plugin-profile",
    "occupancy_eager_fp32": "fbocc-published-pytorch-fp32",
    "occupancy_eager_fp16": "fbocc-published-pytorch-fp16",
    "occupancy_compile_fp16": "fbocc-published-pytorch-compile-fp16",
    "created": "fbocc-mini-tensorrt-create-engine",
    "graph_of_words": "language-tinyllama-tensorrt-fp16",
    "words": "language-tinyllama-tensorrt-fp16-plugins",
    "words_int4": "language-tinyllama-tensorrt-w4a16-plugins",
    "words_eager": "language-tinyllama-pytorch-eager",
    "words_compiled": "language-tinyllama-pytorch-compile",
    "words_7b": "language-llama2-pytorch-eager",
    "words_7b_compiled": "language-llama2-pytorch-compile",
    "words_7b_step": "language-llama2-tensorrt-fp16-plugins",
    "words_7b_int4": "language-llama2-tensorrt-w4a16-plugins",
    **{
        f"vision_{name}": f"omnidrive-published-{end}"
        for name, end in {
            "eager": "pytorch-fp32",
            "eager_tf32": "pytorch-tf32",
            "eager_fp16": "pytorch-fp16",
            "compiled_tf32": "pytorch-compile-tf32",
            "compiled": "pytorch-compile-fp16",
            "fp32": "tensorrt-fp32",
            "tf32": "tensorrt-tf32",
            "pair": "tensorrt-pair",
            "int8": "tensorrt-qdq-tf32",
        }.items()
    },
    **{f"frame_{name}": f"omnidrive-published-tensorrt-pair-{name}-plugins-schedule" for name in ("fp16", "w4a16")},
    **{
        f"driving_{name}": f"uniad-published-{end}"
        for name, end in {
            "eager": "pytorch-fp32",
            "eager_tf32": "pytorch-tf32",
            "eager_fp16": "pytorch-fp16",
            "compiled": "pytorch-compile-fp16",
            "fp32": "tensorrt-fp32-plugin",
            "tf32": "tensorrt-tf32-plugin",
            "pair": "tensorrt-pair-plugin",
            "profile": "tensorrt-tf32-plugin-profile",
        }.items()
    },
    "vision_profile": "omnidrive-published-tensorrt-qdq-tf32-profile",
    **{
        f"driving_mini{end}": f"uniad-mini-tensorrt-{name}-plugin"
        for name, end in {"fp32": "", "tf32": "_tf32", "pair": "_pair"}.items()
    },
    "driving_definition": "uniad-mini-tensorrt-definition",
    "gridsample": "gridsample-tensorrt",
    "operators": "operators-pytorch",
    "mix": "operators-mix-levels",
    "step": "decode-step-1.1b",
    "step_held": "decode-step-1.1b-held-loads",
    "step_7b": "decode-step-7b-held-loads",
}
OF_ONE_RUN = (  # whose times the prose divides by one another
    ("fp32", "tf32", "fp16", "int8"),
    ("host_fp32", "host_tf32", "host_fp16", "host_qdq"),
    tuple(QUOTED_FORMS),
    ("occupancy_fp32", "occupancy_tf32", "occupancy_fp16", "occupancy_qdq"),
    ("vision_fp32", "vision_tf32", "vision_pair", "vision_int8"),
    ("driving_tf32", "driving_pair"),
)
DIVIDED = ("gpu_ms_p50", "graph_gpu_ms_p50")
QUOTED_ON_CPU = {
    "occupancy_int8": "fbocc-mini-onnxruntime-qdq",
    "occupancy_onnx": "fbocc-mini-onnxruntime-fp32",
    "linears": LINEARS + "fp32",
    **{f"linears_{name}": LINEARS + end for name, end in {
        "few": "few-plain", "few_half": "few-0.5", "few_more": "few-0.75",
        "many": "many-plain", "many_half": "many-0.5", "many_more": "many-0.75"}.items()},
}  # fmt: skip
QUOTED_AT = {  # whose builder chose FP32 for a part of the weights; whose tracks were others
    "words_wide": ("language-tinyllama-tensorrt-fp16-plugins", "2026-11-30T21:22"),
    "words_7b_wide": ("language-llama2-tensorrt-fp16-plugins", "2026-11-30T21:25"),
    "driving_definition_wrong": ("uniad-mini-tensorrt-definition", "2026-11-30"),
}
QUOTED_AT |= {name: (record, "2026-11-30") for name, record in ends("ends_earlier", "published").items()}
QUOTED_BEFORE = {  # of the day BEFORE
    "occupancy": "fbocc-published-tensorrt-fp16-plugin",
    "occupancy_eager": "fbocc-published-pytorch-fp32",
    "occupancy_compiled": "fbocc-published-pytorch-compile-fp16-kernels",
}


def quoted(results):
    """dict of name to a record's metrics, or to a figure made from them."""
    found = {name: results.latest(record) for name, record in QUOTED.items()}
    for group in OF_ONE_RUN:
        together = results.together([QUOTED[name] for name in group], DIVIDED)
        found |= {name: together[QUOTED[name]] for name in group}
    found |= {name: results.latest(record, at=BEFORE) for name, record in QUOTED_BEFORE.items()}
    found |= {name: results.latest(record, at=at) for name, (record, at) in QUOTED_AT.items()}
    speeds = results.latest(SPEEDS, CPU)
    found |= {name: results.latest(record, CPU) for name, record in QUOTED_ON_CPU.items()}
    metrics = {name: record.metrics for name, record in found.items()}
    made = [of(metrics) for of in (_ratios, _graphs, _sums, gains, of_graphs)]
    return dict(collections.ChainMap(metrics, *made, told(results))) | {
        "occupancy_missing": missing(results),
        "projected_lacking": lacking(results),
        **_ends(results.latest(ON_HOST, CPU)),
        **_words(metrics),
        **_frames(metrics),
        **{f"link_{name}": results.link(found[name], "record") for name in QUOTED_AT},
        **_quantized(results, metrics["by_host"]),
        "tensorrt": found["int8"].versions["tensorrt"],
        "torch": found["eager_fp32"].versions["torch"],
        "operators_torch": found["operators"].versions["torch"].partition("+")[0],
        "gpu": device(found["int8"]), "gpu_date": day(found["int8"]).date(),
        "cpu": device(speeds), "cpu_date": day(speeds).date(),
    }  # fmt: skip


def _ends(record):
    """From JPEG files to boxes on a CPU: what the record says, and how much of what two cores allow."""
    of = lambda vehicles: of_limit(record.metrics, "after", record.metrics["cores"], vehicles)  # noqa: E731
    return {"ends": record.metrics, "ends_one": of(1), "ends_two": of(2), "cpu_ends": device(record),
            "cpu_ends_date": day(record).date()}  # fmt: skip


def _words(metrics):
    """How many times what a step takes as a CUDA graph other ways take; the same of a prompt."""
    step, first = (metrics["words"][f"graph_{name}_ms_p50"] for name in ("tpot", "ttft"))
    large, small = metrics["words_7b_step"], metrics["words_7b_int4"]
    return {
        "words_compiled_over_words": metrics["words_compiled"]["tpot_ms_p50"] / step,
        "words_over_int4": step / metrics["words_int4"]["graph_tpot_ms_p50"],
        "words_eager_prompt_over_words": metrics["words_eager"]["ttft_ms_p50"] / first,
        "words_7b_compiled_over_step": metrics["words_7b_compiled"]["tpot_ms_p50"] / large["graph_tpot_ms_p50"],
        "words_7b_over_int4": large["graph_tpot_ms_p50"] / small["graph_tpot_ms_p50"],
        "words_7b_over_best": large["graph_tpot_over_floor"] * small["copy_gb_s"] / large["copy_gb_s"],
    }


def _frames(metrics):
    """Eager PyTorch's frame of OmniDrive, seen and said; how many times TensorRT's it is; that of UniAD's graphs."""
    eager = metrics["vision_eager"]["host_ms_p50"] + metrics["words_eager"]["frame_ms_p50"]
    graph = lambda name: metrics[name]["graph_gpu_ms_p50"]  # noqa: E731
    return {
        "frame_eager_ms": eager,
        "frame_eager_over_fp16": eager / metrics["frame_fp16"]["serial_latency_ms_p50"],
        "driving_graph_over_graph": graph("driving_eager_tf32") / graph("driving_tf32"),
        "driving_graph_over_fp32": graph("driving_eager") / graph("driving_fp32"),
    }


def _quantized(results, by_host):
    """What the mini's graph with Q/DQ nodes loses in ONNX Runtime against FP32; what TensorRT loses beyond that."""
    name = f"{PROJECTED}mini-onnxruntime"
    record, plain = results.latest(f"{name}-qdq", CPU), results.latest(f"{name}-fp32", CPU)
    return {"quantized": record.metrics, "link_quantized": results.link(record, "record"),
            "quantized_loss": plain.metrics["NDS"] - record.metrics["NDS"],
            "by_engine_loss": record.metrics["NDS"] - by_host["NDS"]}  # fmt: skip


def _ratios(metrics):
    """The ratios of medians, `a_over_b`, and the published ones."""
    ms = {name: one["gpu_ms_p50"] for name, one in metrics.items() if "gpu_ms_p50" in one}
    a40 = {name.split("-")[1]: value for name, value in A40.items()}
    return {f"{a}_over_{b}": ms[a] / ms[b] for a in ms for b in ms} | {
        f"a40_fp32_over_{name}": a40["fp32"] / a40[name] for name in ("fp16", "qdq")
    }


def _graphs(metrics):
    """Ratios of medians of CUDA graphs where the host projects; what they gain over graphs that project themselves."""
    ms = {name: one["graph_gpu_ms_p50"] for name, one in metrics.items() if "graph_gpu_ms_p50" in one}
    gains = [1 - ms[f"host_{name}"] / ms[name] for name in ("fp32", "tf32", "fp16", "int8")]
    return {
        "host_fp16_graph_over_qdq": ms["host_fp16"] / ms["host_qdq"],
        "host_tf32_graph_over_qdq": ms["host_tf32"] / ms["host_qdq"],
        "host_eager_graph_over_fp16": ms["host_eager"] / ms["host_fp16"],
        "host_gain_least": min(gains),
        "host_gain_most": max(gains),
    }


def _sums(metrics):
    """The INT8 engine's profile in figures; in how many cases GridSample stayed in FP32; what INT8 with FP16 loses."""
    cases = metrics["gridsample"]
    kept = [key for key in cases if key.endswith("/native_fp32") and cases[key] == cases[f"{key[:-4]}fp16"]]
    return {
        "profile_ms": metrics["profile"]["sum_ms"],
        "convolutions_ms": _convolutions(metrics["profile"]),
        "transformer_ms": metrics["profile"]["type/Myelin_ms"] + metrics["profile"]["type/PluginV2_ms"],
        "gridsample_kept": len(kept),
        "occupancy_int8_loss": metrics["occupancy_onnx"]["mIoU/labeled"] - metrics["occupancy_int8"]["mIoU/labeled"],
        "by_host_loss": metrics["by_host_fp32"]["NDS"] - metrics["by_host"]["NDS"],
    }


def _convolutions(profile):
    return sum(ms for key, ms in profile.items() if key.startswith("type/Cask"))
