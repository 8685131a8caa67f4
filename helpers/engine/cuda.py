"""The first GPU through NVIDIA's cuda-bindings: memory, copies, streams, events and graphs. No torch.

Every return code is checked. The primary context is used, the one that the CUDA runtime inside TensorRT uses too.
cuda-bindings looks for the driver at the first call, so this module can be imported where there is none. Its releases
12 and 13 name these functions alike, but want other drivers (tried with compiled stand-ins for libcuda): 13.4 one of
CUDA 12.8, for `cuEventElapsedTime`; from 12.9.8 on one of CUDA 12; 12.9.6 is content with CUDA 11.4, which DRIVE OS 6
and JetPack 5 have. Hence a pin of its own for every tier.
"""

import contextlib
import ctypes
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cuda.bindings import driver

MAJOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
MINOR = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
THREAD_LOCAL = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL  # other threads may go on allocating
NON_BLOCKING = int(driver.CUstream_flags.CU_STREAM_NON_BLOCKING)


class CudaError(RuntimeError):
    """A driver call failed; says which, with the driver's name and description of the error."""


def call(function: Callable[..., tuple], *arguments: Any) -> Any:
    """What a function of the driver returns besides its code: None, a value, or a tuple; CudaError if it fails."""
    code, *results = function(*arguments)
    if code != driver.CUresult.CUDA_SUCCESS:
        texts = (describe(code)[1] for describe in (driver.cuGetErrorName, driver.cuGetErrorString))
        described = ", ".join((text or str(int(code)).encode()).decode() for text in texts)
        raise CudaError(f"{function.__name__}: {described}")
    return results[0] if len(results) == 1 else tuple(results) or None


@contextlib.contextmanager
def _asking_for_a_gpu():
    try:
        yield
    except CudaError as error:
        raise OSError(f"the NVIDIA driver gives no GPU ({error})") from error
    except RuntimeError as error:  # of cuda-bindings, which finds no driver or none that it knows
        raise OSError(f"no NVIDIA driver on this machine ({error})") from error


def device_capability() -> str:
    """Compute capability of the first GPU, such as "8.9"; OSError that says why if there is none. Takes no memory."""
    with _asking_for_a_gpu():
        call(driver.cuInit, 0)
        return _capability(call(driver.cuDeviceGet, 0))


def _capability(number):
    return ".".join(str(call(driver.cuDeviceGetAttribute, kind, number)) for kind in (MAJOR, MINOR))


@functools.lru_cache(maxsize=1)
def device() -> "Device":
    """The first GPU, its context current; OSError that says why if there is none."""
    with _asking_for_a_gpu():
        return Device()


class Device:
    """A GPU and its primary context.

    Attributes:
        name: such as "NVIDIA H100 80GB HBM3".
        capability: compute capability, such as "9.0".
        driver_version: CUDA version that the driver supports, such as "13.0".
    """

    def __init__(self, ordinal: int = 0) -> None:
        call(driver.cuInit, 0)
        number = call(driver.cuDeviceGet, ordinal)
        self._context = call(driver.cuDevicePrimaryCtxRetain, number)
        self.activate()
        version = call(driver.cuDriverGetVersion)
        self.name = call(driver.cuDeviceGetName, 256, number).partition(b"\0")[0].decode()
        self.capability, self.driver_version = _capability(number), f"{version // 1000}.{version % 1000 // 10}"

    def activate(self) -> None:
        """Make the context current in this thread."""
        call(driver.cuCtxSetCurrent, self._context)

    def memory(self) -> tuple[int, int]:
        """(free, total) bytes of the GPU's memory."""
        return call(driver.cuMemGetInfo)

    def synchronize(self) -> None:
        """Wait for everything on this GPU."""
        call(driver.cuCtxSynchronize)

    def allocate(self, size: int) -> "Memory":
        """At least one byte on the GPU."""
        return Memory(call(driver.cuMemAlloc, max(1, size)), size, driver.cuMemFree)

    def pinned(self, size: int) -> "Memory":
        """At least one byte on the host that the GPU copies from and to without a detour."""
        return Memory(call(driver.cuMemHostAlloc, max(1, size), 0), size, driver.cuMemFreeHost)

    def stream(self) -> "Stream":
        """A new stream."""
        return Stream()


class Memory:
    """Bytes on the GPU or pinned on the host.

    Attributes:
        address: int.
        size: bytes.
    """

    def __init__(self, address: Any, size: int, release: Callable[..., tuple]) -> None:
        self.address, self.size, self._release = int(address), size, release

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The bytes of pinned memory as an array that shares them."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        held = (ctypes.c_byte * (count * dtype.itemsize)).from_address(self.address)
        return np.frombuffer(held, dtype, count).reshape(shape)

    def free(self) -> None:
        """Give the memory back; a second time does nothing."""
        address, self.address = self.address, 0
        if address:
            call(self._release, address)


class Stream:
    """A queue of work on the GPU. `handle` (int) is what TensorRT takes. Addresses are int, sizes bytes."""

    def __init__(self) -> None:
        self._stream = call(driver.cuStreamCreate, NON_BLOCKING)
        self.handle = int(self._stream)

    def upload(self, target: int, source: int, size: int) -> None:
        """Copy from pinned host memory to the GPU."""
        self._queue(driver.cuMemcpyHtoDAsync, target, source, size)

    def download(self, target: int, source: int, size: int) -> None:
        """Copy from the GPU to pinned host memory."""
        self._queue(driver.cuMemcpyDtoHAsync, target, source, size)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy within the GPU."""
        self._queue(driver.cuMemcpyDtoDAsync, target, source, size)

    def zero(self, target: int, size: int) -> None:
        """Fill GPU memory with zero bytes."""
        self._queue(driver.cuMemsetD8Async, target, 0, size)

    def _queue(self, function, target, source, size):
        if size:
            call(function, target, source, size, self._stream)

    def synchronize(self) -> None:
        """Wait for all work queued here."""
        call(driver.cuStreamSynchronize, self._stream)

    def record(self, event: "Event") -> None:
        """Note the time on the GPU, in `event`, when the work queued so far is done."""
        call(driver.cuEventRecord, event.handle, self._stream)

    def wait(self, event: "Event") -> None:
        """Let the work that is queued after this wait until `event`, which was recorded, has passed."""
        call(driver.cuStreamWaitEvent, self._stream, event.handle, 0)

    @contextlib.contextmanager
    def capture(self) -> Iterator["Graph"]:
        """Yield a `Graph` that holds, after the block, the work queued within it; nothing of it runs yet."""
        graph = Graph()
        call(driver.cuStreamBeginCapture, self._stream, THREAD_LOCAL)
        try:
            yield graph
        except BaseException:
            with contextlib.suppress(CudaError):  # the first error is the one to show
                call(driver.cuStreamEndCapture, self._stream)
            raise
        graph.instantiate(call(driver.cuStreamEndCapture, self._stream))

    def launch(self, graph: "Graph") -> None:
        """Queue the work of a graph."""
        call(driver.cuGraphLaunch, graph.handle, self._stream)

    def close(self) -> None:
        """Destroy the stream; a second time does nothing."""
        stream, self._stream = self._stream, None
        if stream is not None:
            call(driver.cuStreamDestroy, stream)


class Graph:
    """Captured work, to be queued again and again in one call."""

    def __init__(self) -> None:
        self.handle: Any = None

    def instantiate(self, captured: Any) -> None:
        """Make the captured graph (a CUgraph) executable and drop it."""
        self.handle = call(driver.cuGraphInstantiate, captured, 0)
        call(driver.cuGraphDestroy, captured)

    def close(self) -> None:
        """Destroy the graph; a second time does nothing."""
        handle, self.handle = self.handle, None
        if handle is not None:
            call(driver.cuGraphExecDestroy, handle)


class Event:
    """A point in time on the GPU."""

    def __init__(self) -> None:
        self.handle = call(driver.cuEventCreate, 0)

    def since(self, earlier: "Event") -> float:
        """Milliseconds between two recorded events; waits for this one."""
        call(driver.cuEventSynchronize, self.handle)
        return call(driver.cuEventElapsedTime, earlier.handle, self.handle)

    def close(self) -> None:
        """Destroy the event; a second time does nothing."""
        handle, self.handle = self.handle, None
        if handle is not None:
            call(driver.cuEventDestroy, handle)
