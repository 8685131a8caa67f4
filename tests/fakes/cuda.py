"""A stand-in for `cuda.bindings.driver` that keeps "GPU" memory on the host, for tests of what talks to the driver.

As on a GPU, work on a stream is queued, and runs when somebody waits for it: at the stream's, an event's or the
context's synchronization. Until then memory holds what it held, and the clock (one millisecond for each piece of work)
stands still. Work that is captured runs once its graph is launched. An access outside a live allocation of the right
kind is an AssertionError, and so is memory given back under queued work. `log` notes what ran, `fail` maps a
function's name to the code it returns. Functions take and return what those of cuda-bindings do.
"""

import contextlib
import ctypes
import functools

from cuda.bindings import driver as bindings

GPU_MEMORY = 1 << 34
NOT_READY = bindings.CUresult.CUDA_ERROR_NOT_READY
UNWAITED = bindings.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED


class FakeDriver:
    """Attributes: capability, name and version of the GPU; fail, log, clock; memory and pinned {address: bytes};
    handles {number: (kind, content)} of what lives.
    """

    def __init__(self, capability=(9, 0), name=b"Fake GPU"):
        self.capability, self.name, self.version = capability, name, 13000
        self.fail, self.log, self.clock = {}, [], 0.0
        self.memory, self.pinned, self.handles = {}, {}, {}
        self.capturing, self.queues = {}, {}
        self._last = 0

    def __getattribute__(self, name):
        attribute = object.__getattribute__(self, name)
        return self._called(name, attribute) if name.startswith("cu") and name[2].isupper() else attribute

    def __getattr__(self, name):
        if name.startswith("CU"):  # types and enumerations are the real ones
            return getattr(bindings, name)
        raise AttributeError(name)

    def _called(self, name, function):
        """`function` as cuda-bindings has it: it returns a code and then the values."""

        @functools.wraps(function)
        def called(*arguments):
            code = self.fail.get(name)
            found = bindings.CUresult(code) if code else function(*arguments)
            if isinstance(found, bindings.CUresult):
                return (found, None)
            values = found if isinstance(found, tuple) else () if found is None else (found,)
            return (bindings.CUresult.CUDA_SUCCESS, *values)

        return called

    # ------------------------------------------------------------------------------------------------------- its state

    def _new(self, kind, content=None):
        self._last += 1
        self.handles[self._last] = (kind, content)
        return kind(self._last)

    def _content(self, handle, kind):
        found, content = self.handles[int(handle)]
        assert found is kind, (found, kind)
        return content

    def _destroy(self, handle, kind):
        self._content(handle, kind)
        del self.handles[int(handle)]

    def check(self, address, size, kind):
        """AssertionError unless the range lies inside one live allocation of this kind."""
        address = int(address)
        inside = [start for start, held in kind.items() if start <= address and address + size <= start + len(held)]
        assert inside, f"{size} bytes at {address:#x} are not allocated"

    def reserve(self, size):
        """Take `size` bytes for weights; returns what holds them."""
        held = bytearray(size)
        self.memory[id(held)] = held
        return held

    def submit(self, stream, what, work):
        """Queue `work`, or hold it in the graph that the stream is capturing."""
        self._content(stream, bindings.CUstream)
        held = self.capturing if int(stream) in self.capturing else self.queues
        held[int(stream)].append((what, work))

    def _wait(self, stream, until=None):
        """Run what is queued on a stream, in order, up to the piece of work `until`."""
        queue = self.queues[stream]
        while queue:
            what, work = queue.pop(0)
            work()
            if what is not None:
                self.clock += 1.0
                self.log.append(what)
            if work is until:
                return

    # ------------------------------------------------------------------------------------------ the driver's functions

    def cuInit(self, flags):
        pass

    def cuDeviceGet(self, ordinal):
        return bindings.CUdevice(ordinal)

    def cuDeviceGetAttribute(self, attribute, device):
        return self.capability[int(attribute) - 75]

    def cuDeviceGetName(self, size, device):
        return self.name.ljust(size, b"\0")

    def cuDriverGetVersion(self):
        return self.version

    def cuDevicePrimaryCtxRetain(self, device):
        return self._new(bindings.CUcontext)

    def cuCtxSetCurrent(self, context):
        self._content(context, bindings.CUcontext)

    def cuCtxSynchronize(self):
        for stream in self.queues:
            self._wait(stream)

    def cuMemGetInfo(self):
        return GPU_MEMORY - sum(map(len, self.memory.values())), GPU_MEMORY

    def cuGetErrorName(self, code):
        return code.name.encode()

    cuGetErrorString = cuGetErrorName

    def _allocate(self, size, kind):
        held = ctypes.create_string_buffer(b"\xcd" * size, size)  # what nobody wrote is not zero
        kind[ctypes.addressof(held)] = held
        return ctypes.addressof(held)

    def cuMemAlloc(self, size):
        return bindings.CUdeviceptr(self._allocate(size, self.memory))

    def cuMemHostAlloc(self, size, flags):
        return self._allocate(size, self.pinned)

    def _free(self, address, kind):
        waiting = {stream: [what for what, _ in queue] for stream, queue in self.queues.items() if queue}
        assert not waiting, f"memory is given back under queued work: {waiting}"
        del kind[int(address)]

    def cuMemFree(self, address):
        self._free(address, self.memory)

    def cuMemFreeHost(self, address):
        self._free(address, self.pinned)

    def cuStreamCreate(self, flags):
        stream = self._new(bindings.CUstream)
        self.queues[int(stream)] = []
        return stream

    def cuStreamDestroy(self, stream):
        self._wait(int(stream))
        self._destroy(stream, bindings.CUstream)
        del self.queues[int(stream)]

    def cuStreamSynchronize(self, stream):
        if int(stream) in self.capturing:
            return UNWAITED
        self._wait(int(stream))
        self.log.append("synchronize")

    def _copy(self, what, target, target_kind, source, source_kind, size, stream):
        def work():
            self.check(target, size, target_kind)
            self.check(source, size, source_kind)
            ctypes.memmove(int(target), int(source), size)

        self.submit(stream, what, work)

    def cuMemcpyHtoDAsync(self, target, source, size, stream):
        self._copy("upload", target, self.memory, source, self.pinned, size, stream)

    def cuMemcpyDtoHAsync(self, target, source, size, stream):
        self._copy("download", target, self.pinned, source, self.memory, size, stream)

    def cuMemcpyDtoDAsync(self, target, source, size, stream):
        self._copy("copy", target, self.memory, source, self.memory, size, stream)

    def cuMemsetD8Async(self, target, value, size, stream):
        def work():
            self.check(target, size, self.memory)
            ctypes.memset(int(target), value, size)

        self.submit(stream, "zero", work)

    def cuStreamBeginCapture(self, stream, mode):
        self.capturing[int(stream)] = []
        self.log.append("begin capture")

    def cuStreamEndCapture(self, stream):
        self.log.append("end capture")
        return self._new(bindings.CUgraph, self.capturing.pop(int(stream)))

    def cuGraphInstantiate(self, graph, flags):
        return self._new(bindings.CUgraphExec, self._content(graph, bindings.CUgraph))

    def cuGraphDestroy(self, graph):
        self._destroy(graph, bindings.CUgraph)

    def cuGraphExecDestroy(self, executable):
        self._destroy(executable, bindings.CUgraphExec)

    def cuGraphLaunch(self, executable, stream):
        assert int(stream) not in self.capturing
        self.log.append("launch")
        self.queues[int(stream)] += self._content(executable, bindings.CUgraphExec)

    def cuEventCreate(self, flags):
        return self._new(bindings.CUevent, {})

    def cuEventRecord(self, event, stream):
        content = self._content(event, bindings.CUevent)
        content.clear()

        def note():
            content["time"] = self.clock

        content["queued"] = int(stream), note
        self.submit(stream, None, note)

    def cuStreamWaitEvent(self, stream, event, flags):
        queue, note = self._content(event, bindings.CUevent)["queued"]

        def work():
            if any(waiting is note for _, waiting in self.queues[queue]):
                self._wait(queue, note)

        self.submit(stream, None, work)

    def cuEventSynchronize(self, event):
        content = self._content(event, bindings.CUevent)
        if "time" not in content:
            self._wait(*content["queued"])

    def cuEventElapsedTime(self, start, end):
        times = [self._content(event, bindings.CUevent).get("time") for event in (start, end)]
        return NOT_READY if None in times else times[1] - times[0]

    def cuEventDestroy(self, event):
        self._destroy(event, bindings.CUevent)


@contextlib.contextmanager
def installed(monkeypatch, **settings):
    """Yield a FakeDriver that `helpers.engine.cuda` takes for the driver."""
    from helpers.engine import cuda

    driver = FakeDriver(**settings)
    monkeypatch.setattr(cuda, "driver", driver)
    cuda.device.cache_clear()
    yield driver
    cuda.device.cache_clear()
