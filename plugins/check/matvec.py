"""The proof of the product of a matrix with vectors: its cases, operands and errors."""

import torch

from helpers.ops import matvec as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, relative

# vectors, inputs, rows
CASES = {
    "one vector": (1, 256, 96),
    "three vectors": (3, 264, 70),
    "fewer rows than a block": (2, 8, 2),
    "more inputs than a block's threads take at once": (2, 2120, 6),
    "no vector": (0, 16, 4),
}
# Of TinyLlama-1.1B and Llama-2-7B: queries, keys and values; behind the attention; gate and up; down; the vocabulary.
PUBLISHED = {
    "1.1b qkv": (1, 2048, 2560),
    "1.1b o": (1, 2048, 2048),
    "1.1b gate_up": (1, 2048, 11264),
    "1.1b down": (1, 5632, 2048),
    "1.1b head": (1, 2048, 32000),
    "7b qkv": (1, 4096, 12288),
    "7b o": (1, 4096, 4096),
    "7b gate_up": (1, 4096, 22016),
    "7b down": (1, 11008, 4096),
}
FORMS = {"fp32": SINGLE, "fp16": HALF}
PER_WARP = (0, 1, 2, 4, -4)


def operands(case, dtype, device, seed=0):
    """(x, weight), of products about as large as what goes in."""
    vectors, inputs, rows = case
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(vectors, inputs, generator=g)
    return x.to(device, dtype), (torch.randn(rows, inputs, generator=g) * inputs**-0.5).to(device, dtype)


def gates(name):
    """Whether the rows of a published case are gated."""
    return "gate_up" in name


class MatVec(Check):
    name = "matvec"
    operator = staticmethod(ops.matvec)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED if published else CASES).items():
            for form, dtype in FORMS.items():
                given = operands(case, dtype, device)
                for gated in (False, True):
                    for per_warp in PER_WARP if dtype == HALF else (0,):
                        output = self.launched(library, (*given, gated), per_warp=per_warp)
                        error = self.error(output, (*given, gated))
                        what = f"{self.name}, {name}{', gated' * gated}"
                        yield Row(what, f"{form}, {per_warp} for a warp", error, LIMITS[dtype])

    def calls(self, device):
        for name in ("one vector", "three vectors"):
            for form, dtype in FORMS.items():
                yield Call(name, form, (*operands(CASES[name], dtype, device), False), LIMITS[dtype])
                yield Call(f"{name}, gated", form, (*operands(CASES[name], dtype, device), True), LIMITS[dtype])
        x, weight = operands((3, 64, 40), SINGLE, device)
        strided = weight.T.contiguous().T, x.T.contiguous().T
        yield Call("strided", "fp32", (strided[1], strided[0], False), LIMITS[SINGLE])
        yield Call("odd inputs", "fp32", (x[:, :63], weight[:, :63], False), LIMITS[SINGLE], compiled=False)
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16)):
            given = operands(CASES["one vector"], dtype, device)
            yield Call("one vector", form, (*given, True), LIMITS[dtype], compiled=False)

    def published(self, device):
        for name, case in PUBLISHED.items():
            x, weight = operands(case, HALF, device)
            moved = weight.nbytes + x.nbytes + 2 * len(weight) // (1 + gates(name))
            yield Call(name, "fp16", (x, weight, gates(name)), LIMITS[HALF], traffic=moved)

    def composition(self, x, weight, gated):
        return ops.closed(torch.nn.functional.linear(x, weight), gated)

    def launched(self, library, arguments, packed=False, per_warp=0):
        x, weight, gated = arguments
        output = x.new_empty((*x.shape[:-1], len(weight) // (1 + gated)))
        ops.launch(library, x.contiguous(), weight.contiguous(), output, gated, per_warp)
        return output

    def error(self, output, arguments):
        x, weight, gated = arguments
        return relative(output, ops.reference(x.double(), weight.double(), gated))
