"""What requirements/ says of the tiers: their locks and pins, which GPU tier fits a machine, how to set it up."""

import functools
import re
import tomllib
from pathlib import Path
from typing import Any

from helpers.environment.machine import Machine
from helpers.files import ROOT

TIERS = ("cpu", "gpu")


@functools.cache
def gpu_tiers() -> dict[str, dict[str, Any]]:
    """The tiers that `make gpu` offers: dict of name -> what requirements/tiers.toml says of it."""
    tiers = tomllib.loads((ROOT / "requirements/tiers.toml").read_text(encoding="utf-8"))
    return {name: tier for name, tier in tiers.items() if "driver" in tier}


def bringing(machine: Machine, name: str) -> list[str]:
    """Names of the installed distributions that bring the module `name`."""
    pattern = rf"(?:nvidia-)?{name.replace('_', '-')}(?:-cu\d+)?"
    return [found for found in machine.distributions if re.fullmatch(pattern, found)]


def of_tensorrt(version: str | int | None) -> str | None:
    """Name of the GPU tier with the TensorRT of this version ("10.3.0" or 10), or None."""
    major = str(version).split(".")[0]
    name = {"8": "edge"}.get(major, f"trt{major}")
    return name if name in gpu_tiers() else None


def fitting(machine: Machine) -> str:
    """Name of the GPU tier for a machine.

    The installed TensorRT decides if the driver runs its tier; otherwise the driver, as in ci.setup.gpu: of the tiers
    in .venv-gpu the one that needs the latest driver that is there, or the earliest where no driver is known.
    """
    driver, installed = machine.driver, of_tensorrt(machine.version(*bringing(machine, "tensorrt")))
    if installed and (driver is None or gpu_tiers()[installed]["driver"] <= driver):
        return installed
    least = {name: tier["driver"] for name, tier in gpu_tiers().items() if tier["folder"] == ".venv-gpu"}
    runs = [name for name in least if least[name] <= (driver or 0)]
    return max(runs, key=least.__getitem__) if runs else min(least, key=least.__getitem__)


def of_cuda(major: int) -> str | None:
    """Name of the first GPU tier whose TensorRT is built for CUDA `major`, or None."""
    return next((name for name in gpu_tiers() if f"tensorrt-cu{major}" in dict(pins(_lock(name)))), None)


def of_capability(sm: str) -> str | None:
    """Name of the first GPU tier for GPUs of the compute capability `sm`, such as "8.9", or None."""
    for name, tier in gpu_tiers().items():
        if _pair(tier["sm"]) <= _pair(sm) <= _pair(tier.get("sm_most", "99.0")):
            return name
    return None


def setup(machine: Machine, tier: str, name: str | None = None) -> str:
    """The command that sets up a tier, "cpu" or "gpu": of the GPU tiers `name` if it is one, else the fitting one."""
    if tier == "cpu":
        return "make setup"
    name = name if name in gpu_tiers() else fitting(machine)
    return f"make gpu TIER={name}   # then: {gpu_tiers()[name]['folder']}/bin/python -m helpers doctor"


def lock_file(machine: Machine, tier: str) -> Path | None:
    """Path of the tier's lock, in the gpu tier of the fitting one; None if it is not there."""
    path = machine.root / f"requirements/{'cpu' if tier == 'cpu' else fitting(machine)}.txt"
    return path if path.is_file() else None


def pins(path: Path) -> list[tuple[str, str]]:
    """(package, version) pairs of a lock file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, re.MULTILINE)


def locked(name: str) -> str | None:
    """Version of a package in the lock of the CPU tier, or None."""
    return dict(pins(_lock("cpu"))).get(name)


def needs(machine: Machine, tier: str) -> dict[str, Any]:
    """What requirements/tiers.toml says the tier needs: Python, driver, compute capabilities; {} if nothing."""
    path, table = lock_file(machine, tier), machine.root / "requirements/tiers.toml"
    if path is None or not table.is_file():
        return {}
    return tomllib.loads(table.read_text(encoding="utf-8")).get(path.stem, {})


def _lock(name):
    return ROOT / f"requirements/{name}.txt"


def _pair(sm):
    return tuple(map(int, sm.split(".")))
