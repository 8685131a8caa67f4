"""`python -m helpers engine build|run|inspect|bench`, with trtexec's option names where it has them."""

import argparse
import collections
import json
import sys
import time
from pathlib import Path

import numpy as np

from helpers import benchmark, engine
from helpers.cli import arrays
from helpers.cli import engine_options as command_options
from helpers.engine import cache, tensorrt_rtx
from helpers.errors import BadInput
from helpers.files import atomic, check_target

KINDS = {"gpu": "GPU compute", "host": "host", "enqueue": "enqueue"}


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
            command_options.add_load(sub)
            sub.add_argument("--loadInputs", metavar="FILE.npz", help="arrays by input name (default: seeded noise)")
            sub.add_argument("--shapes", type=command_options.shapes, default={},
                             help="input:1x3x4,... for free dimensions")  # fmt: skip
            sub.add_argument("--seed", type=int, default=0, help="seed of the noise")
        sub.add_argument("--dumpLayerInfo", action="store_true", help="print the layers")
    commands.choices["build"].add_argument("--skipInference", action="store_true", help="accepted: build never runs")
    commands.choices["run"].add_argument("--saveOutputs", metavar="FILE.npz", help="write the outputs")
    _add_bench_options(commands.choices["bench"])
    return parser


def _add_bench_options(parser):
    parser.add_argument("--warmUp", type=float, default=200, metavar="MS", help="milliseconds of warm-up (200)")
    parser.add_argument("--iterations", type=int, default=100, help="timed runs, at least (100)")
    parser.add_argument("--duration", type=float, default=0, metavar="S", help="seconds of timed runs, at least (0)")
    parser.add_argument("--percentile", type=_percentiles, default=[90, 99], metavar="P,...", help="(90,99)")
    parser.add_argument("--exportTimes", metavar="FILE.json", help="write every run's milliseconds")
    parser.add_argument("--dumpProfile", action="store_true", help="tensorrt: print the time of every layer")
    parser.add_argument("--exportProfile", metavar="FILE.json", help="tensorrt: write the time of every layer")


def _percentiles(text):
    return [float(item) for item in text.split(",")]


def _add_build_options(parser):
    parser.add_argument("--onnx", metavar="FILE", required=parser.prog.endswith("build"), help="ONNX file")
    parser.add_argument("--runtime", default="onnxruntime", choices=list(engine.RUNTIMES))
    parser.add_argument("--cache", default="build/engines", metavar="FOLDER", help="engine cache (build/engines)")
    parser.add_argument("--saveEngine", metavar="FILE", help="copy the engine and its side file here")
    command_options.add_build(parser)
    command_options.add_plugins(parser)


def _build(arguments):
    options = _build_options(arguments)
    if arguments.runtime == "tensorrt_rtx":
        layers = tensorrt_rtx.layers(arguments.onnx)
        kinds = collections.Counter(layer["type"] for layer in layers)
        print(
            f"{len(layers)} layers: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()), flush=True
        )
        _print_layers(layers if arguments.dumpLayerInfo else [])
    path = _built(arguments, options, None if arguments.runtime == "onnxruntime" else _announce)
    meta = cache.read_meta(path)
    if arguments.runtime == "tensorrt" and arguments.dumpLayerInfo:
        _print_layers(meta["layers"])
    print(f"{meta['runtime']} {meta['version']}  {meta['size_bytes'] / 2**20:.2f} MiB  {meta['build_seconds']} s")
    print(path)
    return 0


def _print_layers(layers):
    for layer in layers:
        print("{index:>5}  {type:<20} {precision:<6} {inputs} -> {outputs}  {name}".format(**layer), flush=True)


def _announce():
    print("building; seconds to minutes, without progress from the builder ...", file=sys.stderr)


def _build_options(arguments):
    """Keyword arguments for `engine.build`; BadInput for what could be seen only after the build."""
    options = command_options.build_options(arguments)
    if arguments.saveEngine:
        check_target(arguments.saveEngine)
    return options


def _built(arguments, options, starting=None):
    path = engine.build(arguments.onnx, arguments.runtime, arguments.cache, starting, **options)
    return cache.save_as(path, arguments.saveEngine) if arguments.saveEngine else path


def _opened(arguments):
    if (arguments.onnx is None) == (arguments.loadEngine is None):
        raise BadInput("engine", "both or none of --onnx and --loadEngine", "one of them", "name one file")
    runtime = arguments.runtime if arguments.onnx else engine.runtime_of(arguments.loadEngine)
    options = command_options.load_options(arguments, runtime)
    path = _built(arguments, _build_options(arguments)) if arguments.onnx else arguments.loadEngine
    opened = engine.load(path, **options)
    if arguments.dumpLayerInfo:
        _print_layers(_layers(opened))
    return opened


def _layers(opened):
    if not hasattr(opened, "layers"):
        raise BadInput("--dumpLayerInfo", f"an engine of {opened.description}", "one of TensorRT", "leave it out")
    return opened.layers()


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
        wants_profile = arguments.dumpProfile or arguments.exportProfile
        if wants_profile and not hasattr(opened, "profile"):
            raise BadInput("--dumpProfile", opened.description, "an engine of TensorRT", "leave it out")
        print(opened.description)
        timings = _timings(opened, feeds, arguments)
        profile = opened.profile(feeds) if wants_profile else []
        memory = opened.memory() if hasattr(opened, "memory") else {}
    for kind, timing in timings.items():
        values = np.percentile(timing.samples, arguments.percentile)
        marks = "  ".join(f"p{p:g} {value:.3f}" for p, value in zip(arguments.percentile, values, strict=True))
        print(f"{KINDS[kind]:<12}  median {timing['p50']:.3f}  {marks}  mean {timing['mean']:.3f}  "
              f"min {timing['min']:.3f} ms  (n = {timing['n']})")  # fmt: skip
    if memory:
        print("memory        " + "  ".join(f"{name} {mib:.1f}" for name, mib in memory.items()) + " MiB")
    if arguments.dumpProfile:
        for row in profile:
            print("{ms:>9.4f} ms  {share:>6.1%}  {type:<20} {precision:<6} {layer}".format(**row))
    _write_json(arguments.exportProfile, profile)
    _write_json(arguments.exportTimes, {kind: timing.samples.tolist() for kind, timing in timings.items()})
    return 0


def _timings(opened, feeds, arguments):
    """dict of kind to `benchmark.Timing`: at least --iterations runs, for at least --duration seconds."""
    until = time.perf_counter() + arguments.warmUp / 1e3
    while time.perf_counter() < until:
        opened.run(feeds)
    samples, until = {}, time.perf_counter() + arguments.duration
    while not samples or time.perf_counter() < until:
        for kind, timing in benchmark.time_engine(opened, feeds, 1, arguments.iterations).items():
            samples.setdefault(kind, []).append(timing.samples)
    return {kind: benchmark.Timing(np.concatenate(parts)) for kind, parts in samples.items()}


def _write_json(path, content):
    if path:
        with atomic(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n")
        print(path)


def _feeds(opened, arguments):
    """Arrays from --loadInputs, else seeded noise."""
    shapes = {name: arguments.shapes.get(name, tensor.shape) for name, tensor in opened.inputs.items()}
    if arguments.loadInputs:
        return arrays.load(arguments.loadInputs, {name: tensor.shape for name, tensor in opened.inputs.items()})
    types = {name: tensor.dtype for name, tensor in opened.inputs.items()}
    return arrays.noise(shapes, types, "pass --shapes={name}:...", arguments.seed)
