"""The proof of multi-scale deformable attention: its cases, operands and errors."""

import itertools

import torch

from helpers.ops import ms_deform_attn as ops
from plugins.check.common import HALF, LIMITS, SINGLE, Call, Check, Row, misplaced, relative

FORMS = {"fp32": (SINGLE, SINGLE), "fp16": (HALF, HALF), "fp16_ref32": (HALF, SINGLE)}
NOT_COMPILED = {
    "bf16": (torch.bfloat16, torch.bfloat16),
    "fp64": (torch.float64, torch.float64),
    "fp32_ref16": (SINGLE, HALF),
}

# name: N, shapes, M, D, Q, P, G
CASES = {
    "one level": (2, [(5, 7)], 2, 32, 33, 4, 1),
    "three levels": (1, [(6, 9), (3, 5), (1, 2)], 4, 16, 21, 4, 2),
    "four points of a pillar": (3, [(4, 6)], 8, 32, 10, 8, 4),
    "D = 4": (2, [(3, 3)], 3, 4, 17, 2, 1),
    "D = 12": (2, [(3, 4), (2, 2)], 2, 12, 9, 3, 3),
    "D = 5, scalar": (1, [(4, 5), (2, 3), (2, 2)], 3, 5, 13, 6, 2),
    "D = 1, one row": (1, [(1, 4)], 1, 1, 40, 1, 1),
    "D = 80": (1, [(7, 3)], 1, 80, 5, 1, 1),
}
PUBLISHED = {  # BEVFormer-tiny, the mini configuration's head width, then FB-OCC
    "tiny SCA": (6, [(15, 25)], 8, 32, 2500, 8, 4),
    "tiny TSA": (2, [(50, 50)], 8, 32, 2500, 4, 1),
    "tiny decoder": (1, [(50, 50)], 8, 32, 900, 4, 1),
    "4 heads, SCA": (6, [(15, 25)], 4, 32, 2500, 8, 4),
    "FB-OCC self": (1, [(100, 100)], 8, 10, 10000, 4, 1),
    "FB-OCC cross": (6, [(16, 44)], 8, 10, 3000, 8, 4),
    "FB-OCC depth": (6, [(16, 44)], 1, 80, 12000, 1, 1),
}


def operands(case, value_type, reference_type, device, seed=0):
    """Random operands of a case; references from -0.3 to 1.3, and a few far outside the map."""
    n, shapes, m, d, q, points, groups = case
    generator = torch.Generator().manual_seed(seed)
    cells, entries = sum(h * w for h, w in shapes), len(shapes) * points
    value = torch.randn(n, cells, m, d, generator=generator)
    references = torch.rand(n, q, 1, 2 * groups, generator=generator) * 1.6 - 0.3
    offsets = torch.randn(n, q, m, entries * 2, generator=generator) * 2
    offsets.view(-1)[::29] = 30000.0
    offsets.view(-1)[::31] = -30000.0
    weights = torch.randn(n, q, m, entries, generator=generator) * 3
    weights.view(-1)[::17] += 100  # beyond what float32 has an exponential of
    value, offsets, weights = (tensor.to(device, value_type) for tensor in (value, offsets, weights))
    return value, shapes, references.to(device, reference_type), offsets, weights


def nowhere(arguments):
    """Operands of `operands` whose points far outside have coordinates that are no numbers."""
    *others, offsets, weights = arguments
    return *others, offsets.where(offsets < 10000, torch.nan).where(offsets > -10000, -torch.inf), weights


class MsDeformAttn(Check):
    name = "ms_deform_attn"
    operator = staticmethod(ops.ms_deform_attn)
    reference = staticmethod(ops.reference)

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED if published else CASES).items():
            for form, (value_type, reference_type) in FORMS.items():
                for packed in (False, True) if value_type == HALF else (False,):
                    for seed, shape_type in enumerate((torch.int32, torch.int64)):
                        given = operands(case, value_type, reference_type, device, seed)
                        handed = nowhere(given) if seed else given
                        error = self.error(self.launched(library, handed, packed, shape_type), given)
                        text = f"{form}{', packed' * packed}, {shape_type}".replace("torch.", "")
                        yield Row(f"{self.name}, {name}", text, error, LIMITS[value_type])

        for (form, types), odd in itertools.product(FORMS.items(), ("value", "output")):
            for packed in (False, True) if types[0] == HALF else (False,):
                given = operands(CASES["three levels"], *types, device)
                error = self.error(self._misplaced(library, given, packed, odd), given)
                text = f"{form}{', packed' * packed}"
                yield Row(f"{self.name}, {odd} at an odd address", text, error, LIMITS[types[0]])

    def _misplaced(self, library, given, packed, odd):
        value, shapes, references, *rest = given
        output = value.new_full((value.shape[0], references.shape[1], *value.shape[2:]), torch.nan)
        extents = torch.tensor(shapes, dtype=torch.int32, device=value.device)
        value, output = (misplaced(value), output) if odd == "value" else (value, misplaced(output))
        ops.launch(library, value, extents, references, *rest, output, packed)
        return output

    def calls(self, device):
        for form, types in (FORMS | NOT_COMPILED).items():
            given = operands(CASES["three levels"], *types, device)
            yield Call("three levels", form, given, LIMITS[types[0]], compiled=form in FORMS)
        for form in ("fp16", "fp16_ref32"):
            given = operands(CASES["three levels"], *FORMS[form], device)
            yield Call("three levels", f"{form}, packed", given, LIMITS[HALF], packed=True)
        value, shapes, *rest = operands(CASES["one level"], SINGLE, SINGLE, device)
        spread = (value.transpose(1, 2).contiguous().transpose(1, 2), shapes, *map(misplaced, rest))
        yield Call("strided, at odd addresses", "fp32", spread, LIMITS[SINGLE])

    def published(self, device):
        for name, case in PUBLISHED.items():
            for form, types in FORMS.items():
                given = operands(case, *types, device)
                moved = sum(tensor.nbytes for tensor in given if isinstance(tensor, torch.Tensor))
                n, _, m, d, q, _, _ = case
                moved += n * q * m * d * types[0].itemsize
                yield Call(name, form, given, LIMITS[types[0]], traffic=moved)
                if types[0] == HALF:
                    yield Call(name, f"{form}, packed", given, LIMITS[HALF], packed=True, traffic=moved)

    def launched(self, library, arguments, packed=False, shape_type=torch.int32):
        value, shapes, references, offsets, weights = arguments
        output = value.new_empty((value.shape[0], references.shape[1], *value.shape[2:]))
        extents = torch.tensor(shapes, dtype=shape_type, device=value.device)
        tensors = [tensor.clone(memory_format=torch.contiguous_format) for tensor in (references, offsets, weights)]
        ops.launch(library, value.clone(memory_format=torch.contiguous_format), extents, *tensors, output, packed)
        return output

    def error(self, output, arguments):
        value, shapes, *rest = arguments
        return relative(output, ops.reference(value.double(), shapes, *(tensor.double() for tensor in rest)))
