"""The doctor's checks of packages: TensorRT, torch, ONNX Runtime, ModelOpt, and the lock."""

import re

import pytest

from helpers.environment import tiers
from helpers.environment.doctor import packages
from helpers.environment.doctor.report import FAIL, OK, WARN
from helpers.environment.machine import Machine
from helpers.files import ROOT
from tests.helpers.environment.doctor.builders import compiled, install, machine, only

PINNED = re.search(r"^onnxruntime==(\S+)", (ROOT / "requirements/cpu.txt").read_text(), re.MULTILINE)[1]


ORT = "get_available_providers = lambda: ['CPUExecutionProvider']"


def probes(here):
    return {name: here.probe("package", name) for name in packages.probed_packages(here)}


def flavor(here, tier="gpu"):
    found = packages.flavors(here, tier, probes(here))
    return next(check for check in found if check.topic == packages.NEEDED[tier].replace("_", "-"))


def test_tensorrt_from_a_wheel(site):
    install(site, "tensorrt", "10.3.0", "tensorrt")
    check = flavor(only(site))
    assert check.status == OK and check.found.startswith("10.3.0 from a wheel")


def test_tensorrt_from_a_container(tmp_path):
    folder = tmp_path / "usr/lib/python3/dist-packages"
    folder.mkdir(parents=True)
    install(folder, "tensorrt", "10.3.0", "tensorrt")
    assert "the system or a container" in flavor(only(folder)).found


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
    check = flavor(only(site))
    assert check.status == FAIL and said in check.found and cure in check.cure


def test_a_tier_without_its_tensorrt(site):
    for tier, cure in (("cpu", "make setup"), ("gpu", "make gpu")):
        check = flavor(only(site), tier)
        assert (check.status, check.found) == (FAIL, "not installed") and check.cure.startswith(cure)


def test_tensorrt_llm_is_found_and_not_imported(site):
    install(site, "tensorrt-llm", "1.2.1", "tensorrt_llm", "raise SystemExit('imported')")
    found = packages.flavors(only(site), "gpu", probes(only(site)))
    assert [check.status for check in found if check.topic == "tensorrt-llm"] == [OK]


def test_two_tensorrt_in_one_environment(site):
    install(site, "tensorrt-cu12", "10.3.0", "tensorrt")
    assert packages.versions(only(site, library_folders=()), "gpu", {}).status == OK
    install(site, "tensorrt-cu13", "10.3.0")
    check = packages.versions(only(site), "gpu", {})
    assert check.status == FAIL and "uninstall -y tensorrt-cu12 tensorrt-cu13" in check.cure


def test_a_system_library_of_another_version(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt")
    compiled(tmp_path / "lib/libnvinfer.so.8")
    check = packages.versions(only(site, environ={"LD_LIBRARY_PATH": str(tmp_path / "lib")}), "gpu", {})
    assert check.status == WARN and "libnvinfer.so.8" in check.found and "LD_LIBRARY_PATH" in check.cure
    (tmp_path / "lib/libnvinfer.so.8").rename(tmp_path / "lib/libnvinfer.so.10")
    here = only(site, environ={"LD_LIBRARY_PATH": str(tmp_path / "lib")}, library_folders=())
    assert packages.versions(here, "gpu", {}).status == OK


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
    check = packages.torch(here, tier, here.probe("package", "torch"))
    assert check.status == status and said in check.found and cure in check.cure


def test_no_torch(site):
    assert packages.torch(only(site), "cpu", None).cure == "make setup"


def test_two_onnx_runtimes(site):
    install(site, "onnxruntime", "1.20.0", "onnxruntime", ORT)
    here = only(site)
    assert packages.onnxruntime(here, "cpu", here.probe("package", "onnxruntime")).status == OK
    install(site, "onnxruntime-gpu", "1.20.0")
    check = packages.onnxruntime(only(site), "gpu", here.probe("package", "onnxruntime"))
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
            f"uninstall -y onnxruntime onnxruntime-gpu && {Machine().pip} install $(grep -o '^onnxruntime==[^ ]*' ",
        ),
        ("onnxruntime", "raise ImportError('odd')", FAIL, f"--force-reinstall --no-deps onnxruntime=={PINNED}"),
    ],
)
def test_a_broken_onnx_runtime(site, name, code, status, cure):
    install(site, name, "1.20.0", "onnxruntime", code)
    here = only(site)
    check = packages.onnxruntime(here, "gpu", here.probe("package", "onnxruntime"))
    assert check.status == status and cure in check.cure


def test_the_pin_is_read(monkeypatch, tmp_path, site):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/cpu.txt").write_text("onnxruntime==9.8.7\ntensorrt-rtx==6.5\n")
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    install(site, "onnxruntime", "1.20.0", "onnxruntime", "raise ImportError('odd')")
    check = packages.onnxruntime(only(site), "cpu", only(site).probe("package", "onnxruntime"))
    assert check.cure.endswith("--no-deps onnxruntime==9.8.7")
    install(site, "tensorrt-rtx", "1.0")
    assert flavor(only(site), "cpu").cure.endswith(" tensorrt-rtx==6.5")


def test_modelopt_with_missing_companions(site):
    assert packages.modelopt(only(site), "cpu").found == "not installed"
    install(site, "nvidia-modelopt", "0.47.0", "modelopt")
    check = packages.modelopt(only(site), "cpu")
    assert check.status == FAIL and "onnxslim" in check.found and check.cure == "make setup"
    assert packages.modelopt(machine(), "cpu").status == OK


def test_drift_from_the_lock(root, site):
    lock = root / "requirements/cpu.txt"
    assert packages.lock(machine(root), "cpu").status == OK
    install(site, "tqdm", "0.0.1")
    check = packages.lock(machine(root, [site]), "cpu")
    assert check.status == WARN and "tqdm 0.0.1 (locked" in check.found and check.cure.endswith("make setup")
    lock.write_text(lock.read_text() + "Not_There==1.0 ; python_version < '4'\n# comment==2\n")
    check = packages.lock(machine(root), "cpu")
    assert check.status == FAIL and "Not_There missing" in check.found and "comment" not in check.details
    lock.write_text("# nothing\n")
    check = packages.lock(machine(root), "cpu")
    assert check.status == WARN and check.found.startswith("no lock") and check.cure
    lock.unlink()
    assert packages.lock(machine(root), "cpu").status == WARN
