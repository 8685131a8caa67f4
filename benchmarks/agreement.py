"""How far two ways from JPEG files to boxes are apart: in what they decode, what they prepare, and what they find."""

import numpy as np

from helpers import engine, graph, pipeline
from helpers.dataset.images import decode_image, preprocess
from helpers.graph.ends import PICTURES


def decoded(decoder, jpegs):
    """How far the pixels of the decoder of this name are from libjpeg-turbo's, in steps of eight bits."""
    made = pipeline.available()[decoder]()
    try:
        errors = [
            np.abs(one.astype(np.int16) - other) for one, other in zip(made.pixels(jpegs), _host(jpegs), strict=True)
        ]
    finally:
        made.close()
    return _steps("decoded", errors)


def prepared(ends, config, given):
    """How far the network's input of a graph with ends is from the host's, in steps of eight bits, in ONNX Runtime."""
    part = graph.subgraph(ends, ends.with_stem(f"{ends.stem}_input"), [PICTURES], [config.pictures])
    steps = np.array(config.image_std, np.float32)[:, None, None]
    with engine.load(part, "onnxruntime") as opened:
        pairs = [(opened.run({PICTURES: np.stack(pictures)[None]})[config.pictures][0], preprocess(pictures, config))
                 for shot in given for pictures in [_host(shot.jpegs)]]  # fmt: skip
    return _steps("prepared", [np.abs(ours - theirs) * steps for ours, theirs in pairs])


def _host(jpegs):
    return [decode_image(np.frombuffer(data, np.uint8), f"picture {index}") for index, data in enumerate(jpegs)]


def _steps(what, errors):
    return {f"{what}_most_steps": float(max(error.max() for error in errors)),
            f"{what}_mean_steps": float(np.mean([error.mean() for error in errors])),
            f"{what}_beyond_one_step": float(np.mean([(error > 1).mean() for error in errors]))}  # fmt: skip


def boxes(old, new):
    """How far the boxes of two ways are apart: those of the same rank, and the share of ranks with another class."""
    pairs = [(a.found, b.found) for a, b in zip(old, new, strict=True) if len(a.found) == len(b.found)]
    same = [(a[np.flatnonzero(kept)], b[np.flatnonzero(kept)]) for a, b in pairs for kept in [a.labels == b.labels]]
    return {"frames_of_equal_count": len(pairs), "frames": len(old),
            "ranks_of_another_class": float(np.mean([(a.labels != b.labels).mean() for a, b in pairs] or [np.nan])),
            "score_most": float(max((np.abs(a.scores - b.scores).max() for a, b in same if len(a)), default=np.nan)),
            "center_m_median": float(np.median(np.concatenate(
                [np.abs(a.centers - b.centers).max(1) for a, b in same] or [[np.nan]])))}  # fmt: skip
