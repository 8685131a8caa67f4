"""The proof of the projection of pillars: its cases, operands and errors."""

import torch

from helpers.ops import project_pillars as ops
from plugins.check.common import LIMITS, SINGLE, Call, Check, Row, on_host

# batch, cameras, pillars, points of each, image size
CASES = {
    "six cameras": (1, 6, 80, 4, (64, 96)),
    "two streams": (2, 3, 33, 2, (30, 50)),
    "one point": (1, 1, 1, 1, (7, 5)),
    "more pillars than a block": (1, 6, 300, 3, (480, 800)),
    "no pillar": (1, 6, 0, 4, (64, 96)),
}
PUBLISHED = {"tiny projection": (1, 6, 2500, 4, (480, 800))}
FRONT = 2.0  # meters: nearer, or behind the camera, a coordinate is the quotient of a difference and next to nothing
BORDER = 1e-4  # image units, and meters of depth


def operands(case, dtype, device, seed=0):
    """(lidar2img, points, image_size): cameras that look around, about half of the points behind each."""
    batch, cameras, pillars, count, (height, width) = case
    g = torch.Generator().manual_seed(seed)
    angles = torch.arange(cameras) * (2 * torch.pi / cameras) + torch.rand(batch, cameras, generator=g) * 0.2
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    rows = [
        [sin, -cos, zero, zero],
        [zero, zero, -one, 1.5 * one],
        [cos, sin, zero, 0.5 * one],
        [zero, zero, zero, one],
    ]
    looking = torch.stack([torch.stack(row, -1) for row in rows], -2)
    lens = torch.tensor([[width / 2, 0, width / 2, 0], [0, width / 2, height / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    points = torch.rand(pillars, count, 3, generator=g) * torch.tensor([60, 60, 8.0]) - torch.tensor([30, 30, 5.0])
    return (lens @ looking).to(device, dtype), points.to(device, dtype), (height, width)


def wild(case, device):
    """`operands` with values that are no numbers, without bounds, or zero."""
    *tensors, size = operands(case, SINGLE, device)
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 3e38, -3e38], device=device)
    for tensor, step in zip(tensors, (7, 11), strict=True):
        some = tensor.view(-1)[::step]
        some.copy_(values.repeat(len(some))[: len(some)])
    return *tensors, size


def on_borders(device):
    """One camera that sees (x, y, z) at (x / z, y / z): points on the borders of its picture and of its depth."""
    height, width, nearest = 4, 8, torch.tensor(ops.NEAREST_DEPTH)
    camera = torch.tensor([[width, 0, 0, 0], [0, height, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    edges = torch.tensor([0, 0.5, 1])
    depths = torch.stack([nearest, nearest.nextafter(edges[2]), edges[0], -edges[2]])
    seen = torch.cartesian_prod(edges, edges, edges[2:])
    near = torch.cartesian_prod(nearest[None] / 2, nearest[None] / 2, depths)
    return camera[None, None].to(device), torch.cat([seen, near])[:, None].to(device), (height, width)


def joined(outputs):
    """References and mask as one tensor [B, cameras, Q, 2P + 1]."""
    references, mask = outputs
    return torch.cat([references.squeeze(2).unflatten(0, mask.shape[:2]), mask], -1)


def error_of(output, arguments):
    """Error of `joined` outputs against the definition in float64; infinite for a wrong mask.

    Of coordinates in front of the camera relative to 1 and to themselves, of the others relative to the largest. Where
    a point lies so near to the border of sight that rounding decides, the mask of its pillar is left out.
    """
    output, lidar2img, points = on_host(output, *arguments[:2])
    lidar2img, points = lidar2img.double(), points.double()
    expected = joined(ops.reference(lidar2img, points, arguments[2]))
    if output.shape != expected.shape or not output.isfinite().all():
        return float("inf")
    if output.numel() == 0:
        return 0.0
    error, uv = (output.double() - expected).abs(), expected[..., :-1].unflatten(-1, (-1, 2))
    depth = torch.einsum("bcj,qpj->bcqp", lidar2img[:, :, 2, :3], points) + lidar2img[:, :, 2, 3, None, None]
    size = torch.where(depth[..., None] > FRONT, 1 + uv.abs(), uv.abs().max())
    near = (((uv - uv.round()).abs() < BORDER) & (uv.abs() < 2)).any(-1) | (depth.abs() < BORDER)
    sure = ~near.any(-1).any(1, keepdim=True).expand(error.shape[:3])
    wrong = sure & (error[..., -1] > LIMITS[SINGLE])
    return float("inf") if wrong.any() else (error[..., :-1].unflatten(-1, (-1, 2)) / size).max().item()


def same_bits(output, arguments):
    """0 if the `joined` outputs are those of the definition in float32 on the host, NaN where it has NaN."""
    output, lidar2img, points = (tensor.cpu() for tensor in (output, *arguments[:2]))
    expected = joined(ops.reference(lidar2img, points, arguments[2]))
    same = (output == expected) | (output.isnan() & expected.isnan())
    return 0.0 if output.shape == expected.shape and same.all() else float("inf")


class ProjectPillars(Check):
    name = "project_pillars"
    operator = staticmethod(lambda *arguments: joined(ops.project_pillars(*arguments)))
    reference = staticmethod(lambda *arguments: joined(ops.reference(*arguments)))

    def kernel_rows(self, library, device, published):
        for name, case in (CASES | PUBLISHED if published else CASES).items():
            given = operands(case, SINGLE, device)
            error = error_of(self.launched(library, given), given)
            yield Row(f"{self.name}, {name}", "fp32", error, LIMITS[SINGLE])
            for kind, tensors in (("", given), (", not numbers", wild(case, device))):
                error = same_bits(self.launched(library, tensors), tensors)
                yield Row(f"{self.name}, {name}{kind}: the definition's own bits", "fp32", error, 0.0)
        given = on_borders(device)
        error = same_bits(self.launched(library, given), given)
        yield Row(f"{self.name}, on the borders: the definition's own bits", "fp32", error, 0.0)

    def calls(self, device):
        for name in ("six cameras", "two streams", "more pillars than a block"):
            yield Call(name, "fp32", operands(CASES[name], SINGLE, device), LIMITS[SINGLE])
        lidar2img, points, size = operands(CASES["six cameras"], SINGLE, device)
        strided = lidar2img.mT.contiguous().mT, points.mT.contiguous().mT
        yield Call("strided", "fp32", (*strided, size), LIMITS[SINGLE])
        for form, dtype in (("fp64", torch.float64), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
            limit = LIMITS[SINGLE if dtype.itemsize == 2 else dtype]
            yield Call("six cameras", form, operands(CASES["six cameras"], dtype, device), limit, compiled=False)

    def published(self, device):
        for name, case in PUBLISHED.items():
            given = operands(case, SINGLE, device)
            moved = 4 * (given[0].numel() + given[1].numel() + self.reference(*given).numel())
            yield Call(name, "fp32", given, LIMITS[SINGLE], traffic=moved)

    def launched(self, library, arguments, packed=False):
        lidar2img, points, size = arguments
        outputs = [points.new_empty(shape) for shape in ops.shapes(lidar2img, points)]
        ops.launch(library, lidar2img.contiguous(), points.contiguous(), outputs, size)
        return joined(outputs)

    def error(self, output, arguments):
        return error_of(output, arguments)
