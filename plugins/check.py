"""Proof of the kernels against `helpers.ops`, then their times: python -m plugins.check [LIBRARY]

Every case is held against the definition in float64 on the very operands that the kernel gets, rounded to half where it
gets half. Outputs start as NaN between guards of NaN, so that a cell that is not written, or one written past the end,
shows; the value lies between NaN too, so that a tap outside the map shows. LIBRARY is
plugins/build/kernels/libonramp_kernels.so by default; it needs PyTorch and a GPU, no TensorRT.
"""

import statistics
import sys
from functools import partial

import torch

from helpers.files import ROOT
from helpers.ops import library as plugins
from helpers.ops import operators as ops

LIBRARY = ROOT / "plugins/build/kernels/libonramp_kernels.so"
LIMITS = {torch.float32: 1e-5, torch.float16: 2e-3}  # largest error / largest output
HALF, SINGLE = torch.float16, torch.float32
FORMS = {"fp32": (SINGLE, SINGLE), "fp16": (HALF, HALF), "fp16_ref32": (HALF, SINGLE)}
GUARD = 64

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
PUBLISHED = {  # BEVFormer-tiny, then the mini configuration's head width
    "tiny SCA": (6, [(15, 25)], 8, 32, 2500, 8, 4),
    "tiny TSA": (2, [(50, 50)], 8, 32, 2500, 4, 1),
    "tiny decoder": (1, [(50, 50)], 8, 32, 900, 4, 1),
    "4 heads, SCA": (6, [(15, 25)], 4, 32, 2500, 8, 4),
}
ROTATIONS = [(3, 5, 8), (17, 9, 9), (1, 1, 4), (256, 50, 50)]


def operands(case, value_type, reference_type, device, seed=0, shape_type=torch.int32):
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
    weights.view(-1)[::17] += 40
    return (
        value.to(device, value_type),
        torch.tensor(shapes, dtype=shape_type, device=device),
        references.to(device, reference_type),
        *(tensor.to(device, value_type) for tensor in (offsets, weights)),
    )


def guarded(shape, dtype, device, guard=GUARD):
    """(tensor of NaN, function that tells whether the NaN on both sides of it are untouched)."""
    count = torch.Size(shape).numel()
    held = torch.full((count + 2 * guard,), torch.nan, dtype=dtype, device=device)
    outside = [held[:guard], held[guard + count :]]
    return held[guard : guard + count].view(shape), lambda: all(bool(side.isnan().all()) for side in outside)


def attention_error(library, case, form, device, seed=0, shape_type=torch.int32):
    """Largest error of the kernel over the largest output; infinite where it writes nothing or too much."""
    given = operands(case, *FORMS[form], device, seed, shape_type)
    n, shapes, m, d, q, _, _ = case
    output, intact = guarded((n, q, m, d), given[0].dtype, device)
    row = (shapes[0][1] + 2) * m * d  # a tap one row or cell outside reads NaN
    held, _ = guarded(given[0].shape, given[0].dtype, device, guard=GUARD * (row // GUARD + 1))
    plugins.run_ms_deform_attn(library, held.copy_(given[0]), *given[1:], output, stream=_stream(device))
    value, _, *rest = (tensor.double() for tensor in given)
    expected = ops.ms_deform_attn_reference(value, shapes, *rest)
    return _error(output, expected) if intact() else float("inf")


def rotation_error(library, size, angle, nearest, dtype, device, half_center=False):
    """Like `attention_error`; for nearest, pixels within 1e-4 of a tie between two source pixels are left out."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(size, generator=generator).to(device, dtype)
    center = torch.tensor([size[2] / 2 + 1, size[1] / 2 - 2])
    kind = HALF if half_center else SINGLE
    angle, center = (tensor.to(device, kind) for tensor in (torch.tensor([angle]), center))
    output, intact = guarded(size, dtype, device)
    plugins.run_rotate(library, image, angle, center, output, nearest, stream=_stream(device))
    exact = (image.double(), angle.double(), center.double())
    expected = ops.rotate_reference(*exact, "nearest" if nearest else "bilinear")
    if nearest:
        sure = _far_from_ties(*exact)
        output, expected = output[:, sure], expected[:, sure]
    return _error(output, expected) if intact() else float("inf")


def _far_from_ties(image, angle, center, margin=1e-4):
    """[H, W] mask of the pixels whose source column and row are farther than `margin` from n + 0.5."""
    _, h, w = image.shape
    rows, columns = torch.meshgrid(*(torch.arange(size, dtype=image.dtype) for size in (h, w)), indexing="ij")
    theta = torch.deg2rad(-angle.cpu())
    x, y = columns + 0.5 - center[0].cpu(), rows + 0.5 - center[1].cpu()
    sources = (theta.cos() * x + theta.sin() * y + center[0].cpu(), theta.cos() * y - theta.sin() * x + center[1].cpu())
    mask = [(source - source.round()).abs() > margin for source in sources]  # pixel centres lie at n + 0.5
    return (mask[0] & mask[1]).to(image.device)


def _error(output, expected):
    if output.numel() == 0:
        return 0.0
    error = (output.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)
    return float("inf") if error.isnan() else error.item()


def _stream(device):
    return torch.cuda.current_stream().cuda_stream if device == "cuda" else None


def verify(library, device, attention=CASES, rotations=ROTATIONS):
    """Yield (what, form, error, limit) for every case."""
    for name, case in attention.items():
        for form, (value_type, _) in FORMS.items():
            for seed, shape_type in enumerate((torch.int32, torch.int64)):
                error = attention_error(library, case, form, device, seed, shape_type)
                yield f"attention, {name}", f"{form}, {shape_type}".replace("torch.", ""), error, LIMITS[value_type]
    for size in rotations:
        for angle in (0.0, 3.7, 90.0, -123.4):
            for nearest in (True, False):
                for dtype, half_center in ((SINGLE, False), (HALF, False), (HALF, True)):
                    error = rotation_error(library, size, angle, nearest, dtype, device, half_center)
                    what = f"rotate {size}, {angle} degrees, {'nearest' if nearest else 'bilinear'}"
                    limit = 0.0 if nearest else 10 * LIMITS[dtype]  # coordinates in float32: 1e-5 of a cell
                    yield what, f"{dtype}, center {'half' if half_center else 'float'}", error, limit


def traffic(case, form):
    """Bytes that have to move at least: every tensor once."""
    n, shapes, m, d, q, points, groups = case
    value, reference = (kind.itemsize for kind in FORMS[form])
    cells, entries = sum(h * w for h, w in shapes), len(shapes) * points
    return value * (n * cells * m * d + 3 * n * q * m * entries + n * q * m * d) + reference * n * q * 2 * groups


def microseconds(work, launches=20, rounds=50):
    """Median time of one call of `work` on the GPU: a CUDA graph of many calls between two events."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        work()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(launches):
                work()
        times = []
        for _ in range(rounds):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1000 / launches)
    return statistics.median(times)


def times(library):
    """Print the time of every published call, beside the definition in PyTorch; operands stay in the L2 cache."""
    print(f"\n{'call':<14} {'form':<11} {'us':>8} {'GB/s':>8} {'PyTorch FP32 us':>16}")
    for name, case in PUBLISHED.items():
        for form, (value_type, reference_type) in FORMS.items():
            given = operands(case, value_type, reference_type, "cuda")
            output = torch.empty((*given[3].shape[:3], case[3]), dtype=value_type, device="cuda")
            kernel = microseconds(partial(_queue, plugins.run_ms_deform_attn, library, *given, output))
            shown = ""
            if form == "fp32":
                shown = f"{microseconds(partial(ops.ms_deform_attn_reference, given[0], case[1], *given[2:])):16.1f}"
            print(f"{name:<14} {form:<11} {kernel:8.1f} {traffic(case, form) / kernel / 1e3:8.0f} {shown}")
    angle, center = torch.tensor([3.7], device="cuda"), torch.tensor([25.0, 25.0], device="cuda")
    for form, dtype in (("fp32", SINGLE), ("fp16", HALF)):
        image = torch.randn(256, 50, 50, device="cuda").to(dtype)
        kernel = microseconds(partial(_queue, plugins.run_rotate, library, image, angle, center, image.clone()))
        print(f"{'tiny rotate':<14} {form:<11} {kernel:8.1f} {2 * image.numel() * dtype.itemsize / kernel / 1e3:8.0f}")


def _queue(run, *arguments):
    run(*arguments, stream=_stream("cuda"))  # the stream that is current now, which a graph may be capturing


def main(path=LIBRARY):
    library = plugins.load(path)
    print(torch.cuda.get_device_name(), "|", *(f"{key}={text}" for key, text in plugins.info(library).items()))
    rows = list(verify(library, "cuda", CASES | PUBLISHED))
    wrong = [row for row in rows if not row[2] <= row[3]]
    worst = {}
    for what, form, error, limit in rows:
        key = (what.split(" ")[0].strip(","), form.split(",")[0], limit)
        worst[key] = max(worst.get(key, 0), error)
    for (what, form, limit), error in worst.items():
        print(f"{what:<10} {form:<14} largest error {error:9.2e}   limit {limit:.0e}")
    for what, form, error, limit in wrong:
        print(f"WRONG: {what}, {form}: error {error:.3e}, limit {limit:.0e}")
    print(f"{len(rows) - len(wrong)} of {len(rows)} cases right")
    times(library)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
