"""The CUDA driver API by ctypes: memory, copies, streams, events and graphs of the first GPU. Needs only numpy.

Every return code is checked. The primary context is used, the one that the CUDA runtime inside TensorRT uses too.
Names and numbers: CUDA driver API reference (cuda.h).
"""

import contextlib
import ctypes
import functools

import numpy as np

COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_...
CAPTURE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on allocating
STREAM_NON_BLOCKING = 1
LIBRARY = "libcuda.so.1"


class CudaError(RuntimeError):
    """A driver call failed; says which, with the driver's name and description of the error."""


def device_capability():
    """Compute capability of the first GPU, such as "8.9", asked of the driver; None without a GPU or driver."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    number = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(number), 0):
        return None
    return _capability(lambda function, *arguments: getattr(driver, function)(*arguments), number)


def _capability(call, number):
    major, minor = ctypes.c_int(), ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(major), COMPUTE_CAPABILITY_MAJOR, number)
    call("cuDeviceGetAttribute", ctypes.byref(minor), COMPUTE_CAPABILITY_MINOR, number)
    return f"{major.value}.{minor.value}"


@functools.lru_cache(maxsize=1)
def device():
    """The first GPU as a `Device`, its context current; OSError that says why if there is none."""
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise OSError(f"no NVIDIA driver on this machine ({error})") from error
    try:
        return Device(driver)
    except CudaError as error:
        raise OSError(f"the NVIDIA driver gives no GPU ({error})") from error


class Device:
    """A GPU and its primary context.

    Attributes:
        name: such as "NVIDIA H100 80GB HBM3".
        capability: compute capability, such as "9.0".
        driver_version: CUDA version that the driver supports, such as "13.0".
    """

    def __init__(self, driver, ordinal=0):
        self._driver = driver
        number, context, version = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(number), ordinal)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), number)
        self._context = context
        self.activate()
        text = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, 256, number)
        self.call("cuDriverGetVersion", ctypes.byref(version))
        self.name, self.capability = text.value.decode(), _capability(self.call, number)
        self.driver_version = f"{version.value // 1000}.{version.value % 1000 // 10}"

    def call(self, function, *arguments):
        """Call a driver function; CudaError if it does not return success."""
        code = getattr(self._driver, function)(*arguments)
        if code:
            raise CudaError(f"{function}: {self._text('cuGetErrorName', code)}, "
                            f"{self._text('cuGetErrorString', code)}")  # fmt: skip

    def _text(self, function, code):
        text = ctypes.c_char_p()
        getattr(self._driver, function)(code, ctypes.byref(text))
        return (text.value or str(code).encode()).decode()

    def activate(self):
        """Make the context current in this thread."""
        self.call("cuCtxSetCurrent", self._context)

    def memory(self):
        """(free, total) bytes of the GPU's memory."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    def synchronize(self):
        """Wait for everything on this GPU."""
        self.call("cuCtxSynchronize")

    def allocate(self, size):
        """`Memory` of at least one byte on the GPU."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(1, size)))
        return Memory(self, address.value, size, "cuMemFree_v2")

    def pinned(self, size):
        """`Memory` of at least one byte on the host that the GPU copies from and to without a detour."""
        address = ctypes.c_void_p()
        self.call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(max(1, size)), 0)
        return Memory(self, address.value, size, "cuMemFreeHost")

    def stream(self):
        """A new `Stream`."""
        return Stream(self)


class Memory:
    """Bytes on the GPU or pinned on the host.

    Attributes:
        address: int.
        size: bytes.
    """

    def __init__(self, device, address, size, release):
        self._device, self._release = device, release
        self.address, self.size = address, size

    def array(self, shape, dtype):
        """The bytes of pinned memory as a NumPy array that shares them."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        held = (ctypes.c_byte * (count * dtype.itemsize)).from_address(self.address)
        return np.frombuffer(held, dtype, count).reshape(shape)

    def free(self):
        """Give the memory back; a second time does nothing."""
        address, self.address = self.address, 0
        if address:
            self._device.call(self._release, ctypes.c_uint64(address))


class Stream:
    """A queue of work on the GPU. `handle` is what TensorRT takes. Addresses are int, sizes bytes."""

    def __init__(self, device):
        self._device = device
        handle = ctypes.c_void_p()
        device.call("cuStreamCreate", ctypes.byref(handle), STREAM_NON_BLOCKING)
        self._handle = handle
        self.handle = handle.value

    def upload(self, target, source, size):
        """Copy from pinned host memory to the GPU."""
        self._copy("cuMemcpyHtoDAsync_v2", target, source, size)

    def download(self, target, source, size):
        """Copy from the GPU to pinned host memory."""
        self._copy("cuMemcpyDtoHAsync_v2", target, source, size)

    def copy(self, target, source, size):
        """Copy within the GPU."""
        self._copy("cuMemcpyDtoDAsync_v2", target, source, size)

    def _copy(self, function, target, source, size):
        if size:
            addresses = ctypes.c_uint64(target), ctypes.c_uint64(source)
            self._device.call(function, *addresses, ctypes.c_size_t(size), self._handle)

    def zero(self, target, size):
        """Fill GPU memory with zero bytes."""
        if size:
            arguments = ctypes.c_uint64(target), ctypes.c_ubyte(0), ctypes.c_size_t(size)
            self._device.call("cuMemsetD8Async", *arguments, self._handle)

    def synchronize(self):
        """Wait for all work queued here."""
        self._device.call("cuStreamSynchronize", self._handle)

    def record(self, event):
        """Note the time on the GPU, in `event`, when the work queued so far is done."""
        self._device.call("cuEventRecord", event.handle, self._handle)

    @contextlib.contextmanager
    def capture(self):
        """Yield a `Graph` that holds, after the block, the work queued within it; nothing of it runs yet."""
        graph = Graph(self._device)
        self._device.call("cuStreamBeginCapture_v2", self._handle, CAPTURE_THREAD_LOCAL)
        captured = ctypes.c_void_p()
        try:
            yield graph
        except BaseException:
            with contextlib.suppress(CudaError):  # the first error is the one to show
                self._device.call("cuStreamEndCapture", self._handle, ctypes.byref(captured))
            raise
        self._device.call("cuStreamEndCapture", self._handle, ctypes.byref(captured))
        graph.instantiate(captured)

    def launch(self, graph):
        """Queue the work of a graph."""
        self._device.call("cuGraphLaunch", graph.handle, self._handle)

    def close(self):
        """Destroy the stream; a second time does nothing."""
        handle, self._handle = self._handle, None
        if handle:
            self._device.call("cuStreamDestroy_v2", handle)


class Graph:
    """Captured work, to be queued again and again in one call."""

    def __init__(self, device):
        self._device = device
        self.handle = None

    def instantiate(self, captured):
        """Make the captured graph (a CUgraph) executable and drop it."""
        handle = ctypes.c_void_p()
        self._device.call("cuGraphInstantiateWithFlags", ctypes.byref(handle), captured, ctypes.c_uint64(0))
        self._device.call("cuGraphDestroy", captured)
        self.handle = handle

    def close(self):
        """Destroy the graph; a second time does nothing."""
        handle, self.handle = self.handle, None
        if handle:
            self._device.call("cuGraphExecDestroy", handle)


class Event:
    """A point in time on the GPU."""

    def __init__(self, device):
        self._device = device
        self.handle = ctypes.c_void_p()
        device.call("cuEventCreate", ctypes.byref(self.handle), 0)

    def since(self, earlier):
        """Milliseconds between two recorded events; waits for this one."""
        elapsed = ctypes.c_float()
        self._device.call("cuEventSynchronize", self.handle)
        self._device.call("cuEventElapsedTime", ctypes.byref(elapsed), earlier.handle, self.handle)
        return elapsed.value

    def close(self):
        """Destroy the event; a second time does nothing."""
        handle, self.handle = self.handle, None
        if handle:
            self._device.call("cuEventDestroy_v2", handle)
