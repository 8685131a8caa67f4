"""The doctor on a healthy set-up, and on broken ones that are really made: folders, packages, libraries, tools."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.environment import doctor as checkup
from helpers.environment import tiers
from helpers.environment.doctor import Report, checks, elf, examine, quick, summary, text
from helpers.environment.doctor import gpu as checks_gpu
from helpers.environment.doctor import packages as checks_packages
from helpers.environment.doctor import plugins as checks_plugins
from helpers.environment.doctor.checks import FAIL, OK, WARN
from helpers.environment.doctor.machine import Machine
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.ops.library import find

H100 = {"cuda": 13000, "code": 0, "gpus": [{"name": "NVIDIA H100", "sm": "9.0", "memory": 80 * 2**30}]}
NONE = {"absent": "libcuda.so.1: cannot open shared object file"}
CPU_TORCH = {"version": "2.13.0+cpu", "cuda": None, "architectures": []}


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


def install(site, name, version, module=None, code=""):
    """A distribution and, unless `module` is None, its module."""
    (site / f"{name.replace('-', '_')}-{version}.dist-info").mkdir()
    if module:
        (site / module).mkdir(exist_ok=True)
        (site / module / "__init__.py").write_text(f"__version__ = {version!r}\n{code}")


def tool(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def compiled(path, source="int unused(void) { return 1; }", *options):
    """A shared library made by gcc; "{path}" in the options stands for its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o", str(path), *options]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def needing(path, soname, source="int unused(void) { return 1; }"):
    """A library linked against `soname`, which is then taken away."""
    other = compiled(path.parent / soname, "int other(void) { return 1; }", f"-Wl,-soname,{soname}")
    compiled(path, source, "-Wl,--no-as-needed", str(other))
    other.unlink()
    return path


def kernels(*architectures, kind=2):
    """C source of a section like those that nvcc writes: one fat binary with an entry for each architecture."""
    entry = ["{k} | (1 << 16)", "64", "8", "0", "0", "0", "0", "{a}", *["0"] * 8, "0", "0"]
    words = [word.format(k=kind, a=a) for a in architectures for word in entry]
    size = 72 * len(architectures)
    header = ["0xBA55ED50", f"1 | ({16} << 16)", str(size), "0"]
    body = ", ".join(header + words)
    return f'__attribute__((section(".nv_fatbin"), used)) static const unsigned fatbin[] = {{{body}}};'


def machine(root=ROOT, packages=(), **changes):
    """A Machine that finds `packages` first, then what is installed here."""
    environ = dict(os.environ) | changes.pop("environ", {})
    paths = (*map(str, packages), *(path for path in sys.path if path))
    return Machine(root=Path(root), environ=environ, **{"paths": paths} | changes)


def only(site, **changes):
    """A Machine that finds nothing but the packages in `site`."""
    return machine(paths=(str(site),), **changes)


# -------------------------------------------------------------------------------------------------------------- healthy


def test_a_healthy_machine_is_all_ok_and_quickly_told(root, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\n")
    here = machine(root, meminfo=str(tmp_path / "meminfo"))
    started = time.monotonic()
    report = examine(tier="cpu", machine=here)
    assert time.monotonic() - started < 10
    assert [check for check in report if check.status != OK] == []
    topics = [check.topic for check in report]
    wanted = {"Python", "driver", "torch", "tensorrt-rtx", "ONNX Runtime", "ModelOpt", "lock", "disk", "MiniDrive"}
    assert wanted | {"checkpoints"} <= set(topics)
    assert all(not check.cure for check in report)


def test_every_line_that_is_not_ok_has_a_cure_in_the_gpu_tier(root, site, tools):
    install(site, "torch", "2.13.0+cpu", "torch", "class version: cuda = None")
    here = only(site, root=root, environ={"PATH": str(tools), "LD_LIBRARY_PATH": ""}, library_folders=())
    bad = {check.topic: check for check in examine(tier="gpu", machine=here) if check.status != OK}
    assert bad["torch"].status == bad["tensorrt"].status == FAIL
    assert bad["tensorrt"].cure.startswith("make gpu") and "whl/cu128" in bad["torch"].cure
    assert all(check.cure for check in bad.values())


def test_an_environment_beside_this_one(root, tmp_path):
    folder = tmp_path / "scratch"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    here = Machine.of_environment(folder, root=root)
    site = next(folder.glob("lib/python3*/site-packages"))
    install(site, "onnxruntime", "1.20.0", "onnxruntime", "raise AttributeError('_ARRAY_API not found')")
    found = {check.topic: check for check in examine(tier="cpu", machine=here)}
    assert found["Python"].status == OK and found["torch"].found == "not installed"
    assert found["ONNX Runtime"].cure == f"{folder}/bin/python -m pip install 'numpy<2'"
    (folder / "bin/python").unlink()
    check = checks.python(Machine.of_environment(folder))
    assert check.status == FAIL and check.found.startswith("unknown")


# ----------------------------------------------------------------------------------------------------------- the system


def test_another_python(monkeypatch):
    monkeypatch.setattr(checks, "PYTHON", "3.99")
    check = checks.python(machine())
    assert check.status == FAIL and "python3.99-venv" in check.cure


def test_missing_tools(tools):
    tool(tools, "git", "")
    check = checks.tools(machine(environ={"PATH": str(tools)}))
    assert (check.status, check.cure) == (FAIL, "sudo apt-get install -y make gcc")


def test_no_folder_for_temporary_files(tmp_path):
    check = checks.folders(machine(temporary=str(tmp_path / "absent")))
    assert check.status == FAIL and check.cure.startswith("export TMPDIR=")


def test_a_locale_without_utf8():
    code = "from helpers.environment.doctor import checks, machine; print(checks.folders(machine.Machine()))"
    environ = dict(os.environ) | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True)
    assert "status='WARN'" in done.stdout and "PYTHONUTF8=1" in done.stdout


@pytest.mark.parametrize(
    ("meminfo", "limit", "status", "cure"),
    [
        ("MemTotal: 2000000 kB\nMemAvailable: 1900000 kB", "max", FAIL, "--memory=8g"),
        ("MemTotal: 16000000 kB\nMemAvailable: 1500000 kB", "max", WARN, "ps aux"),
        ("MemTotal: 16000000 kB\nMemAvailable: 15000000 kB", str(2**30), FAIL, "--memory=8g"),
        ("nothing that is known", "max", WARN, "GiB"),
        ("MemTotal: 16000000 kB\nMemAvailable: 15000000 kB", "max", OK, ""),
    ],
)
def test_memory(tmp_path, meminfo, limit, status, cure):
    (tmp_path / "meminfo").write_text(meminfo)
    (tmp_path / "limit").write_text(limit)
    here = machine(meminfo=str(tmp_path / "meminfo"), cgroup=str(tmp_path / "limit"))
    check = checks.memory(here, ["02_onnx_export_and_inspection", "04_modelopt_ptq"])
    assert check.status == status and cure in check.cure


def test_memory_names_only_the_lessons_that_do_not_fit(tmp_path):
    (tmp_path / "meminfo").write_text(f"MemTotal: {int(3.2 * 2**20)} kB\nMemAvailable: {int(3.1 * 2**20)} kB")
    check = checks.memory(machine(meminfo=str(tmp_path / "meminfo")), ["00_start_here", "04_modelopt_ptq"])
    assert check.status == FAIL and "04_modelopt_ptq" in check.found and "00_start_here" not in check.found


@pytest.mark.parametrize(("free", "status"), [(0.1, FAIL), (0.7, WARN), (50, OK)])
def test_disk(root, free, status, monkeypatch):
    usage = types.SimpleNamespace(free=free * 2**30)
    monkeypatch.setattr("helpers.environment.doctor.machine.shutil.disk_usage", lambda path: usage)
    check = checks.disk(machine(root), ["00_start_here", "04_modelopt_ptq"])
    assert check.status == status and check.cure.startswith("make clean") == (status != OK)


def test_disk_counts_what_is_still_to_be_made(tmp_path):
    details = checks.disk(machine(tmp_path), ["00_start_here"]).details
    assert ".venv: 2.7 GiB" in details and "MiniDrive: 0.3 GiB" in details


@pytest.fixture
def data(root, minidrive):
    """The repository's data as files that a test may break."""
    import shutil

    (root / "data/minidrive").unlink()
    return shutil.copytree(minidrive, root / "data/minidrive", copy_function=os.symlink)


@pytest.mark.parametrize(
    ("damage", "status", "found"),
    [
        (lambda data: data.rename(data.parent / "elsewhere"), FAIL, "not made yet"),
        (lambda data: (data / "minidrive.json").unlink(), FAIL, "incomplete"),
        (lambda data: _rewrite(data / "minidrive.json", "{"), FAIL, "damaged"),
        (lambda data: (data / "v1.0-mini/sample.json").unlink(), FAIL, "tables missing: sample"),
        (lambda data: next((data / "samples/CAM_FRONT").iterdir()).unlink(), FAIL, "1 file missing"),
        (lambda data: _rewrite(data / "minidrive.json", '{"generator": "0"}'), WARN, "another version"),
    ],
)
def test_damaged_data(root, data, damage, status, found):
    assert checks.data(machine(root), ["00_start_here"]).status == OK
    damage(data)
    check = checks.data(machine(root), ["00_start_here"])
    assert check.status == status and found in check.found and "make data" in check.cure


def _rewrite(path, content):
    path.unlink()
    path.write_text(content)


def test_a_lesson_without_data_needs_none(tmp_path):
    for check in (checks.data, checks.checkpoints):
        assert check(machine(tmp_path), ["01_environment_patching"]).status == OK


def test_pointers_in_the_place_of_weights(root):
    def found():
        return next(check for check in quick("cpu", machine(root)) if check.topic == "checkpoints")

    assert (found().status, found().found) == (OK, "weights.safetensors")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12838276\n"
    (root / "checkpoints/published.pth").write_text(pointer)
    check = found()
    assert check.status == FAIL and check.cure.startswith("git lfs pull")
    assert check.found.startswith("published.pth: not weights but a git-lfs pointer")
    for path in (root / "checkpoints").iterdir():
        path.unlink()
    assert (found().status, found().cure) == (FAIL, "git restore checkpoints")


# -------------------------------------------------------------------------------------------------------------- the GPU

FAKE_CUDA = """
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) {{ {init} }}
int cuDriverGetVersion(int* v) {{ *v = {version}; return 0; }}
int cuDeviceGetCount(int* n) {{ *n = {count}; return 0; }}
int cuDeviceGet(int* d, int k) {{ *d = k; return 0; }}
int cuDeviceGetName(char* s, int n, int d) {{ strcpy(s, "NVIDIA L4"); return 0; }}
int cuDeviceGetAttribute(int* v, int a, int d) {{ *v = a == 75 ? 8 : 9; return 0; }}
int cuDeviceTotalMem_v2(size_t* m, int d) {{ *m = 24ul << 30; return 0; }}
"""


def with_driver(tmp_path, init="return 0;", version=12080, count=1, smi=None, **changes):
    """A Machine whose driver is a library made here."""
    compiled(tmp_path / "driver/libcuda.so.1", FAKE_CUDA.format(init=init, version=version, count=count))
    folder = tmp_path / "smi"
    folder.mkdir()
    if smi:
        tool(folder, "nvidia-smi", smi)
    path = f"{folder}:{os.environ['PATH']}"
    return machine(environ={"LD_LIBRARY_PATH": str(tmp_path / "driver"), "PATH": path}, **changes)


def test_a_driver_and_a_gpu(tmp_path):
    here = with_driver(tmp_path, smi="echo 570.86.10")
    probed = here.probe("driver")
    assert probed["gpus"] == [{"name": "NVIDIA L4", "sm": "8.9", "memory": 24 << 30}]
    driver, gpus = checks_gpu.driver(here, "gpu", probed), checks_gpu.gpus(here, "gpu", probed)
    assert (driver.status, driver.found) == (OK, "570.86.10, runs CUDA up to 12.8")
    assert (gpus.status, gpus.found) == (OK, "NVIDIA L4, SM 8.9, 24 GiB")


@pytest.mark.parametrize(
    ("init", "said", "cure"),
    [("return 803;", "CUDA error 803", "reboot"), ("return 100;", "CUDA error 100", "nvidia-smi"),
     ("abort();", "signal 6", "reboot"), ("sleep(9); return 0;", "no answer", "reboot")],
)  # fmt: skip
def test_a_driver_that_refuses_crashes_or_hangs(tmp_path, init, said, cure):
    here = with_driver(tmp_path, init, timeout=1.0)
    check = checks_gpu.driver(here, "gpu", here.probe("driver"))
    assert check.status == FAIL and said in check.found and cure in check.cure


def test_no_driver_is_fine_in_the_cpu_tier_only(tools):
    here = machine(environ={"PATH": str(tools)})
    assert checks_gpu.driver(here, "cpu", NONE).status == checks_gpu.gpus(here, "cpu", NONE).status == OK
    driver, gpus = checks_gpu.driver(here, "gpu", NONE), checks_gpu.gpus(here, "gpu", NONE)
    assert driver.status == gpus.status == FAIL
    assert "docker run --gpus all" in driver.cure and "docker run --gpus all" in gpus.cure


def test_nvidia_smi_without_libcuda_and_the_other_way_round(tmp_path, tools):
    tool(tools, "nvidia-smi", "echo 570.86.10")
    check = checks_gpu.driver(machine(environ={"PATH": str(tools)}), "cpu", NONE)
    assert check.status == FAIL and "ldconfig" in check.cure
    here = with_driver(tmp_path, smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    check = checks_gpu.driver(here, "gpu", here.probe("driver"))
    assert check.status == WARN and "version mismatch" in check.found and "reboot" in check.cure


def test_an_old_gpu():
    old = H100 | {"gpus": [{"name": "V100", "sm": "7.0", "memory": 2**34}]}
    check = checks_gpu.gpus(machine(), "gpu", old)
    assert (
        check.status == FAIL
        and "below 7.5" in check.found
        and check.cure == "take another GPU: no tier runs on this one"
    )
    new = checks_gpu.gpus(
        machine(), "gpu", H100 | {"gpus": [{"name": "X", "sm": "12.0", "memory": 0}]}, {"sm_most": "9.0"}
    )
    assert new.status == FAIL and "above 9.0" in new.found and "TIER=trt10" in new.cure


def test_what_a_tier_needs_of_the_driver(tmp_path, site):
    needs = tiers.needs(only(site), "gpu")
    assert needs["driver"] >= 535 and needs["folder"] == ".venv-gpu"
    here = with_driver(tmp_path, smi="echo 470.57.02")
    check = checks_gpu.driver(here, "gpu", here.probe("driver"), needs)
    assert check.status == FAIL and f"needs {needs['driver']}" in check.found
    assert check.cure.startswith(f"sudo apt-get install -y nvidia-driver-{needs['driver']}")


@pytest.mark.parametrize(
    ("driver", "cuda", "status", "cure"),
    [
        (12080, "13.0", FAIL, "make gpu TIER=trt10 "),
        (11080, "12.8", FAIL, "ubuntu-drivers"),
        (12040, "12.8", WARN, "ubuntu-drivers"),
        (13000, "12.8", OK, ""),
    ],
)
def test_a_driver_older_than_the_cuda_of_torch(site, driver, cuda, status, cure):
    check = checks_gpu.runtime(only(site), "gpu", H100 | {"cuda": driver}, {"cuda": cuda})
    assert check.status == status and cure in check.cure


def test_a_driver_older_than_the_cuda_of_tensorrt(site):
    install(site, "tensorrt-cu13", "11.0.0")
    check = checks_gpu.runtime(only(site), "gpu", H100 | {"cuda": 12080}, {})
    assert check.status == FAIL and "tensorrt-cu13 13.0" in check.found


@pytest.mark.parametrize(
    ("names", "sm", "status"),
    [(["sm_80", "sm_86"], "8.9", OK), (["sm_80", "sm_90"], "12.0", FAIL), (["sm_90", "compute_90"], "12.0", OK),
     (["sm_90a"], "9.0", OK), (["sm_90"], "8.9", FAIL), ([], "8.9", OK)],
)  # fmt: skip
def test_kernels_for_the_gpu(names, sm, status):
    probed = H100 | {"gpus": [{"name": "X", "sm": sm, "memory": 0}]}
    check = checks_gpu.kernels(machine(), "gpu", probed, {"architectures": names})
    assert check.status == status and ("--force-reinstall torch" in check.cure) == (status == FAIL)


def test_a_compiler_that_is_absent_or_broken(tools, tmp_path):
    absent = machine(environ={"PATH": str(tools), "CUDA_HOME": str(tmp_path)})
    assert checks_gpu.toolkit(absent, "cpu").status == OK
    check = checks_gpu.toolkit(absent, "gpu")
    assert check.status == WARN and "cuda-toolkit" in check.cure
    tool(tools, "nvcc", "echo libcudafe.so: cannot open >&2; exit 1")
    check = checks_gpu.toolkit(absent, "cpu")
    assert check.status == WARN and "cannot open" in check.found
    tool(tools, "nvcc", "echo 'Cuda compilation tools, release 12.8, V12.8.61'")
    assert "nvcc 12.8" in checks_gpu.toolkit(absent, "cpu").found


# ------------------------------------------------------------------------------------------------------------- packages


def probes(here):
    return {name: here.probe("package", name) for name in checks_packages.probed_packages(here)}


def flavour(here, tier="gpu"):
    found = checks_packages.flavours(here, tier, probes(here))
    return next(check for check in found if check.topic == checks_packages.NEEDED[tier].replace("_", "-"))


def test_tensorrt_from_a_wheel(site):
    install(site, "tensorrt", "10.3.0", "tensorrt")
    check = flavour(only(site))
    assert check.status == OK and check.found.startswith("10.3.0 from a wheel")


def test_tensorrt_from_a_container(tmp_path):
    folder = tmp_path / "usr/lib/python3/dist-packages"
    folder.mkdir(parents=True)
    install(folder, "tensorrt", "10.3.0", "tensorrt")
    assert "the system or a container" in flavour(only(folder)).found


@pytest.mark.parametrize(
    ("module", "code", "said", "cure"),
    [
        ("tensorrt", "from tensorrt_bindings import *", "stub wheel", "--extra-index-url https://pypi.nvidia.com"),
        (None, "", "the module is not", "--extra-index-url https://pypi.nvidia.com"),
        ("tensorrt", "import ctypes; ctypes.CDLL('libnvinfer.so.10')", "libnvinfer.so.10", "export LD_LIBRARY_PATH="),
        ("tensorrt", "import os; os.abort()", "signal 6", "make gpu"),
        ("tensorrt", "1 / 0", "ZeroDivisionError", "make gpu"),
    ],
)
def test_a_tensorrt_that_cannot_be_imported(site, module, code, said, cure):
    install(site, "tensorrt", "10.3.0", module, code)
    check = flavour(only(site))
    assert check.status == FAIL and said in check.found and cure in check.cure


def test_a_tier_without_its_tensorrt(site):
    for tier, cure in (("cpu", "make setup"), ("gpu", "make gpu")):
        check = flavour(only(site), tier)
        assert (check.status, check.found) == (FAIL, "not installed") and check.cure.startswith(cure)


def test_tensorrt_llm_is_found_and_not_imported(site):
    install(site, "tensorrt-llm", "1.2.1", "tensorrt_llm", "raise SystemExit('imported')")
    found = checks_packages.flavours(only(site), "gpu", probes(only(site)))
    assert [check.status for check in found if check.topic == "tensorrt-llm"] == [OK]


def test_two_tensorrt_in_one_environment(site):
    install(site, "tensorrt-cu12", "10.3.0", "tensorrt")
    assert checks_packages.versions(only(site, library_folders=()), "gpu", {}).status == OK
    install(site, "tensorrt-cu13", "10.3.0")
    check = checks_packages.versions(only(site), "gpu", {})
    assert check.status == FAIL and "uninstall -y tensorrt-cu12 tensorrt-cu13" in check.cure


def test_a_system_library_of_another_version(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt")
    compiled(tmp_path / "lib/libnvinfer.so.8")
    check = checks_packages.versions(only(site, environ={"LD_LIBRARY_PATH": str(tmp_path / "lib")}), "gpu", {})
    assert check.status == WARN and "libnvinfer.so.8" in check.found and "LD_LIBRARY_PATH" in check.cure
    (tmp_path / "lib/libnvinfer.so.8").rename(tmp_path / "lib/libnvinfer.so.10")
    here = only(site, environ={"LD_LIBRARY_PATH": str(tmp_path / "lib")}, library_folders=())
    assert checks_packages.versions(here, "gpu", {}).status == OK


@pytest.mark.parametrize(
    ("code", "tier", "status", "said", "cure"),
    [
        ("version = cuda = None", "cpu", FAIL, "AttributeError", "make setup"),
        ("import os; os.abort()", "cpu", FAIL, "signal 6", "make setup"),
        ("import ctypes; ctypes.CDLL('libcudart.so.12')", "gpu", FAIL, "libcudart.so.12", "nvidia-cuda-runtime-cu12"),
        ("class version: cuda = None", "gpu", FAIL, "CPU build", "make gpu"),
        ("class version: cuda = None", "cpu", OK, "CPU build", ""),
        ("class version: cuda = '12.8'\nclass cuda: get_arch_list = staticmethod(lambda: ['sm_90'])", "cpu", WARN,
         "CUDA 12.8 build", "download.pytorch.org/whl/cpu"),
    ],
)  # fmt: skip
def test_torch(site, code, tier, status, said, cure):
    install(site, "torch", "2.13.0", "torch", code)
    here = only(site)
    check = checks_packages.torch(here, tier, here.probe("package", "torch"))
    assert check.status == status and said in check.found and cure in check.cure


def test_no_torch(site):
    assert checks_packages.torch(only(site), "cpu", None).cure == "make setup"


PINNED = re.search(r"^onnxruntime==(\S+)$", (ROOT / "requirements/cpu.txt").read_text(), re.MULTILINE)[1]
ORT = "get_available_providers = lambda: ['CPUExecutionProvider']"


def test_two_onnx_runtimes(site):
    install(site, "onnxruntime", "1.20.0", "onnxruntime", ORT)
    here = only(site)
    assert checks_packages.onnxruntime(here, "cpu", here.probe("package", "onnxruntime")).status == OK
    install(site, "onnxruntime-gpu", "1.20.0")
    check = checks_packages.onnxruntime(only(site), "gpu", here.probe("package", "onnxruntime"))
    assert check.status == FAIL and "uninstall -y onnxruntime onnxruntime-gpu" in check.cure
    assert check.cure.endswith(f"install onnxruntime-gpu=={PINNED}")


@pytest.mark.parametrize(
    ("name", "code", "status", "cure"),
    [
        ("onnxruntime-gpu", ORT, FAIL, f"onnxruntime-gpu[cuda,cudnn]=={PINNED}'"),
        ("onnxruntime", "raise AttributeError('_ARRAY_API not found')", FAIL, "'numpy<2'"),
        (
            "onnxruntime",
            "raise AttributeError(\"module 'onnxruntime' has no attribute 'SessionOptions'\")",
            FAIL,
            f"uninstall -y onnxruntime onnxruntime-gpu && {Machine().pip} install $(grep '^onnxruntime==' ",
        ),
        ("onnxruntime", "raise ImportError('odd')", FAIL, f"--force-reinstall --no-deps onnxruntime=={PINNED}"),
    ],
)
def test_a_broken_onnx_runtime(site, name, code, status, cure):
    install(site, name, "1.20.0", "onnxruntime", code)
    here = only(site)
    check = checks_packages.onnxruntime(here, "gpu", here.probe("package", "onnxruntime"))
    assert check.status == status and cure in check.cure


def test_the_pin_is_read(monkeypatch, tmp_path, site):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/cpu.txt").write_text("onnxruntime==9.8.7\ntensorrt-rtx==6.5\n")
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    install(site, "onnxruntime", "1.20.0", "onnxruntime", "raise ImportError('odd')")
    check = checks_packages.onnxruntime(only(site), "cpu", only(site).probe("package", "onnxruntime"))
    assert check.cure.endswith("--no-deps onnxruntime==9.8.7")
    install(site, "tensorrt-rtx", "1.0")
    assert flavour(only(site), "cpu").cure.endswith(" tensorrt-rtx==6.5")


def test_the_gpu_tier_that_fits(site, tools):
    def named(driver=None, version=None):
        here = only(site, environ={"PATH": str(tools)})
        if driver:
            tool(tools, "nvidia-smi", f"echo {driver}.10.5")
        if version:
            here.paths = (str(site.parent / version),)
            (site.parent / version).mkdir()
            install(site.parent / version, "tensorrt-cu12", version)
        return re.match(r"make gpu TIER=(\w+)   # then: (\S+)/bin/python", tiers.setup(here, "gpu")).groups()

    assert tiers.setup(only(site), "cpu") == "make setup"
    assert named() == named(570) == named(470) == ("trt10", ".venv-gpu")
    assert named(580) == named(600) == ("trt11", ".venv-gpu")
    assert named(580, "10.3.0") == ("trt10", ".venv-gpu") and named(580, "8.6.0") == ("edge", ".venv-edge")
    assert named(570, "11.0.0") == ("trt10", ".venv-gpu")
    assert [tiers.of_cuda(major) for major in (11, 12, 13)] == [None, "trt10", "trt11"]
    assert [tiers.of_tensorrt(major) for major in (7, 8, "10.3.0", 11)] == [None, "edge", "trt10", "trt11"]
    install(site, "tensorrt-llm", "1.2.1")
    stub = next(c for c in checks_packages.flavours(only(site), "gpu", {}) if c.topic == "tensorrt-llm")
    assert stub.status == FAIL and stub.cure.startswith("make gpu TIER=trtllm   # then: .venv-trtllm/bin/python")


def test_modelopt_with_missing_companions(site):
    assert checks_packages.modelopt(only(site), "cpu").found == "not installed"
    install(site, "nvidia-modelopt", "0.47.0", "modelopt")
    check = checks_packages.modelopt(only(site), "cpu")
    assert check.status == FAIL and "onnxslim" in check.found and check.cure == "make setup"
    assert checks_packages.modelopt(machine(), "cpu").status == OK


def test_drift_from_the_lock(root, site):
    lock = root / "requirements/cpu.txt"
    assert checks_packages.lock(machine(root), "cpu").status == OK
    install(site, "tqdm", "0.0.1")
    check = checks_packages.lock(machine(root, [site]), "cpu")
    assert check.status == WARN and "tqdm 0.0.1 (locked" in check.found and check.cure.endswith("make setup")
    lock.write_text(lock.read_text() + "Not_There==1.0 ; python_version < '4'\n# comment==2\n")
    check = checks_packages.lock(machine(root), "cpu")
    assert check.status == FAIL and "Not_There missing" in check.found and "comment" not in check.details
    lock.unlink()
    assert checks_packages.lock(machine(root), "cpu").status == WARN


@pytest.mark.parametrize(
    ("name", "found"), [("LICENSE", "no line PACKAGE==VERSION"), ("nofile", "no such file"), ("tests", "a folder")]
)
def test_what_is_no_lock_is_refused(root, name, found, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.main(["doctor", "--lock", name]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name}\n  found:    {found}")
    (root / "requirements/cpu.txt").write_text("# nothing\n")
    check = checks_packages.lock(machine(root), "cpu")
    assert check.status == WARN and check.found.startswith("no lock") and check.cure


def test_the_lock_of_the_gpu_tier_follows_tensorrt(root, site):
    for name in ("trt10", "trt11"):
        (root / f"requirements/{name}.txt").write_text("six==1\n")
    install(site, "tensorrt-cu13", "11.0.0")
    assert tiers.lock_file(machine(root, [site]), "gpu").name == "trt11.txt"
    assert tiers.lock_file(machine(root), "gpu").name == "trt10.txt"


# -------------------------------------------------------------------------------------------------------------- plugins


def plugin_checks(here, path, tier="gpu", gpus=("8.9",)):
    return {check.topic: check for check in checks_plugins.library(here, tier, path, gpus)}


def test_no_plugin_library(root, site):
    assert find(out=root / "plugins/build") is None
    assert plugin_checks(machine(root), None, "cpu")["plugins"].status == OK
    check = plugin_checks(machine(root), None)["plugins"]
    assert check.status == WARN and check.cure.startswith("make -C plugins")
    check = plugin_checks(machine(root), root / "absent.so")["plugins"]
    assert check.status == FAIL and "no such file" in check.found and "make -C plugins" in check.cure


def test_the_library_that_was_built_here_is_taken_or_the_one_that_is_given(root):
    built, other = (compiled(root / f"plugins/build/{name}.so") for name in ("libonramp_plugins", "liba"))
    for given, taken in ((None, built), (str(other), other)):
        (loading,) = [check for check in checkup._plugins(machine(root), "gpu", given, ()) if "loading" in check.topic]
        assert loading.found.startswith(f"{taken.name} ")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:300], "cut short"),
        (lambda data: b"version https://git-lfs", "version https"),
        (lambda data: data[:4] + b"\x01" + data[5:], "not a whole 64-bit"),
        (lambda data: data[:18] + (183).to_bytes(2, "little") + data[20:], "aarch64"),
    ],
)
def test_a_library_that_is_not_for_this_machine(tmp_path, damage, said):
    path = compiled(tmp_path / "libplugins.so")
    path.write_bytes(damage(path.read_bytes()))
    check = plugin_checks(machine(), path)["plugins"]
    assert check.status == FAIL and said in check.found and "make -C plugins" in check.cure


def test_a_library_for_another_tensorrt(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt", "get_plugin_registry = lambda: None")
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.8")
    found = plugin_checks(only(site), path)
    check = found["plugins: TensorRT"]
    assert check.status == FAIL and check.found.endswith("linked against TensorRT 8; installed is 10")
    assert check.cure.startswith("rm -r plugins/build")
    check = found["plugins: loading"]
    assert check.status == FAIL and "not found: libnvinfer.so.8" in check.found and "TIER=edge " in check.cure
    assert found["plugins: creators"].status == WARN


def test_without_tensorrt_it_is_said_that_nothing_was_compared(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.10")
    check = plugin_checks(only(site, library_folders=()), path)["plugins: TensorRT"]
    assert check.status == WARN and "not compared: no TensorRT" in check.found and "TIER=trt10 " in check.cure
    loads = plugin_checks(only(site), compiled(tmp_path / "libfree.so"))
    assert loads["plugins: loading"].status == OK
    assert loads["plugins: creators"].status == WARN and "make gpu" in loads["plugins: creators"].cure


def test_a_library_with_a_missing_companion_or_symbol(site, tmp_path):
    check = plugin_checks(only(site), needing(tmp_path / "liba.so", "libcudart.so.99"))["plugins: loading"]
    assert check.status == FAIL and "libcudart.so.99" in check.found and "LD_LIBRARY_PATH" in check.cure
    path = compiled(tmp_path / "libb.so", "int launch(void); int go(void) { return launch(); }", "-Wl,-z,now")
    check = plugin_checks(only(site), path)["plugins: loading"]
    assert check.status == FAIL and "undefined symbol: launch" in check.found and "ldd -r" in check.cure


def test_a_library_that_needs_the_driver_is_a_warning_on_a_cpu(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libcuda.so.1")
    if not Machine().libraries("libcuda"):
        assert plugin_checks(only(site), path, "cpu", ())["plugins: loading"].status == WARN
        assert plugin_checks(only(site), path, "gpu", ())["plugins: loading"].status == FAIL


def test_a_library_built_for_a_gpu_machine_does_not_fail_the_cpu_tier(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.7")
    check = plugin_checks(only(site), path, "cpu", ())["plugins: loading"]
    assert check.status == WARN and "not found: libnvinfer.so.7" in check.found
    assert check.cure.startswith("make -C plugins") and "no tier has TensorRT 7" in check.cure
    assert plugin_checks(only(site), path, "gpu")["plugins: loading"].status == FAIL
    other = needing(tmp_path / "libother.so", "libmissing.so.1")
    assert plugin_checks(only(site), other, "cpu", ())["plugins: loading"].status == FAIL


def test_a_library_that_ends_the_process(site, tmp_path):
    source = "#include <stdlib.h>\n__attribute__((constructor)) static void start(void) { abort(); }"
    check = plugin_checks(only(site), compiled(tmp_path / "libplugins.so", source))["plugins: loading"]
    assert check.status == FAIL and "signal 6" in check.found and "make -C plugins" in check.cure


@pytest.mark.parametrize(
    ("source", "gpus", "status", "text"),
    [
        (kernels(86, 89), ["8.9"], OK, "SM 8.6, SM 8.9"),
        (kernels(80), ["8.6"], OK, "SM 8.0"),
        (kernels(87), ["9.0"], FAIL, "holds SM 8.7; the GPU is SM 9.0"),
        (kernels(80, kind=1), ["9.0"], OK, "PTX 8.0"),
        (kernels(120, kind=1), ["9.0"], FAIL, "PTX 12.0"),
        (kernels(89), [], OK, "no GPU to compare"),
        ("int unused(void) { return 1; }", ["9.0"], WARN, "no CUDA kernels"),
    ],
)
def test_kernels_of_a_library(site, tmp_path, source, gpus, status, text):
    path = compiled(tmp_path / "libplugins.so", source)
    check = plugin_checks(only(site), path, gpus=gpus)["plugins: kernels"]
    assert check.status == status and text in check.found
    assert ("ARCH=sm_90" in check.cure) == (status == FAIL)


REGISTRY = """
class Creator:
    name, plugin_version, plugin_namespace = "RotateTRT", "1", ""
class Registry:
    @property
    def all_creators(self):
        return [Creator()] if "libregistering" in open("/proc/self/maps").read() else []
get_plugin_registry = Registry
"""


def test_creators(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt", REGISTRY)
    found = plugin_checks(only(site), compiled(tmp_path / "libregistering.so"))["plugins: creators"]
    assert (found.status, found.details) == (OK, "::RotateTRT version 1")
    found = plugin_checks(only(site), compiled(tmp_path / "libsilent.so"))["plugins: creators"]
    assert found.status == FAIL and "REGISTER_TENSORRT_PLUGIN" in found.cure


def test_elf_tells_what_a_library_needs(tmp_path):
    found = elf.read(needing(tmp_path / "liba.so", "libnvinfer.so.10", kernels(75, 90)))
    assert found.machine == os.uname().machine and "libnvinfer.so.10" in found.needed
    assert found.cubins == {"7.5", "9.0"} and not found.ptx
    assert elf.read(compiled(tmp_path / "libb.so", "int f;", "-Wl,-soname,libb.so.3")).soname == "libb.so.3"


# -------------------------------------------------------------------------------------------------- report and command


def test_an_exception_inside_a_check_is_a_line_and_not_a_traceback(monkeypatch, root):
    def breaks(*arguments):
        raise RuntimeError("the floor gave way\nat line two")

    monkeypatch.setattr(checks_packages, "modelopt", breaks)
    report = examine(tier="cpu", machine=only(root, root=root))
    check = next(check for check in report if check.topic == "ModelOpt")
    assert check.status == FAIL and check.cure
    assert check.found == "the check itself failed: RuntimeError: the floor gave way"
    assert len(report) > 15


def test_what_hangs_does_not_hold_the_doctor_up(tmp_path, root, site, monkeypatch):
    monkeypatch.setattr(checkup, "BUDGET", 1.0)
    install(site, "torch", "2.13.0", "torch", "import time; time.sleep(30)")
    install(site, "tensorrt", "10.3.0", "tensorrt", "import time; time.sleep(30)")
    here = with_driver(tmp_path, "sleep(30); return 0;", smi="exec sleep 30", root=root, paths=(str(site),))
    started = time.monotonic()
    found = {check.topic: check for check in examine(tier="gpu", machine=here)}
    assert time.monotonic() - started < 4
    assert found["driver"].status == FAIL and "no answer" in found["driver"].found
    for topic in ("torch", "tensorrt"):
        assert found[topic].status == WARN and "not checked: no answer" in found[topic].found
        assert found[topic].cure.startswith("python -c 'import t")


def test_the_tier_follows_the_driver(tmp_path, root, site):
    install(site, "torch", "2.13.0+cpu", "torch", "class version: cuda = None")
    here = with_driver(tmp_path, smi="echo 570.86.10", root=root, paths=(str(site),))
    found = {check.topic: check for check in examine(machine=here)}
    assert found["GPU"].found == "NVIDIA L4, SM 8.9, 24 GiB" and found["tensorrt"].status == FAIL
    assert found["torch"].status == FAIL and "cu128" in found["torch"].cure


def test_an_empty_environment_is_all_cures_and_no_traceback(tmp_path, site, tools):
    here = only(site, root=tmp_path, environ={"PATH": str(tools)}, meminfo="/absent", temporary="/absent")
    report = examine(tier="cpu", machine=here)
    failed = {check.topic for check in report if check.status == FAIL}
    assert failed >= {"tools", "folders", "torch", "tensorrt-rtx", "ONNX Runtime", "ModelOpt"}
    assert all(check.cure for check in report if check.status != OK)
    assert not any("check itself failed" in check.found for check in report)


def test_the_report_is_a_table_in_a_notebook():
    report = Report([checks.Check("x", FAIL, "<b>", "make it")])
    page = report._repr_html_()
    assert "make it" in page and "&lt;b&gt;" in page and "1 FAIL" in page


def test_unknown_names_are_refused():
    with pytest.raises(BadInput, match="03_nothing"):
        examine(lessons=["03_nothing"])
    with pytest.raises(BadInput, match="tpu"):
        examine(tier="tpu")


def test_scenes_are_counted(data, root):
    marker = json.loads((data / "minidrive.json").read_text())
    for names, words in ((["scene-0061"], "1 scene of "), (["scene-0061", "scene-0103"], "2 scenes of ")):
        _rewrite(data / "minidrive.json", json.dumps(marker | {"names": names}))
        (check,) = [check for check in quick("cpu", machine(root)) if check.topic == "MiniDrive"]
        assert check.status == OK and check.found.startswith(words)


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (WARN, 0), (FAIL, 1)])
def test_exit_code_and_json(monkeypatch, capsys, status, code):
    report = Report([checks.Check("topic", status, "found", "" if status == OK else "cure")])
    monkeypatch.setattr(checkup, "examine", lambda *arguments, **options: report)
    assert cli.main(["doctor", "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["checks"] == [dataclasses.asdict(report[0])] and printed["counts"][status] == 1
    assert cli.main(["doctor"]) == code
    printed = capsys.readouterr().out
    assert printed.startswith(status) and ("cure: cure" in printed) == (status != OK)


@pytest.mark.parametrize("arguments", [["--tier", "tpu"], ["03_nothing"]])
def test_bad_arguments_exit_2(arguments):
    command = [sys.executable, "-m", "helpers", "doctor", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_text_shows_a_cure_below_each_fault():
    report = quick("cpu")
    shown = text([*report, checks.Check("disk", FAIL, "full", "make clean")])
    assert "FAIL  disk" in shown and shown.count("cure:") == 1 + sum(check.status != OK for check in report)


def test_the_summary_of_a_lesson_is_quick_and_imports_nothing(root):
    started = time.monotonic()
    line = summary("cpu")
    assert time.monotonic() - started < 1 and "checks OK" in line
    code = "import sys; from helpers.environment.doctor import summary; summary('cpu'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_summary_names_what_is_wrong(site):
    statuses = {check.topic: check for check in quick("cpu", only(site))}
    assert statuses["TensorRT"].status == statuses["ModelOpt"].status == FAIL
    assert statuses["TensorRT"].cure == "make setup"


def test_commands_named_in_cures_exist():
    sources = [
        *Path(ROOT, "helpers/environment/doctor").glob("*.py"),
        Path(tiers.__file__),
        ROOT / "helpers/environment/messages.toml",
    ]
    words = "".join(path.read_text() for path in sources)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:[\"(] ?|&& |\$ |: )make ([a-z]+)", words))
    assert {"setup", "gpu", "data", "clean"} <= named <= targets
    assert "make gpu" in words and set(re.findall(r"make gpu(?!`| TIER=)", words)) == set()
    assert set(re.findall(r"TIER=(\w+)", words)) <= set(tiers.gpu_tiers())
    assert not re.findall(r"pip install (?:\S+ )*'?onnxruntime(?!\S*==)", words)
    assert set(re.findall(r"-m helpers ([a-z]+)", words)) <= set(cli.COMMANDS)
