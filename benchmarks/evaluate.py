"""Stage `evaluate`: accuracy of every set of outputs. Needs nuscenes-devkit, no torch and no GPU."""

import numpy as np

from benchmarks.frames import Frames
from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.files import sha256


def run(session, options):
    """Score every `.npz` of the mini's outputs."""
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    tokens = Frames(session.work / "frames" / "mini", options.preparing).tokens
    for path in sorted((session.work / "outputs" / "mini").glob("*.npz")):
        depends = sha256(path)
        session.piece(
            f"evaluate/{path.stem}",
            lambda path=path: score(path, tokens, dataset, options.system),
            30,
            depends,
        )


def score(path, tokens, dataset, system):
    """Metrics of the outputs in `path`; {"finite": False, ...} where they cannot be decoded."""
    with np.load(path) as arrays:
        stacked = dict(arrays)
    kept = [dict(zip(stacked, values, strict=True)) for values in zip(*stacked.values(), strict=True)]
    bad = sum(not system.finite(one) for one in kept)
    if bad:
        return {"finite": False, "frames_not_finite": bad, "frames": len(kept)}
    if len(kept) != len(tokens):
        found, expected = f"outputs of {len(kept)} frames", f"{len(tokens)}, as the stage prepare wrote frames"
        raise BadInput(path, found, expected, "stream the engine again: remove the piece that made these outputs")
    wanted, config = set(tokens), system.config("mini")
    frames = {frame.token: frame for frame in dataset if frame.token in wanted}
    pairs = [(frames[token], system.decoded(config, one)) for token, one in zip(tokens, kept, strict=True)]
    return system.score(pairs, dataset) | {"finite": True}
