"""What the proofs of all operators share: calls, rows, errors and times."""

import ctypes
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from helpers.ops import common

HALF, SINGLE = torch.float16, torch.float32
LIMITS = {SINGLE: 1e-5, HALF: 2e-3, torch.bfloat16: 2e-2, torch.float64: 1e-12}  # largest error / largest output
SMALL = 1_000_000  # elements of a tensor of a small call


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing that was tried: `error` in units of the largest output, infinite for what may not be."""

    what: str
    form: str
    error: float
    limit: float

    @property
    def right(self) -> bool:
        return self.error <= self.limit  # not for NaN


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of an operator of `helpers.ops`.

    Attributes:
        arguments: of the public function.
        limit: of the error against the definition in float64.
        compiled: whether a compiled kernel takes these arguments.
        packed: with the kernels on pairs of halves.
        traffic: bytes that have to move at least: every tensor once.
    """

    what: str
    form: str
    arguments: tuple[Any, ...]
    limit: float
    compiled: bool = True
    packed: bool = False
    traffic: int = 0


class Check:
    """What the proof knows of one operator; a subclass and a file per operator.

    Attributes:
        operator, reference: the functions of `helpers.ops`.
        whole_graph: whether a tracer gets through the definition; its sizes must not depend on data.
    """

    name: str
    operator: Callable[..., torch.Tensor]
    reference: Callable[..., torch.Tensor]
    whole_graph = True

    def kernel_rows(self, library: ctypes.CDLL, device: str, published: bool) -> Iterator[Row]:
        """The compiled kernel alone against the definition in float64."""
        raise NotImplementedError

    def calls(self, device: str) -> Iterator[Call]:
        """Small calls, the first of them in float32 and taken by a kernel; some that no kernel takes."""
        raise NotImplementedError

    def published(self, device: str) -> Iterator[Call]:
        """Calls of published sizes, for times."""
        raise NotImplementedError

    def launched(self, library: ctypes.CDLL, arguments: tuple[Any, ...], packed: bool = False) -> torch.Tensor:
        """What the compiled kernel gives for the arguments of a call."""
        raise NotImplementedError

    def composition(self, *arguments: Any) -> torch.Tensor:
        """What one writes in PyTorch for a published call, without a kernel of one's own."""
        return self.reference(*arguments)

    def error(self, output: torch.Tensor, arguments: tuple[Any, ...]) -> float:
        """Error of the output of a call against the definition in float64."""
        raise NotImplementedError


@contextmanager
def launching(instead: Callable[..., None]) -> Iterator[None]:
    """Within the block `instead(launch, library, function, sizes, tensors)` stands for `helpers.ops.common.launch`."""
    launch = common.launch
    common.launch = functools.partial(instead, launch)
    try:
        yield
    finally:
        common.launch = launch


def misplaced(tensor: torch.Tensor) -> torch.Tensor:
    """The same values at an address that is no multiple of two elements; initcheck counts a value that nobody wrote."""
    held = tensor.new_empty(tensor.numel() + 1)
    return held[1:].view(tensor.shape).copy_(tensor)


def on_host(*tensors):
    """The tensors of a small call on the host, where a sum has one order and a sanitizer sees no kernel but ours."""
    small = all(tensor.numel() < SMALL for tensor in tensors)
    return [tensor.cpu() for tensor in tensors] if small else tensors


def relative(output: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest error over the largest expected value; infinite where the output is not a number."""
    if output.shape != expected.shape:
        return float("inf")
    if output.numel() == 0:
        return 0.0
    error = (output.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    return float("inf") if error.isnan() else error.item()


def exactly(output: torch.Tensor, expected: torch.Tensor) -> float:
    """0 if the tensors are the same in every bit, else infinite."""
    return 0.0 if output.dtype == expected.dtype and torch.equal(output, expected) else float("inf")


def captured_microseconds(work: Callable[[], Any], launches: int = 20, rounds: int = 50) -> float:
    """Median time of one call of `work` on the GPU: a CUDA graph of many calls between two events."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        work()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(launches):
                work()
        times = []
        for _ in range(rounds):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1000 / launches)
    return statistics.median(times)


def called_microseconds(work: Callable[[], Any], launches: int = 20, rounds: int = 20) -> float:
    """Median time of one call of `work` from Python, launches queued one after the other."""
    times = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(launches):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - started) * 1e6 / launches)
    return statistics.median(times[1:])
