"""A program of CUDA's around the proof: run in a process that goes, with all it started, when its time is over."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from helpers import processes
from helpers.errors import BadInput
from helpers.files import ROOT


def there(program: str, expected: str, option: str) -> None:
    """BadInput unless a shell finds the program."""
    if not shutil.which(program):
        fix = f"add CUDA's bin folder to PATH, or name it: {option}"
        raise BadInput(program, "no such program", expected, fix)


def ended(command: list[Any], said: Path, limit: float) -> int | None:
    """The exit code of a command, which writes to the file `said`; None, and all it started killed, after the limit."""
    # Without PyTorch's cache of memory every tensor is an allocation of its own, so that a tool sees its ends.
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    with open(said, "w") as stream:
        guarded = processes.Guarded(command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        try:
            return guarded.process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            guarded.end()
