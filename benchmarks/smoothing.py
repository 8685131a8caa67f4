"""Stage `smoothing`: the trained mini with its Linears in INT8, smoothed with one alpha after the other, on a CPU.

Ranges are of a few frames of one training scene, and of more frames of all of them; what is scored is mini_val. Needs
PyTorch and the devkit, no GPU.
"""

from benchmarks import evaluate, frames, prepare
from benchmarks.session import of_file
from helpers import calibration, engine
from helpers.dataset import open_dataset, stream
from helpers.quantize.smoothing import quantize_linears

ALPHAS = {"plain": None, "0.25": 0.25, "0.5": 0.5, "0.65": 0.65, "0.75": 0.75, "0.9": 0.9}
SETS = {"few": (1, 6), "many": (8, 4)}  # training scenes, the first frames of each


def run(session, options):
    """A row in FP32, and one for each set and alpha; nothing for a system whose Linears are not smoothed."""
    if not options.system.smoothed:
        return
    _, weights = prepare.network_and_frames(session, options, "mini")
    made = Smoothing(session, options)
    session.piece("smoothing/fp32", lambda: made.scored(made.source), 60, weights)
    for name, chosen in SETS.items():
        for label, alpha in ALPHAS.items():
            depends = weights | {"scenes, frames": chosen, "alpha": alpha}
            session.piece(f"smoothing/{name}/{label}", lambda a=(name, label): made.quantized(*a), 120, depends)


class Smoothing:
    """The rows of one work folder."""

    def __init__(self, session, options):
        self.options, self.system, self.folder = options, options.system, session.work / "smoothing"
        self.config, self.source = self.system.config("mini"), session.work / "models/mini.onnx"
        self.kept = frames.Frames(session.work / "frames/mini", options.preparing)
        self.dataset = open_dataset(options.data, "v1.0-mini", "mini_val")

    def quantized(self, name, label):
        """The scores of the graph whose Linears, and nothing else, are in INT8."""
        path = self.folder / f"{name}_{label}.onnx"
        return self.scored(quantize_linears(self.source, path, self.calibration(name), ALPHAS[label]))

    def scored(self, path):
        """Every measure of the validation frames, driven with their memory."""
        out = self.folder / f"{path.stem}.npz"
        with engine.load(path, "onnxruntime") as network:
            frames.stream(network, self.kept, self.system, self.config, out)
        scores = evaluate.score(out, self.kept.tokens, self.dataset, self.system)
        return scores | of_file(path)

    def calibration(self, name):
        """One of `SETS`, measured in FP32."""
        out, (scenes, each) = self.folder / f"{name}.npz", SETS[name]
        split = "mini_val" if self.options.tiny else "mini_train"
        training = open_dataset(self.options.data, "v1.0-mini", split)
        chosen = [frame for frame in training if frame.index < each][: scenes * each]
        with engine.load(self.source, "onnxruntime") as network:
            return calibration.collect(network.run, stream(chosen, self.config), out, self.config)
