"""The door of layered weights: a tree of folders by module, with its index."""

import json
import os
import shutil
from pathlib import Path
from random import Random

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent
from helpers.models import layered

FOLDER = "c-model"
NAMES = ("net.0.weight", "net.0.bias", "head.steps", "head.odd/../name")


def _state():
    import torch

    return {
        NAMES[0]: torch.arange(12.0).reshape(3, 4),
        NAMES[1]: torch.ones(3, dtype=torch.bfloat16),
        NAMES[2]: torch.tensor(7),
        NAMES[3]: torch.zeros(0, 2),
    }


def _prepare(common: Path) -> None:
    layered.save(_state(), common / FOLDER)
    _enter(common)


def _make(random: Random, common: Path, folder: Path) -> None:
    """A tree in which the index or a file is something else, or a file is absent, moved or more than there were."""
    shutil.copytree(common / FOLDER, root := folder / FOLDER)
    index, files = root / layered.INDEX, sorted(root.rglob(f"*{layered.SUFFIX}"))
    for _ in range(random.choice((1, 1, 2))):
        damage, path = random.random(), random.choice(files)
        if damage < 0.5:
            index.write_text(json.dumps(mutate.tree(json.loads(index.read_bytes()), random)))
        elif damage < 0.6:
            index.write_bytes(mutate.octets(index.read_bytes(), random))
            return
        elif damage < 0.8 and path.exists():
            path.write_bytes(mutate.octets(path.read_bytes(), random))
        elif damage < 0.9 and path.exists():
            os.rename(path, path.with_name(random.choice(("x.bin", "weight.bin", "bias.bin", "x"))))
        else:
            (root / random.choice(("more.bin", "net/more", "head/steps.bin.part"))).write_bytes(random.randbytes(4))


def _enter(folder: Path) -> None:
    """Silent if anything but the tensors that were saved comes of it."""
    import torch

    whole, found = _state(), layered.read(folder / FOLDER)
    if list(found) != list(whole):
        raise Silent(f"tensors {list(found)}")
    for name, tensor in whole.items():
        if found[name].dtype != tensor.dtype or not torch.equal(found[name], tensor):
            raise Silent(f"{name} is another tensor")


DOORS = {"weights": Door(_prepare, _make, _enter, (FOLDER,))}
