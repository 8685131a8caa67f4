"""Pre-processed frames and networks' outputs in the work folder; needs NumPy only."""

import json

import numpy as np

from benchmarks import stored
from helpers import npz
from helpers.files import atomic
from helpers.sequence import Step, beginning, rollout

TINY = np.finfo(np.float32).tiny


class Frames:
    """The frames that the stage `prepare` wrote: iterates over steps, whose frame is the sample token.

    Args:
        fix: the command that writes them.

    Attributes:
        tokens: sample tokens, in order.
    """

    def __init__(self, folder, fix):
        kept = stored.table(folder / "frames.json", ("tokens", "first"), fix)
        self.tokens, self.first = kept["tokens"], kept["first"]
        self.arrays = stored.arrays(folder, len(kept["tokens"]), fix)

    def __len__(self):
        return len(self.tokens)

    def __iter__(self):
        return (
            Step(self[index], first, token)
            for index, (first, token) in enumerate(zip(self.first, self.tokens, strict=True))
        )

    def __getitem__(self, index):
        """Inputs of frame `index`, without history."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {name: np.array(array[index]) for name, array in self.arrays.items()}


def write(folder, steps):
    """Write steps of `helpers.dataset.stream` as one array per input."""
    steps = list(steps)
    with atomic(folder, folder=True) as part:
        for name in steps[0].feeds:
            np.save(part / f"{name}.npy", np.stack([step.feeds[name] for step in steps]))
        kept = {"tokens": [step.frame.token for step in steps], "first": [step.first for step in steps]}
        (part / "frames.json").write_text(json.dumps(kept))


def stream(engine, frames, system, config, out):
    """Run the frames in order, each with the states that the one before left, and write what the system keeps of them.

    An engine with states keeps them itself, and begins a scene as it was told when it was loaded.
    """
    states, restart = ({}, engine.reset) if engine.states else (config.states, None)
    initial = beginning(engine.inputs, states, config.initial_states()) if states else {}
    running = rollout(engine.run, frames, states, initial, restart=restart)
    kept = [system.kept(config, outputs) for _, _, outputs in running]
    save(out, {name: [one[name] for one in kept] for name in kept[0]})
    finite = all(np.isfinite(array).all() for one in kept for array in one.values())
    return {"frames": len(frames), "finite": bool(finite)}


def save(out, kept):
    """Write lists of outputs, one entry per frame, as `.npz`."""
    with atomic(out) as part:
        npz.write({name: np.stack(arrays) for name, arrays in kept.items()}, part)


def parity(out, reference):
    """Largest and mean error of every output against the reference, relative to the largest and mean of its values.

    Returns:
        {} without a reference, else {"OUTPUT_rel", "OUTPUT_mean_rel"}, text where the values are not finite; of whole
        numbers, such as classes, {"OUTPUT_differ"}, the share of those that do.
    """
    if not reference.is_file():
        return {}
    found = {}
    with np.load(out) as ours, np.load(reference) as theirs:
        for name in ours:
            a, b = ours[name], theirs[name][: len(ours[name])]
            if a.dtype.kind in "iu":
                found[f"{name}_differ"] = float((a != b).mean())
                continue
            a, b = a.astype(np.float64), b.astype(np.float64)
            error, size = np.abs(a - b), np.maximum(np.abs(b), TINY)
            finite = bool(np.isfinite(error).all())
            found[f"{name}_rel"] = float(error.max() / size.max()) if finite else "not finite"
            found[f"{name}_mean_rel"] = float(error.mean() / size.mean()) if finite else "not finite"
    return found
