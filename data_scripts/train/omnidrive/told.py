"""What a trained vision part tells the language model of every frame, in a file: no picture is seen again."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_scripts.train.omnidrive.stream import Store
from data_scripts.train.omnidrive.trainer import feeds_of, initial_states, listen
from helpers import files
from helpers.dataset import Dataset
from helpers.dataset.questions import POINTS, questions
from helpers.models.runner import runner
from helpers.sequence import Step, rollout

TOGETHER = 64  # scenes that are driven side by side


def write(path: Path, network: nn.Module, store: Store, data: Dataset, steps: list[Step]) -> None:
    """Write the file: "train" of the store's scenes, "held" of a data set's frames, which are steps of it.

    Each has extras [scenes, frames, 2 * extra, C] float16, the extra queries of both heads; driven [scenes, frames,
    variants, 74] and ways [scenes, frames, variants, 6, 2] float32, of the motion; and questions, lists of [kind,
    question, answer] of each frame.
    """
    asked = [[[list(question) for question in frame] for frame in scene] for scene in store.questions]
    motion = {name: store.arrays[name][: store.held].cpu() for name in ("driven", "ways")}
    train = {"extras": of_store(network, store)} | motion | {"questions": asked}
    with files.atomic(path) as part:
        torch.save({"train": train, "held": of_steps(network, data, steps)}, part)


@torch.no_grad()
def of_store(network: nn.Module, store: Store) -> Tensor:
    """The extra queries of every frame of a store, each scene driven from its first frame on."""
    config, found = network.config, []
    heard = heard_by(network)
    for start in range(0, store.held, TOGETHER):
        scenes = np.arange(start, min(start + TOGETHER, store.held))
        states, frames = initial_states(config, len(scenes), store.device), []
        for k in range(store.frames):
            rows = store.rows(scenes, np.full_like(scenes, k))
            outputs = network(**feeds_of(rows, np.full(len(scenes), k == 0), config), **states)
            named = dict(zip(config.output_shapes(), outputs, strict=True))
            states = {name: named[source] for name, source in config.states.items()}
            frames.append(_extras(heard))
        found.append(torch.stack(frames, 1))
    return torch.cat(found)


def of_steps(network: nn.Module, data: Dataset, steps: list[Step]) -> dict[str, Any]:
    """The same of a data set's frames, as one scene; a way that is not known is NaN."""
    heard, config = heard_by(network), network.config
    device = next(network.parameters()).device
    extras, driven, ways = [], [], []
    for step, _, _ in rollout(runner(network, device), steps, config.states, config.initial_states()):
        path = step.frame.future_path
        extras.append(_extras(heard))
        driven.append(heard["driven"][:, None].cpu())
        ways.append(path if len(path) == POINTS else np.full((POINTS, 2), np.nan))
    asked = [[list(question) for question in questions(data.dataroot, step.frame)] for step in steps]
    return {
        "extras": torch.stack(extras, 1),
        "driven": torch.stack(driven, 1),
        "ways": torch.from_numpy(np.float32(ways))[None, :, None],
        "questions": [asked],
    }


def heard_by(network: nn.Module) -> dict[str, Tensor]:
    """What `listen` keeps; a network is listened to once."""
    if not hasattr(network, "heard"):
        network.heard = {}  # type: ignore[assignment]
        listen(network, network.heard)
    return network.heard


def _extras(heard):
    return torch.cat([heard["boxes"], heard["lanes"]], 1).half().cpu()
