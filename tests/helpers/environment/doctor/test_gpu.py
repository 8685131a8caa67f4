"""The doctor's checks of driver, GPU and CUDA; the driver is a library made here."""

import pytest

from helpers.environment import tiers
from helpers.environment.doctor import gpu
from helpers.environment.doctor.report import FAIL, OK, WARN
from tests.builders.waiting import HANG
from tests.helpers.environment.doctor.builders import H100, NONE, install, machine, only, tool, with_driver


def test_a_driver_and_a_gpu(tmp_path):
    here = with_driver(tmp_path, smi="echo 570.86.10")
    probed = here.probe("driver")
    assert probed["gpus"] == [{"name": "NVIDIA L4", "sm": "8.9", "memory": 24 << 30}]
    driver, gpus = gpu.driver(here, "gpu", probed), gpu.gpus(here, "gpu", probed)
    assert (driver.status, driver.found) == (OK, "570.86.10, runs CUDA up to 12.8")
    assert (gpus.status, gpus.found) == (OK, "NVIDIA L4, SM 8.9, 24 GiB")


@pytest.mark.parametrize(
    ("init", "seconds", "said", "cure"),
    [("return 803;", HANG, "CUDA error 803", "reboot"), ("return 100;", HANG, "CUDA error 100", "nvidia-smi"),
     ("abort();", HANG, "signal 6", "reboot"), ("sleep(1000); return 0;", 1.0, "no answer", "reboot")],
)  # fmt: skip
def test_a_driver_that_refuses_crashes_or_hangs(tmp_path, init, seconds, said, cure):
    here = with_driver(tmp_path, init, timeout=seconds)
    check = gpu.driver(here, "gpu", here.probe("driver"))
    assert check.status == FAIL and said in check.found and cure in check.cure


def test_no_driver_is_fine_in_the_cpu_tier_only(tools):
    here = machine(environ={"PATH": str(tools)})
    assert gpu.driver(here, "cpu", NONE).status == gpu.gpus(here, "cpu", NONE).status == OK
    driver, gpus = gpu.driver(here, "gpu", NONE), gpu.gpus(here, "gpu", NONE)
    assert driver.status == gpus.status == FAIL
    assert "docker run --gpus all" in driver.cure and "docker run --gpus all" in gpus.cure


def test_nvidia_smi_without_libcuda_and_the_other_way_round(tmp_path, tools):
    tool(tools, "nvidia-smi", "echo 570.86.10")
    check = gpu.driver(machine(environ={"PATH": str(tools)}), "cpu", NONE)
    assert check.status == FAIL and "ldconfig" in check.cure
    here = with_driver(tmp_path, smi="echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    check = gpu.driver(here, "gpu", here.probe("driver"))
    assert check.status == WARN and "version mismatch" in check.found and "reboot" in check.cure


def test_an_old_gpu():
    old = H100 | {"gpus": [{"name": "V100", "sm": "7.0", "memory": 2**34}]}
    check = gpu.gpus(machine(), "gpu", old)
    assert (
        check.status == FAIL
        and "below 7.5" in check.found
        and check.cure == "take another GPU: no tier runs on this one"
    )
    new = gpu.gpus(machine(), "gpu", H100 | {"gpus": [{"name": "X", "sm": "12.0", "memory": 0}]}, {"sm_most": "9.0"})
    assert new.status == FAIL and "above 9.0" in new.found and "TIER=trt10" in new.cure


def test_what_a_tier_needs_of_the_driver(tmp_path, site):
    needs = tiers.needs(only(site), "gpu")
    assert needs["driver"] >= 535 and needs["folder"] == ".venv-gpu"
    here = with_driver(tmp_path, smi="echo 470.57.02")
    check = gpu.driver(here, "gpu", here.probe("driver"), needs)
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
    check = gpu.runtime(only(site), "gpu", H100 | {"cuda": driver}, {"cuda": cuda})
    assert check.status == status and cure in check.cure


def test_a_driver_older_than_the_cuda_of_tensorrt(site):
    install(site, "tensorrt-cu13", "11.0.0")
    check = gpu.runtime(only(site), "gpu", H100 | {"cuda": 12080}, {})
    assert check.status == FAIL and "tensorrt-cu13 13.0" in check.found


@pytest.mark.parametrize(
    ("names", "sm", "status"),
    [(["sm_80", "sm_86"], "8.9", OK), (["sm_80", "sm_90"], "12.0", FAIL), (["sm_90", "compute_90"], "12.0", OK),
     (["sm_90a"], "9.0", OK), (["sm_90"], "8.9", FAIL), ([], "8.9", OK)],
)  # fmt: skip
def test_kernels_for_the_gpu(names, sm, status):
    probed = H100 | {"gpus": [{"name": "X", "sm": sm, "memory": 0}]}
    check = gpu.kernels(machine(), "gpu", probed, {"architectures": names})
    assert check.status == status and ("--force-reinstall torch" in check.cure) == (status == FAIL)


def test_a_compiler_that_is_absent_or_broken(tools, tmp_path):
    absent = only(tmp_path, environ={"PATH": str(tools), "CUDA_HOME": str(tmp_path / "none")})
    assert gpu.toolkit(absent, "cpu").status == OK
    check = gpu.toolkit(absent, "gpu")
    assert check.status == WARN and "cuda-toolkit" in check.cure
    tool(tools, "nvcc", "echo libcudafe.so: cannot open >&2; exit 1")
    check = gpu.toolkit(absent, "cpu")
    assert check.status == WARN and "cannot open" in check.found
    tool(tools, "nvcc", "echo 'Cuda compilation tools, release 12.8, V12.8.61'")
    assert "nvcc 12.8" in gpu.toolkit(absent, "cpu").found
    (tools / "nvcc").unlink()
    packaged = tmp_path / "nvidia/cu13/bin"
    packaged.mkdir(parents=True)
    tool(packaged, "nvcc", "echo 'Cuda compilation tools, release 13.0, V13.0.88'")
    assert gpu.toolkit(absent, "cpu").found == f"nvcc 13.0 ({packaged}/nvcc)"


def test_in_the_cpu_tier_the_compiler_s_runtime_needs_no_driver(site):
    install(site, "nvidia-cuda-runtime", "13.0.96")
    old = H100 | {"cuda": 12020}
    assert gpu.runtime(only(site), "cpu", old, {}).status == OK
    assert gpu.runtime(only(site), "gpu", old, {}).status == FAIL
