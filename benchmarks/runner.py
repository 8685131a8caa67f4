"""The network in PyTorch on the GPU behind the interface of an engine: inputs and outputs kept, history on the GPU.

Eager, the output that feeds a state becomes that state and nothing is copied; a CUDA graph and compiled code, which may
be one, read where they were captured, so that it is copied there.
"""

import contextlib
import time

import numpy as np
import torch

from helpers import benchmark


class Runner:
    """A model in one precision with its inputs and outputs on the GPU; the interface of an engine.

    Args:
        system: of `benchmarks.systems`, whose network `model` is.
        precision: "fp32", "tf32", "fp16" or "autocast".
        graph: run by a CUDA graph.
        settings: options of torch.compile, None for eager.
    """

    def __init__(self, system, model, precision, graph=False, settings=None):
        self.precision, self.wants_graph, self.graph, self.states = precision, graph, None, model.config.states
        self.model = system.half(model) if precision == "fp16" else system.on_gpu(model)
        self.forward = torch.compile(self.model, dynamic=False, **settings) if settings is not None else self.model
        self.swaps = not graph and settings is None  # what was captured or compiled keeps its addresses
        types = _types(model.config, set(system.keep_fp32) if precision == "fp16" else set(model.config.input_shapes()))
        shapes = model.config.input_shapes()
        self.device = {n: torch.zeros(s, dtype=types[n], device="cuda") for n, s in shapes.items()}
        initial = model.config.initial_states()
        self.initial = {name: torch.from_numpy(initial[name]).to("cuda", types[name]) for name in initial}
        self.host = {name: torch.zeros_like(tensor, device="cpu").pin_memory()
                     for name, tensor in self.device.items() if name not in self.states}  # fmt: skip
        self.names, self.results = list(model.config.output_shapes()), {}
        self.reset()
        if graph:
            self._capture()

    def _call(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(tf32(self.precision == "tf32"))
            if self.precision == "autocast":
                stack.enter_context(torch.autocast("cuda", torch.float16, cache_enabled=not self.wants_graph))
            return self.forward(**self.device)

    def _capture(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._call()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.captured = self._call()

    def _enqueue(self):
        if self.graph is not None:
            self.graph.replay()
            found = self.captured
        else:
            found = self._call()
        for name, source in self.states.items():
            output = found[self.names.index(source)]
            if self.swaps:
                self.device[name] = output
            else:
                self.device[name].copy_(output)
        return found

    def reset(self):
        for name in self.states:
            if self.swaps:  # not in place: it is an output, which somebody may still hold
                self.device[name] = self.initial[name].clone()
            else:
                self.device[name].copy_(self.initial[name])

    def run(self, feeds):
        self._upload(feeds)
        found = self._enqueue()
        whole = (tensor.float() if tensor.is_floating_point() else tensor for tensor in found)
        return {name: tensor.cpu().numpy() for name, tensor in zip(self.names, whole, strict=True)}

    def _upload(self, feeds):
        for name, array in feeds.items():
            self.host[name].copy_(torch.from_numpy(array))
            self.device[name].copy_(self.host[name], non_blocking=True)

    def _download(self, found):
        for name, tensor in zip(self.names, found, strict=True):
            if name in self.states.values():
                continue
            if name not in self.results:
                self.results[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self.results[name].copy_(tensor, non_blocking=True)

    def time(self, feeds, warmup=10, iterations=100):
        """As a TensorRT engine's: gpu, host and enqueue."""
        samples = {"gpu": [], "host": [], "enqueue": []}
        for turn in range(warmup + iterations):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began = time.perf_counter()
            self._upload(feeds)
            start.record()
            queued = time.perf_counter()
            found = self._enqueue()
            enqueue = time.perf_counter() - queued
            end.record()
            self._download(found)
            torch.cuda.synchronize()
            host = time.perf_counter() - began
            if turn >= warmup:
                for name, value in (("gpu", start.elapsed_time(end)), ("host", host * 1e3), ("enqueue", enqueue * 1e3)):
                    samples[name].append(value)
        return {name: benchmark.Timing(values) for name, values in samples.items()}


def _types(config, keep_fp32):
    """dict of input name to torch.dtype: half precision for floating-point inputs that are not to stay in FP32."""
    types = {name: torch.from_numpy(np.zeros(0, dtype)).dtype for name, dtype in config.input_types().items()}
    half = {name for name, dtype in types.items() if dtype == torch.float32} - keep_fp32
    return types | dict.fromkeys(half, torch.float16)


@contextlib.contextmanager
def tf32(on):
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = on
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value
