"""What runs before any package is installed needs the standard library alone."""

import subprocess
import sys

import pytest

from helpers.files import ROOT
from tests.builders.waiting import HANG


@pytest.mark.parametrize(
    "words",
    [("ci.setup.gpu", "--help"), ("ci.setup.conflicts",), ("ci.setup.containers", "lint", "--hadolint", "none")],
)
def test_set_up_runs_without_packages(words):
    command = [sys.executable, "-S", "-m", *words]  # -S: without site-packages
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
