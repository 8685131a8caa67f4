"""The picture of the README: the road from a checkpoint to a figure, and the figures of one network along it.

It has a background of its own in both color schemes, so that it can be read wherever it is shown.
"""

from ci.results.recorded import day, device, rounded
from ci.results.tables import PUBLISHED
from helpers.display.pictures import escaped

WIDTH, HEIGHT, MARGIN = 960, 420, 28
STAGES = [
    ("PyTorch", "a checkpoint,", "plain modules"),
    ("ONNX", "one graph for", "every runtime"),
    ("Q/DQ", "calibrated", "INT8 and FP8"),
    ("Plugin", "custom operators", "as CUDA kernels"),
    ("Engine", "TensorRT, RTX,", "ONNX Runtime"),
    ("Figure", "time, accuracy,", "and a record"),
]
BARS = [  # label, end of the record's name
    ("PyTorch eager FP32", "pytorch-fp32"),
    ("PyTorch eager FP16", "pytorch-fp16"),
    ("torch.compile FP16", "pytorch-compile-fp16"),
    ("TensorRT FP32", "tensorrt-fp32-plugin"),
    ("TensorRT, TF32 allowed", "tensorrt-tf32-plugin"),
    ("TensorRT FP16", "tensorrt-fp16-plugin"),
    ("TensorRT INT8, the rest TF32", "tensorrt-qdq-tf32-plugin"),
]
STYLE = """
text { font: 15px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933; }
.panel { fill: #f7f9fb; stroke: #d5dce4; } .card { fill: #ffffff; stroke: #b9c4d0; }
.name { font-weight: 600; font-size: 17px; } .soft { fill: #52606d; font-size: 13px; }
.arrow { stroke: #7b8794; stroke-width: 2; fill: none; } .torch { fill: #9aa5b1; } .engine { fill: #1a7f5a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e9ee; } .panel { fill: #161b22; stroke: #30363d; } .card { fill: #21262d; stroke: #48515b; }
  .soft { fill: #a9b4c0; } .arrow { stroke: #8b949e; } .torch { fill: #6e7a87; } .engine { fill: #3fb27f; }
}
"""


def road(results):
    """The picture as SVG text."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escaped(_words(results))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="panel" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="14"/>',
        *_stages(top=24),
        *_bars(results, top=150),
    ]
    return "\n".join(parts) + "\n</svg>\n"


def _stages(top):
    gap, height = 24, 84
    width = (WIDTH - 2 * MARGIN - gap * (len(STAGES) - 1)) / len(STAGES)
    for number, (name, *lines) in enumerate(STAGES):
        left = MARGIN + number * (width + gap)
        middle, center = top + height / 2, left + width / 2
        if number:
            yield f'<path class="arrow" d="M{left - gap + 4:.0f} {middle}h{gap - 9}m-6 -5l6 5l-6 5"/>'
        yield f'<rect class="card" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" rx="8"/>'
        yield _text(name, center, top + 28, "name", "middle")
        yield from (_text(line, center, top + 50 + 18 * i, "soft", "middle") for i, line in enumerate(lines))


def _bars(results, top):
    records = {label: results.latest(PUBLISHED + name) for label, name in BARS}
    first = next(iter(records.values()))
    title = "One frame of BEVFormer-tiny at its published size, milliseconds on the GPU"
    yield _text(title, MARGIN, top, "", "start")
    yield _text(f"{device(first)}, {day(first).date()}", WIDTH - MARGIN, top, "soft", "end")
    left, longest, step = MARGIN + 230, max(map(_ms, records.values())), 35
    for number, (label, record) in enumerate(records.items()):
        y, length = top + 18 + step * number, (WIDTH - 2 * MARGIN - 290) * _ms(record) / longest
        kind = "engine" if "-tensorrt-" in record.name else "torch"
        yield _text(label, left - 12, y + 17, "", "end")
        yield f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="24" rx="3"/>'
        yield _text(rounded(_ms(record), 2), left + length + 8, y + 17, "", "start")


def _ms(record):
    return record.metrics["gpu_ms_p50"]


def _text(words, x, y, kind, anchor):
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escaped(words)}</text>'


def _words(results):
    figures = ", ".join(f"{label} {rounded(_ms(results.latest(PUBLISHED + name)), 2)} ms" for label, name in BARS)
    return f"The road: {', '.join(name for name, *_ in STAGES)}. One frame of BEVFormer-tiny: {figures}."
