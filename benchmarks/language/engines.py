"""The engines of a size: build, logits against the reference, times in turns. Needs no torch.

`--runtime=onnxruntime` stands in where there is no GPU: it runs the graphs of the first form alone.
"""

import statistics

import numpy as np

from benchmarks.built import summed, told
from benchmarks.language import sizes
from benchmarks.language.agreement import compared, same_until
from benchmarks.language.sizes import PARTS, SIZES, folder, forms
from benchmarks.language.spoken import Spoken, measure
from benchmarks.measured import GRAPH
from helpers import engine
from helpers.errors import BadInput

COPIED = 1 << 30


def run(session, options, name):
    """All pieces of a size that was exported: what decodes is built, checked and timed before any prompt's engine."""
    made, built = Engines(session, options, name), {}
    for form, part in sizes.order(options):
        found = made.piece(f"build/{form}/{part}", 240, lambda form=form, part=part: made.build(form, part))
        if found and (part == "decode" or form in built):
            engines = built.setdefault(form, {})
            engines[part] = found["engine"]
            made.piece(f"check/{form}", 30, lambda form=form: made.check(form, built[form]), dict(engines))
            if part == "decode":
                made.piece(f"steps/{form}", 40, lambda form=form: made.steps(form, built[form]), dict(engines))
    whole = {form: engines for form, engines in built.items() if len(engines) == len(PARTS)}
    if whole and not session.left:
        made.piece("time", 60, lambda: made.time(whole), whole)
    for form, engines in built.items() if options.runtime == "tensorrt" else ():
        made.piece(f"layers/{form}", 30, lambda form=form: made.layers(form, built[form]), engines["decode"])


class Engines:
    """The pieces of one size."""

    def __init__(self, session, options, name):
        self.session, self.options, self.name, self.size = session, options, name, SIZES[name]
        self.work, self.folder = session.work, folder(session.work, name)

    def piece(self, name, seconds, make, depends=None):
        return self.session.piece(f"language/{self.name}/{self.options.runtime}/{name}", make, seconds, depends)

    def build(self, name, part):
        """The path of an engine of a form, and what its metadata says."""
        graph = self.folder / f"{name}_{part}_greedy.onnx"
        if not graph.is_file():
            fix = f"python -m benchmarks language --only language/{self.name}/export, where torch is"
            raise BadInput(graph, "no such file", "what the piece export writes", fix)
        settings = self.settings(name, graph)
        path = engine.build(graph, self.options.runtime, self.work / "engines", **settings)
        details = told(path) | {"level": self.options.level}
        return {"engine": str(path.relative_to(self.work)), "details": details}

    def settings(self, name, graph):
        """Options of `helpers.engine.build`; ONNX Runtime, the stand-in, has none."""
        if self.options.runtime != "tensorrt":
            return {}
        plugins = {"plugins": [self.options.plugin]} if forms(self.options)[name].plugins else {}
        return plugins | {"precision": "fp16", "workspace": self.options.workspace,
                          "timing_cache": graph.with_suffix(".cache"), "optimization_level": self.options.level,
                          "tactic_sources": self.options.tactic_sources}  # fmt: skip

    def opened(self, name, engines):
        """The form as a language model that is also `Spoken`."""
        if self.options.runtime != "tensorrt":
            return StandIn(self.folder / f"{name}_decode.onnx")
        paths = {part: self.work / path for part, path in engines.items()}
        return OnGpu(paths["decode"], paths.get("prefill"))

    def _reference(self, weights):
        with np.load(self.folder / f"reference_{weights}.npz") as arrays:
            return dict(arrays)

    def check(self, name, engines):
        """The logits of a prompt and of the steps after it, against FP32; the tokens are given."""
        expected = self._reference(forms(self.options)[name].weights)
        spoken = self.opened(name, engines)
        logits = [spoken.model.prefill([expected["prompt"]])[0]]
        logits += [spoken.model.decode([token])[0] for token in expected["forced"]]
        tokens = spoken.whole(expected["prompt"], len(logits))  # nothing is waited for: a step may go wrong so alone
        spoken.close()
        queued = {"queued_same_until": same_until(tokens, expected["fp32"])}
        return compared(np.stack(logits), expected["fp32"]) | queued

    def layers(self, name, engines):
        """Where the time of a step goes. Taking in the prompt by steps is sooner done than another engine is loaded."""
        spoken = self.opened(name, {"decode": engines["decode"]})
        spoken.model.prefill([sizes.prompt(self.size)])
        rows = spoken.model.profile(3 if self.options.tiny else 20)
        spoken.close()
        return summed(rows)

    def steps(self, name, engines):
        """Times of a form's steps, of the engine that decodes alone: it takes the prompt in token by token, once."""
        return self.time({name: engines}, alone=True)

    def time(self, built, alone=False):
        """Every form in turns, queued and as a CUDA graph; the copy rate and the GPU's memory of the same run.

        A form that does not load is left out, and told.
        """
        loaded, speakers, failed = {}, {}, {}
        try:
            for name, engines in built.items():
                try:
                    loaded[name] = self.opened(name, engines)
                except Exception as error:
                    if len(failed) == len(built) - 1:  # none is left
                        raise
                    failed[name] = f"{type(error).__name__}: {error}"
                    continue
                speakers[name] = loaded[name]
                if self.options.runtime == "tensorrt":
                    speakers[name + GRAPH] = AsGraph(loaded[name])
            rounds = sizes.rounds(self.size, self.options)
            times = measure(speakers, sizes.prompt(self.size), self.size.tokens, rounds, alone)
            memory = {name: one.memory() for name, one in loaded.items() if one.memory()}
        finally:
            for one in loaded.values():
                one.close()
        rate = {"copy_gb_s": copy_rate()} if self.options.runtime == "tensorrt" else {}
        return {"times": times, "rounds": rounds, "memory_mib": memory, "failed": failed, **rate}


class OnGpu(Spoken):
    """`helpers.llm.tensorrt.TensorRtModel`, queued call by call."""

    graph = False

    def __init__(self, path, prefill=None):
        from helpers.llm.tensorrt import TensorRtModel

        self.model, self.events = TensorRtModel(path, prefill), []

    def begin(self, prompt):
        self._ready()
        self.model.begin(prompt)

    def rewind(self, prompt):
        self._ready()
        self.model.rewind()

    def _ready(self):
        for event in self.events:
            event.close()
        self.events, self.model.cuda_graph = [], self.graph

    def advance(self):
        self.model.advance()

    def chosen(self):
        return self.model.chosen()

    def latest(self):
        return self.model.latest()

    def mark(self):
        from helpers.engine import cuda

        event = cuda.Event()
        self.model.stream.record(event)
        return event

    def between(self, earlier, later):
        found = later.since(earlier)
        self.events.append(earlier)
        return found

    def memory(self):
        """MiB that the engines took."""
        return self.model.loaded_bytes / 2**20

    def close(self):
        self.model.close()


class AsGraph(OnGpu):
    """The same engine, every run of it one CUDA graph."""

    graph = True

    def __init__(self, other):
        self.model, self.events = other.model, []


class StandIn(Spoken):
    """The graph in ONNX Runtime."""

    def __init__(self, path):
        from helpers.llm.onnx import OnnxModel  # torch

        self.model, self.tokens = OnnxModel(path), []

    def begin(self, prompt):
        self.tokens = [int(self.model.prefill([prompt])[0].argmax())]

    def advance(self):
        self.tokens.append(int(self.model.decode(self.tokens[-1:])[0].argmax()))

    def chosen(self):
        return self.tokens

    def memory(self):
        return 0

    def close(self):
        self.model = None


def copy_rate():
    """GB/s of a copy on the GPU, read and written."""
    from helpers.engine import cuda

    device, stream = cuda.device(), cuda.Stream()
    memory, events, seconds = [device.allocate(COPIED) for _ in range(2)], (cuda.Event(), cuda.Event()), []
    for _ in range(23):
        stream.record(events[0])
        stream.copy(memory[1].address, memory[0].address, COPIED)
        stream.record(events[1])
        seconds.append(events[1].since(events[0]) / 1e3)
    for held in (*memory, *events):
        held.free() if held in memory else held.close()
    stream.close()
    return 2 * COPIED / 1e9 / statistics.median(seconds[3:])
