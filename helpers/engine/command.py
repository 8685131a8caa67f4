"""`python -m helpers engine build|run|inspect|bench`, with trtexec's option names where it has them."""

import argparse
import collections
import json
import sys
import time
from pathlib import Path

import numpy as np

from helpers import benchmark, engine
from helpers.engine import cache, tensorrt_rtx
from helpers.errors import BadInput
from helpers.files import atomic


def main(argv):
    """Run the subcommand that `argv` names; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return arguments.command(arguments)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m helpers engine", description="Build, run and measure engines.")
    commands = parser.add_subparsers(required=True, metavar="build|run|inspect|bench")
    for name, function, summary in [
        ("build", _build, "build an engine from an ONNX file, or find it in the cache"),
        ("run", _run, "run an engine once and print its outputs"),
        ("inspect", _inspect, "print what an engine was made from"),
        ("bench", _bench, "measure an engine's latency"),
    ]:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=function)
        if name != "inspect":
            _add_build_options(sub)
        if name != "build":
            sub.add_argument("--loadEngine", metavar="FILE", required=name == "inspect", help="an engine to load")
        if name in ("run", "bench"):
            sub.add_argument("--loadInputs", metavar="FILE.npz", help="arrays by input name (default: seeded noise)")
            sub.add_argument("--shapes", type=_shapes, default={}, help="input:1x3x4,... for free dimensions")
            sub.add_argument("--seed", type=int, default=0, help="seed of the noise")
    commands.choices["run"].add_argument("--saveOutputs", metavar="FILE.npz", help="write the outputs")
    bench = commands.choices["bench"]
    bench.add_argument("--warmUp", type=float, default=200, metavar="MS", help="milliseconds of warm-up (200)")
    bench.add_argument("--iterations", type=int, default=100, help="timed runs (100)")
    for name in ("build", "inspect"):
        commands.choices[name].add_argument("--dumpLayerInfo", action="store_true", help="print the network's layers")
    return parser


def _add_build_options(parser):
    parser.add_argument("--onnx", metavar="FILE", required=parser.prog.endswith("build"), help="ONNX file")
    parser.add_argument("--runtime", default="onnxruntime", choices=list(engine.RUNTIMES))
    parser.add_argument("--cache", default="build/engines", metavar="FOLDER", help="engine cache (build/engines)")
    parser.add_argument("--saveEngine", metavar="FILE", help="copy the engine and its side file here")
    parser.add_argument("--threads", type=int, help="onnxruntime: threads within an operator")
    parser.add_argument("--optimization", help="onnxruntime: disable, basic, extended or all")
    parser.add_argument("--computeCapability", metavar="8.6,8.9", help="tensorrt_rtx: GPUs to build for")
    parser.add_argument("--builderOptimizationLevel", type=int, metavar="N", help="tensorrt_rtx: 0 to 5")
    parser.add_argument("--memPoolSize", metavar="workspace:MiB", help="tensorrt_rtx: scratch memory limit")
    for name in ("min", "opt", "max"):
        parser.add_argument(f"--{name}Shapes", type=_shapes, default={}, metavar="input:1x3x4,...",
                            help=f"tensorrt_rtx: {name} shapes of inputs with free dimensions")  # fmt: skip


def _shapes(text):
    """{"x": (1, 3, 4)} from "x:1x3x4,..."; a name may itself contain colons."""
    pairs = (item.rpartition(":") for item in text.split(","))
    return {name: tuple(int(size) for size in shape.split("x")) for name, _, shape in pairs}


def _options(arguments):
    """The runtime's options that were given; options of another runtime are refused by name."""
    workspace = arguments.memPoolSize
    if workspace is not None:
        pool, _, size = workspace.partition(":")
        if pool != "workspace" or not size.replace(".", "", 1).isdigit():
            raise BadInput("--memPoolSize", workspace, "workspace:MiB, such as workspace:1024", "correct it")
        workspace = float(size)
    three = [getattr(arguments, f"{name}Shapes") for name in ("min", "opt", "max")]
    named = dict.fromkeys(name for shapes in three for name in shapes)
    for name in named:
        if any(name not in shapes for shapes in three):
            raise BadInput(
                f"input {name!r}", "not all of its shapes", "--minShapes, --optShapes and --maxShapes", "add it"
            )
    capability = arguments.computeCapability
    given = {
        "onnxruntime": {"threads": arguments.threads, "optimization": arguments.optimization},
        "tensorrt_rtx": {
            "compute_capability": capability and capability.split(","),
            "optimization_level": arguments.builderOptimizationLevel,
            "workspace": workspace,
            "shapes": {name: tuple(shapes[name] for shapes in three) for name in named} or None,
        },
    }
    given = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in given.items()}
    for name, keys in given.items():
        if name != arguments.runtime and keys:
            raise BadInput(f"--runtime={arguments.runtime}", f"options of {name}: {list(keys)}", "its own options only",
                           f"leave them out, or pass --runtime={name}")  # fmt: skip
    return given.get(arguments.runtime, {})


def _build(arguments):
    if arguments.runtime == "tensorrt_rtx":
        layers = tensorrt_rtx.layers(arguments.onnx)
        kinds = collections.Counter(layer["type"] for layer in layers)
        print(
            f"{len(layers)} layers: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()), flush=True
        )
        _print_layers(layers if arguments.dumpLayerInfo else [])
        print("building; some seconds to a minute, without progress from the builder ...", file=sys.stderr)
    path = _built(arguments)
    meta = cache.read_meta(path)
    print(f"{meta['runtime']} {meta['version']}  {meta['size_bytes'] / 2**20:.2f} MiB  {meta['build_seconds']} s")
    print(path)
    return 0


def _print_layers(layers):
    for layer in layers:
        print("{index:>5}  {type:<20} {precision:<6} {inputs} -> {outputs}  {name}".format(**layer), flush=True)


def _built(arguments):
    path = engine.build(arguments.onnx, arguments.runtime, arguments.cache, **_options(arguments))
    return cache.save_as(path, arguments.saveEngine) if arguments.saveEngine else path


def _opened(arguments):
    if (arguments.onnx is None) == (arguments.loadEngine is None):
        raise BadInput("engine", "both or none of --onnx and --loadEngine", "one of them", "name one file")
    return engine.load(_built(arguments) if arguments.onnx else arguments.loadEngine)


def _run(arguments):
    with _opened(arguments) as opened:
        print(opened.description)
        outputs = opened.run(_feeds(opened, arguments))
    for name, array in outputs.items():
        values = array.astype(np.float64)
        summary = f"min {values.min():.4g}  mean {values.mean():.4g}  max {values.max():.4g}" if array.size else "empty"
        print(f"{name}  {array.dtype} {list(array.shape)}  {summary}")
    if arguments.saveOutputs:
        path = Path(arguments.saveOutputs)
        with atomic(path) as part, open(part, "wb") as stream:
            np.savez(stream, **outputs)
        print(path)
    return 0


def _inspect(arguments):
    meta = engine.inspect(arguments.loadEngine)
    layers = meta.pop("layers", [])
    print(json.dumps(meta, indent=2))
    _print_layers(layers if arguments.dumpLayerInfo else [])
    return 0


def _bench(arguments):
    with _opened(arguments) as opened:
        feeds = _feeds(opened, arguments)
        until = time.perf_counter() + arguments.warmUp / 1e3
        while time.perf_counter() < until:
            opened.run(feeds)
        print(opened.description)
        print(benchmark.latency(lambda: opened.run(feeds), warmup=1, iterations=arguments.iterations))
    return 0


def _feeds(opened, arguments):
    """Arrays from --loadInputs, else seeded normal noise for floating-point inputs and zeros for the others."""
    if arguments.loadInputs:
        try:
            with np.load(arguments.loadInputs, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, AttributeError) as error:
            raise BadInput(
                arguments.loadInputs, error, "an .npz file without pickles", "write it with numpy.savez"
            ) from error
    random = np.random.default_rng(arguments.seed)
    feeds = {}
    for name, tensor in opened.inputs.items():
        shape = arguments.shapes.get(name, tensor.shape)
        if any(isinstance(size, str) for size in shape):
            raise BadInput(f"input {name!r}", f"free dimensions in {tensor}", "a shape", f"pass --shapes={name}:...")
        noise = random.standard_normal(shape) if tensor.dtype.kind == "f" else np.zeros(shape)
        feeds[name] = noise.astype(tensor.dtype)
    return feeds
