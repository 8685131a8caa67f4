"""The doctor: checks a machine for the lessons and names the cure of every fault."""

import argparse
import dataclasses
import functools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers.environment.doctor import checks
from helpers.environment.doctor import gpu as checks_gpu
from helpers.environment.doctor import packages as checks_packages
from helpers.environment.doctor import plugins as checks_plugins
from helpers.environment.doctor.checks import FAIL, OK, WARN, Check
from helpers.environment.doctor.machine import Machine
from helpers.environment.start import TIERS
from helpers.environment.tiers import needs, pins, setup
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.ops.library import find

BUDGET = 9.0  # seconds for all tools and probes together
COLOURS = {OK: "#009E73", WARN: "#E69F00", FAIL: "#D55E00"}


class Report(list):
    """The Checks of one visit; in a notebook, a table."""

    def count(self, status):
        """How many have this status."""
        return sum(check.status == status for check in self)

    def _repr_html_(self):
        from helpers.display import table

        rows = [{"": check.status, "what": check.topic, "found": check.found, "cure": check.cure} for check in self]
        page = table(rows, caption=f"Doctor: {self}").data
        for status, colour in COLOURS.items():
            page = page.replace(f">{status}<", f"><b style='color:{colour}'>{status}</b><")
        return page

    def __str__(self):
        return ", ".join(f"{self.count(status)} {status}" for status in (OK, WARN, FAIL))


def examine(lessons=None, root=ROOT, tier=None, plugin=None, lock=None, machine=None):
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
    lessons = _lessons(machine, lessons)
    if tier not in (None, *TIERS):
        raise BadInput("tier", repr(tier), " or ".join(map(repr, TIERS)), "python -m helpers doctor --tier cpu")
    if lock is not None:
        _require_lock(Path(lock))
    modules = checks_packages.probed_packages(machine)
    with ThreadPoolExecutor(max_workers=8) as pool:
        driver = pool.submit(machine.probe, "driver")
        packages = {name: pool.submit(machine.probe, "package", name) for name in modules}
    probed, packages = driver.result(), {name: future.result() for name, future in packages.items()}
    tier = tier or ("cpu" if "absent" in probed else "gpu")
    torch, capabilities = packages.get("torch"), [gpu["sm"] for gpu in probed.get("gpus") or []]
    gpu, wheels, needed = checks_gpu, checks_packages, needs(machine, tier)
    visits = [
        ("Python", checks.python, machine, needed),
        ("tools", checks.tools, machine),
        ("folders", checks.folders, machine),
        ("driver", gpu.driver, machine, tier, probed, needed),
        ("GPU", gpu.gpus, machine, tier, probed, needed),
        ("CUDA toolkit", gpu.toolkit, machine, tier),
        ("CUDA runtime", gpu.runtime, machine, tier, probed, torch or {}),
        ("torch", wheels.torch, machine, tier, torch),
        ("torch kernels", gpu.kernels, machine, tier, probed, torch or {}),
        ("TensorRT", wheels.flavours, machine, tier, packages),
        ("TensorRT versions", wheels.versions, machine, tier, packages),
        ("ONNX Runtime", wheels.onnxruntime, machine, tier, packages.get("onnxruntime")),
        ("ModelOpt", wheels.modelopt, machine, tier),
        ("plugins", _plugins, machine, tier, plugin, capabilities),
        ("lock", wheels.lock, machine, tier, lock and Path(lock)),
        ("memory", checks.memory, machine, lessons),
        ("disk", checks.disk, machine, lessons),
        ("MiniDrive", checks.data, machine, lessons),
        ("checkpoints", checks.checkpoints, machine, lessons),
    ]
    return Report(check for topic, function, *arguments in visits for check in _safely(topic, function, *arguments))


def quick(tier, machine=None):
    """The checks that import nothing and start nothing but nvidia-smi, as a Report: for the first cell of a lesson."""
    machine = machine or Machine()
    lessons = _lessons(machine, None)
    visits = [
        ("Python", checks.python, machine),
        ("tools", checks.tools, machine),
        ("folders", checks.folders, machine),
        ("TensorRT", _installed_flavour, machine, tier),
        ("ModelOpt", checks_packages.modelopt, machine, tier),
        ("lock", checks_packages.lock, machine, tier),
        ("memory", checks.memory, machine, lessons),
        ("disk", checks.disk, machine, lessons),
        ("MiniDrive", functools.partial(checks.data, quick=True), machine, lessons),
        ("checkpoints", checks.checkpoints, machine, lessons),
    ]
    return Report(check for topic, function, *arguments in visits for check in _safely(topic, function, *arguments))


def summary(tier):
    """The quick checks in one line: how many are OK, and each of the others with its cure."""
    report = quick(tier)
    others = [f"{check.status} {check.topic}: {check.found} → {check.cure}" for check in report if check.status != OK]
    return "; ".join([f"{report.count(OK)} checks OK", *others])


def _installed_flavour(machine, tier):
    name = checks_packages.NEEDED[tier]
    if machine.module(name):
        return Check("TensorRT", OK, name)
    return Check("TensorRT", FAIL, f"{name} is not installed", setup(machine, tier))


def _plugins(machine, tier, plugin, capabilities):
    path = find(out=machine.root / "plugins/build") if plugin is None else Path(plugin)
    return checks_plugins.library(machine, tier, path, capabilities)


def _safely(topic, function, *arguments):
    """The Checks of one function, as a list; an exception inside it becomes a FAIL that names it."""
    try:
        found = function(*arguments)
    except Exception as error:  # whatever it is: the other checks go on
        said = f"the check itself failed: {type(error).__name__}: {error}".splitlines()[0]
        return [Check(topic, FAIL, said, "python -m helpers explain   # paste the message; or report it")]
    return found if isinstance(found, list) else [found]


def _lessons(machine, names):
    """Names of lessons, checked against the notebooks that are there and those that the table knows."""
    there = {path.stem: None for path in sorted((machine.root / "notebooks").glob("[0-9]*.ipynb"))}
    there |= {path.stem: None for path in sorted((machine.root / "notebooks/systems").glob("*.ipynb"))}
    if names is None:
        return list(there)
    for name in [names] if isinstance(names, str) else names:
        if name not in there and name not in checks.LESSONS:
            raise BadInput("lesson", repr(name), ", ".join(there), "correct the name")
    return [names] if isinstance(names, str) else list(names)


def _require_lock(path):
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
    elif not pins(path):
        found = "no line PACKAGE==VERSION in it"
    else:
        return
    raise BadInput(path, found, "a lock file, such as requirements/cpu.txt", "correct it, or leave --lock out")


def text(report, seconds=None):
    """The report as text: a line for each check, the cure below what is not OK, and a summary."""
    width = max(len(check.topic) for check in report)
    lines = []
    for check in report:
        lines.append(f"{check.status:<4}  {check.topic:<{width}}  {check.found}")
        if check.status != OK:
            lines.append(f"{'':<6}{'':<{width}}  cure: {check.cure}")
    return "\n".join([*lines, "", f"{report}" + (f" in {seconds:.1f} s" if seconds is not None else "")])


def main(argv):
    """`python -m helpers doctor`: 0 if nothing fails, 1 if something does, 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers doctor",
        description="Check this machine for the lessons; every fault comes with its cure.",
    )
    parser.add_argument("lessons", nargs="*", help="names such as 04_modelopt_ptq (default: all)")
    parser.add_argument("--tier", choices=TIERS, help="default: gpu if an NVIDIA driver is found, else cpu")
    parser.add_argument("--plugin", metavar="FILE", help="plugin library (default: the one in plugins/build)")
    parser.add_argument("--lock", metavar="FILE", help="lock to compare with (default: the tier's in requirements/)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the details")
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    report = examine(arguments.lessons or None, tier=arguments.tier, plugin=arguments.plugin, lock=arguments.lock)
    seconds = time.monotonic() - started
    if arguments.json:
        counts = {status: report.count(status) for status in (OK, WARN, FAIL)}
        checks_found = [dataclasses.asdict(check) for check in report]
        json.dump({"counts": counts, "seconds": round(seconds, 2), "checks": checks_found}, sys.stdout, indent=2)
        print()
    else:
        print(text(report, seconds))
    return 1 if report.count(FAIL) else 0
