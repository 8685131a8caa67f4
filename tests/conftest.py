"""Fixtures shared by all tests."""

import pytest

from data_scripts.make_minidrive import make


@pytest.fixture(scope="session")
def minidrive(tmp_path_factory):
    """Data root of a small MiniDrive: the two mini_val scenes, four key frames each."""
    return make(tmp_path_factory.mktemp("data") / "minidrive", names=["scene-0103", "scene-0916"], frames=4, workers=1)
