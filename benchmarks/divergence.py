"""Stage `divergence`: the first tensor in which an engine of the mini parts from ONNX Runtime, by bisection.

Every probe builds an engine with a few tensors marked as outputs, and lets it and ONNX Runtime run two frames, the
second with the history of the first. Engines stay in WORK/divergence: a piece that was cut off goes on with `--retry`
without building them again, and WORK/divergence/PIECE.log has its probes. Needs NumPy, onnx, onnxruntime, and tensorrt.
"""

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass

from benchmarks import engines
from benchmarks.session import of_file
from helpers import precision
from helpers.engine import cache
from helpers.errors import BadInput

FRAMES = 2
SHOWN = 40  # nodes and layers that a result lists


@dataclass
class Case:
    """An engine of `rows.ENGINES`, and how it is looked into.

    Attributes:
        tolerance: error from which an output is bad, relative to its largest value.
        inner: error from which any other tensor is bad.
        at_once: tensors marked in one engine; marking does not hide an overflow, but may hide a fault of fusion.
        seconds: what the piece takes on a GPU, by its number of engines.
        quantized: errors are root mean squares, and half as much again is allowed as ONNX Runtime with and without its
            optimizations differ by: roundings that fall to the other side add up over a hundred layers.
    """

    engine: str
    tolerance: float
    inner: float
    at_once: int
    seconds: int
    quantized: bool = False

    @property
    def metric(self):
        return "rms" if self.quantized else "max"


CASES = {
    "fp32": Case("fp32", 1e-3, 1e-3, 3, 60),  # one engine if nothing is wrong
    "fp16_all": Case("fp16_all", 2e-2, 2e-2, 3, 240),  # about 7
    "qdq": Case("qdq", 0.02, 0.1, 2, 300, quantized=True),  # about 8
}


def run(session, options):
    """All pieces; ONNX Runtime, the stand-in, has no half precision."""
    engines.check_runtime(options)
    shape = engines.Shape(session, options, "mini")
    for name, case in CASES.items():
        if options.runtime != "tensorrt" and "fp16" in name:
            continue
        path = graph(session.work, case, options.preparing)
        settings = build_options(shape, case)
        depends = {"graph": of_file(path), "settings": {**settings, "timing_cache": None}}
        work = lambda n=name, c=case, p=path, s=settings: search(shape, n, c, p, p, s)  # noqa: E731
        session.piece(f"divergence/{name}", work, case.seconds, depends)


def graph(work, case, fix):
    """The ONNX file of a case; BadInput, which names `fix`, if it is not there."""
    path = engines.graph(work, "mini", case.engine)
    if not path.is_file():
        raise BadInput(path, "no such file", "what the stage prepare writes", fix)
    return path


def build_options(shape, case):
    """Options of `helpers.engine.build`: those of the measured engine, with a timing cache of this stage's own."""
    settings = shape.settings(case.engine, bool(shape.options.plugin))
    return settings and settings | {"timing_cache": str(shape.work / "divergence" / "timing.cache")}


def search(shape, name, case, reference, candidate, settings):
    """What `helpers.precision` finds between the graph `reference` in ONNX Runtime and engines of `candidate`."""
    folder = shape.work / "divergence"
    folder.mkdir(parents=True, exist_ok=True)
    runner = precision.EngineRunner(candidate, shape.options.runtime, folder, case.at_once, **settings)
    given = list(itertools.islice(shape.frames, FRAMES))
    print(f"{candidate.name}, {len(runner.names)} tensors, {len(given)} frames", flush=True)
    with open(folder / f"{name}.log", "w") as log:

        def watch(probe):
            print(f"  {probe}", flush=True)
            print(json.dumps(plain(dataclasses.asdict(probe))), file=log, flush=True)

        noisy = precision.EngineRunner(reference, "onnxruntime", folder) if case.quantized else None
        overrides = dict.fromkeys(set(runner.names) - set(runner.outputs), case.inner)
        options = precision.Options(overrides=overrides, metric=case.metric, noise_reference=noisy, watch=watch)
        found = precision.first_divergence(reference, runner, given, shape.config.states, case.tolerance, options)
    print(found, flush=True)
    return described(found, case, candidate, shape) | {"layers": layers(runner, found)}


def described(found, case, path, shape):
    """A `Divergence` as JSON-able values."""
    kept = ("found", "tensor", "node", "op", "module", "kind", "hint", "error", "share", "local", "frame", "compared",
            "frames", "probes", "seconds", "worst", "hides", "refused", "notes")  # fmt: skip
    values = {key: getattr(found, key) for key in kept}
    return plain(values) | {
        "runtime": shape.options.runtime,
        "graph": path.name,
        "plugin": bool(shape.options.plugin),
        "tolerance": found.tolerance or case.tolerance,
        "metric": case.metric,
        "worst_tensor": found.worst[0],
        "worst_error": plain(found.worst[1]),
        "between": found.between[:SHOWN],
        "between_count": len(found.between),
        "inputs": plain([dataclasses.asdict(item) for item in found.inputs]),
        "log": plain([dataclasses.asdict(probe) for probe in found.log]),
    }


def layers(runner, found):
    """Layers of the engine without marked outputs that name a node between the good tensors and the bad one."""
    if not found.found:
        return []
    rows = cache.read_meta(runner.build(runner.outputs)).get("layers", [])
    parts = [(row, [part.strip() for part in row["name"].split("+")]) for row in rows]
    return [row for row, names in parts if set(names) & set(found.between)][:SHOWN]


def plain(value):
    """`value` with text in the place of numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
