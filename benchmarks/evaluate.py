"""Stage `evaluate`: NDS and mAP of every set of outputs. Needs nuscenes-devkit, no torch and no GPU."""

import json

import numpy as np

from helpers.boxes import decode_outputs
from helpers.dataset import open_dataset
from helpers.files import sha256
from helpers.metrics import detection as metrics


def run(session, options):
    """Score every `.npz` of the mini's outputs."""
    dataset = open_dataset(options.data, "v1.0-mini", "mini_val")
    tokens = json.loads((session.work / "frames" / "mini" / "tokens.json").read_text())
    for path in sorted((session.work / "outputs" / "mini").glob("*.npz")):
        depends = sha256(path)
        session.piece(f"evaluate/{path.stem}", lambda path=path: score(path, tokens, dataset), 30, depends)


def score(path, tokens, dataset):
    """Detection metrics of the outputs in `path`; {"finite": False, ...} where boxes cannot be decoded."""
    with np.load(path) as arrays:
        classes, coords = arrays["outputs_classes"], arrays["outputs_coords"]
    bad = [not (np.isfinite(a[-1]).all() and np.isfinite(b[-1]).all()) for a, b in zip(classes, coords, strict=True)]
    if any(bad):
        return {"finite": False, "frames_not_finite": sum(bad), "frames": len(bad)}
    wanted = set(tokens)
    frames = {frame.token: frame for frame in dataset if frame.token in wanted}
    results = {
        token: metrics.to_global(decode_outputs(a, b), frames[token])
        for token, a, b in zip(tokens, classes, coords, strict=True)
    }
    return metrics.detection(results, dataset) | {"finite": True}
