"""The doctor's checks of the plugin library: found, built for this machine, loadable, creators registered."""

import re
from collections.abc import Collection
from pathlib import Path

from helpers.arguments import typed
from helpers.environment.doctor import elf
from helpers.environment.doctor.gpu import runs_on
from helpers.environment.doctor.report import FAIL, OK, WARN, Check
from helpers.environment.machine import Machine
from helpers.environment.tiers import bringing, of_tensorrt, setup
from helpers.errors import BadInput
from helpers.ops.library import LARGEST
from helpers.ops.library import MAKE as BUILD


@typed
def library(machine: Machine, tier: str, path: Path | None, gpus: Collection[str]) -> list[Check]:
    """Checks of the library at `path` (None: none found) for GPUs of the compute capabilities `gpus`."""
    if path is None:
        if tier == "cpu":
            return [Check("plugins", OK, "no library: the cpu tier takes the operators' definitions in the graph")]
        return [Check("plugins", WARN, "no library in plugins/build", BUILD)]
    if not path.is_file():
        return [Check("plugins", FAIL, f"{path}: no such file", f"ls plugins/build/*.so || ({BUILD})")]
    if path.stat().st_size > LARGEST:
        return [Check("plugins", FAIL, f"{path.name}: {path.stat().st_size:,} bytes", BUILD)]
    try:
        described = elf.read(path)
    except BadInput as error:
        return [Check("plugins", FAIL, f"{path.name}: {error.found}", BUILD)]
    if described.machine != machine.architecture:
        cure = f"file {path} && uname -m   # copy it to the target, or build it here: {BUILD}"
        found = f"{path.name} is built for {described.machine}, this machine is {machine.architecture}"
        details = "The loader calls such a file missing: cannot open shared object file."
        return [Check("plugins", FAIL, found, cure, details)]
    loaded, creators = _loading(machine, tier, path)
    return [_tensorrt(machine, path, described), _kernels(path, described, gpus), loaded, creators]


def _tensorrt(machine, path, described):
    wanted = {
        int(match[1]) for name in described.needed if (match := re.match(r"libnvinfer(?:_plugin)?\.so\.(\d+)", name))
    }
    version = machine.version(*bringing(machine, "tensorrt"))
    majors = {int(version.split(".")[0])} if version else set(machine.libraries("libnvinfer").values())
    text = f"{path.name} is linked against TensorRT {', '.join(map(str, sorted(wanted)))}"
    if not wanted:
        return Check("plugins: TensorRT", OK, f"{path.name} names no version of libnvinfer")
    if not majors:
        cure = setup(machine, "gpu", of_tensorrt(max(wanted)))
        return Check("plugins: TensorRT", WARN, f"{text}; not compared: no TensorRT", cure)
    if not wanted <= majors:
        cure = f"rm -r plugins/build && {BUILD}"
        return Check("plugins: TensorRT", FAIL, f"{text}; installed is {', '.join(map(str, sorted(majors)))}", cure)
    return Check("plugins: TensorRT", OK, text)


def _kernels(path, described, gpus):
    cubins, ptx = described.cubins, described.ptx
    text = ", ".join([*(f"SM {sm}" for sm in sorted(cubins)), *(f"PTX {sm}" for sm in sorted(ptx))])
    if not cubins and not ptx:
        return Check("plugins: kernels", WARN, f"{path.name} holds no CUDA kernels that could be read",
                     f"cuobjdump --list-elf {path}")  # fmt: skip
    wrong = [sm for sm in sorted(gpus) if not runs_on(sm, cubins, ptx)]
    if wrong:
        cure = f"{BUILD} ARCH=sm_{wrong[0].replace('.', '')}"
        return Check("plugins: kernels", FAIL, f"{path.name} holds {text}; the GPU is SM {wrong[0]}", cure)
    return Check("plugins: kernels", OK, text if gpus else f"{text}; no GPU to compare with")


def _loading(machine, tier, path):
    """(Check that the library loads, Check of its creators)."""
    probe = machine.probe("library", path.resolve())
    if "error" in probe:
        failed = Check("plugins: loading", FAIL, f"loading {path.name} ends the process: {probe['error']}", BUILD,
                       probe.get("log", ""))  # fmt: skip
        return failed, Check("plugins: creators", WARN, "not checked: the library does not load", BUILD)
    if "refused" in probe:
        missing = _missing(machine, path, probe["refused"])
        found = f"{path.name} does not load: {'not found: ' + ', '.join(missing) if missing else probe['refused']}"
        gpu_only = missing and all(name.startswith(("libcuda.so", "libnvinfer")) for name in missing)
        status = WARN if gpu_only and tier == "cpu" else FAIL  # no lesson of the cpu tier loads it
        cure = _cure(machine, missing, path)
        failed = Check("plugins: loading", status, found, cure, probe["refused"])
        return failed, Check("plugins: creators", WARN, "not checked: the library does not load", cure)
    loaded = Check("plugins: loading", OK, f"{path.name} loads")
    if not probe["tensorrt"]:
        return loaded, Check("plugins: creators", WARN, "not checked: no TensorRT", setup(machine, "gpu"))
    if not probe["creators"]:
        cure = "grep -rn REGISTER_TENSORRT_PLUGIN plugins   # each creator needs it, in a file that is linked"
        return loaded, Check("plugins: creators", FAIL, f"{path.name} registers none", cure)
    names = probe["creators"]
    return loaded, Check("plugins: creators", OK, f"{len(names)} registered", details="\n".join(names))


def _missing(machine, path, refused):
    """Libraries that `path` needs and the loader does not find, by ldd, else the one that the loader named."""
    listed = re.findall(r"^\s*(\S+) => not found", machine.run("ldd", str(path))[1], re.MULTILINE)
    first = re.match(r"(\S+): cannot open shared object file", refused)
    return listed or ([first[1]] if first and first[1] != str(path.resolve()) else [])


def _cure(machine, missing, path):
    if wanted := [re.sub(r".*\.so\.?", "", name) for name in missing if name.startswith("libnvinfer")]:
        folder = "export LD_LIBRARY_PATH=/path/to/TensorRT/lib:$LD_LIBRARY_PATH"
        if wanted[0] and not of_tensorrt(wanted[0]):
            return f"{BUILD}   # no tier has TensorRT {wanted[0]}; where it is installed: {folder}"
        return f"{setup(machine, 'gpu', of_tensorrt(wanted[0]))}; or: {folder}"
    if any(name.startswith("libcuda.so") for name in missing):
        return "run it on a machine with the NVIDIA driver"
    if missing:
        return f"export LD_LIBRARY_PATH=/folder/of/{missing[0]}:$LD_LIBRARY_PATH"
    return f"ldd -r {path} | grep undefined   # then build it again: {BUILD}"
