"""Proof that `helpers.ops` runs the compiled kernels, and the same values without them: streams, compile, gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from helpers.ops import library
from plugins.check.common import LIMITS, SINGLE, Call, Check, Row, exactly, launching, relative

GRADIENT = 1e-4  # largest difference / largest gradient: the reference's backward on a GPU sums in no fixed order


def rows(check: Check, path: Path, device: str) -> Iterator[Row]:
    """Every call of a check with the library at `path` and without, then its first call in other surroundings."""
    loaded = library.load(path)
    calls = list(check.calls(device))
    for call in calls:
        with _in_one_order():
            plain = check.reference(*call.arguments).contiguous()
        expected = check.launched(loaded, call.arguments, call.packed) if call.compiled else plain
        what = f"{check.name}, {call.what}"
        with library.use(path, call.packed), torch.no_grad(), _in_one_order(), _launches() as launched:
            output = check.operator(*call.arguments)
        ran = "the compiled kernel" if call.compiled else "the reference"
        error = exactly(output, expected) if bool(launched) == call.compiled else float("inf")
        yield Row(f"{what}: with the library it is {ran}", call.form, error, 0.0)
        yield Row(f"{what}: with the library", call.form, check.error(output, call.arguments), call.limit)
        with library.use(None), torch.no_grad(), _in_one_order():
            output = check.operator(*call.arguments)
        yield Row(f"{what}: without the library it is the reference", call.form, exactly(output, plain), 0.0)
    arguments = calls[0].arguments
    for chosen, name in ((path, "with"), (None, "without")):
        with library.use(chosen):
            yield from _compiled(check, arguments, device, name)
            yield from _gradients(check, arguments, name)
    if device == "cuda":
        yield from _surroundings(check, arguments, path)
        yield from _captured(check, [call for call in calls if call.compiled], path)


@contextmanager
def _in_one_order():
    """PyTorch's own sums on a GPU are of one order, so that the reference gives the same bits twice."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def _launches():
    """Names of the compiled functions that the block launches: a kernel may give the very bits of the reference."""
    names = []

    def noted(launch, loaded, function, *rest):
        names.append(function)
        launch(loaded, function, *rest)

    with launching(noted):
        yield names


def _compiled(check, arguments, device, name):
    """Under torch.compile, without a break in the graph where it can be; equal to the same function not compiled."""

    def function(*tensors):
        return check.operator(*_filled(arguments, tensors)) * 2 + 1

    torch._dynamo.reset()
    backend = "inductor" if device == "cuda" else "aot_eager"
    whole = name == "with" or check.whole_graph
    with torch.no_grad():
        output = torch.compile(function, backend=backend, fullgraph=whole)(*_tensors(arguments))
        expected = function(*_tensors(arguments))
    error = relative(output, expected.double())
    yield Row(f"{check.name}, {name} the library: torch.compile ({backend})", "fp32", error, LIMITS[SINGLE])
    compiled = torch.compile(function, backend=backend, fullgraph=check.whole_graph)
    pairs = zip(_slopes(compiled, arguments), _slopes(function, arguments), strict=True)
    error = max(relative(found, expected.double()) for found, expected in pairs)
    yield Row(f"{check.name}, {name} the library: gradients under torch.compile", "fp32", error, GRADIENT)


def _gradients(check, arguments, name):
    found = _slopes(lambda *tensors: check.operator(*_filled(arguments, tensors)), arguments)
    expected = _slopes(lambda *tensors: check.reference(*_filled(arguments, tensors)), arguments)
    error = max(relative(*pair) for pair in zip(found, (slope.double() for slope in expected), strict=True))
    yield Row(f"{check.name}, {name} the library: gradients are the reference's", "fp32", error, GRADIENT)


def _slopes(function, arguments):
    """Gradients of a weighted sum of the function's output, with respect to every tensor of real numbers."""
    leaves = [tensor.clone().requires_grad_(tensor.is_floating_point()) for tensor in _tensors(arguments)]
    output = function(*leaves)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output)
    (output * weights).sum().backward()
    return [leaf.grad for leaf in leaves if leaf.requires_grad]


def _tensors(arguments):
    return [argument for argument in arguments if isinstance(argument, torch.Tensor)]


def _filled(arguments, tensors):
    """The arguments with these tensors in place of their own."""
    left = iter(tensors)
    return [next(left) if isinstance(argument, torch.Tensor) else argument for argument in arguments]


# ------------------------------------------------------------------------------------------------------ on a GPU only


def _surroundings(check, arguments, path):
    expected = check.launched(library.load(path), arguments)
    with library.use(path), torch.no_grad():
        error = exactly(_on_a_busy_stream(check, arguments), expected)
        yield Row(f"{check.name}: waits on the stream that is current", "fp32", error, 0.0)
        if torch.cuda.device_count() > 1:
            there = _filled(arguments, [tensor.to("cuda:1") for tensor in _tensors(arguments)])
            error = exactly(check.operator(*there).to("cuda:0"), expected)
            yield Row(f"{check.name}: on a GPU that is not the current one", "fp32", error, 0.0)
    yield from _found(check, arguments, expected)


def _captured(check: Check, calls: list[Call], path: Path) -> Iterator[Row]:
    """Every call in a CUDA graph: a kernel that is queued on another stream cannot be captured."""
    for call in calls:
        expected = check.launched(library.load(path), call.arguments, call.packed)
        with library.use(path, call.packed), torch.no_grad():
            error = exactly(_in_a_graph(check, call.arguments), expected)
        yield Row(f"{check.name}, {call.what}: captured in a CUDA graph", call.form, error, 0.0)


def _found(check, arguments, expected):
    """Only where a library in plugins/build loads: one with adapters does not without TensorRT's own libraries."""
    with library.use(library.AUTOMATIC), torch.no_grad():
        if library.kernels("cuda"):
            error = exactly(check.operator(*arguments), expected)
            yield Row(f"{check.name}: the library in plugins/build is found", "fp32", error, 0.0)


def _on_a_busy_stream(check, arguments):
    """The operands arrive late, on a second stream: a kernel on any other stream would read NaN, or -1 for an index."""
    stream = torch.cuda.Stream()
    late = [torch.full_like(tensor, torch.nan if tensor.is_floating_point() else -1) for tensor in _tensors(arguments)]
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # cycles: some 50 ms
        for tensor, content in zip(late, _tensors(arguments), strict=True):
            tensor.copy_(content)
        output = check.operator(*_filled(arguments, late))
    stream.synchronize()
    return output


def _in_a_graph(check, arguments):
    given = [tensor.clone() for tensor in _tensors(arguments)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = check.operator(*_filled(arguments, given))
    output.fill_(torch.nan)
    graph.replay()
    torch.cuda.synchronize()
    return output
