"""Stage `endtoend`: the time from a frame's JPEG files in memory to its boxes on the host, before and after.

Before: the host decodes and prepares the pictures, the engine takes and gives whole tensors, one frame after the other.
After: a graph with ends (`helpers.graph.ends`), and `helpers.pipeline`. Both in turns, in one process, over the same
frames: latency with one frame on its way; throughput with as many as there are slots, and of several vehicles at once.
On a CPU with one core, and with all of them. Every decoder but libjpeg-turbo is measured in processes of their own: a
library that ends one is told, and nothing else is lost. Needs NumPy, OpenCV, onnx and the runtime; no torch, no devkit.
"""

import collections
import contextlib
import functools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from benchmarks import agreement, engines, frames, rows, shots
from benchmarks.built import both
from benchmarks.spawned import Ended, run_spawned
from helpers import cores, pipeline
from helpers.benchmark import Timing, order
from helpers.errors import BadInput
from helpers.graph.ends import cut_ends

ENGINES = {"tensorrt": ("fp16", "qdq"), "onnxruntime": ("fp32",)}  # what is measured
TIMED, DEPTH, TURBO, VEHICLES = 8, 3, "libjpeg-turbo", (1, 2, 4)
LIMIT = 300  # seconds of a piece in a process of its own
WARM = 2  # frames: the states have two places, and an engine has a CUDA graph for either


def run(session, options):
    """All pieces of the stage, for systems whose graph takes such ends."""
    engines.check_runtime(options)
    found = [EndToEnd(session, options, shape, name) for shape in options.shapes if options.system.has_ends(shape)
             for name in ENGINES[options.runtime]]  # fmt: skip
    if not found:
        print(f"{options.system.name}: no graph of it takes pictures and gives boxes, so nothing is measured")
    for decoder in decoders(options):
        for one in found:
            one.run(decoder)


def decoders(options):
    """Names of `helpers.pipeline.available`, libjpeg-turbo first; that alone without a GPU."""
    others = [name for name in pipeline.available() if name != TURBO] if options.runtime == "tensorrt" else []
    return [TURBO, *others]


class Way(NamedTuple):
    """An engine's file, the name of what decodes (None: the host, stage after stage), and the cores to keep to."""

    path: str
    decoder: str | None
    cores: int


class EndToEnd(engines.Shape):
    """The two ways through one network, in the precision `name` of `rows.ENGINES`."""

    def __init__(self, session, options, shape, name):
        super().__init__(session, options, shape)
        self.name = name + (engines.PLUGIN if options.plugin else "")
        self.on_gpu = options.runtime == "tensorrt"

    @functools.cached_property
    def given(self):
        """The frames that the stage prepare wrote; as many as are timed, the whole split of the mini."""
        return shots.read(self.work / "pictures" / self.shape, self.options.preparing)

    def run(self, decoder):
        _ = self.given  # which have to be there before anything is built
        before = self.build_piece(self.name)
        after = before and self.build_ends_piece(before)
        if not after:
            for kind in ("latency", "throughput", *["stream"] * (self.shape == "mini")):
                self.tell_unbuilt(f"endtoend/{self.name}/{kind}/{named(decoder)}")
            return
        paths = before["engine"], after["engine"]
        made_of = [*paths, self.made_of(self.work / "pictures" / self.shape / "pictures.bin")]
        alone = (self.alone,) if decoder != TURBO else ()
        piece = lambda kind, seconds, function: self.piece(  # noqa: E731
            f"endtoend/{self.name}/{kind}/{named(decoder)}", seconds, made_of, *alone, function, *paths, decoder
        )
        latency = piece("latency", 30, self.latency)
        if alone and (latency is None or "ended" in latency):
            return  # it does not work here
        piece("throughput", 60, self.throughput)
        if self.shape == "mini":
            self.stream_piece(self.name, paths[0])
            piece("stream", 20, self.accuracy)

    def alone(self, function, before, after, decoder):
        """What `function` finds in a process of its own; if a library ends that one, how it ended."""
        try:
            return run_spawned(function, before, after, decoder, limit=LIMIT)
        except Ended as error:
            print(f"{decoder}: {error}", end=" ")
            return {"decoder": decoder, "ended": str(error)}

    def build_ends_piece(self, plain):
        onnx = self.work / "models" / f"{self.shape}_ends.onnx"  # whose ends are those of every precision
        if not onnx.is_file():
            raise BadInput(onnx, "no such file", "what the stage prepare writes", self.options.preparing)
        made_of = [plain["engine"], self.made_of(onnx)]
        return self.noted(self.piece(f"build/{self.name}_ends", 60, made_of, self.build_ends, plain, onnx))

    def build_ends(self, plain, onnx):
        """The engine of the graph with ends. With TensorRT the ends are engines of their own, in FP32, about the one
        that is built already: together they run as one, and none of them mixes pixels or meters with half precision.
        """
        if not self.on_gpu:
            return self.built(onnx, {})
        first, last = (onnx.with_stem(f"{onnx.stem}_{end}") for end in ("pictures", "boxes"))
        cut_ends(onnx, first, last)
        settings = self.options_of({"precision": "fp32", **rows.ALONE}, bool(self.options.plugin))
        return both(both(self.built(first, settings), plain), self.built(last, settings))

    def ways(self, before, after, decoder):
        """Name -> `Way`: before and after, on a CPU with one core and with all."""
        counts = (cores.count(),) if self.on_gpu else sorted({1, cores.count()})
        end = {number: "" if self.on_gpu else f", {_counted(number, 'core')}" for number in counts}
        return {name + end[number]: Way(path, way, number) for number in counts
                for name, path, way in (("before", before, None), ("after", after, decoder))}  # fmt: skip

    @contextlib.contextmanager
    def opened(self, way, depth, beside=1):
        """A `Serial` or a `Pipeline` that keeps to its cores, on an engine of its own, one of `beside` at once."""
        options = {"cuda_graph": True} if self.on_gpu else {"threads": max(1, way.cores // beside)}
        with contextlib.ExitStack() as stack:
            with cores.kept_to(way.cores):
                engine = stack.enter_context(self.load(way.path, **options))
                made = pipeline.Serial(engine, self.config)
                if way.decoder:
                    decoder = pipeline.available()[way.decoder]()
                    made = stack.enter_context(pipeline.Pipeline(engine, self.config, decoder, depth))
            yield made

    def latency(self, before, after, decoder):
        """Of a frame by itself, in turns; how far pixels and boxes of the two ways are apart."""
        given = self.given[:TIMED]
        ways = self.ways(before, after, decoder)
        rounds = 1 if self.options.tiny else 5 if self.on_gpu else 3
        with contextlib.ExitStack() as stack:
            opened = {name: stack.enter_context(self.opened(way, 1)) for name, way in ways.items()}
            runs = {name: functools.partial(_kept, opened[name], way.cores) for name, way in ways.items()}
            found = latencies(runs, given, rounds)
            last = [name for name in ways if name.startswith("before")][-1]
            old = opened[last]
            found["engine_before"] = old.engine.time(old.feeds(given[0]), 3, 5 * rounds)
            right = list(runs[last](given))
            boxes = {name: agreement.boxes(right, list(run(given))) for name, run in runs.items() if name != last}
        differ = agreement.decoded(decoder, given[0].jpegs) if decoder != TURBO else {}
        if not self.on_gpu:
            differ |= agreement.prepared(self.work / "models" / f"{self.shape}_ends.onnx", self.config, given)
        return found | {"decoder": decoder, "rounds": rounds, "frames": len(given), "cores": cores.count(),
                        "pixels": differ, "boxes": boxes}  # fmt: skip

    def throughput(self, before, after, decoder):
        """Frames per second of one and of several vehicles, each with its own states and an equal share of the
        cores for its operators; and how busy the cores are. The way before is measured beside libjpeg-turbo alone."""
        numbers = VEHICLES[:1] if self.options.tiny else VEHICLES[: None if self.on_gpu else 2]
        rounds = 1 if self.options.tiny or self.on_gpu else 3
        ways = [
            (name, way) for name, way in self.ways(before, after, decoder).items() if way.decoder or decoder == TURBO
        ]
        asked = {f"{name}, {_counted(n, 'vehicle')}": (way, n) for name, way in ways for n in numbers}
        samples = collections.defaultdict(list)
        for turn in range(rounds):
            for name in order(asked, turn):
                samples[name].append(self.several(*asked[name]))
        return {"decoder": decoder, "depth": DEPTH, "cores": cores.count(), "throughput_rounds": rounds,
                "throughput": {name: _middle(samples[name]) for name in asked}}  # fmt: skip

    def several(self, way, vehicles):
        """One measurement of `throughput`."""
        turns, given = 1 if self.options.tiny or not self.on_gpu else 8, self.given[:TIMED]
        with contextlib.ExitStack() as stack:
            ways = [stack.enter_context(self.opened(way, DEPTH, vehicles)) for _ in range(vehicles)]
            stack.enter_context(cores.kept_to(way.cores))
            for one in ways:
                list(one.run(given[:WARM]))
            begun, worked = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(vehicles) as pool:
                list(pool.map(lambda one: list(one.run(given * turns)), ways))
            wall, worked = time.perf_counter() - begun, time.process_time() - worked
        done = vehicles * turns * len(given)
        return {"frames_per_second": done / wall, "ms_per_frame": wall / done * 1e3,
                "cpu_ms_per_frame": worked / done * 1e3,
                "busy_cores": worked / wall}  # fmt: skip

    def accuracy(self, before, after, decoder):
        """The boxes of all frames, as the stage `evaluate` reads them."""
        raw = _Raw(self.config.states, self.config.initial_states, dict)
        with self.load(after) as engine, pipeline.Pipeline(engine, raw, pipeline.available()[decoder]()) as way:
            kept = [done.found for done in way.run(self.given)]
        frames.save(self.output(outputs(self.name, decoder)), {key: [one[key] for one in kept] for key in kept[0]})
        return {"frames": len(kept)}


class _Raw(NamedTuple):
    """A configuration that leaves outputs as they are."""

    states: dict
    initial_states: object
    decode: object


def named(decoder):
    """The decoder's name as a part of a file's."""
    return decoder.replace(" ", "_")


def outputs(name, decoder):
    """What the outputs of an engine with ends are called among those of the stage `tensorrt`."""
    return f"{name}_ends_{named(decoder)}"


def _middle(found):
    """The measurement whose rate is the median, and the least and the largest rate."""
    ordered = sorted(found, key=lambda one: one["frames_per_second"])
    least, most = (ordered[at]["frames_per_second"] for at in (0, -1))
    return ordered[len(found) // 2] | {"least_per_second": least, "most_per_second": most}


def _counted(number, what):
    return f"{number} {what}{'s' * (number > 1)}"


def _kept(way, number, given):
    with cores.kept_to(number):
        yield from way.run(given)


def latencies(runs, given, rounds):
    """Milliseconds of a frame from its files to its boxes, and of every stage, in turns; `runs`: name -> function."""
    whole, stages = ({name: collections.defaultdict(list) for name in runs} for _ in range(2))
    for turn in range(rounds + 1):
        for name in order(runs, turn):
            begun = time.perf_counter()
            for done in runs[name](given):
                ended = time.perf_counter()
                if turn:
                    whole[name]["frame"].append((ended - begun) * 1e3)
                    for stage, (start, end) in done.spans.items():
                        stages[name][stage].append((end - start) * 1e3)
                begun = time.perf_counter()
    return {"latency": {name: Timing(one["frame"]) for name, one in whole.items()},
            "stages": {name: {stage: statistics.median(samples) for stage, samples in one.items()}
                       for name, one in stages.items()}}  # fmt: skip
