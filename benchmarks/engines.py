"""Stage `tensorrt`: builds every engine, times them in turns, profiles them, streams frames, and lets them grow.

Needs NumPy, onnx and tensorrt, no torch. `--runtime=onnxruntime` stands in on a machine without a GPU.
"""

import functools
import json

from benchmarks import definitions, frames
from benchmarks.built import both, summed, told
from benchmarks.measured import GRAPH, PLUGIN, SINGLE, bare
from benchmarks.rows import CONTROL, names, spec
from benchmarks.session import of_file
from benchmarks.spawned import run_spawned
from helpers import benchmark, engine
from helpers import graph as graph_file
from helpers.errors import BadInput, reason
from helpers.files import atomic
from helpers.graph.walk import is_quantized
from helpers.sequence import beginning


def run(session, options):
    """All pieces of the stage; those that do not fit into the budget are left out."""
    check_runtime(options)
    for shape in options.shapes:
        Shape(session, options, shape).run()


def check_runtime(options):
    """BadInput where the runtime is not installed, or has no GPU."""
    found = engine.available()[options.runtime]
    if not found:
        fix = "run this stage where TensorRT and its GPU are; on a CPU: --runtime=onnxruntime"
        raise BadInput(f"runtime {options.runtime}", found.reason, "an installed runtime and its GPU", fix)
    if options.runtime == "tensorrt" and options.system.needs_plugin and not options.plugin:
        fix = "make -C plugins TENSORRT_INCLUDE=DIR, then --plugin=plugins/build/libonramp_plugins.so"
        raise BadInput("--plugin", "not given", f"the plugin library, which {options.system.name} needs", fix)


class Shape:
    """The engines of one network: the published configuration or the mini."""

    def __init__(self, session, options, shape):
        self.session, self.options, self.shape = session, options, shape
        self.config = options.system.config(shape)
        self.work, self.prefix = session.work, f"{options.runtime}/{shape}"
        self.before = {}  # engine: those that run before it, in their order

    @functools.cached_property
    def frames(self):
        """What the stage prepare wrote."""
        return frames.Frames(self.work / "frames" / self.shape, self.options.preparing)

    def run(self):
        built, _ = {}, self.frames  # which have to be there before anything is built
        for name in names(self.options, self.shape):
            if found := self.build_piece(name):
                built[name] = found["engine"]
        for name, path in built.items():
            self.stream_piece(name, path)
        timed = {name: path for name, path in built.items() if bare(name) != CONTROL}
        if any(name.startswith(f"{self.prefix}/build/") for name in self.session.left):
            return  # what is timed in turns has to be complete
        if timed:
            self.piece("time", 20 if self.shape == "mini" else 60, timed, self.time, timed)
        else:
            self.tell_unbuilt("time")
        if self.options.runtime == "tensorrt":
            for name, path in timed.items():
                if path not in self.before:  # each of them has layers of its own
                    self.piece(f"profile/{name}", 15, path, self.profile, name, path)

    def piece(self, name, seconds, depends, function, *arguments):
        return self.session.piece(f"{self.prefix}/{name}", lambda: function(*arguments), seconds, depends)

    def stream_piece(self, name, path):
        made_of = [path, self.session.depends(f"prepare/{self.shape}/frames")]
        self.piece(f"stream/{name}", 20, made_of, self.stream, name, path)

    def tell_unbuilt(self, name):
        if self.session.wants(f"{self.prefix}/{name}"):
            print(f"{self.prefix}/{name}: no engine is built yet")
            self.session.failed.append(f"{self.prefix}/{name}")

    def build_piece(self, name):
        seconds = 20 if self.options.runtime != "tensorrt" else 90 if self.shape == "mini" else 170
        defined = name in definitions.ENGINES
        source = definitions.index(self.work, self.shape) if defined else graph(self.work, self.shape, name)
        if not source.is_file():
            print(f"{self.prefix}/build/{name}: {source.relative_to(self.work)} is absent: {self.options.preparing}")
            self.session.failed += [f"{self.prefix}/build/{name}"] * self.session.wants(f"{self.prefix}/build/{name}")
            return None
        if defined:
            return self.piece(f"build/{name}", seconds, of_file(source), definitions.made, self, name)
        return self.noted(self.piece(f"build/{name}", seconds, self.made_of(source), self.build, name, source))

    def made_of(self, source):
        """What an engine depends on that is built of this file; a trial's is another."""
        return of_file(source) | ({"tiny": True} if self.options.tiny else {})

    def built_before(self, name):
        """What the piece of an engine says that was built in another call; None where there is none."""
        return self.noted(self.session.result(f"{self.prefix}/build/{name}"))

    def noted(self, found):
        """What a build told, once it is known which engines run before it."""
        if found and "before" in found:
            self.before[found["engine"]] = [one["engine"] for one in found["before"]]
        return found

    def build(self, name, onnx):
        plugin, row = name.endswith(PLUGIN), spec(name)
        if "before" not in row:
            return self.built(on_single(onnx) if name.endswith(SINGLE) else onnx, self.settings(name, plugin))
        first, rest = (onnx.with_name(f"{onnx.stem}_{part}.onnx") for part in ("before", "after"))
        graph_file.split(onnx, self.options.system.before, first, rest)
        ahead = self.built(first, self.options_of(row["before"], plugin))
        return both(ahead, self.built(rest, self.options_of(_fitting(row, rest), plugin)))

    def settings(self, name, plugin):
        """Options of `helpers.engine.build` for one of `benchmarks.rows`."""
        return self.options_of(spec(name), plugin)

    def options_of(self, row, plugin):
        """As `settings`, by what stands in the table; ONNX Runtime, the stand-in, has none."""
        if self.options.runtime != "tensorrt":
            return {}
        settings = self.common() | {key: value for key, value in row.items() if key not in ("graph", "half", "before")}
        if settings.pop("calibration", False):
            settings["calibration"] = self.work / "calibration" / f"{self.shape}.npz"
        constraints = self.implementation(settings, plugin)
        return settings | constraints

    def built(self, onnx, settings):
        """Build the engine; where it lies and what its metadata file says of it."""
        limit = self.options.limit
        build = functools.partial(run_spawned, engine.build, limit=limit) if limit else engine.build
        path = build(onnx, self.options.runtime, self.work / "engines", **settings)
        return {"engine": str(path.relative_to(self.work))} | told(path)

    def implementation(self, settings, plugin):
        """Options that follow from what computes the custom operators; takes "constrained" out of `settings`."""
        patterns, constrained = (), settings.pop("constrained", False)
        if constrained == "smallest":
            patterns = self.options.system.smallest
        elif constrained:
            patterns = self.config.fp32 + (() if plugin else self.config.fp32_without_plugins)
        constraints = {"layer_precisions": dict.fromkeys(patterns, "fp32")} if patterns else {}
        return constraints | ({"plugins": [self.options.plugin]} if plugin else {})

    def common(self):
        """Options that all engines share."""
        return {
            "workspace": self.options.workspace,
            "timing_cache": self.work / "timing.cache",
            "tactic_sources": self.options.tactic_sources,
            "optimization_level": 0 if self.options.tiny else self.options.level,
        }

    def load(self, path, **options):
        """The engine; one of TensorRT keeps the history on the GPU."""
        if self.options.runtime == "tensorrt":
            options |= {"states": self.config.states, "initial": self.config.initial_states()}
        ahead = {}
        for one in self.before.get(path, []):
            ahead = {"before": engine.load(self.work / one, self.options.runtime, **ahead)}
        return engine.load(self.work / path, self.options.runtime, **options, **ahead)

    def output(self, name):
        """Where the outputs of an engine over all frames are kept."""
        return self.work / "outputs" / self.shape / f"{self.options.runtime}-{name}.npz"

    def stream(self, name, path):
        out = self.output(name)
        with self.load(path) as opened:
            found = frames.stream(opened, self.frames, self.options.system, self.config, out)
        return found | frames.parity(out, self.work / "outputs" / self.shape / "onnxruntime-fp32.npz")

    def time(self, timed):
        """Every engine, queued and as a CUDA graph, in turns over several frames."""
        rounds, iterations = (2, 2) if self.options.tiny else (10, 20)
        modes = {"": {}, GRAPH: {"cuda_graph": True}} if self.options.runtime == "tensorrt" else {"": {}}
        loaded, refused = {}, {}
        try:
            for name, path in timed.items():
                for suffix, options in modes.items():
                    try:
                        loaded[name + suffix] = self.tried(path, options)
                    except Exception as error:
                        refused[name + suffix] = reason(error)
            if not loaded:
                raise RuntimeError(f"no engine runs: {refused}")
            memory = {name: used for name in loaded if name in timed and (used := loaded[name].memory())}
            feeds = [self.feeds(opened, index) for index in range(min(4, len(self.frames)))
                     for opened in [next(iter(loaded.values()))]]  # fmt: skip
            found = benchmark.compare_engines(loaded, feeds, rounds, iterations, warmup=3)
        finally:
            for opened in loaded.values():
                opened.close()
        return {"rounds": rounds, "iterations": iterations, "frames": len(feeds), "memory_mib": memory,
                "refused": refused,
                **{kind: {name: timing for name, timing in one.timings.items()} for kind, one in found.items()},
                "speedup": {kind: one.speedups for kind, one in found.items()}}  # fmt: skip

    def tried(self, path, options):
        """The engine after a frame, so that one that does not run is known before the others are timed."""
        opened = self.load(path, **options)
        try:
            opened.run(self.feeds(opened, 0))
        except BaseException:
            opened.close()
            raise
        return opened

    def feeds(self, opened, index):
        """Inputs of a frame, complete for this engine."""
        states = [name for name in self.config.states if name not in opened.states]
        return self.frames[index] | beginning(opened.inputs, states, self.config.initial_states())

    def profile(self, name, path):
        """Per-layer times to a file of their own; the largest and the sums by type here."""
        with self.load(path) as opened:
            rows = opened.profile(self.feeds(opened, 0), 3 if self.options.tiny else 20)
            layers = opened.layers()
        out = self.work / "profiles" / f"{self.shape}-{name}.json"
        with atomic(out) as part:
            part.write_text(json.dumps({"profile": rows, "layers": layers}, indent=1) + "\n")
        return {"file": str(out.relative_to(self.work))} | summed(rows)


def graph(work, shape, name):
    """Path of the ONNX file that an engine is built from."""
    return work / "models" / f"{shape}{spec(name).get('graph', '')}.onnx"


def on_single(onnx):
    """A copy of an ONNX file whose custom operators have the names under which plugins compute on single halves."""
    model = graph_file.load(onnx)
    for named in [*model.graph.node, *model.functions]:
        key = "op_type" if hasattr(named, "op_type") else "name"
        if named.domain == graph_file.DOMAIN:
            setattr(named, key, getattr(named, key).removesuffix("2"))
    return graph_file.save(model, onnx.with_name(f"{onnx.stem}_half.onnx"))


def _fitting(row, onnx):
    """A row of `benchmarks.rows` for this graph: "explicit" is FP32 where no node is quantized."""
    plain = row["precision"] == "explicit" and not is_quantized(graph_file.load(onnx))
    return row | {"precision": "fp32"} if plain else row
