"""Stage `evaluate`: NDS and mAP of every set of outputs. Needs nuscenes-devkit, no torch and no GPU."""

import numpy as np

from benchmarks.frames import Frames
from helpers.dataset import open_dataset
from helpers.files import sha256
from helpers.metrics import detection as metrics


def run(session, options):
    """Score every `.npz` of the mini's outputs."""
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    tokens = Frames(session.work / "frames" / "mini").tokens
    for path in sorted((session.work / "outputs" / "mini").glob("*.npz")):
        depends = sha256(path)
        session.piece(
            f"evaluate/{path.stem}",
            lambda path=path: score(path, tokens, dataset, options.system.config("mini")),
            30,
            depends,
        )


def score(path, tokens, dataset, config):
    """Detection metrics of the outputs in `path`; {"finite": False, ...} where boxes cannot be decoded."""
    with np.load(path) as arrays:
        stacked = [arrays[name] for name in config.decoded]
    outputs = [dict(zip(config.decoded, values, strict=True)) for values in zip(*stacked, strict=True)]
    bad = [not all(np.isfinite(array[-1]).all() for array in one.values()) for one in outputs]
    if any(bad):
        return {"finite": False, "frames_not_finite": sum(bad), "frames": len(bad)}
    wanted = set(tokens)
    frames = {frame.token: frame for frame in dataset if frame.token in wanted}
    results = {
        token: metrics.to_global(config.decode(one), frames[token]) for token, one in zip(tokens, outputs, strict=True)
    }
    return metrics.score(results, dataset) | {"finite": True}
