"""The proof of the product with weights of four bits: its cases, operands and errors."""

import torch

from helpers.ops import matvec_int4 as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, relative
from plugins.check.matvec import FORMS, PUBLISHED, gates

# vectors, inputs, rows, weights of a group
CASES = {
    "groups of 128": (1, 256, 96, 128),
    "a group for a row": (3, 264, 70, 264),
    "groups of 8": (2, 40, 6, 8),
    "groups of 16": (1, 48, 10, 16),
    "more inputs than a block's threads take at once": (2, 2176, 6, 128),
    "no vector": (0, 16, 4, 16),
}
GROUP = 128
CHOICES = ((0, 0), (1, 1), (2, 1), (4, 2), (2, 4), (4, 4), (-4, 1), (-4, 2))  # outputs of a warp, words at once


def operands(case, dtype, device, seed=0):
    """(x, weight, scale), of products about as large as what goes in."""
    vectors, inputs, rows, group = case
    g = torch.Generator().manual_seed(seed)
    x, scale = torch.randn(vectors, inputs, generator=g), torch.rand(rows, inputs // group, generator=g) + 0.5
    codes = torch.randint(-8, 8, (rows, inputs), generator=g)
    return x.to(device, dtype), ops.pack(codes).to(device), (scale * 0.2 * inputs**-0.5).to(device, dtype)


class MatVecInt4(Check):
    name = "matvec_int4"
    operator = staticmethod(ops.matvec_int4)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        large = {name: (*case, GROUP) for name, case in PUBLISHED.items()} if published else {}
        for name, case in (CASES | large).items():
            for form, dtype in FORMS.items():
                given = operands(case, dtype, device)
                for gated in (False, True):
                    for choice in CHOICES if dtype == HALF else CHOICES[:1]:
                        if case[3] % (8 * max(choice[1], 1)):
                            continue
                        output = self.launched(library, (*given, gated), choice=choice)
                        error = self.error(output, (*given, gated))
                        form_text = f"{form}, {choice[0]} for a warp, {choice[1]} words"
                        yield Row(f"{self.name}, {name}{', gated' * gated}", form_text, error, LIMITS[dtype])

    def calls(self, device):
        for name in ("groups of 128", "a group for a row"):
            for form, dtype in FORMS.items():
                yield Call(name, form, (*operands(CASES[name], dtype, device), False), LIMITS[dtype])
        yield Call("gated", "fp16", (*operands(CASES["groups of 8"], HALF, device), True), LIMITS[HALF])
        x, weight, scale = operands((3, 64, 40, 32), SINGLE, device)
        strided = x.T.contiguous().T, weight.T.contiguous().T, scale.T.contiguous().T
        yield Call("strided", "fp32", (*strided, False), LIMITS[SINGLE])
        odd = operands((2, 48, 6, 24), SINGLE, device)
        yield Call("groups of 24", "fp32", (*odd, False), LIMITS[SINGLE], compiled=False)
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16)):
            given = operands(CASES["groups of 128"], dtype, device)
            yield Call("groups of 128", form, (*given, True), LIMITS[dtype], compiled=False)

    def published(self, device):
        for name, case in PUBLISHED.items():
            x, weight, scale = operands((*case, GROUP), HALF, device)
            moved = weight.nbytes + scale.nbytes + x.nbytes + 2 * len(weight) // (1 + gates(name))
            yield Call(name, "int4, fp16", (x, weight, scale, gates(name)), LIMITS[HALF], traffic=moved)

    def launched(self, library, arguments, packed=False, choice=CHOICES[0]):
        *tensors, gated = arguments
        x, weight, scale = (tensor.contiguous() for tensor in tensors)
        output = x.new_empty((*x.shape[:-1], len(weight) // (1 + gated)))
        ops.launch(library, (x, weight, scale), output, gated, *choice)
        return output

    def error(self, output, arguments):
        x, weight, scale, gated = arguments
        return relative(output, ops.reference(x.double(), weight, scale.double(), gated))
