"""The table of BEVFormer's engines with half precision, plugins on pairs of numbers and on single ones, of one run."""

from ci.results.recorded import figure, markdown, on_gpu, ratio

PREFIX = "bevformer-inputs-published-"
SINGLE = "the same, plugins on single halves"
FORMS = {  # the end of a record's name: what the row is called
    "tensorrt-fp16-plugin": "FP16",
    "tensorrt-fp16-half-plugin": SINGLE,
    "tensorrt-qdq-plugin": "INT8 by Q/DQ, the rest FP16 (QDQ_BEST)",
    "tensorrt-qdq-half-plugin": SINGLE,
    "tensorrt-best-plugin": "INT8 by a calibrator, and FP16 (BEST)",
    "tensorrt-best-half-plugin": SINGLE,
}
FURTHER = {name: f"{FORMS[name.replace('half-', '')]}, plugins on single halves" for name in FORMS if "half" in name}
FURTHER |= {"tensorrt-best-plugin": FORMS["tensorrt-best-plugin"]}
QUOTED_FORMS = {  # name in the template: record
    f"forms_{name.split('-', 1)[1].removesuffix('-plugin').replace('-', '_')}": PREFIX + name for name in FORMS
}
BEST = f"{PREFIX}tensorrt-best-plugin"


def forms(results):
    """Latency at the published size of engines in turns, over BEST's, and the mean error of their boxes."""
    together = results.together([PREFIX + name for name in FORMS])
    over = lambda record, metric: ratio(record.metrics[metric] / together[BEST].metrics[metric])  # noqa: E731
    return markdown([
        {
            "": label,
            **on_gpu(record),
            "this / BEST": over(record, "gpu_ms_p50"),
            "as graphs": over(record, "graph_gpu_ms_p50"),
            "queued in, ms": figure(record, "enqueue_ms_p50", 1),
            "with copies, ms": figure(record, "host_ms_p50", 1),
            "engine, MiB": figure(record, "engine_mib", 0),
            "mean error of the boxes": f"{record.metrics['outputs_coords_mean_rel']:.1e}",
            "record": results.link(record),
        }
        for label, record in ((label, together[PREFIX + name]) for name, label in FORMS.items())
    ])  # fmt: skip


def of_graphs(metrics):
    """Ratios of medians of CUDA graphs of engines with half precision; the table has those of BEST."""
    ms = {name: metrics[f"forms_{name}"]["graph_gpu_ms_p50"] for name in ("fp16", "qdq", "best")}
    return {"forms_fp16_graph_over_qdq": ms["fp16"] / ms["qdq"], "forms_qdq_graph_over_best": ms["qdq"] / ms["best"]}
