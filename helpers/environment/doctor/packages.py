"""The doctor's checks of packages: TensorRT in its flavors, torch, ONNX Runtime, ModelOpt, and the lock."""

import re
from pathlib import Path
from typing import Any

from helpers.environment.doctor.report import FAIL, OK, WARN, Check, counted
from helpers.environment.machine import Machine, normalized
from helpers.environment.messages import explain
from helpers.environment.tiers import bringing, lock_file, locked, of_tensorrt, pins, setup

FLAVORS = ("tensorrt", "tensorrt_rtx", "tensorrt_lean", "tensorrt_dispatch", "tensorrt_llm")
NEEDED = {"cpu": "tensorrt_rtx", "gpu": "tensorrt"}
INDEX = "--extra-index-url https://pypi.nvidia.com"
SLOW = "tensorrt_llm"  # importing it takes longer than the doctor may
LOOKS = (
    "$ ldconfig",
    "$ ls",
    "$ file",
    "$ nvidia-smi",
    "$ python -",
    "$ grep",
    "$ ldd",
    "$ head",
    "$ cat",
    "$ df",
    "$ pip download",
    "$ pip list",
)
PLACEHOLDER = re.compile(r"\b(?:PACKAGE|VERSION|FILE|DIR|SYMBOL|REGEX)\b|X\.Y|g\+\+-N|\.\.\.")


def probed_packages(machine: Machine) -> list[str]:
    """Modules that are there and quick to import: what `tensorrt` checks ask of probes.py."""
    return [name for name in (*FLAVORS, "onnxruntime", "torch") if name != SLOW and machine.module(name)]


def flavors(machine: Machine, tier: str, probes: dict[str, Any]) -> list[Check]:
    """One Check for each flavor of TensorRT that is there, and for the one that the tier needs."""
    return [
        _flavor(machine, tier, name, probes.get(name))
        for name in FLAVORS
        if name == NEEDED[tier] or machine.module(name) or bringing(machine, name)
    ]


def _flavor(machine, tier, name, probe):
    topic, distribution = name.replace("_", "-"), bringing(machine, name)
    version = machine.version(*distribution[:1])
    if not machine.module(name):
        if not distribution:
            return Check(topic, FAIL, "not installed", setup(machine, tier))
        found = f"{distribution[0]} {version} is a stub: its metadata is there, the module is not"
        return Check(topic, FAIL, found, _reinstall(machine, distribution, topic))
    if name == SLOW:
        return Check(topic, OK, f"{version or 'version unknown'} (found, not imported: that takes long)")
    if "slow" in probe:
        return _slow(topic, name, version, probe)
    if "error" in probe:
        status = FAIL if name == NEEDED[tier] else WARN
        if re.search(r"No module named '\w*tensorrt\w*(?:bindings|libs)'", probe["error"]):
            found = f"{version or ''} is a stub wheel: {probe['error']}".strip()
            return Check(topic, status, found, _reinstall(machine, distribution, topic), probe.get("log", ""))
        return Check(
            topic,
            status,
            f"cannot be imported: {probe['error']}",
            _cure(machine, probe, setup(machine, tier)),
            probe.get("log", ""),
        )
    found = f"{probe['version']} from {origin(machine, probe['file'])}"
    return Check(topic, OK, found, details="\n".join(probe["libraries"]))


def _reinstall(machine, distributions, topic):
    """How to get a flavor whole: TensorRT-LLM by its tier, the others in the version locked or else installed."""
    if topic == "tensorrt-llm":
        return setup(machine, "gpu", "trtllm")
    name = distributions[0] if distributions else topic
    version = locked(name) or machine.version(name)
    pinned = f"{name}=={version}" if version else name
    return f"{machine.pip} install --force-reinstall --no-cache-dir {INDEX} {pinned}"


def origin(machine: Machine, path: str | None) -> str:
    """Where a module comes from, in words: a wheel, the container's or the system's packages."""
    folder = Path(path or ".").parent
    shown = folder.relative_to(machine.root) if folder.is_relative_to(machine.root) else folder
    if "site-packages" in folder.parts:
        return f"a wheel ({shown})"
    if "dist-packages" in folder.parts:
        return f"the system or a container ({shown})"
    return str(shown)


def versions(machine: Machine, tier: str, probes: dict[str, Any]) -> Check:
    """Several TensorRT at once: two distributions of one module, or a system library of another version."""
    for name in FLAVORS:
        bring = {distribution: machine.distributions[distribution][0] for distribution in bringing(machine, name)}
        numbers = {version.rsplit(".post")[0] for version in bring.values()}
        if len(numbers) > 1 or sum("-cu" in distribution for distribution in bring) > 1:
            cure = f"{machine.pip} uninstall -y {' '.join(bring)} && {setup(machine, tier)}"
            text = ", ".join(f"{distribution} {version}" for distribution, version in bring.items())
            return Check("TensorRT versions", FAIL, f"several bring {name}: {text}", cure)
    version = (probes.get("tensorrt") or {}).get("version") or machine.version(*bringing(machine, "tensorrt"))
    libraries = machine.libraries("libnvinfer")
    others = {path: major for path, major in libraries.items() if version and str(major) != version.split(".")[0]}
    if others:
        path, major = next(iter(others.items()))
        found = f"Python has {version}, the loader also finds libnvinfer.so.{major} ({path})"
        return Check(
            "TensorRT versions", WARN, found, "echo $LD_LIBRARY_PATH   # take the other one's folder out of it"
        )
    if libraries and not version:
        found = f"libraries without Python: {', '.join(libraries)}"
        cure = "" if tier == "cpu" else setup(machine, "gpu", of_tensorrt(next(iter(libraries.values()))))
        return Check("TensorRT versions", OK if tier == "cpu" else WARN, found, cure)
    return Check("TensorRT versions", OK, "one" if version or machine.module("tensorrt_rtx") else "none")


def torch(machine: Machine, tier: str, probe: dict[str, Any] | None) -> Check:
    """torch: there, importable, and the build that the tier needs."""
    version, index = machine.version("torch"), "https://download.pytorch.org/whl/"
    if version is None or probe is None:
        return Check("torch", FAIL, "not installed", setup(machine, tier))
    if "slow" in probe:
        return _slow("torch", "torch", version, probe)
    if "error" in probe:
        cure = _cure(machine, probe, setup(machine, tier))
        return Check("torch", FAIL, f"{version}: {probe['error']}", cure, probe.get("log", ""))
    build = f"CUDA {probe['cuda']} build" if probe.get("cuda") else "CPU build"
    if tier == "gpu" and not probe.get("cuda"):
        cure = f"{machine.pip} install --force-reinstall torch --index-url {index}cu128"
        cure = setup(machine, "gpu") if machine.pip.startswith(".venv/") else cure  # .venv stays as its lock says
        return Check("torch", FAIL, f"{version}, a CPU build: it does not see the GPU", cure)
    if tier == "cpu" and probe.get("cuda"):
        cure = f"{machine.pip} install --force-reinstall --no-deps torch=={locked('torch')} --index-url {index}cpu"
        return Check("torch", WARN, f"{version}, a {build}: works, but is 4 GB larger than the CPU build", cure)
    return Check("torch", OK, f"{version}, {build}")


def onnxruntime(machine: Machine, tier: str, probe: dict[str, Any] | None) -> Check:
    """ONNX Runtime: one package of it, and the providers that the tier needs."""
    installed = [
        name for name in machine.distributions if re.fullmatch(r"onnxruntime(-gpu|-directml|-openvino)?", name)
    ]
    pin = locked("onnxruntime")  # onnxruntime-gpu is released under the same numbers
    wanted = "onnxruntime-gpu" if "onnxruntime-gpu" in installed and tier == "gpu" else "onnxruntime"
    if not installed:
        return Check("ONNX Runtime", FAIL, "not installed", setup(machine, tier))
    if len(installed) > 1:
        cure = f"{machine.pip} uninstall -y {' '.join(installed)} && {machine.pip} install {wanted}=={pin}"
        found = f"{' and '.join(installed)}: they overwrite each other's files"
        return Check("ONNX Runtime", FAIL if tier == "gpu" else WARN, found, cure)
    if probe and "slow" in probe:
        return _slow("ONNX Runtime", "onnxruntime", machine.version(installed[0]), probe)
    if probe is None or "error" in probe:
        error = (probe or {}).get("error", "its metadata is there, the module is not")
        cure = f"{machine.pip} install --force-reinstall --no-deps {installed[0]}=={pin}"
        return Check("ONNX Runtime", FAIL, error, _cure(machine, probe or {}, cure), (probe or {}).get("log", ""))
    providers = [name.removesuffix("ExecutionProvider") for name in probe["providers"]]
    found = f"{installed[0]} {probe['version']}: {', '.join(providers)}"
    if installed[0] == "onnxruntime-gpu" and "CUDA" not in providers:
        cure = f"{machine.pip} install 'onnxruntime-gpu[cuda,cudnn]=={pin}'"
        return Check("ONNX Runtime", FAIL if tier == "gpu" else WARN, f"{found}: no CUDA", cure)
    return Check("ONNX Runtime", OK, found)


def modelopt(machine: Machine, tier: str) -> Check:
    """ModelOpt: there, with the packages that its ONNX quantizer imports. It is not imported: that takes long."""
    version = machine.version("nvidia-modelopt")
    if version is None or not machine.module("modelopt"):
        return Check(
            "ModelOpt", FAIL, "not installed" if version is None else "only its metadata is there", setup(machine, tier)
        )
    needed = ("onnx", "onnx-graphsurgeon", "onnxslim", "polygraphy", "onnxconverter-common", "ml-dtypes", "lief")
    missing = [name for name in needed if machine.version(name) is None]
    if missing:
        return Check("ModelOpt", FAIL, f"{version}, but without {', '.join(missing)}", setup(machine, tier))
    return Check("ModelOpt", OK, version)


def lock(machine: Machine, tier: str, path: Path | None = None) -> Check:
    """Installed packages against the lock of the tier."""
    path = path or lock_file(machine, tier)
    if path is None or not path.is_file() or not pins(path):
        cure = "git status requirements   # git restore requirements brings a deleted one back"
        return Check("lock", WARN, f"no lock for the {tier} tier in requirements/", cure)
    name = path.relative_to(machine.root) if path.is_relative_to(machine.root) else path
    found = [(package, pin, machine.version(normalized(package))) for package, pin in pins(path)]
    drift = [(package, pin, have) for package, pin, have in found if have != pin]
    if not drift:
        return Check("lock", OK, f"{counted(len(found), 'package')} as in {name}")
    details = "\n".join(f"{package}: locked {pin}, found {have or 'nothing'}" for package, pin, have in drift)
    first = ", ".join(f"{package} {have or 'missing'} (locked {pin})" for package, pin, have in drift[:2])
    more = f" and {len(drift) - 2} more" if len(drift) > 2 else ""
    cure = setup(machine, tier, path.stem) if tier == "gpu" else "rm -f .venv/installed-from && make setup"
    status = FAIL if any(have is None for *_, have in drift) else WARN
    return Check("lock", status, f"{len(drift)} of {len(found)} differ from {name}: {first}{more}", cure, details)


def _slow(topic, module, version, probe):
    cure = f"python -c 'import {module}'   # the first import reads from the disk; then the doctor again"
    return Check(topic, WARN, f"{version or ''} not checked: {probe['error']}".strip(), cure)


def _cure(machine, probe, otherwise):
    """The first command known against the error that can be run as it is and does more than look, else `otherwise`."""
    for found in explain(probe.get("log") or probe.get("error", "")):
        for step in found.cure if not found.general else ():
            if step.startswith("$ ") and not step.startswith(LOOKS) and not PLACEHOLDER.search(step):
                return re.sub(r"(^|&& )pip ", rf"\g<1>{machine.pip} ", step[2:])
    return otherwise
