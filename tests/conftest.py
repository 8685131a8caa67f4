"""Fixtures shared by all tests."""

import dataclasses
import gc
import random
import signal
import sys

import numpy as np
import pytest

from data_scripts.make_minidrive import make
from helpers.ops import library
from tests.builders.shared import once

# Under nohup or in the background of a script these are ignored, and programs that are told to end would not.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


gc.disable()  # to look for garbage in what collecting the tests makes, which stays, takes a third of collecting


def pytest_collection_finish():
    """What is there now stays: without looking at it again and again the tests take a tenth less time."""
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """The same random numbers for a test in every run, whatever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def minidrive(tmp_path_factory):
    """Data root of a small MiniDrive: the two mini_val scenes, four key frames each."""
    scenes = ["scene-0103", "scene-0916"]
    return once(tmp_path_factory, "data", lambda it: make(it / "minidrive", names=scenes, frames=4, workers=1))


@pytest.fixture(scope="session")
def host_library(tmp_path_factory):
    """Path of the custom operators' kernels, compiled for the CPU."""
    return once(tmp_path_factory, "plugins", lambda folder: library.build("host", folder))


@pytest.fixture(scope="session")
def mini(tmp_path_factory):
    """(mini BEVFormer in PyTorch, path of its portable graph); not to be changed."""
    return _exported("mini", tmp_path_factory)


@pytest.fixture(scope="session")
def small_mini(tmp_path_factory):
    """As `mini`, for pictures of 64 x 96 pixels and a map of 25 x 25 cells, and not as deep."""
    changes = {"image_size": (64, 96), "image_scale": 0.06, "bev_h": 25, "bev_w": 25}
    return _exported("small_mini", tmp_path_factory, **changes, depths=(1, 1, 1), decoder_layers=1)


def _exported(name, tmp_path_factory, **changes):
    from helpers import export, models  # torch, which tests of a bare Python do without
    from tests.builders.bevformer import scrambled

    config = dataclasses.replace(models.config("bevformer", "mini"), **changes)
    model = scrambled(models.create("bevformer", config))
    return model, once(tmp_path_factory, name, lambda folder: export.cached(model, folder / "mini.onnx"))
