"""Fixtures shared by all tests."""

import pytest

from data_scripts.make_minidrive import make
from helpers.ops import library


@pytest.fixture(scope="session")
def minidrive(tmp_path_factory):
    """Data root of a small MiniDrive: the two mini_val scenes, four key frames each."""
    return make(tmp_path_factory.mktemp("data") / "minidrive", names=["scene-0103", "scene-0916"], frames=4, workers=1)


@pytest.fixture(scope="session")
def host_library(tmp_path_factory):
    """Path of the custom operators' kernels, compiled for the CPU."""
    return library.build("host", tmp_path_factory.mktemp("plugins"))
