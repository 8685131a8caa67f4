"""JPEG files of frames, with the network's small inputs beside them, in the work folder; needs NumPy only."""

import itertools
import json

import numpy as np

from benchmarks.session import preparing
from helpers.errors import BadInput
from helpers.files import atomic
from helpers.pipeline import Shot


def write(folder, steps, pictures):
    """Write steps of `helpers.dataset.stream` whose input `pictures` is left to their JPEG files."""
    kept = [{name: array for name, array in step.feeds.items() if name != pictures} for step in steps]
    files = [path.read_bytes() for step in steps for path in step.frame.image_paths.values()]
    with atomic(folder, folder=True) as part:
        for name in kept[0]:
            np.save(part / f"{name}.npy", np.stack([one[name] for one in kept]))
        (part / "pictures.bin").write_bytes(b"".join(files))
        told = {"sizes": [len(data) for data in files], "first": [step.first for step in steps],
                "tokens": [step.frame.token for step in steps]}  # fmt: skip
        (part / "shots.json").write_text(json.dumps(told))


def read(folder):
    """list[Shot], whose frame is the sample token."""
    if not (folder / "shots.json").is_file():
        raise BadInput(folder, "no pictures", "what the stage prepare writes", preparing(folder.parents[1]))
    told, whole = json.loads((folder / "shots.json").read_text()), (folder / "pictures.bin").read_bytes()
    ends = np.cumsum([0, *told["sizes"]])
    files = [whole[begin:end] for begin, end in itertools.pairwise(ends)]
    feeds = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    each = len(files) // len(told["first"])
    return [
        Shot(tuple(files[index * each : (index + 1) * each]), {n: a[index] for n, a in feeds.items()}, first, token)
        for index, (first, token) in enumerate(zip(told["first"], told["tokens"], strict=True))
    ]
