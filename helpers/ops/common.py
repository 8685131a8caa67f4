"""What the custom operators share: their registration with PyTorch and the call of a compiled kernel."""

import contextlib
import ctypes
from collections.abc import Callable, Sequence

import torch
from torch.autograd.forward_ad import unpack_dual

from helpers.errors import BadInput, foreign
from helpers.ops import library

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLES = (torch.int32, torch.int64)
_LIBRARY = torch.library.Library("onramp", "DEF")


def check_tensors(operator: str, /, **tensors: object) -> None:
    """BadInput for what is no dense tensor of `FLOATS`."""
    _check_dense(operator, tensors, FLOATS, "a dense floating-point tensor of PyTorch, of 16 bits at least")


def check_whole(operator: str, /, **tensors: object) -> None:
    """BadInput for what is no dense tensor of `WHOLES`."""
    _check_dense(operator, tensors, WHOLES, "a dense tensor of PyTorch, in int32 or int64")


def _check_dense(operator, tensors, kinds, expected):
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise BadInput(f"{name} of {operator}", type(tensor).__name__, expected, "convert it")
        if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in kinds:
            found = f"{tensor.dtype}, {'nested' if tensor.is_nested else tensor.layout}".replace("torch.", "")
            raise BadInput(f"{name} of {operator}", found, expected, "convert it: to_dense(), to(dtype)")


def one_width(*tensors: torch.Tensor) -> bool:
    """Whether double precision stands in all of the tensors or in none: PyTorch's products take no mixture."""
    return len({tensor.dtype == torch.float64 for tensor in tensors}) == 1


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32 if its type is half or bfloat16, else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def register(schema: str, reference: Callable, takes: Callable, kernel: Callable, fake: Callable) -> None:
    """Define the PyTorch operator `torch.ops.onramp.NAME`, made of the reference or of `NAME_compiled`.

    It runs the compiled kernel on tensors of the device that `helpers.ops.library.kernels` has one for, and the
    reference where there is none, where the kernel does not take the operands, and where derivatives are wanted: a
    backward pass needs what the reference keeps, so running the kernel first would only add to it. A tracer sees what
    was chosen while it traced: the operators of the reference, or one node.

    Args:
        schema: such as "rotate(Tensor image, Tensor angle) -> Tensor".
        reference: the definition in differentiable PyTorch, of the schema's arguments.
        takes: whether the compiled kernel takes the schema's arguments.
        kernel: takes the loaded library and such arguments; returns the output, or the tuple of outputs.
        fake: takes the schema's arguments; returns empty outputs, contiguous, for tracing.
    """
    name, _, operands = schema.partition("(")

    def chosen(*arguments):
        tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        device = tensors[0].device
        plain = any(tensor.device != device for tensor in tensors) or any(map(_has_derivative, tensors))
        if plain or library.kernels(device.type) is None or not takes(*arguments):
            return defined(*arguments)
        return compiled(*arguments)

    def defined(*arguments):
        return _contiguous(_in_own_types(reference, arguments))

    def run(*arguments):
        loaded = library.kernels(arguments[0].device.type)  # none if another choice was made after tracing
        return defined(*arguments) if loaded is None else kernel(loaded, *arguments)

    _LIBRARY.define(schema)
    _LIBRARY.impl(name, chosen, "CompositeImplicitAutograd")
    _LIBRARY.define(f"{name}_compiled({operands}")
    _LIBRARY.impl(f"{name}_compiled", run, "CPU")
    _LIBRARY.impl(f"{name}_compiled", run, "CUDA")
    torch.library.register_fake(f"onramp::{name}_compiled", fake, lib=_LIBRARY)
    compiled = getattr(torch.ops.onramp, f"{name}_compiled").default


def define(schema: str, reference: Callable) -> None:
    """Define the PyTorch operator `torch.ops.onramp.NAME` of a definition alone, for what has no compiled kernel.

    A tracer sees the operators of `reference`, which takes the schema's arguments.
    """

    def run(*arguments):
        return _in_own_types(reference, arguments)

    _LIBRARY.define(schema)
    _LIBRARY.impl(schema.partition("(")[0], run, "CompositeImplicitAutograd")


def _in_own_types(reference, arguments):
    """What the definition gives in the types that it chooses itself, as a kernel does, whatever autocast surrounds it.

    BadInput for tensors of devices that PyTorch does not take together.
    """
    devices = {argument.device.type: argument.device for argument in arguments if isinstance(argument, torch.Tensor)}
    with contextlib.ExitStack() as stack:
        if len(devices) > 1:
            where, found = reference.__module__.rpartition(".")[2], " and ".join(map(str, devices.values()))
            stack.enter_context(foreign(f"{where} on {found}", "operands on one device", "move them: to(device)"))
        for device in filter(torch.amp.is_autocast_available, devices):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        return reference(*arguments)


def _contiguous(found):
    return found.contiguous() if isinstance(found, torch.Tensor) else tuple(each.contiguous() for each in found)


def _has_derivative(tensor):
    return (tensor.requires_grad and torch.is_grad_enabled()) or unpack_dual(tensor).tangent is not None


def in_32_bits(sizes: type[ctypes.Structure]) -> type[ctypes.Structure]:
    """Sizes of a call that raise BadInput for one that 32 bits do not hold; ctypes would keep its lower bits."""

    def begin(self, *values):
        for (name, kind, *_), value in zip(sizes._fields_, values, strict=False):
            if kind is ctypes.c_int and not -(2**31) <= value < 2**31:
                raise BadInput(f"{name} of a kernel", f"{value:,}", f"less than {2**31:,}", "divide the operands")
        ctypes.Structure.__init__(self, *values)

    sizes.__init__ = begin  # type: ignore[method-assign]
    return sizes


def launch(loaded: ctypes.CDLL, function: str, sizes: ctypes.Structure, tensors: Sequence[torch.Tensor]) -> None:
    """Queue a compiled function on the current stream of the tensors' device; on the CPU it is done on return.

    Raises:
        BadInput: a tensor that is not contiguous, or what the function answered.
    """
    for tensor in tensors:
        if not tensor.is_contiguous():
            found = f"a tensor {tuple(tensor.shape)} that is not contiguous"
            raise BadInput(function, found, "contiguous tensors", "copy it")
    on_gpu = tensors[0].is_cuda
    stream = torch.cuda.current_stream(tensors[0].device).cuda_stream if on_gpu else None
    addresses = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    with torch.cuda.device_of(tensors[0]):
        code = library.function(loaded, function)(ctypes.byref(sizes), *addresses, ctypes.c_void_p(stream))
    if code:
        text = ", ".join(f"{field} {getattr(sizes, field)}" for field, *_ in sizes._fields_)
        raise BadInput(function, f"error {code}: {library.error_text(loaded, code)}; {text}",
                       "sizes that belong together, addresses of whole pairs, kernels for this GPU",
                       library.MAKE)  # fmt: skip


def packed(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as kernels take it: contiguous, at an address that suits vector loads; a copy if it has to be."""
    tensor = tensor.contiguous()
    return tensor.clone() if tensor.data_ptr() % 16 else tensor


def shape_text(tensor: torch.Tensor) -> str:
    """Such as "[2,5,7]"."""
    return "[" + ",".join(map(str, tensor.shape)) + "]"
