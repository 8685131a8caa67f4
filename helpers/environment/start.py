"""The first line of every lesson: the right folder, quiet libraries, fixed seeds, and what is installed here."""

import importlib.metadata
import os
import platform
import random
import shutil
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

from helpers import cores
from helpers.arguments import between, typed
from helpers.environment import doctor
from helpers.environment.tiers import TIERS
from helpers.errors import BadInput
from helpers.files import ROOT

if TYPE_CHECKING:
    from IPython.display import HTML

PACKAGES = {
    "torch": ("torch",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "modelopt": ("nvidia-modelopt",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx",),
    "numpy": ("numpy",),
    "nuscenes-devkit": ("nuscenes-devkit",),
}
# About the libraries' own house-keeping; whatever a learner could act on stays visible.
NOISE = (DeprecationWarning, PendingDeprecationWarning)


@typed
def begin(tier: str = "cpu", seed: int = 0) -> "HTML":
    """Start a lesson; returns the table of versions to look at, with the doctor's quick checks in its last line.

    Changes to the repository's root (so that paths read the same in JupyterLab and under papermill), keeps every
    library to the cores that `helpers.cores` allows, hides warnings about the libraries' own house-keeping, and seeds
    `random`, NumPy and, where it is already imported, torch.

    Args:
        tier: "cpu", or "gpu" for what needs a CUDA device.
        seed: for the random generators.

    Raises:
        BadInput: the tier is unknown, or "gpu" without a CUDA device that torch can use.
    """
    if tier not in TIERS:
        raise BadInput("TIER", repr(tier), " or ".join(map(repr, TIERS)), 'set TIER = "cpu" in the parameters cell')
    between("seed", seed, 0, 2**32 - 1)
    if tier == "gpu":
        _require_cuda()
    from helpers.display import table  # here, since the doctor has to start where NumPy does not

    os.chdir(ROOT)
    cores.apply()
    for category in NOISE:
        warnings.simplefilter("ignore", category)
    _seed(seed)
    return table(versions() | {"doctor": doctor.summary(tier)}, caption=f"This machine, {tier} tier")


def versions() -> dict[str, str]:
    """What is installed, as a dict of name -> text; "not installed" where it is not. Loads no heavy library."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": f"{cores.count()} of {cores.machine()}" if cores.limit() else str(cores.machine()),
        "memory": _memory(),
        "gpu": _gpus(),
        **{name: _installed(*distributions) for name, distributions in PACKAGES.items()},
        "onnxruntime providers": _providers(),
    }


def _seed(seed):
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _require_cuda():
    fix = 'set TIER = "cpu", or install the requirements of the GPU tier on a machine with an NVIDIA driver'
    try:
        import torch
    except ImportError:
        raise BadInput("TIER", "'gpu', but torch is not installed", "torch with CUDA", fix) from None
    if not torch.cuda.is_available():
        raise BadInput("TIER", f"'gpu', but torch {torch.__version__} sees no CUDA device", "a CUDA device", fix)


def _installed(*distributions):
    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"


def _providers():
    try:
        import onnxruntime
    except ImportError:
        return "not installed"
    return ", ".join(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory():
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _gpus():
    if shutil.which("nvidia-smi") is None:
        return "none"
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "nvidia-smi fails: the driver does not answer"
    return "; ".join(f"{name} (driver {driver})" for name, driver in _pairs(done.stdout)) or "none"


def _pairs(lines):
    return [line.rsplit(", ", 1) for line in lines.splitlines() if line]
