"""A policy that does what its instruction says: "sleep 0.3", "hold FOLDER", "die", "raise", "nan", "print", "babble".

It does nothing but predict for any other.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

from helpers.errors import BadInput
from tests.builders.waiting import until


class Scripted:
    """The action is the mean of the picture and the number of predictions, then zeros."""

    def __init__(self, fails=False):
        if fails:
            raise FileNotFoundError("weights.safetensors")
        self.count = 0

    def predict(self, image, instruction, unnorm_key=None):
        self.count += 1
        word, _, number = instruction.partition(" ")
        if word == "sleep":
            time.sleep(float(number))
        if word == "hold":
            hold(Path(number))
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "raise":
            raise RuntimeError("out of luck")
        if word == "print":
            print("noise " * 100_000)
        if unnorm_key not in (None, "bridge_orig"):
            raise BadInput("the model", f"unnorm_key {unnorm_key!r}", "bridge_orig", "give that")
        if word == "babble":
            raise BadInput("generated tokens", "[13, 29871]", "7 tokens of an action", "ask for what it has learned")
        action = np.zeros(7)
        action[:2] = np.nan if word == "nan" else image.mean(), self.count
        return action, np.array([31744, 31999], np.int32), f"TASK: {instruction}"


def hold(folder):
    """Say in `folder` that it has begun, and wait for a file "go" there."""
    (folder / "begun").touch()
    until((folder / "go").exists)
