"""A split of five scenes, a network that remembers within a scene, and a task that tells every mistake of sharing."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from helpers.evaluate import Task

LENGTHS = {"scene-a": 7, "scene-b": 2, "scene-c": 9, "scene-d": 1, "scene-e": 5}


class Split:
    """What of a Dataset an evaluation uses."""

    split, dataroot = "fake", Path("nowhere")

    def __init__(self, lengths=LENGTHS):
        self.scene_tokens = {scene: [f"{scene}-{k}" for k in range(length)] for scene, length in lengths.items()}
        self.tokens = [token for tokens in self.scene_tokens.values() for token in tokens]

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, i):
        token = self.tokens[i]
        scene, _, index = token.rpartition("-")
        return SimpleNamespace(token=token, scene=scene, index=int(index), timestamp=i, number=i)


class Config:
    """A network's: one input and one state."""

    name, task = "fake", ""
    states: ClassVar = {"memory": "remembered"}

    @staticmethod
    def initial_states():
        return {"memory": np.zeros(1)}

    @staticmethod
    def inputs(frame, previous):
        return {"number": np.array([frame.number + (0.5 if previous is None else 0.0)])}

    @staticmethod
    def decode(outputs):
        return outputs["remembered"].copy()


CONFIG = Config()


def run(feeds):
    """What is remembered depends on all frames of the scene so far, and on their order."""
    return {"remembered": feeds["memory"] * 1.1 + np.sin(feeds["number"])}


class Sum(Task):
    """Keeps what is decoded; the total changes with a frame that is lost, counted twice or driven without history."""

    def keep(self, frame, found, dataset):
        return {"value": found, "padding": np.full(20_000, frame.number)}

    def total(self, results, dataset):
        kept = list(results)
        assert [token for token, _ in kept] == dataset.tokens
        assert all((arrays["padding"] == k).all() for k, (_, arrays) in enumerate(kept))
        return {"sum": float(sum(arrays["value"][0] * (k + 1) for k, (_, arrays) in enumerate(kept)))}
