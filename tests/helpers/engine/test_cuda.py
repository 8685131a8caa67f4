"""The driver behind cuda-bindings: on a stand-in for its functions, and with the package itself on a compiled one."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
from cuda.bindings import driver as bindings

from helpers.engine import cuda
from helpers.files import ROOT
from tests.fakes import cuda as fake_cuda

FUNCTIONS = [name for name in vars(fake_cuda.FakeDriver) if name.startswith("cu")]
UNCHECKED = {"cuGetErrorName", "cuGetErrorString"}  # what describes an error


@pytest.fixture
def driver(monkeypatch):
    with fake_cuda.installed(monkeypatch, capability=(8, 6), name=b"Some GPU") as driver:
        yield driver


def use():
    """Call every function of the driver that the binding calls; returns what came back through a copy."""
    device = cuda.device()
    stream, memory, host = device.stream(), device.allocate(8), device.pinned(8)
    host.array((2,), np.int32)[...] = 5, 6
    stream.upload(memory.address, host.address, 8)
    stream.copy(memory.address + 4, memory.address, 4)
    stream.download(host.address, memory.address, 8)
    start, end = cuda.Event(), cuda.Event()
    stream.record(start)
    stream.wait(start)
    stream.record(end)
    stream.synchronize()
    found = host.array((2,), np.int32).tolist()
    end.since(start)
    for event in (start, end):
        event.close()
    with stream.capture() as graph:
        stream.zero(memory.address, 8)
    stream.launch(graph)
    device.synchronize()
    device.memory()
    for held in (graph, stream):
        held.close()
    memory.free()
    host.free()
    return found


def test_device(driver):
    device = cuda.device()
    assert (device.name, device.capability, device.driver_version) == ("Some GPU", "8.6", "13.0")
    assert cuda.device() is device
    memory = device.allocate(1 << 20)
    free, total = device.memory()
    assert total - free == 1 << 20
    memory.free(), memory.free()
    assert device.memory() == (total, total)


def test_capability_is_asked_of_the_driver_without_a_context(driver):
    """Attributes 75 and 76 are the major and minor compute capability (cuda.h)."""
    driver.capability = (8, 9)
    assert cuda.device_capability() == "8.9" and driver.handles == {}


@pytest.mark.parametrize("ask", [cuda.device, cuda.device_capability])
def test_no_driver_and_no_gpu(driver, monkeypatch, ask):
    for function in ("cuInit", "cuDeviceGet"):
        monkeypatch.setitem(driver.fail, function, 100)
        with pytest.raises(OSError, match=rf"gives no GPU \({function}: CUDA_ERROR_NO_DEVICE"):
            ask()
        del driver.fail[function]

    def absent(self, flags):
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(fake_cuda.FakeDriver, "cuInit", absent)
    with pytest.raises(OSError, match=r"no NVIDIA driver .*libcuda\.so\.1"):
        ask()


def test_every_return_code_is_checked(monkeypatch):
    """Each driver function that the binding calls turns a failure into a CudaError of its name."""
    assert len(set(FUNCTIONS) - UNCHECKED) >= 30
    for name in ("", *sorted(set(FUNCTIONS) - UNCHECKED)):
        with fake_cuda.installed(monkeypatch) as driver:
            driver.fail[name] = 2
            if not name:
                assert use() == [5, 5]
                continue
            with pytest.raises((cuda.CudaError, OSError), match=f"{name}: CUDA_ERROR_OUT_OF_MEMORY"):
                use()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stand_in_takes_what_the_package_takes(name):
    """The first line of a function's documentation in cuda-bindings is its signature."""
    signature = getattr(bindings, name).__doc__.splitlines()[0]
    taken = [argument for argument in signature.partition("(")[2].rpartition(")")[0].split(",") if argument]
    assert signature.startswith(f"{name}(")
    assert len(inspect.signature(getattr(fake_cuda.FakeDriver, name)).parameters) - 1 == len(taken), signature


def test_copies_there_and_back(driver):
    device = cuda.device()
    stream, memory, there, back = device.stream(), device.allocate(24), device.pinned(24), device.pinned(24)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    there.array((2, 3), np.float32)[...] = values
    stream.upload(memory.address, there.address, 24)
    stream.download(back.address, memory.address, 24)
    assert not np.array_equal(back.array((2, 3), np.float32), values)  # queued, not done
    stream.synchronize()
    np.testing.assert_array_equal(back.array((2, 3), np.float32), values)
    stream.zero(memory.address + 4, 8)
    stream.download(back.address, memory.address, 24)
    stream.synchronize()
    assert back.array((6,), np.float32).tolist() == [0, 0, 0, 3, 4, 5]
    stream.download(back.address, memory.address, 25)
    with pytest.raises(AssertionError, match="not allocated"):  # the stand-in watches the bounds
        stream.synchronize()
    assert device.pinned(0).array((0, 3), np.float32).shape == (0, 3)


def test_captured_work_runs_when_it_is_launched(driver):
    device = cuda.device()
    stream, memory, host = device.stream(), device.allocate(4), device.pinned(4)
    number = host.array((), np.int32)
    number[...] = 7
    stream.upload(memory.address, host.address, 4)
    with stream.capture() as graph:
        stream.zero(memory.address, 4)
        stream.download(host.address, memory.address, 4)
    stream.synchronize()
    assert number == 7
    for _ in range(2):
        number[...] = 5
        stream.launch(graph)
        stream.synchronize()
        assert number == 0
    with pytest.raises(cuda.CudaError, match="CAPTURE_UNSUPPORTED"), stream.capture():
        stream.synchronize()
    assert driver.capturing == {}  # the capture was ended


def test_events_measure_the_work_between_them_and_wait_for_it_alone(driver):
    device = cuda.device()
    stream, memory = device.stream(), device.allocate(4)
    start, end = cuda.Event(), cuda.Event()
    stream.record(start)
    for _ in range(3):
        stream.zero(memory.address, 4)
    stream.record(end)
    stream.zero(memory.address, 4)
    assert end.since(start) == 3.0 and driver.log == ["zero"] * 3


def test_memory_under_queued_work_is_not_given_back(driver):
    device = cuda.device()
    stream, memory = device.stream(), device.allocate(4)
    stream.zero(memory.address, 4)
    with pytest.raises(AssertionError, match="queued work"):
        memory.free()


def test_addresses_above_32_bits_arrive_whole(driver, monkeypatch):
    seen = []

    def copy(self, *arguments):
        seen.extend(arguments)

    monkeypatch.setattr(fake_cuda.FakeDriver, "cuMemcpyDtoDAsync", copy)
    stream = cuda.device().stream()
    stream.copy(0x7F12_3456_7890, 0x7F00_0000_0010, 1 << 33)
    assert seen[:3] == [0x7F12_3456_7890, 0x7F00_0000_0010, 1 << 33]


SCRIPT = """
from helpers.engine import cuda
from tests.helpers.engine.test_cuda import use
assert use() == [5, 5]
device = cuda.device()
print(device.name, device.capability, device.driver_version, device.memory(), device.stream().handle)
"""


def run(code, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)


def test_the_package_itself_calls_the_driver(tmp_path):
    """A compiled libcuda.so.1: every function is found, every argument and every handle arrives as it should."""
    command = ["gcc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-o", tmp_path / "libcuda.so.1"]
    subprocess.run([*command, ROOT / "tests/fakes/libcuda.c", "-ldl"], check=True)
    done = run(SCRIPT, LD_LIBRARY_PATH=str(tmp_path))
    assert done.stdout.strip() == f"Compiled GPU 8.7 13.0 (5, 7) {0x7F12_3456_7890}", done.stderr
    done = run("from helpers.engine import cuda; cuda.device()", LD_LIBRARY_PATH=str(tmp_path), NO_GPU="1")
    assert "OSError: the NVIDIA driver gives no GPU (cuInit: CUDA_ERROR_NO_DEVICE, in words)" in done.stderr


def test_the_package_without_a_driver(tmp_path):
    done = run("from helpers.engine import cuda; cuda.device_capability()")
    if "OSError" not in done.stderr:
        pytest.skip("this machine has a driver")
    assert "OSError: no NVIDIA driver on this machine (" in done.stderr
