"""What the custom operators share: their registration with PyTorch and the call of a compiled kernel."""

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch.autograd.forward_ad import unpack_dual

from helpers.errors import BadInput
from helpers.ops import library

_LIBRARY = torch.library.Library("onramp", "DEF")


def check_tensors(**tensors: object) -> None:
    """BadInput for what is no floating-point tensor."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or not tensor.dtype.is_floating_point:
            found = str(tensor.dtype) if isinstance(tensor, torch.Tensor) else type(tensor).__name__
            raise BadInput(name, found, "a floating-point tensor of PyTorch", "convert it")


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
            return _contiguous(reference(*arguments))
        return compiled(*arguments)

    def run(*arguments):
        loaded = library.kernels(arguments[0].device.type)  # none if another choice was made after tracing
        return _contiguous(reference(*arguments)) if loaded is None else kernel(loaded, *arguments)

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
    _LIBRARY.define(schema)
    _LIBRARY.impl(schema.partition("(")[0], reference, "CompositeImplicitAutograd")


def _contiguous(found):
    return found.contiguous() if isinstance(found, torch.Tensor) else tuple(each.contiguous() for each in found)


def _has_derivative(tensor):
    return (tensor.requires_grad and torch.is_grad_enabled()) or unpack_dual(tensor).tangent is not None


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
        code = loaded[function](ctypes.byref(sizes), *addresses, ctypes.c_void_p(stream))
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
