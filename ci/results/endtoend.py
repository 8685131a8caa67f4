"""The tables from JPEG files to boxes: on a CPU with one core and with all, and on a GPU where that was recorded."""

from ci.results.recorded import CPU, day, figure, markdown

ON_HOST = "bevformer-inputs-mini-onnxruntime-fp32-end-to-end"
ON_DEVICE = "bevformer-inputs-*-tensorrt-*-end-to-end*"
WAYS = {"before": "stage after stage", "after": "bytes in, boxes out"}
ENDED = ": ended the process"
STAGES = {  # column: the stages that are it, before and after
    "decode": ("decode",), "prepare": ("prepare",), "copy": ("copy",), "network": ("run", "compute"),
    "copy back": ("copy back",), "boxes": ("boxes",),
}  # fmt: skip


def end_to_end(results):
    """The mini in ONNX Runtime: latency by its stages, throughput, and how much of what its cores allow that is."""
    record = results.latest(ON_HOST, CPU)
    cores, rows = record.metrics["cores"], []
    for label, way, number, vehicles in _asked(cores):
        rate = f"{way}, {_counted(number, 'core')}, {_counted(vehicles, 'vehicle')}"
        alone = f"{way}, {_counted(number, 'core')}" if vehicles == 1 else ""
        rows.append({
            "": label,
            "latency, ms": figure(record, f"{alone}_ms_p50", 0),
            **_stages(record, alone, ("decode", "prepare", "network", "boxes")),
            "frames/s": figure(record, f"{rate}_frames_per_second", 2),
            "lowest to highest": _range(record, rate),
            "busy cores": figure(record, f"{rate}_busy_cores", 2),
            "of the cores' limit": f"{of_limit(record.metrics, way, number, vehicles):.0%}",
            "record": results.link(record, f"{day(record):%-d %b %Y}"),
        })  # fmt: skip
    return markdown(rows)


def end_to_end_gpu(results):
    """The same of engines of TensorRT; says so where there is no record, and of a decoder that ended its process."""
    rows = [
        {
            "": f"{_engine(record)}, {label}{ENDED if way == 'after' and 'ended' in record.metrics else ''}",
            "latency, ms": figure(record, f"{way}_ms_p50", 2),
            **_stages(record, way, STAGES),
            "frames/s": figure(record, f"{way}, 1 vehicle_frames_per_second", 0),
            "4 vehicles, frames/s": figure(record, f"{way}, 4 vehicles_frames_per_second", 0),
            "NDS": figure(record, f"{way}_NDS", 5),
            "record": results.link(record),
        }
        for record in results.fitting(ON_DEVICE)
        for way, label in WAYS.items()
        if way == "after" or {f"{way}_ms_p50", f"{way}_NDS"} & record.metrics.keys()
    ]
    return markdown(rows) if rows else "Not recorded on a GPU."


def ends(name, size, decoder=""):
    """name_PRECISION -> the record from JPEG files to boxes of a size with a decoder."""
    return {f"{name}_{precision}": f"bevformer-inputs-{size}-tensorrt-{precision}-plugin-end-to-end{decoder}"
            for precision in ("fp16", "qdq")}  # fmt: skip


def gains(metrics):
    """From JPEG files to boxes on a GPU: latency before over after, and the rate of a vehicle after over before."""
    found, rate = {}, "1 vehicle_frames_per_second"
    for name, one in ((name, one) for name, one in metrics.items() if name.startswith("ends_")):
        if "after_ms_p50" in one:
            found[f"{name}_gain"] = one["before_ms_p50"] / one["after_ms_p50"]
        if f"before, {rate}" in one:
            found[f"{name}_rate_gain"] = one[f"after, {rate}"] / one[f"before, {rate}"]
    return found


def of_limit(metrics, way, cores, vehicles=1):
    """The rate over what the cores would do if each did what one does of a frame's work by itself, without a pause."""
    rate = f"{way}, {_counted(cores, 'core')}, {_counted(vehicles, 'vehicle')}_frames_per_second"
    return metrics[rate] / (cores * 1000 / metrics[f"{way}, 1 core, 1 vehicle_cpu_ms_per_frame"])


def _asked(cores):
    """(label, way, cores, vehicles) of every row."""
    for number, vehicles in ((1, 1), (cores, 1), (cores, 2)):
        for way, told in WAYS.items():
            beside = ", 2 vehicles with a core each" if vehicles == 2 else ""
            yield f"{_counted(number, 'core')}{beside}, {told}", way, number, vehicles


def _stages(record, way, columns):
    """Column -> milliseconds of its stage."""
    return {column: next(filter(None, (figure(record, f"{way}_{stage}_ms", 1) for stage in STAGES[column])), "")
            for column in columns}  # fmt: skip


def _range(record, rate):
    return " to ".join(figure(record, f"{rate}_{each}_per_second", 2) for each in ("least", "most"))


def _engine(record):
    """What a record's name says: the size, the precision, and the decoder if it is another than libjpeg-turbo."""
    size, _, rest = record.name.removeprefix("bevformer-inputs-").partition("-tensorrt-")
    precision, _, decoder = rest.partition("-end-to-end")
    return " ".join(filter(None, (size, precision.removesuffix("-plugin"), decoder.strip("-"))))


def _counted(number, what):
    return f"{number} {what}{'s' * (number > 1)}"
