"""A stand-in for libcuda.so.1 that keeps "GPU" memory on the host: for tests of code that talks to the driver.

Work on a stream runs at once, or is held back while the stream is being captured. An access outside a live allocation
of the right kind is an AssertionError. `log` notes what ran, `fail` maps a function's name to the code it returns.
"""

import contextlib
import ctypes

NAMES = {1: b"CUDA_ERROR_INVALID_VALUE", 2: b"CUDA_ERROR_OUT_OF_MEMORY", 900: b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}
GPU_MEMORY = 1 << 34


class FakeDriver:
    def __init__(self, capability=(9, 0), name=b"Fake GPU"):
        self.capability, self.name = capability, name
        self.fail, self.log, self.clock = {}, [], 0.0
        self.memory, self.pinned, self.handles = {}, {}, {}
        self.capturing = {}
        self._last = 0

    def _new(self, kind, content=None):
        self._last += 1
        self.handles[self._last] = (kind, content)
        return self._last

    def _content(self, handle, kind):
        found, content = self.handles[getattr(handle, "value", handle)]
        assert found == kind, (found, kind)
        return content

    def __getattribute__(self, name):
        attribute = object.__getattribute__(self, name)
        if not name.startswith("cu"):
            return attribute
        code = object.__getattribute__(self, "fail").get(name)
        return (lambda *arguments: code) if code else lambda *arguments: attribute(*arguments) or 0

    def check(self, address, size, kind):
        """AssertionError unless the range lies inside one live allocation of this kind."""
        inside = [start for start, held in kind.items() if start <= address and address + size <= start + len(held)]
        assert inside, f"{size} bytes at {address:#x} are not allocated"

    def reserve(self, size):
        """Take `size` bytes for weights; returns what holds them."""
        held = bytearray(size)
        self.memory[id(held)] = held
        return held

    def submit(self, stream, what, work):
        """Run `work` now, or hold it in the graph that the stream is capturing."""
        stream = getattr(stream, "value", stream)
        self._content(stream, "stream")
        if stream in self.capturing:
            self.capturing[stream].append((what, work))
        else:
            self._do(what, work)

    def _do(self, what, work):
        work()
        self.clock += 1.0
        self.log.append(what)

    # ------------------------------------------------------------------------------------------ the driver's functions

    def cuInit(self, flags):
        pass

    def cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal

    def cuDeviceGetAttribute(self, number, attribute, device):
        number._obj.value = self.capability[attribute - 75]

    def cuDeviceGetName(self, text, size, device):
        text.value = self.name

    def cuDriverGetVersion(self, version):
        version._obj.value = 13000

    def cuDevicePrimaryCtxRetain(self, context, device):
        context._obj.value = self._new("context")

    def cuCtxSetCurrent(self, context):
        self._content(context, "context")

    def cuCtxSynchronize(self):
        pass

    def cuMemGetInfo_v2(self, free, total):
        total._obj.value = GPU_MEMORY
        free._obj.value = GPU_MEMORY - sum(map(len, self.memory.values()))

    def cuGetErrorName(self, code, text):
        text._obj.value = NAMES.get(code)

    cuGetErrorString = cuGetErrorName

    def _allocate(self, address, size, kind):
        held = ctypes.create_string_buffer(b"\xcd" * size.value, size.value)  # what nobody wrote is not zero
        address._obj.value = ctypes.addressof(held)
        kind[address._obj.value] = held

    def cuMemAlloc_v2(self, address, size):
        self._allocate(address, size, self.memory)

    def cuMemHostAlloc(self, address, size, flags):
        self._allocate(address, size, self.pinned)

    def cuMemFree_v2(self, address):
        del self.memory[address.value]

    def cuMemFreeHost(self, address):
        del self.pinned[address.value]

    def cuStreamCreate(self, handle, flags):
        handle._obj.value = self._new("stream")

    def cuStreamDestroy_v2(self, handle):
        self._content(handle, "stream")
        del self.handles[handle.value]

    def cuStreamSynchronize(self, stream):
        if stream.value in self.capturing:
            return 900
        self.log.append("synchronize")

    def _copy(self, what, target, target_kind, source, source_kind, size, stream):
        def work():
            self.check(target.value, size.value, target_kind)
            self.check(source.value, size.value, source_kind)
            ctypes.memmove(target.value, source.value, size.value)

        self.submit(stream, what, work)

    def cuMemcpyHtoDAsync_v2(self, target, source, size, stream):
        self._copy("upload", target, self.memory, source, self.pinned, size, stream)

    def cuMemcpyDtoHAsync_v2(self, target, source, size, stream):
        self._copy("download", target, self.pinned, source, self.memory, size, stream)

    def cuMemcpyDtoDAsync_v2(self, target, source, size, stream):
        self._copy("copy", target, self.memory, source, self.memory, size, stream)

    def cuMemsetD8Async(self, target, value, size, stream):
        def work():
            self.check(target.value, size.value, self.memory)
            ctypes.memset(target.value, value.value, size.value)

        self.submit(stream, "zero", work)

    def cuStreamBeginCapture_v2(self, stream, mode):
        self.capturing[stream.value] = []
        self.log.append("begin capture")

    def cuStreamEndCapture(self, stream, graph):
        graph._obj.value = self._new("graph", self.capturing.pop(stream.value))
        self.log.append("end capture")

    def cuGraphInstantiateWithFlags(self, executable, graph, flags):
        executable._obj.value = self._new("executable", self._content(graph, "graph"))

    def cuGraphDestroy(self, graph):
        self._content(graph, "graph")
        del self.handles[graph.value]

    def cuGraphExecDestroy(self, executable):
        self._content(executable, "executable")
        del self.handles[executable.value]

    def cuGraphLaunch(self, executable, stream):
        assert stream.value not in self.capturing
        self.log.append("launch")
        for what, work in self._content(executable, "executable"):
            self._do(what, work)

    def cuEventCreate(self, event, flags):
        event._obj.value = self._new("event", {})

    def cuEventRecord(self, event, stream):
        self._content(stream, "stream")
        self._content(event, "event")["time"] = self.clock

    def cuEventSynchronize(self, event):
        assert "time" in self._content(event, "event")

    def cuEventElapsedTime(self, elapsed, start, end):
        elapsed._obj.value = self._content(end, "event")["time"] - self._content(start, "event")["time"]

    def cuEventDestroy_v2(self, event):
        del self.handles[event.value]


@contextlib.contextmanager
def installed(monkeypatch, **settings):
    """Yield a FakeDriver that `helpers.engine.cuda` takes for the driver."""
    from helpers.engine import cuda

    driver = FakeDriver(**settings)
    load = ctypes.CDLL
    monkeypatch.setattr(cuda.ctypes, "CDLL", lambda name, *rest: driver if name == cuda.LIBRARY else load(name, *rest))
    cuda.device.cache_clear()
    yield driver
    cuda.device.cache_clear()
