"""The driver binding, on a stand-in for the driver."""

import ctypes

import numpy as np
import pytest

from helpers.engine import cuda
from tests.fakes import cuda as fake_cuda


@pytest.fixture
def driver(monkeypatch):
    with fake_cuda.installed(monkeypatch, capability=(8, 6), name=b"Some GPU") as driver:
        yield driver


def test_device(driver):
    device = cuda.device()
    assert (device.name, device.capability, device.driver_version) == ("Some GPU", "8.6", "13.0")
    assert cuda.device() is device
    memory = device.allocate(1 << 20)
    free, total = device.memory()
    assert total - free == 1 << 20
    memory.free(), memory.free()
    assert device.memory() == (total, total)


def test_no_driver_and_no_gpu(driver, monkeypatch):
    monkeypatch.setitem(driver.fail, "cuInit", 1)
    with pytest.raises(OSError, match=r"gives no GPU .*cuInit: CUDA_ERROR_INVALID_VALUE"):
        cuda.device()

    def absent(name):
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(cuda.ctypes, "CDLL", absent)
    with pytest.raises(OSError, match="no NVIDIA driver"):
        cuda.device()


def test_every_return_code_is_checked(driver, monkeypatch):
    """Each driver function that the binding calls turns a failure into a CudaError of its name."""

    def use():
        device = cuda.Device(driver)
        stream, memory, host = device.stream(), device.allocate(8), device.pinned(8)
        stream.upload(memory.address, host.address, 8)
        stream.copy(memory.address, memory.address, 8)
        stream.download(host.address, memory.address, 8)
        stream.zero(memory.address, 8)
        start, end = cuda.Event(device), cuda.Event(device)
        stream.record(start), stream.record(end)
        end.since(start), end.close()
        with stream.capture() as graph:
            stream.zero(memory.address, 8)
        stream.launch(graph)
        graph.close()
        stream.synchronize(), device.synchronize(), device.memory()
        memory.free(), host.free(), stream.close()

    use()
    unchecked = {"cuGetErrorName", "cuGetErrorString"}  # what describes an error
    functions = [name for name in dir(fake_cuda.FakeDriver) if name.startswith("cu") and name not in unchecked]
    assert len(functions) >= 25
    for name in functions:
        with monkeypatch.context() as patch:
            patch.setitem(driver.fail, name, 2)
            with pytest.raises(cuda.CudaError, match=f"{name}: CUDA_ERROR_OUT_OF_MEMORY"):
                use()
        driver.capturing.clear()


def test_copies_there_and_back(driver):
    device = cuda.device()
    stream, memory, there, back = device.stream(), device.allocate(24), device.pinned(24), device.pinned(24)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    there.array((2, 3), np.float32)[...] = values
    stream.upload(memory.address, there.address, 24)
    stream.download(back.address, memory.address, 24)
    stream.synchronize()
    np.testing.assert_array_equal(back.array((2, 3), np.float32), values)
    stream.zero(memory.address + 4, 8)
    stream.download(back.address, memory.address, 24)
    assert back.array((6,), np.float32).tolist() == [0, 0, 0, 3, 4, 5]
    with pytest.raises(AssertionError, match="not allocated"):  # the stand-in watches the bounds
        stream.download(back.address, memory.address, 25)
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
    assert number == 7
    for _ in range(2):
        number[...] = 5
        stream.launch(graph)
        assert number == 0
    with pytest.raises(cuda.CudaError, match="CAPTURE_UNSUPPORTED"), stream.capture():
        stream.synchronize()
    assert driver.capturing == {}  # the capture was ended


def test_events_measure_the_work_between_them(driver):
    device = cuda.device()
    stream, memory = device.stream(), device.allocate(4)
    start, end = cuda.Event(device), cuda.Event(device)
    stream.record(start)
    for _ in range(3):
        stream.zero(memory.address, 4)
    stream.record(end)
    assert end.since(start) == 3.0


def test_addresses_above_32_bits_arrive_whole(driver, monkeypatch):
    """Plain Python integers would be cut to a C int."""
    seen = []
    monkeypatch.setattr(fake_cuda.FakeDriver, "cuMemcpyDtoDAsync_v2", lambda self, *arguments: seen.extend(arguments))
    stream = cuda.device().stream()
    stream.copy(0x7F12_3456_7890, 0x7F00_0000_0010, 1 << 33)
    assert [(type(value), value.value) for value in seen[:3]] == [
        (ctypes.c_uint64, 0x7F12_3456_7890),
        (ctypes.c_uint64, 0x7F00_0000_0010),
        (ctypes.c_size_t, 1 << 33),
    ]
