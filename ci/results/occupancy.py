"""The tables of FB-OCC on a GPU: accuracy of the mini, latency of the published size."""

from ci.results.recorded import figure, markdown, on_gpu

BEFORE = "2026-11-28"  # the day of the graph whose head enlarged volumes before it predicted
LABELS = {
    "fp32-plugin": "FP32", "tf32-plugin": "TF32", "fp16-plugin": "FP16, what needs it in FP32",
    "fp16-all-plugin": "FP16 everywhere: the control", "create-engine": "`create_engine --fp16`, the later graph",
}  # fmt: skip
TIMES = {
    "pytorch-fp32": "PyTorch eager FP32", "pytorch-tf32": "PyTorch eager, TF32 allowed",
    "pytorch-fp16": "PyTorch eager FP16", "tensorrt-fp32-plugin": "TensorRT FP32",
    "tensorrt-tf32-plugin": "FP32 with TF32 allowed",
}  # fmt: skip
TIMES_BEFORE = {
    "pytorch-fp32": "PyTorch eager FP32", "pytorch-tf32": "PyTorch eager, TF32 allowed",
    "pytorch-fp16": "PyTorch eager FP16", "pytorch-fp32-kernels": "the same with our kernels, FP32",
    "pytorch-tf32-kernels": "TF32", "pytorch-fp16-kernels": "FP16",
    "pytorch-compile-tf32-kernels": "torch.compile with our kernels, TF32", "pytorch-compile-fp16-kernels": "FP16",
    "tensorrt-fp16-plugin": "TensorRT FP16, what needs it in FP32",
}  # fmt: skip


def occupancy(results):
    """Accuracy of the trained mini FB-OCC on the GPU, and how far it is from ONNX Runtime."""
    rows = []
    for name, label in LABELS.items():
        record = results.latest(f"fbocc-mini-tensorrt-{name}")
        rows.append({
            "": label,
            "mIoU": figure(record, "mIoU", 2),
            "RayIoU": figure(record, "RayIoU", 2),
            "voxels of another class": f"{record.metrics['classes_differ']:.1e}",
            "largest error of a logit, over the largest": f"{record.metrics['logits_rel']:.1e}",
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)


def occupancy_before(results):
    """Latency of FB-OCC at its published size as its graph was on the day `BEFORE`, beside PyTorch."""
    return _times(results, TIMES_BEFORE, BEFORE)


def occupancy_times(results):
    """The same of the graph of today."""
    return _times(results, TIMES, "")


def _times(results, labels, at):
    rows = []
    for name, label in labels.items():
        record = results.latest(f"fbocc-published-{name}", at=at)
        rows.append({
            "": label,
            **on_gpu(record),
            "queued in, ms": figure(record, "enqueue_ms_p50", 1),
            "with copies, ms": figure(record, "host_ms_p50", 1),
            "over the roofline": figure(record, "over_roofline", 1),
            "record": results.link(record),
        })  # fmt: skip
    return markdown(rows)
