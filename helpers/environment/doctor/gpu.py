"""The doctor's checks of the GPU: driver, GPUs, CUDA toolkit, and whether the driver runs the CUDA at hand."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from helpers.environment.doctor.report import FAIL, OK, WARN, Check
from helpers.environment.machine import Machine
from helpers.environment.tiers import of_capability, of_cuda, setup
from helpers.ops import compiler

NO_DRIVER = "sudo ubuntu-drivers install   # in a container: docker run --gpus all; WSL2: NVIDIA's driver for Windows"
CPU_TIER = "on a machine without a GPU: python -m helpers doctor --tier cpu"


def driver(machine: Machine, tier: str, probed: dict[str, Any], needs: dict[str, Any] | None = None) -> Check:
    """The driver, the newest CUDA that it runs, and whether it is new enough for what the tier `needs`."""
    if "absent" in probed:
        if machine.which("nvidia-smi") is not None:
            found = "nvidia-smi is there, but libcuda.so.1 is not: " + probed["absent"]
            return Check("driver", FAIL, found, "sudo ldconfig && ldconfig -p | grep libcuda")
        if tier == "cpu":
            return Check("driver", OK, "no NVIDIA driver: none is needed in the cpu tier")
        return Check("driver", FAIL, "no NVIDIA driver (libcuda.so.1 is not found)", NO_DRIVER, CPU_TIER)
    if "error" in probed:
        return Check("driver", FAIL, f"libcuda.so.1 fails: {probed['error']}", "sudo reboot   # then: nvidia-smi")
    code, version = probed["code"], _cuda(probed["cuda"])
    status, output, errors = machine.nvidia_smi
    number = output.strip().splitlines()[0] if status == 0 and output.strip() else None
    if code:
        cure = "sudo reboot" if code in (803, 999) else "nvidia-smi   # says which process or permission is in the way"
        return Check("driver", FAIL if tier == "gpu" else WARN, f"the driver refuses: CUDA error {code}", cure)
    if number is None and machine.which("nvidia-smi") is not None:
        said = ((output + errors).strip().splitlines() or ["no answer"])[0]
        return Check(
            "driver", WARN, f"runs CUDA {version}, but nvidia-smi fails: {said}", "sudo reboot   # then: nvidia-smi"
        )
    least = (needs or {}).get("driver", 0)
    if number and number.split(".")[0].isdigit() and int(number.split(".")[0]) < least:
        found = f"{number}, runs CUDA up to {version}; the tier needs {least} or later"
        return Check("driver", FAIL, found, f"sudo apt-get install -y nvidia-driver-{least} && sudo reboot")
    return Check("driver", OK, f"{number or 'version unknown'}, runs CUDA up to {version}")


def gpus(machine: Machine, tier: str, probed: dict[str, Any], needs: dict[str, Any] | None = None) -> Check:
    """The GPUs: name, compute capability, memory; whether the tier `needs` others."""
    found = probed.get("gpus") or []
    if not found:
        if tier == "cpu":
            return Check("GPU", OK, "none: none is needed in the cpu tier")
        cure = "nvidia-smi   # a container needs: docker run --gpus all; CUDA_VISIBLE_DEVICES must not be empty"
        return Check("GPU", FAIL, "none", cure, CPU_TIER)
    lines = [f"{gpu['name']}, SM {gpu['sm']}, {gpu['memory'] / 2**30:.0f} GiB" for gpu in found]
    least, most = (needs or {}).get("sm", "7.5"), (needs or {}).get("sm_most", "99.0")
    if wrong := [gpu["sm"] for gpu in found if not _pair(least) <= _pair(gpu["sm"]) <= _pair(most)]:
        older = _pair(wrong[0]) < _pair(least)
        said = f"{lines[0]}; SM {wrong[0]} is {'below ' + least if older else 'above ' + most}, which the tier needs"
        name = of_capability(wrong[0])
        cure = setup(machine, "gpu", name) if name else "take another GPU: no tier runs on this one"
        return Check("GPU", FAIL, said, cure, CPU_TIER)
    return Check("GPU", OK, "; ".join(lines))


def toolkit(machine: Machine, tier: str) -> Check:
    """nvcc, the CUDA compiler: needed for plugins only."""
    candidates = [machine.which("nvcc"), compiler.program("nvcc", machine.environ, machine.paths)]
    for program in candidates:
        if program and Path(program).is_file():
            code, output, errors = machine.run(str(program), "--version")
            if match := re.search(r"release (\d+\.\d+)", output):
                return Check("CUDA toolkit", OK, f"nvcc {match[1]} ({program})")
            found = f"{program} does not work: {(errors or output).strip() or f'exit code {code}'}"
            return Check(
                "CUDA toolkit", WARN, found, "conda install -c conda-forge cuda-toolkit", "needed to compile plugins"
            )
    if tier == "cpu":
        return Check("CUDA toolkit", OK, "no nvcc: it is needed to compile plugins only")
    cure = "sudo apt-get install -y nvidia-cuda-toolkit   # or: export PATH=/usr/local/cuda/bin:$PATH"
    return Check("CUDA toolkit", WARN, "no nvcc: plugins cannot be compiled", cure)


def runtime(machine: Machine, tier: str, probed: dict[str, Any], torch: dict[str, Any]) -> Check:
    """Whether the driver runs the CUDA of torch, TensorRT and the CUDA wheels."""
    runtimes = _runtimes(machine, torch, tier)
    if not runtimes:
        return Check("CUDA runtime", OK if tier == "cpu" else WARN, "none that models run on: torch is a CPU build",
                     "" if tier == "cpu" else setup(machine, "gpu"))  # fmt: skip
    text = ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in runtimes.items())
    if "cuda" not in probed:
        return Check("CUDA runtime", OK if tier == "cpu" else WARN, f"{text}; not compared: no driver",
                     "" if tier == "cpu" else NO_DRIVER)  # fmt: skip
    have = (probed["cuda"] // 1000, probed["cuda"] % 1000 // 10)
    older = [name for name, version in runtimes.items() if version[0] > have[0]]
    if older:
        cure = "update the driver: sudo ubuntu-drivers install"
        if name := of_cuda(have[0]):
            cure = f"{setup(machine, 'gpu', name)}; or update the driver; the tier's packages end in -cu{have[0]}"
        return Check("CUDA runtime", FAIL, f"{text}; but the driver runs CUDA {_cuda(probed['cuda'])} at most", cure)
    minor = [name for name, version in runtimes.items() if version > have]
    if minor:
        found = f"{text}; newer than the driver's CUDA {_cuda(probed['cuda'])}: PTX cannot be compiled at run time"
        return Check("CUDA runtime", WARN, found, "update the driver: sudo ubuntu-drivers install")
    return Check("CUDA runtime", OK, f"{text}; the driver runs CUDA {_cuda(probed['cuda'])}")


def _runtimes(machine, torch, tier):
    """dict of name -> (major, minor) of the CUDA that packages bring or were built for.

    In the CPU tier the runtime of CUDA 13 belongs to the compiler, and nothing runs on it.
    """
    found = {}
    if torch.get("cuda"):
        found["torch"] = tuple(map(int, torch["cuda"].split(".")[:2]))
    for name in (
        "nvidia-cuda-runtime",
        "nvidia-cuda-runtime-cu13",
        "nvidia-cuda-runtime-cu12",
        "nvidia-cuda-runtime-cu11",
    ):
        if (version := machine.version(name)) and (tier, name) != ("cpu", "nvidia-cuda-runtime"):
            found[name] = tuple(map(int, version.split(".")[:2]))
    for name in machine.distributions:
        if match := re.fullmatch(r"tensorrt-cu(\d+)", name):
            found[name] = (int(match[1]), 0)
    return found


def kernels(machine: Machine, tier: str, probed: dict[str, Any], torch: dict[str, Any]) -> Check:
    """Whether torch holds kernels for the GPU."""
    capabilities = {gpu["sm"] for gpu in probed.get("gpus") or []}
    names = torch.get("architectures") or []
    if not capabilities or not names:
        return Check("torch kernels", OK, "not needed: no GPU, or a CPU build of torch")
    cubins = {_capability(name) for name in names if name.startswith("sm_")}
    ptx = {_capability(name) for name in names if name.startswith("compute_")}
    for sm in sorted(capabilities):
        if not runs_on(sm, cubins, ptx):
            cure = f"{machine.pip} install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu128"
            return Check("torch kernels", FAIL, f"none for SM {sm} (built for {', '.join(names)})", cure)
    return Check("torch kernels", OK, f"for SM {', '.join(sorted(capabilities))}")


def runs_on(sm: str, cubins: Collection[str], ptx: Collection[str]) -> bool:
    """Whether machine code (same major, not a later minor) or PTX (any earlier) for these runs on a GPU of `sm`."""
    have = _pair(sm)
    return any(_pair(x)[0] == have[0] and _pair(x) <= have for x in cubins) or any(_pair(x) <= have for x in ptx)


def _capability(name):
    digits = re.sub(r"\D", "", name)
    return f"{digits[:-1]}.{digits[-1]}"


def _pair(sm):
    return tuple(map(int, sm.split(".")))


def _cuda(number):
    return f"{number // 1000}.{number % 1000 // 10}"
