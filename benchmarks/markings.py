"""Which nodes of the mini go to FP16 in the rows of the stage `accuracy`: by rule, by search, and what must fail."""

import functools

import numpy as np

from helpers import calibration, engine, graph, quantize
from helpers.dataset import open_dataset, stream
from helpers.graph import cost
from helpers.precision import marking, mixed

TOLERANCE = 1e-2  # of the search: root mean square of an output's error over that of the output
SEARCHED, CALIBRATED = 3, 8  # frames of training scenes: what is scored is looked at by neither
AWAY = 2000.0  # m from the origin of a map, in x and y
QUANTIZED = {  # rows of the published rule with eight bits in the backbone on top: mode, further options of quantize
    "mixed_int8": ("int8", {"linears": True, "smooth": 0.5}),  # smooth: alpha of SmoothQuant
    "mixed_fp8": ("fp8", {"exclude_op_types": ()}),  # every product of matrices, those of attention too
}


class Markings:
    """The marks of one graph.

    Args:
        source: the graph in FP32.
        folder: where a calibration set and the quantized graph go.
    """

    def __init__(self, system, config, source, data, folder):
        self.system, self.config, self.source, self.data, self.folder = system, config, source, data, folder

    def of(self, name, kept=None):
        """The marks of a row; `kept` are the parts that the search left in FP32."""
        if name in ("mixed", *QUANTIZED):
            return self.system.rule
        nodes = marking.parts_of(graph.load(self.source), self.system.parts)
        others = [part for part in nodes if part not in self.system.on_the_map]
        return marking.keeping(nodes, {"smallest": kept, "fp16": [], "memory_fp16": others}[name])

    def search(self):
        """What each part does alone in FP16, and the fewest parts that have to stay in FP32 wherever the map begins.

        So the search is on a map whose origin is far away, as that of a real one.
        """
        first = [frame for frame in self._training() if frame.index < SEARCHED][:SEARCHED]
        steps = list(stream(first, self.config))
        near, far = self._mixed(steps), self._mixed(self.system.far(steps, AWAY))
        alone, away = mixed.sensitivity(near), mixed.sensitivity(far)
        trials = mixed.smallest(far, TOLERANCE, list(away))
        return {
            "tolerance": TOLERANCE,
            "frames": len(first),
            "file": self.source.name,
            "kept": list(trials[-1].kept),
            "error": trials[-1].error,
            "error_near": near.trial(trials[-1].kept).error,
            "trials": [[", ".join(trial.kept) or "nothing", _number(trial.error)] for trial in trials],
            "alone": {part: _number(trial.error) for part, trial in alone.items()},
            "alone_far": {part: _number(trial.error) for part, trial in away.items()},
            "flops": self._flops(near.nodes),
        }

    def _mixed(self, steps):
        seen = functools.partial(self.system.seen, self.config)
        return mixed.Mixed(graph.load(self.source), self.system.parts, steps, self.config, seen)

    def _flops(self, nodes):
        """Part -> its share of the graph's floating-point operations."""
        part_of = {node: part for part, names in nodes.items() for node in names}
        found = dict.fromkeys(nodes, 0.0)
        for layer in cost.layers(self.source):
            found[part_of[layer["node"]]] += layer["flops"]
        return {part: flops / sum(found.values()) for part, flops in found.items()}

    def quantized(self, name):
        """The graph of one of `QUANTIZED`, with Q/DQ nodes in the backbone; ranges from training scenes."""
        mode, further = QUANTIZED[name]
        options = quantize.Options(exclude_nodes=self.config.unquantized, **further)
        out = self.folder / f"{name}_qdq.onnx"
        return quantize.quantize(self.source, out, mode, "max", self._samples, options)

    @functools.cached_property
    def _samples(self):
        """The calibration set, which all rows share."""
        chosen, out = [frame for frame in self._training() if frame.index < 2], self.folder / "calibration.npz"
        with engine.load(self.source, "onnxruntime") as network:
            calibration.collect(network.run, stream(chosen[:CALIBRATED], self.config), out, self.config)
        return out

    def _training(self):
        return open_dataset(self.data, "v1.0-mini", "mini_train")


def _number(error):
    """JSON has no infinity."""
    return error if np.isfinite(error) else "not finite"
