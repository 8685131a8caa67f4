"""Pre-processed frames and networks' outputs in the work folder; needs NumPy only."""

import json

import numpy as np

from helpers.errors import BadInput
from helpers.files import atomic

HISTORY = {"prev_bev": "bev_embed"}
TINY = np.finfo(np.float32).tiny
KEPT = ("outputs_classes", "outputs_coords")


class Frames:
    """The frames that the stage `prepare` wrote: iterates over ({input name: float32 array}, whether a scene begins).

    Attributes:
        tokens: sample tokens, in order.
    """

    def __init__(self, folder, limit=None):
        if not (folder / "tokens.json").is_file():
            raise BadInput(folder, "no frames", "what the stage prepare writes",
                           "python -m benchmarks prepare")  # fmt: skip
        self.tokens = json.loads((folder / "tokens.json").read_text())[:limit]
        self.arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        """Inputs of frame `index`, without history."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {name: np.array(array[index]) for name, array in self.arrays.items()}


def resized(given, shape):
    """Inputs of another size and batch than those of the frame `given`, without history.

    The pictures are noise, the calibration of the frame is scaled to their size; all are the same in every stream.

    Args:
        shape: of the input "image", [B, cameras, 3, H, W].
    """
    batch, scale = shape[0], shape[-1] / given["image"].shape[-1]
    lidar2img = given["lidar2img"] * np.float32([scale, scale, 1, 1])[:, None]
    return {
        "image": np.random.default_rng(0).standard_normal(shape, np.float32),
        "use_prev_bev": np.ones(batch, np.float32),
        "can_bus": np.tile(given["can_bus"], batch),
        "lidar2img": np.tile(lidar2img, (batch, 1, 1, 1)),
    }


def write(folder, pairs):
    """Write (token, inputs) pairs as one array per input."""
    tokens, inputs = zip(*pairs, strict=True)
    with atomic(folder, folder=True) as part:
        for name in inputs[0]:
            np.save(part / f"{name}.npy", np.stack([feeds[name] for feeds in inputs]))
        (part / "tokens.json").write_text(json.dumps(tokens))


def stream(engine, frames, out):
    """Run the frames in order, each with the history of the one before, and write the outputs that boxes come from.

    An engine with states keeps the history itself; it is zero at the start of a scene.
    """
    shape = engine.inputs["prev_bev"].shape
    empty = np.zeros(shape, np.float32)
    bev, kept = empty, {name: [] for name in KEPT}
    for feeds in frames:
        if engine.states:
            if not feeds["use_prev_bev"][0]:
                engine.reset()
            outputs = engine.run(feeds)
        else:
            outputs = engine.run({**feeds, "prev_bev": bev if feeds["use_prev_bev"][0] else empty})
            bev = outputs["bev_embed"]
        for name in KEPT:
            kept[name].append(outputs[name])
    save(out, kept)
    finite = all(np.isfinite(array).all() for arrays in kept.values() for array in arrays)
    return {"frames": len(frames), "finite": bool(finite)}


def save(out, kept):
    """Write lists of outputs, one entry per frame, as `.npz`."""
    with atomic(out) as part, open(part, "wb") as stream:
        np.savez(stream, **{name: np.stack(arrays) for name, arrays in kept.items()})


def parity(out, reference):
    """Largest and mean error of every output against the reference, relative to the largest and mean of its values.

    Returns:
        {} without a reference, else {"OUTPUT_rel", "OUTPUT_mean_rel"}; text where the values are not finite.
    """
    if not reference.is_file():
        return {}
    found = {}
    with np.load(out) as ours, np.load(reference) as theirs:
        for name in KEPT:
            a, b = ours[name].astype(np.float64), theirs[name][: len(ours[name])].astype(np.float64)
            error, size = np.abs(a - b), np.maximum(np.abs(b), TINY)
            finite = bool(np.isfinite(error).all())
            found[f"{name}_rel"] = float(error.max() / size.max()) if finite else "not finite"
            found[f"{name}_mean_rel"] = float(error.mean() / size.mean()) if finite else "not finite"
    return found
