"""The proof of the inverse of matrices: its cases, operands and errors."""

import torch

from helpers.ops import inverse as ops
from plugins.check.common import LIMITS, SINGLE, Call, Check, Row, exactly, on_host, relative

CASES = {
    "one": (3, 3),
    "a batch": (5, 3, 3),
    "two axes": (2, 3, 3, 3),
    "more than a block": (300, 3, 3),
    "none": (0, 3, 3),
}
PUBLISHED = {"tiny inverse": (1, 3, 3)}
LIMIT = 1e-4  # of matrices whose condition is some tens


def operands(shape, dtype, device, seed=0):
    """Matrices whose determinant is far from 0."""
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=g) * 0.4 + 2 * torch.eye(3)).to(device, dtype)


class Inverse(Check):
    name = "inverse"
    operator = staticmethod(ops.inverse)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for name, shape in (CASES | PUBLISHED if published else CASES).items():
            given = operands(shape, SINGLE, device)
            output = self.launched(library, (given,))
            yield Row(f"{self.name}, {name}", "fp32", self.error(output, (given,)), LIMIT)
            same = exactly(output.cpu(), ops.reference(given.cpu()))
            yield Row(f"{self.name}, {name}: the definition's own bits", "fp32", same, 0.0)

    def calls(self, device):
        for name in ("one", "a batch", "more than a block"):
            yield Call(name, "fp32", (operands(CASES[name], SINGLE, device),), LIMIT)
        yield Call("strided", "fp32", (operands((4, 3, 3), SINGLE, device).mT,), LIMIT)
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
            limit = LIMIT if dtype.itemsize == 2 else LIMITS[dtype]
            yield Call("a batch", form, (operands((5, 3, 3), dtype, device),), limit, compiled=False)

    def published(self, device):
        for name, shape in PUBLISHED.items():
            given = operands(shape, SINGLE, device)
            yield Call(name, "fp32", (given,), LIMIT, traffic=2 * given.nbytes)

    def launched(self, library, arguments, packed=False):
        output = torch.empty(arguments[0].shape, device=arguments[0].device)
        ops.launch(library, arguments[0].contiguous(), output)
        return output

    def error(self, output, arguments):
        output, matrix = on_host(output, *arguments)
        return relative(output, torch.linalg.inv(matrix.double()))
