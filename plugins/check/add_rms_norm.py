"""The proof of the sum and its norm: its cases, operands and errors."""

import torch

from helpers.ops import add_rms_norm as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, exactly, relative

CASES = {
    "one row": (1, 256),
    "three axes": (2, 3, 40),
    "more than registers hold": (2, 6200),
    "no row": (0, 16),
}
PUBLISHED = {"1.1b norm": (1, 2048), "7b norm": (1, 4096), "1.1b prompt": (577, 2048)}
FORMS = {"fp32": SINGLE, "fp16": HALF}
ONCE = 5e-4  # of what is rounded to half once, which is 2^-11
EPSILON = 0.1  # so much that it shows


def operands(shape, dtype, device, seed=0):
    """(x, residual, weight, epsilon), the residual larger than what is added."""
    g = torch.Generator().manual_seed(seed)
    x, residual = torch.randn(shape, generator=g), 3 * torch.randn(shape, generator=g)
    weight = 0.5 + torch.rand(shape[-1], generator=g)
    return *(tensor.to(device, dtype) for tensor in (x, residual, weight)), EPSILON


def joined(outputs):
    """Both outputs as one tensor, the second behind the first."""
    return torch.stack(outputs)


def of_rounded(output, arguments):
    """Largest error of an element, relative to itself, against the norm of the sum that came out."""
    normal, total = output.double()
    *_, weight, epsilon = arguments
    expected, _ = ops.reference(torch.zeros_like(total), total, weight.double(), epsilon)
    error = (normal - expected).abs() / expected.abs().clamp(min=1e-3)
    return error.max().item() if error.numel() else 0.0


class AddRmsNorm(Check):
    name = "add_rms_norm"
    operator = staticmethod(lambda *arguments: joined(ops.add_rms_norm(*arguments)))
    reference = staticmethod(lambda *arguments: joined(ops.reference(*arguments)))

    def kernel_rows(self, library, device, published):
        for name, shape in (CASES | PUBLISHED if published else CASES).items():
            for form, dtype in FORMS.items():
                given = operands(shape, dtype, device)
                output = self.launched(library, given)
                yield Row(f"{self.name}, {name}", form, self.error(output, given), LIMITS[dtype])
                same = exactly(output[1], given[0] + given[1])
                yield Row(f"{self.name}, {name}: the sum's own bits", form, same, 0.0)
                yield Row(f"{self.name}, {name}: the norm of the rounded sum", form, of_rounded(output, given), ONCE)

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
