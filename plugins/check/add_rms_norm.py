"""The proof of the sum and its norm: its cases, operands and errors."""

import torch

from helpers.ops import add_rms_norm as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, exactly, guarded, relative

CASES = {
    "one row": (1, 256),
    "three axes": (2, 3, 40),
    "more than registers hold": (2, 4360),
    "no row": (0, 16),
}
PUBLISHED = {"1.1b norm": (1, 2048), "7b norm": (1, 4096), "1.1b prompt": (577, 2048)}
FORMS = {"fp32": SINGLE, "fp16": HALF}
EPSILON = 1e-5


def operands(shape, dtype, device, seed=0):
    """(x, residual, weight, epsilon), the residual larger than what is added."""
    g = torch.Generator().manual_seed(seed)
    x, residual = torch.randn(shape, generator=g), 3 * torch.randn(shape, generator=g)
    weight = 0.5 + torch.rand(shape[-1], generator=g)
    return *(tensor.to(device, dtype) for tensor in (x, residual, weight)), EPSILON


def joined(outputs):
    """Both outputs as one tensor, the second behind the first."""
    return torch.stack(outputs)


class AddRmsNorm(Check):
    name = "add_rms_norm"
    operator = staticmethod(lambda *arguments: joined(ops.add_rms_norm(*arguments)))
    reference = staticmethod(lambda *arguments: joined(ops.reference(*arguments)))

    def kernel_rows(self, library, device, published):
        for name, shape in (CASES | PUBLISHED if published else CASES).items():
            for form, dtype in FORMS.items():
                *tensors, epsilon = operands(shape, dtype, device)
                held = [guarded(tensor.shape, dtype, tensor.device)[0].copy_(tensor) for tensor in tensors]
                (first, one), (second, two) = (guarded(shape, dtype, held[0].device) for _ in range(2))
                ops.launch(library, *held, (first, second), epsilon)
                error = self.error(joined((first, second)), (*tensors, epsilon)) if one() and two() else float("inf")
                yield Row(f"{self.name}, {name}", form, error, LIMITS[dtype])
                same = exactly(second, tensors[0] + tensors[1])
                yield Row(f"{self.name}, {name}: the sum's own bits", form, same, 0.0)

    def calls(self, device):
        for form, dtype in FORMS.items():
            for name in ("one row", "three axes"):
                yield Call(name, form, operands(CASES[name], dtype, device), LIMITS[dtype])
        x, residual, *rest = operands((16, 8), SINGLE, device)
        strided = x.T.contiguous().T, residual.T.contiguous().T, *rest
        yield Call("strided", "fp32", strided, LIMITS[SINGLE])
        yield Call("odd width", "fp32", operands((3, 7), SINGLE, device), LIMITS[SINGLE], compiled=False)
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16)):
            yield Call("three axes", form, operands(CASES["three axes"], dtype, device), LIMITS[dtype], compiled=False)

    def published(self, device):
        for name, shape in PUBLISHED.items():
            given = operands(shape, HALF, device)
            yield Call(name, "fp16", given, LIMITS[HALF], traffic=4 * given[0].nbytes + given[2].nbytes)

    def composition(self, x, residual, weight, epsilon):
        total = x + residual
        return joined((torch.nn.functional.rms_norm(total, weight.shape, weight, epsilon), total))

    def launched(self, library, arguments, packed=False):
        x, residual, weight, epsilon = arguments
        outputs = x.new_empty(x.shape), x.new_empty(x.shape)
        ops.launch(library, x.contiguous(), residual.contiguous(), weight, outputs, epsilon)
        return joined(outputs)

    def error(self, output, arguments):
        *tensors, epsilon = arguments
        expected = ops.reference(*(tensor.double() for tensor in tensors), epsilon)
        return max(relative(*pair) for pair in zip(output, expected, strict=True))
