"""`python -m helpers engine build|run|inspect|bench`, with trtexec's option names where it has them."""

import collections
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers import benchmark, engine, npz
from helpers.cli import arrays, engine_options, loaded, numbers
from helpers.cli.engine_options import ORT, RTX, TRT, refuse_unless
from helpers.cli.parser import Parser
from helpers.engine import cache
from helpers.errors import BadInput
from helpers.files import atomic, check_distinct, check_target

KINDS = {"gpu": "GPU compute", "host": "host", "enqueue": "enqueue"}
INPUTS = ("onnx", "loadEngine", "loadInputs", "calibration")
OUTPUTS = ("saveEngine", "timing_cache", "saveOutputs", "exportTimes", "exportProfile")


def main(argv: list[str]) -> int:
    """Run the subcommand that `argv` names; returns the exit code."""
    arguments = _parser().parse_args(argv)
    return arguments.command(arguments)


def _parser():
    parser = Parser(prog="python -m helpers engine", description="Build, run and measure engines.")
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
            sub.add_argument(
                "--loadEngine", type=Path, metavar="FILE", required=name == "inspect", help="an engine to load"
            )
        if name in ("run", "bench"):
            engine_options.add_load(sub)
            sub.add_argument(
                "--loadInputs", type=Path, metavar="FILE.npz", help="arrays by input name (default: seeded noise)"
            )
            sub.add_argument("--shapes", type=engine_options.shapes, default={},
                             help="input:1x3x4,... for free dimensions")  # fmt: skip
            sub.add_argument("--seed", type=numbers.whole(0, 2**63), default=0, help="seed of the noise")
        sub.add_argument("--dumpLayerInfo", action="store_true", help="print the layers")
    commands.choices["build"].add_argument("--skipInference", action="store_true", help="accepted: build never runs")
    commands.choices["run"].add_argument("--saveOutputs", type=Path, metavar="FILE.npz", help="write the outputs")
    _add_bench_options(commands.choices["bench"])
    return parser


def _add_bench_options(parser):
    parser.add_argument(
        "--warmUp", type=numbers.real(0, 3.6e6), default=200, metavar="MS", help="milliseconds of warm-up (200)"
    )
    parser.add_argument("--iterations", type=numbers.whole(1, 10**6), default=100, help="timed runs, at least (100)")
    parser.add_argument(
        "--duration", type=numbers.real(0, 86400), default=0, metavar="S", help="seconds of timed runs, at least (0)"
    )
    parser.add_argument("--percentile", type=numbers.several(0, 100), default=[90, 99], metavar="P,...", help="(90,99)")
    parser.add_argument("--exportTimes", type=Path, metavar="FILE.json", help="write every run's milliseconds")
    parser.add_argument("--dumpProfile", action="store_true", help="print the time of every layer")
    parser.add_argument("--exportProfile", type=Path, metavar="FILE.json", help="write the time of every layer")


def _add_build_options(parser):
    parser.add_argument("--onnx", type=Path, metavar="FILE", required=parser.prog.endswith("build"), help="ONNX file")
    parser.add_argument("--runtime", default="onnxruntime", choices=list(engine.RUNTIMES))
    parser.add_argument(
        "--cache", type=Path, default="build/engines", metavar="FOLDER", help="engine cache (build/engines)"
    )
    parser.add_argument("--saveEngine", type=Path, metavar="FILE", help="copy the engine and its metadata file here")
    engine_options.add_build(parser)
    engine_options.add_plugins(parser)


def _build(arguments):
    options = _build_options(arguments)
    runtime = arguments.runtime
    if arguments.dumpLayerInfo:
        refuse_unless(runtime, "--dumpLayerInfo", (TRT, RTX))
    layers = engine.get_runtime(runtime).layers(arguments.onnx)
    if layers:
        kinds = collections.Counter(layer["type"] for layer in layers)
        print(
            f"{len(layers)} layers: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}", flush=True
        )
        _print_layers(layers if arguments.dumpLayerInfo else [])
    path = built(arguments, options, None if runtime == ORT else announce)
    meta = cache.read_meta(path)
    if runtime == TRT and arguments.dumpLayerInfo:
        _print_layers(meta["layers"])
    print(f"{meta['runtime']} {meta['version']}  {meta['size_bytes'] / 2**20:.2f} MiB  {meta['build_seconds']} s")
    print(path)
    return 0


def _print_layers(layers):
    for layer in layers:
        print("{index:>5}  {type:<20} {precision:<6} {inputs} -> {outputs}  {name}".format(**layer), flush=True)


def announce() -> None:
    """Say that a build begins."""
    print("building; seconds to minutes, without progress from the builder ...", file=sys.stderr)


def _build_options(arguments):
    """Keyword arguments for `engine.build`; BadInput for what could be seen only after the build."""
    options = engine_options.build_options(arguments)
    check_files(arguments)
    return options


def check_files(arguments: Namespace, *read: Path) -> None:
    """BadInput if an output cannot be written, or is an input, one of the files `read`, or another output."""
    given = {name: value for name, value in vars(arguments).items() if value}
    taken = [*read, *(given[name] for name in INPUTS if name in given), *given.get("plugins", ())]
    if "loadEngine" in given:
        taken += cache.files_of(given["loadEngine"])
    outputs = [given[name] for name in OUTPUTS if name in given]
    if "saveEngine" in given:
        outputs.append(cache.metadata_file(given["saveEngine"]))
    for path in outputs:
        check_distinct(path, *taken)
        if "onnx" in given:
            from helpers.graph.file import check_output  # onnx, which running an engine does without

            check_output(path, given["onnx"])
        check_target(path)
        taken.append(path)


def built(arguments: Namespace, options: dict[str, Any], starting: Callable[[], object] | None = None) -> Path:
    """The engine of --onnx, built or found in --cache, where --saveEngine wants it."""
    path = engine.build(arguments.onnx, arguments.runtime, arguments.cache, starting, **options)
    return cache.save_as(path, arguments.saveEngine) if arguments.saveEngine else path


def _opened(arguments):
    if (arguments.onnx is None) == (arguments.loadEngine is None):
        fix = "leave one of them out" if arguments.onnx else "add --onnx=FILE or --loadEngine=FILE"
        raise BadInput("engine", "both or none of --onnx and --loadEngine", "one of them", fix)
    loaded.check(arguments)
    check_files(arguments)
    runtime = arguments.runtime if arguments.onnx else engine.runtime_of(arguments.loadEngine)
    for flag, runtimes in (("dumpLayerInfo", (TRT,)), ("dumpProfile", (TRT, ORT)), ("exportProfile", (TRT, ORT))):
        if vars(arguments).get(flag):
            refuse_unless(runtime, f"--{flag}", runtimes)
    options = engine_options.load_options(arguments, runtime)
    path = built(arguments, _build_options(arguments)) if arguments.onnx else arguments.loadEngine
    opened = engine.load(path, **options)
    if arguments.dumpLayerInfo:
        _print_layers(opened.layers())
    return opened


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
        with atomic(path) as part:
            npz.write(outputs, part)
        print(path)
    return 0


def _inspect(arguments):
    meta = engine.inspect(arguments.loadEngine)
    if arguments.dumpLayerInfo:
        refuse_unless(meta["runtime"], "--dumpLayerInfo", (TRT, RTX))
    layers = meta.pop("layers", [])
    print(json.dumps(meta, indent=2))
    _print_layers(layers if arguments.dumpLayerInfo else [])
    return 0


def _bench(arguments):
    with _opened(arguments) as opened:
        feeds = _feeds(opened, arguments)
        print(opened.description)
        timings = _timings(opened, feeds, arguments)
        profile = opened.profile(feeds) if arguments.dumpProfile or arguments.exportProfile else []
        memory = opened.memory()
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
        for kind, timing in opened.time(feeds, 1, arguments.iterations).items():
            samples.setdefault(kind, []).append(timing.samples)
    return {kind: benchmark.Timing(np.concatenate(parts)) for kind, parts in samples.items()}


def _write_json(path, content):
    if path:
        with atomic(path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(path)


def _feeds(opened, arguments):
    """Arrays from --loadInputs, else seeded noise; of the --shapes, where they fit the inputs."""
    shapes = {name: tensor.shape for name, tensor in opened.inputs.items()}
    for name, shape in arguments.shapes.items():
        arrays.check_shape(f"--shapes={name}:...", name, shape, shapes)
    shapes |= arguments.shapes
    if arguments.loadInputs:
        return arrays.load(arguments.loadInputs, shapes)
    types = {name: tensor.dtype for name, tensor in opened.inputs.items()}
    return arrays.noise(shapes, types, "pass --shapes={name}:...", arguments.seed)
