"""Stage `accuracy`: the trained mini with both of its parts in several precisions, on a CPU: boxes and planned paths.

Needs PyTorch, ModelOpt and the devkit, no GPU. Half precision is that of `helpers.precision.marking.by_casts`: a node
that is marked FP16 rounds what it reads and what it gives. So it tells accuracy, and nothing of speed.
"""

from pathlib import Path

import numpy as np

from benchmarks import evaluate, frames, paths, prepare
from benchmarks.markings import AWAY, QUANTIZED, Markings
from benchmarks.planned import FAR, FORMS, ROWS, SAMPLED, text
from helpers import graph, planner
from helpers.dataset import open_dataset
from helpers.files import sha256
from helpers.llm.generate import GREEDY
from helpers.models.runner import runner
from helpers.planner.deployed import deploy
from helpers.precision import marking
from helpers.precision.runners import OnnxRunner
from helpers.sequence import rollout

TABLE = "table"  # of the kept arrays: the rows that the language model reads


def run(session, options):
    """Every row; nothing for a system without parts to mark."""
    if not options.system.parts:
        return
    prepare.network_and_frames(session, options, "mini")
    made = Accuracy(session, options)
    for name, forms in ROWS.items():
        made.vision(name)
        for form in forms:
            made.paths(name, form)
    print("\n".join(["", *text(session.pieces())]))


class Accuracy:
    """The pieces of one work folder."""

    def __init__(self, session, options):
        self.session, self.options, self.system = session, options, options.system
        self.config, self.folder = self.system.config("mini"), session.work / "accuracy"
        self.source = session.work / "models/mini.onnx"
        self.kept = frames.Frames(session.work / "frames/mini", options.preparing)
        self.dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
        self.markings = Markings(self.system, self.config, self.source, options.data, self.folder)
        self.weights = {"weights": sha256(options.checkpoint), "frames": len(self.kept)}

    def vision(self, name):
        """Boxes and tokens of the validation frames, and the score of the boxes."""
        if name.startswith("smallest"):
            self.session.piece("accuracy/parts", self.markings.search, 300, self.weights)
        self.session.piece(f"accuracy/vision/{name}", lambda: self._vision(name), 120, self.weights)

    def paths(self, name, form):
        """The paths that a language model plans from the tokens of one precision."""
        seen, folder = self.session.result(f"accuracy/vision/{name}"), self.options.language
        if not seen or not seen["finite"]:
            return
        files = {"language": sha256(*sorted(folder.glob("*.safetensors"))), "tokens": seen["sha256"]}
        self.session.piece(f"accuracy/paths/{name}/{form}", lambda: self._paths(name, form), 60, self.weights | files)

    def _vision(self, name):
        bare = name.removesuffix(FAR)
        path = Path(self.options.checkpoint) if bare == "pytorch" else self._graph(bare)
        if bare == "pytorch":
            run = runner(self.system.network("mini", path), "cpu")
        else:
            run = OnnxRunner(path).probe(list(self.config.output_shapes()))
        steps = self.system.far(list(self.kept), AWAY) if name != bare else self.kept
        driven = rollout(run, steps, self.config.states, self.config.initial_states())
        kept = [self.system.kept(self.config, found) | {TABLE: found[self.config.table][0]} for *_, found in driven]
        out = self.folder / f"{name}.npz"
        frames.save(out, {each: [one[each] for one in kept] for each in kept[0]})
        scores = evaluate.score(out, self.kept.tokens, self.dataset, self.system)
        return scores | self._said(bare) | {"file": path.name, "network": sha256(path), "sha256": sha256(out)}

    def _graph(self, name):
        """The graph of a row, with its marks as Casts."""
        whole = self.markings.quantized(name) if name in QUANTIZED else self.source
        if name == "fp32":
            return whole
        return graph.save(marking.by_casts(graph.load(whole), self._marks(name)), self.folder / f"{name}.onnx")

    def _marks(self, name):
        searched = self.session.result("accuracy/parts") or {}
        return self.markings.of(name, searched.get("kept"))

    def _said(self, name):
        """What a row tells of its marks."""
        if name in ("pytorch", "fp32"):
            return {}
        return {"fp16_share": marking.share(graph.load(self.source), self._marks(name))}

    def _paths(self, name, form):
        spoken, file = self._planner(form.removesuffix(SAMPLED))
        with np.load(self.folder / f"{name}.npz") as arrays:
            tables = list(arrays[TABLE])
        sampling = planner.PUBLISHED if form.endswith(SAMPLED) else GREEDY
        found = paths.planned(tables, self.kept.tokens, self.dataset, spoken, sampling)
        return found | {"spoken": file.name, "spoken_sha256": sha256(file)}

    def _planner(self, form):
        """(the planner in this form, the file with its language model)."""
        found = self.options.language
        if form not in FORMS:
            return planner.load(found), found / "model.safetensors"
        made = deploy(found, self.folder, form)
        return made.planner, made.graph
