"""Fixtures of the doctor's tests: a repository that is set up, and empty folders for packages and tools."""

import os
import shutil

import pytest

from helpers.environment import doctor
from helpers.environment.machine import Machine
from helpers.files import ROOT
from tests.builders.waiting import HANG


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """A busy machine may take its time for the probes."""
    monkeypatch.setattr(doctor, "BUDGET", HANG)


@pytest.fixture
def root(tmp_path, minidrive):
    """A repository that is set up: small data, the lessons, and a lock of what is installed here."""
    root = tmp_path / "root"
    for folder in (".venv", "requirements", "data", "checkpoints"):
        (root / folder).mkdir(parents=True)
    (root / "checkpoints/weights.safetensors").write_bytes(bytes(16))
    for name in ("notebooks", "data_scripts"):
        (root / name).symlink_to(ROOT / name)
    (root / "data/minidrive").symlink_to(minidrive)
    installed = {name: version for name, (version, _) in Machine().distributions.items() if name != "onramp"}
    (root / "requirements/cpu.txt").write_text("".join(f"{name}=={version}\n" for name, version in installed.items()))
    return root


@pytest.fixture
def site(tmp_path):
    """An empty folder for packages."""
    (tmp_path / "site-packages").mkdir()
    return tmp_path / "site-packages"


@pytest.fixture
def tools(tmp_path):
    """An empty folder for tools."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


@pytest.fixture
def data(root, minidrive):
    """The repository's data as files that a test may break."""
    (root / "data/minidrive").unlink()
    return shutil.copytree(minidrive, root / "data/minidrive", copy_function=os.symlink)
