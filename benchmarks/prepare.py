"""Stage `prepare`: what the other stages read. Needs PyTorch and ModelOpt, no GPU.

Graphs of the published and the mini network in floating point and with Q/DQ nodes, calibration sets, pre-processed
frames, reference outputs, variants of other sizes, and the cases of the GridSample check.
"""

import itertools
import time
from pathlib import Path

from benchmarks import definitions, frames, gridsample, shots
from helpers import benchmark, calibration, engine, graph, quantize
from helpers.dataset import open_dataset, stream
from helpers.dataset.layout import MARKER
from helpers.errors import BadInput
from helpers.export import export
from helpers.files import ROOT, sha256
from helpers.graph import cost
from helpers.graph.ends import add_ends
from helpers.models import create

PICTURES = 8  # frames of the published size whose JPEG files are kept
MINIDRIVE = ROOT / "data/minidrive"  # made where it is absent; a data root that the user names has to be there


def run(session, options):
    work = session.work
    if not Path(options.data).exists() and Path(options.data) == MINIDRIVE:
        from data_scripts.make_minidrive import make

        session.piece("prepare/minidrive", lambda: {"folder": str(make(options.data))}, 120)
    for shape in options.shapes:
        _prepare_shape(session, options, shape)
    session.piece("prepare/gridsample", lambda: gridsample.prepare(work / "gridsample"), 30)
    if "published" in options.shapes:
        for name in options.system.variants:
            _prepare_variant(session, options.system, name)


def network_and_frames(session, options, shape):
    """The graph and the frames that it runs; returns what they depend on, (settings, weights)."""
    work, way = session.work, options.system.projection
    if shape == "mini" and not Path(options.checkpoint).is_file():
        raise BadInput(options.checkpoint, "no such file", "the weights of the mini", "correct --checkpoint")
    projection = {"projection": way} if way else {}
    settings = {"tiny": options.tiny, "data": _of_data(options.data)} | projection
    onnx = work / "models" / f"{shape}.onnx"
    weights = {"weights": sha256(options.checkpoint) if shape == "mini" else "seed 0"} | projection
    session.piece(
        f"prepare/{shape}/export", lambda: _export(options.system.network(shape, options.checkpoint), onnx), 60, weights
    )
    session.piece(f"prepare/{shape}/frames", lambda: _frames(work, options, shape), 60, settings)
    return settings, weights


def _of_data(root):
    """What tells a data set from others: the digests of its table of pictures and of its generator's note."""
    paths = [Path(root) / name for name in ("v1.0-mini/sample_data.json", MARKER)]
    return {path.name: sha256(path) for path in paths if path.is_file()}


def _prepare_shape(session, options, shape):
    work, onnx = session.work, session.work / "models" / f"{shape}.onnx"
    settings, weights = network_and_frames(session, options, shape)
    of_both = settings | weights
    if options.system.defined and shape == "mini":
        session.piece(f"prepare/{shape}/weights", lambda: _weights(work, options, shape), 10, weights)
    session.piece(f"prepare/{shape}/cost", lambda: _cost(onnx), 20, weights)
    if options.system.has_ends(shape):
        with_count = of_both | {"frames": _count(options, shape, PICTURES)}
        session.piece(f"prepare/{shape}/ends", lambda: _ends(work, options, shape), 30, with_count)
    session.piece(f"prepare/{shape}/preprocess", lambda: _preprocess_time(options, shape), 20, settings)
    session.piece(f"prepare/{shape}/reference", lambda: _reference(work, options, shape), 90, of_both)
    session.piece(f"prepare/{shape}/calibration", lambda: _calibration(work, options, shape), 60, of_both)
    session.piece(f"prepare/{shape}/qdq", lambda: _quantize(work, options, shape), 180, of_both)


def _prepare_variant(session, system, name):
    path = session.work / "models" / "variants" / f"{name}.onnx"
    session.piece(f"prepare/variants/{name}", lambda: _export(create(system.name, system.variant(name)), path), 45)


def _export(model, path):
    started = time.perf_counter()
    export(model, path)
    return {"mib": path.stat().st_size / 2**20, "seconds": time.perf_counter() - started}


def _weights(work, options, shape):
    """The weights as folders, of which a network definition is made."""
    return definitions.write(options.system.network(shape, options.checkpoint), work, shape)


def _cost(path):
    """What every layer costs, and the order of all nodes, by which a fused block is known."""
    return {"layers": cost.layers(path), "nodes": [node.name for node in graph.load(path).graph.node]}


def _count(options, shape, few=4):
    """Frames to keep: the whole of mini_val for the mini, a few to rotate among for timing."""
    return 3 if options.tiny else {"mini": None}.get(shape, few)


def _frames(work, options, shape):
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    frames.write(
        work / "frames" / shape, itertools.islice(stream(dataset, options.system.config(shape)), _count(options, shape))
    )
    return {"frames": len(frames.Frames(work / "frames" / shape, options.preparing)), "split": "mini_val"}


def _ends(work, options, shape):
    """The graph that takes pictures and gives boxes, and the JPEG files of the frames."""
    config, models = options.system.config(shape), work / "models"
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    chosen = list(itertools.islice(stream(dataset, config), _count(options, shape, PICTURES)))
    shots.write(work / "pictures" / shape, chosen, config.pictures)
    return {
        "file": str(add_ends(models / f"{shape}.onnx", models / f"{shape}_ends.onnx", config)),
        "frames": len(chosen),
    }


def _preprocess_time(options, shape):
    """Milliseconds from the six JPEG files of a frame to the network's inputs, all cores."""
    config = options.system.config(shape)
    kept = list(itertools.islice(iter(open_dataset(options.data, "v1.0-mini", "mini_val")), 2 if options.tiny else 8))
    turns = itertools.cycle(range(1, len(kept)))

    def one():
        index = next(turns)
        config.inputs(kept[index], kept[index - 1])

    return benchmark.latency(one, warmup=2, iterations=3 if options.tiny else 24).metrics("ms")


def _reference(work, options, shape):
    out = work / "outputs" / shape / "onnxruntime-fp32.npz"
    with engine.load(work / "models" / f"{shape}.onnx", "onnxruntime") as network:
        kept = frames.Frames(work / "frames" / shape, options.preparing)
        config = options.system.config(shape)
        return frames.stream(network, kept, options.system, config, out)


def _calibration(work, options, shape):
    """The mini: eight frames from the start of training scenes, as lesson 04; published: four, for timing only."""
    config, split = options.system.config(shape), "mini_val" if options.tiny else "mini_train"
    dataset = open_dataset(options.data, "v1.0-mini", split)
    count = 2 if options.tiny else {"mini": 8}.get(shape, 4)
    chosen = [frame for frame in dataset if frame.index < 2][:count]
    out = work / "calibration" / f"{shape}.npz"
    with engine.load(work / "models" / f"{shape}.onnx", "onnxruntime") as network:
        calibration.collect(network.run, stream(chosen, config), out, config)
    return {"samples": len(chosen), "split": split}


def _quantize(work, options, shape):
    method = "entropy" if shape == "mini" and not options.tiny else "max"
    started, source = time.perf_counter(), work / "models" / f"{shape}.onnx"
    excluded, calibrated = options.system.config(shape).unquantized, work / "calibration" / f"{shape}.npz"
    out = quantize.quantize(source, source.with_name(f"{shape}_qdq.onnx"), "int8", method, calibrated,
                            quantize.Options(exclude_nodes=excluded, **options.system.quantized))  # fmt: skip
    rows = quantize.counts(quantize.report(out, source))
    return {"method": method, "exclude_nodes": list(excluded), "seconds": time.perf_counter() - started, "nodes": rows,
            "weights": "trained" if shape == "mini" else "random, seed 0: valid for timing only"}  # fmt: skip
