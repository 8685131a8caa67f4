"""Stage `endtoend`: the time from a frame's JPEG files in memory to its boxes on the host, before and after.

Before: the host decodes and prepares the pictures, the engine takes and gives whole tensors, one frame after the other.
After: a graph with ends (`helpers.graph.ends`), and `helpers.pipeline`. Both in turns, in one process, over the same
frames; latency with one frame on its way, then as many as there are slots, then several vehicles at once. Needs NumPy,
OpenCV, onnx and the runtime; no torch, no devkit.
"""

import collections
import contextlib
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import decoding, engines, shots
from helpers import cores, pipeline
from helpers.benchmark import Timing
from helpers.dataset.images import decode_image
from helpers.graph.ends import FP32

ENGINES = {"tensorrt": ("fp16", "qdq"), "onnxruntime": ("fp32",)}  # what is measured
DEPTH = 3
VEHICLES = (1, 2, 4)


def run(session, options):
    """All pieces of the stage, for systems whose graph takes such ends."""
    engines.check_runtime(options)
    for shape in options.shapes:
        if options.system.has_ends(shape):
            for name in ENGINES[options.runtime]:
                EndToEnd(session, options, shape, name).run()


class EndToEnd(engines.Shape):
    """The two ways through one network, in the precision `name` of `engines.ENGINES`."""

    def __init__(self, session, options, shape, name):
        super().__init__(session, options, shape)
        self.name = name + (engines.PLUGIN if options.plugin else "")
        self.on_gpu = options.runtime == "tensorrt"

    def run(self):
        given = shots.read(self.work / "pictures" / self.shape)
        before = self.build_piece(self.name)
        plain = engines.graph(self.work, self.shape, self.name)
        after = self.piece(f"build/{self.name}_ends", 120, None, self.build_ends, plain.with_stem(f"{plain.stem}_ends"))
        if before and after:
            both = [before["engine"], after["engine"]]
            self.piece(f"endtoend/{self.name}", 60, both, self.measure, given, *both)

    def build_ends(self, onnx):
        settings = self.settings(self.name, bool(self.options.plugin))
        if engines.ENGINES[engines.bare(self.name)].get("constrained"):
            settings["layer_precisions"] = settings.get("layer_precisions", {}) | dict.fromkeys(FP32, "fp32")
        return self.built(onnx, settings)

    def measure(self, given, before, after):
        """Latency of both in turns, then throughput; how far their boxes are apart."""
        graph = {"cuda_graph": True} if self.on_gpu else {}
        rounds = 1 if self.options.tiny else 5 if self.on_gpu else 2
        with contextlib.ExitStack() as stack:
            old = pipeline.Serial(stack.enter_context(self.load(before, **graph)), self.config)
            new = stack.enter_context(self.load(after, **graph))
            ways, differ = {"before": old}, {}
            makers, refused = self.decoders(given[0])
            for name, make in makers.items():
                decoder = make()
                differ |= {f"{name}, {key}": value for key, value in pixels(decoder, given[0].jpegs).items()}
                ways[f"after, {name}"] = stack.enter_context(pipeline.Pipeline(new, self.config, decoder, depth=1))
            found = latencies(ways, given, rounds)
            found["engine_before"] = old.engine.time(old.feeds(given[0]), 3, 5 * rounds)
            right, *others = ((name, list(way.run(given))) for name, way in ways.items())
            boxes = {name: apart(right[1], done) for name, done in others}
        counts = VEHICLES[:1] if self.options.tiny else VEHICLES[: None if self.on_gpu else 2]
        found["throughput"] = {f"before, {n} vehicles": self.several(before, None, n, given, graph) for n in counts}
        for name, make in makers.items():
            for n in counts:
                found["throughput"][f"after, {name}, {n} vehicles"] = self.several(after, make, n, given, graph)
        return found | {"rounds": rounds, "frames": len(given), "depth": DEPTH, "cores": cores.count(),
                        "pixels": differ, "boxes": boxes, "refused": refused}  # fmt: skip

    def decoders(self, shot):
        """Name -> what makes a decoder, of those that run here, and name -> why another does not."""
        if not self.on_gpu:
            return {"libjpeg-turbo": pipeline.Turbo}, {}
        found = pipeline.available()
        others = [name for name, make in found.items() if make is not pipeline.Turbo]
        refused = {name: why for name in others if (why := decoding.refused(name, shot.jpegs))}
        found = {name: make for name, make in found.items() if name not in refused}
        return found, refused

    def several(self, path, decoder, vehicles, given, graph):
        """Frames per second of several vehicles at once, each with its own states; and how busy the cores are."""
        turns = 1 if self.options.tiny or not self.on_gpu else 8
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(self.load(path, **graph)) for _ in range(vehicles)]
            ways = [pipeline.Serial(one, self.config) for one in opened]
            if decoder:
                ways = [stack.enter_context(pipeline.Pipeline(one, self.config, decoder(), DEPTH)) for one in opened]
            for way in ways:
                list(way.run(given[:1]))
            begun, worked = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(vehicles) as pool:
                list(pool.map(lambda way: list(way.run(given * turns)), ways))
            wall, worked = time.perf_counter() - begun, time.process_time() - worked
        frames = vehicles * turns * len(given)
        return {"frames_per_second": frames / wall, "ms_per_frame": wall / frames * 1e3,
                "cpu_ms_per_frame": worked / frames * 1e3,
                "share_of_cores": worked / wall / cores.count()}  # fmt: skip


def latencies(ways, given, rounds):
    """Milliseconds of a frame from its files to its boxes, and of every stage, in turns."""
    whole, stages = ({name: collections.defaultdict(list) for name in ways} for _ in range(2))
    for turn in range(rounds + 1):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            begun = time.perf_counter()
            for done in ways[name].run(given):
                ended = time.perf_counter()
                if turn:
                    whole[name]["frame"].append((ended - begun) * 1e3)
                    for stage, (start, end) in done.spans.items():
                        stages[name][stage].append((end - start) * 1e3)
                begun = time.perf_counter()
    return {"latency": {name: Timing(one["frame"]) for name, one in whole.items()},
            "stages": {name: {stage: statistics.median(samples) for stage, samples in one.items()}
                       for name, one in stages.items()}}  # fmt: skip


def pixels(decoder, jpegs):
    """How far a decoder's pixels are from libjpeg-turbo's, in steps of eight bits; {} for libjpeg-turbo itself."""
    if not hasattr(decoder, "pixels"):
        return {}
    right = [decode_image(np.frombuffer(data, np.uint8), "a picture").astype(np.int16) for data in jpegs]
    errors = [np.abs(one.astype(np.int16) - other) for one, other in zip(decoder.pixels(jpegs), right, strict=True)]
    return {"most_steps": int(max(error.max() for error in errors)),
            "mean_steps": float(np.mean([error.mean() for error in errors])),
            "beyond_one_step": float(np.mean([(error > 1).mean() for error in errors]))}  # fmt: skip


def apart(old, new):
    """How far the boxes of two ways are apart: those of the same rank, and the share of ranks with another class."""
    pairs = [(a.found, b.found) for a, b in zip(old, new, strict=True) if len(a.found) == len(b.found)]
    same = [(a[np.flatnonzero(kept)], b[np.flatnonzero(kept)]) for a, b in pairs for kept in [a.labels == b.labels]]
    return {"frames_of_equal_count": len(pairs), "frames": len(old),
            "ranks_of_another_class": float(np.mean([(a.labels != b.labels).mean() for a, b in pairs] or [np.nan])),
            "score_most": float(max((np.abs(a.scores - b.scores).max() for a, b in same if len(a)), default=np.nan)),
            "center_m_median": float(np.median(np.concatenate(
                [np.abs(a.centers - b.centers).max(1) for a, b in same] or [[np.nan]])))}  # fmt: skip
