"""Stage `pytorch`: the network in PyTorch on the GPU, eager, compiled and as a CUDA graph, and the card's ceilings.

FP16 is `model.half()` with the projection, the coordinates and the box regression in FP32, as the model itself demands;
"autocast" is PyTorch's own choice of types. The GPU time is that of the network alone; the host time has the copies
both ways, as the engines' has. The custom operators are composed of PyTorch's own, also where the compiled library is
there: these are the figures of somebody without it. With --plugin, eager runs once more with the library's kernels,
under names that end in "_kernels", and so does torch.compile in every precision.

Eager has a process of its own, and so have the modes of torch.compile that capture graphs: where PyTorch refuses to
capture one, its generator of random numbers stays in capture, and torch.compile, which asks for the generator's state,
fails in that process from then on.
"""

import contextlib
import signal
import time
from functools import partial

import numpy as np
import torch

from benchmarks import frames
from benchmarks.measured import GRAPH, KERNELS
from benchmarks.runner import Runner, tf32
from benchmarks.session import of_file
from benchmarks.spawned import run_spawned
from helpers import benchmark
from helpers.errors import BadInput
from helpers.export import difference
from helpers.models import create
from helpers.ops import library

COPIED = 1 << 30  # bytes, far more than any cache
COMPILE_LIMIT = 300  # seconds, where no budget is nearer
COMPILED_TIMING = 10  # seconds, after compiling
COMPILED = {  # the most wanted first: precision, options, seconds that the piece is expected to take
    "compile_fp16": ("fp16", {}, 45),
    "compile_fp32": ("fp32", {}, 45),
    "compile_tf32": ("tf32", {}, 45),
    "compile_fp16_reduce_overhead": ("fp16", {"mode": "reduce-overhead"}, 60),
    "compile_fp16_max_autotune": ("fp16", {"mode": "max-autotune"}, 150),
}
OF_KERNELS = ("compile_fp16", "compile_fp32", "compile_tf32")  # once more with the compiled kernels


def run(session, options):
    """All pieces of the stage."""
    if not torch.cuda.is_available():
        raise BadInput("torch", "no GPU that PyTorch can use", "an NVIDIA GPU", "run this stage on a machine with one")
    session.piece("pytorch/ceilings", ceilings, 20)
    networks = {shape: opened(options, shape) for shape in options.shapes}
    made_of = {shape: [of_file(options.checkpoint)] if shape == "mini" else None for shape in networks}
    with library.use(None):
        _pieces(session, options, networks, made_of)
    if options.plugin:
        for shape in networks:
            made_of[shape] = [*library.identity([options.plugin]), *(made_of[shape] or ())]
            piece = partial(_spawned, eager_of, options, shape, options.plugin)
            session.piece(f"pytorch/{shape}/{KERNELS}", piece, 60, made_of[shape])
        with library.use(options.plugin):
            chosen = {name: COMPILED[name] for name in OF_KERNELS}
            _compile(session, options, networks, made_of, chosen, f"_{KERNELS}")


def _pieces(session, options, networks, made_of):
    """`made_of`: shape -> the files that a network is made of, for the records; None for random weights."""
    system = options.system
    for shape, (model, kept) in networks.items():
        session.piece(f"pytorch/{shape}/eager", partial(_spawned, eager_of, options, shape), 60, made_of[shape])
        for precision in ("fp32", "tf32", "fp16"):
            out = session.work / "outputs" / shape / f"pytorch-{precision}.npz"
            session.piece(f"pytorch/{shape}/stream/{precision}",
                          lambda m=model, k=kept, p=precision, o=out: stream(system, m, k, p, o), 20,
                          made_of[shape])  # fmt: skip
    if "published" in options.shapes:
        for name in system.variants:
            session.piece(f"pytorch/scale/{name}", lambda n=name: scale(system, n, networks["published"][1]), 12)
    _compile(session, options, networks, made_of, COMPILED)


def _compile(session, options, networks, made_of, chosen, suffix=""):
    for name, (precision, settings, seconds) in chosen.items():
        for shape, (model, kept) in networks.items():
            piece = partial(compiled, partial(Runner, options.system, model, precision), kept)
            if settings:  # modes that capture graphs
                piece = partial(_spawned, compiled_of, options, shape)
            limited = partial(piece, precision, settings, session.until)
            session.piece(f"pytorch/{shape}/{name}{suffix}", limited, seconds, made_of[shape])


def opened(options, shape):
    """(network, frames) of one shape."""
    network = options.system.network(shape, options.checkpoint)
    return network, frames.Frames(options.work / "frames" / shape, options.preparing)


def _spawned(function, *arguments):
    """A call in a process of its own, for which this one gives its unused memory on the GPU back."""
    torch.cuda.empty_cache()
    return run_spawned(function, *arguments)


def eager_of(options, shape, path=None):
    """`eager` of one shape, with the compiled kernels of the library at `path` if one is given."""
    with library.use(path):
        found = eager(options.system, *opened(options, shape), options.tiny, suffix=f"_{KERNELS}" * bool(path))
    return found | {"operators": "compiled kernels" if path else "composed in PyTorch"}


def eager(system, model, kept, tiny, suffix=""):
    """Eager and CUDA-graphed runs of every precision, in turns; `suffix` ends the names of precisions."""
    runners, refused, memory = {}, {}, {}
    for precision in ("fp32", "tf32", "fp16", "autocast"):
        for graph in (False, True):
            name = precision + suffix + GRAPH * graph
            try:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
                runner = Runner(system, model, precision, graph)
                runner.run(kept[0])
                memory[name] = (torch.cuda.max_memory_allocated() - before) / 2**20
                runners[name] = runner
            except RuntimeError as error:
                refused[name] = str(error)[:300]
                torch.cuda.synchronize()
    rounds, iterations = (2, 2) if tiny else (10, 10)
    feeds = [kept[index] for index in range(min(4, len(kept)))]
    found = benchmark.compare_engines(runners, feeds, rounds, iterations, warmup=5)
    return _timings(found) | {"memory_mib": memory, "refused": refused, "rounds": rounds, "iterations": iterations}


def _timings(found):
    return {**{kind: one.timings for kind, one in found.items()},
            "speedup": {kind: one.speedups for kind, one in found.items()}}  # fmt: skip


class _Stop(BaseException):
    """No `except Exception` of a compiler swallows it."""


@contextlib.contextmanager
def _limit(seconds):
    """TimeoutError if the block does not end within so many seconds."""

    def stop(number, frame):
        raise _Stop

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Stop:
        raise TimeoutError(f"not ready after {seconds:.0f} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def compiled(network, kept, precision, settings, until=float("inf")):
    """torch.compile, in turns with eager of the same precision, and how far its outputs are from eager's.

    Args:
        network: function of `settings` to a `Runner`.
        until: when the budget ends (`time.monotonic`); the compiler has until shortly before.
    """
    torch.compiler.reset()
    started = time.perf_counter()
    with _limit(max(1, min(COMPILE_LIMIT, until - time.monotonic() - COMPILED_TIMING))):
        runner = network(settings=settings)
        for _ in range(3):
            runner.run(kept[0])
    ready = time.perf_counter() - started
    plain = network()
    errors = to_eager(runner, plain, kept[0])
    found = benchmark.compare_engines({precision: plain, "compiled": runner}, [kept[0]], rounds=5, iterations=10)
    speedup = found["gpu"].speedups["compiled"][0]
    return _timings(found) | {"compile_seconds": ready, "speedup_over_eager": speedup} | errors


def compiled_of(options, shape, precision, *limits):
    """`compiled` of one shape, without compiled kernels."""
    model, kept = opened(options, shape)
    with library.use(None):
        return compiled(partial(Runner, options.system, model, precision), kept, precision, *limits)


def to_eager(runner, plain, feeds):
    """{OUTPUT_rel_to_eager: largest error over the largest value} of a frame without history; text if not finite."""
    outputs = []
    for one in (runner, plain):
        one.reset()
        outputs.append(one.run(feeds))
    found, errors = outputs[0], {}
    for name, expected in outputs[1].items():
        error = difference(found[name], expected)["rel"]
        errors[f"{name}_rel_to_eager"] = error if np.isfinite(error) else "not finite"
    return errors


def stream(system, model, kept, precision, out):
    """All frames with history; outputs as the engines' are kept."""
    runner = Runner(system, model, precision)
    found = frames.stream(runner, kept, system, model.config, out)
    return found | frames.parity(out, out.with_name("onnxruntime-fp32.npz"))


def scale(system, name, kept):
    """One size of the published network, eager, FP32 without TF32."""
    config = system.variant(name)
    runner = Runner(system, create(system.name, config), "fp32")
    feeds = system.resized(kept[1], config.input_shapes())
    return runner.time(feeds, 5, 30) | {"settings": "eager, FP32 without TF32"}


def ceilings():
    """Copy bandwidth (bytes read and written) and matrix-product rates of the card."""
    found, n = {"copy_gb_s": copy_rate()}, 8192
    types = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    for name, dtype in types.items():
        a, b = (torch.randn(n, n, device="cuda").to(dtype) for _ in range(2))
        with tf32(name == "tf32"):
            found[f"{name}_tflop_s"] = 2 * n**3 / 1e12 / _seconds(lambda a=a, b=b: a @ b)
    return found | {"copy_bytes": COPIED, "matmul_n": n}


def copy_rate():
    """GB/s of a copy on the device, read and written."""
    source, target = (torch.empty(COPIED, dtype=torch.uint8, device="cuda") for _ in range(2))
    return 2 * COPIED / 1e9 / _seconds(lambda: target.copy_(source))


def _seconds(function, iterations=20):
    for _ in range(3):
        function()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    samples = []
    for _ in range(iterations):
        start.record()
        function()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end) / 1e3)
    return float(np.median(samples))
