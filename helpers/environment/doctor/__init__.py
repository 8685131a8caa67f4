"""The doctor: checks a machine for the lessons and names the cure of every fault."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from helpers.arguments import typed
from helpers.environment.doctor import checks, gpu, packages, plugins
from helpers.environment.doctor.report import FAIL, OK, WARN, Check, Report, text, why
from helpers.environment.machine import Machine
from helpers.environment.tiers import TIERS, needs, pins, setup
from helpers.errors import BadInput, foreign
from helpers.files import MOST, ROOT, PathLike, as_path, found_at
from helpers.kinds import kind_of
from helpers.ops.library import find

__all__ = ["FAIL", "OK", "WARN", "Check", "Report", "examine", "quick", "summary", "text", "why"]
BUDGET = 9.0  # seconds for all tools and probes together
Visit = tuple[Any, ...]  # topic, function, and the function's arguments


@typed
def examine(
    lessons: str | Iterable[str] | None = None,
    root: PathLike = ROOT,
    tier: str | None = None,
    plugin: PathLike | None = None,
    lock: PathLike | None = None,
    machine: Machine | None = None,
) -> Report:
    """Check this machine for the lessons.

    Every check is on its own: one that fails itself becomes a FAIL, and what could crash runs in another process.

    Args:
        lessons: names such as "04_modelopt_ptq"; None for all.
        root: the repository.
        tier: "cpu" or "gpu"; None for "gpu" where a driver is found, else "cpu".
        plugin: plugin library; None for the one built in plugins/build.
        lock: lock file; None for the tier's.
        machine: a Machine to look at; None for this one.

    Returns:
        Report, a list of Check.

    Raises:
        BadInput: the tier or a lesson is unknown, or `lock` is not a lock file.
    """
    machine = dataclasses.replace(machine or Machine(root=Path(root)), deadline=time.monotonic() + BUDGET)
    names = _lessons(machine, lessons)
    if tier not in (None, *TIERS):
        raise BadInput("tier", repr(tier), " or ".join(map(repr, TIERS)), "python -m helpers doctor --tier cpu")
    if lock is not None:
        _require_lock(Path(lock))
    driver, modules = _probed(machine)
    tier = tier or ("cpu" if "absent" in driver else "gpu")
    torch, ort = modules.get("torch"), modules.get("onnxruntime")
    needed, capabilities = needs(machine, tier), [found["sm"] for found in driver.get("gpus") or []]
    return _report(
        ("Python", checks.python, machine, needed),
        ("tools", checks.tools, machine),
        ("folders", checks.folders, machine),
        ("driver", gpu.driver, machine, tier, driver, needed),
        ("GPU", gpu.gpus, machine, tier, driver, needed),
        ("CUDA toolkit", gpu.toolkit, machine, tier),
        ("CUDA runtime", gpu.runtime, machine, tier, driver, torch or {}),
        ("torch", packages.torch, machine, tier, torch),
        ("torch kernels", gpu.kernels, machine, tier, driver, torch or {}),
        ("TensorRT", packages.flavors, machine, tier, modules),
        ("TensorRT versions", packages.versions, machine, tier, modules),
        ("ONNX Runtime", packages.onnxruntime, machine, tier, ort),
        ("ModelOpt", packages.modelopt, machine, tier),
        ("plugins", _plugins, machine, tier, plugin, capabilities),
        ("lock", packages.lock, machine, tier, lock and Path(lock)),
        *_resources(machine, names),
        ("MiniDrive", checks.data, machine, names),
        ("checkpoints", checks.checkpoints, machine, names),
    )


def quick(tier: str, machine: Machine | None = None) -> Report:
    """The checks that import nothing and start nothing but nvidia-smi: for the first cell of a lesson."""
    machine = machine or Machine()
    names = _lessons(machine, None)
    return _report(
        ("Python", checks.python, machine),
        ("tools", checks.tools, machine),
        ("folders", checks.folders, machine),
        ("TensorRT", _installed_flavor, machine, tier),
        ("ModelOpt", packages.modelopt, machine, tier),
        ("lock", packages.lock, machine, tier),
        *_resources(machine, names),
        ("MiniDrive", checks.data, machine, names, True),
        ("checkpoints", checks.checkpoints, machine, names),
    )


def summary(tier: str) -> str:
    """The quick checks in one line: how many are OK, and each of the others with its cure."""
    report = quick(tier)
    others = [f"{check.status} {check.topic}: {check.found} → {check.cure}" for check in report if check.status != OK]
    return "; ".join([f"{report.count(OK)} checks OK", *others])


def _probed(machine: Machine) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What the driver says, and each module that is quick to import; each asked in a process of its own."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        driver = pool.submit(machine.probe, "driver")
        modules = {name: pool.submit(machine.probe, "package", name) for name in packages.probed_packages(machine)}
    return driver.result(), {name: future.result() for name, future in modules.items()}


def _resources(machine: Machine, lessons: list[str]) -> list[Visit]:
    return [("memory", checks.memory, machine, lessons), ("disk", checks.disk, machine, lessons)]


def _installed_flavor(machine: Machine, tier: str) -> Check:
    name = packages.NEEDED[tier]
    if machine.module(name):
        return Check("TensorRT", OK, name)
    return Check("TensorRT", FAIL, f"{name} is not installed", setup(machine, tier))


def _plugins(machine: Machine, tier: str, plugin: PathLike | None, capabilities: list[str]) -> list[Check]:
    path = find(out=machine.root / "plugins/build") if plugin is None else Path(plugin)
    return plugins.library(machine, tier, path, capabilities)


def _report(*visits: Visit) -> Report:
    """The Checks of all visits; an exception inside one becomes a FAIL that names it."""
    return Report(check for topic, function, *arguments in visits for check in _safely(topic, function, *arguments))


def _safely(topic: str, function: Callable[..., Check | list[Check]], *arguments: Any) -> list[Check]:
    try:
        found = function(*arguments)
    except Exception as error:  # whatever it is: the other checks go on
        said = f"the check itself failed: {type(error).__name__}: {error}".splitlines()[0]
        return [Check(topic, FAIL, said, "python -m helpers explain   # paste the message; or report it")]
    return found if isinstance(found, list) else [found]


def _lessons(machine: Machine, names: str | Iterable[str] | None) -> list[str]:
    """Names of lessons, checked against the notebooks that are there and those that the table knows."""
    there = {path.stem: None for path in sorted((machine.root / "notebooks").glob("[0-9]*.ipynb"))}
    there |= {path.stem: None for path in sorted((machine.root / "notebooks/systems").glob("*.ipynb"))}
    if names is None:
        return list(there)
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in there and name not in checks.LESSONS:
            raise BadInput("lesson", repr(name), ", ".join(there), "correct the name")
    return wanted


def _require_lock(path: Path) -> None:
    expected, fix = "a lock file, such as requirements/cpu.txt", "correct it, or leave --lock out"
    if not as_path(path).is_file():
        found = found_at(path)
    elif path.stat().st_size > MOST:
        found = f"{path.stat().st_size:,} bytes"
    elif (held := kind_of(path)) not in ("text", ""):  # letters beyond ASCII are of no kind
        found = held
    else:
        with foreign(path, expected, fix):
            if pins(path):
                return
        found = "no line PACKAGE==VERSION in it"
    raise BadInput(path, found, expected, fix)
