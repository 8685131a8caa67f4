"""What `evaluate` and `run` share: the options that name a network and the frames, and how it is opened."""

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import engine, models
from helpers.cli import engine_options
from helpers.cli.parser import Parser, check_used
from helpers.errors import BadInput
from helpers.files import as_path, found_at, sha256
from helpers.sequence import Arrays
from helpers.systems.base import Config

Run = Callable[[Arrays], Arrays]


def add_network(parser: Parser, *engine_flags: str) -> None:
    """The options of a network; `engine_flags` are other names of --engine."""
    parser.add_argument("system", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (published, or the first)")
    text = "an engine, or an ONNX file for ONNX Runtime"
    parser.add_argument(*engine_flags, "--engine", type=Path, metavar="FILE", help=text)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint, which PyTorch runs")
    text = "mark the modules of --weights with ranges of NVTX, for Nsight Systems"
    parser.add_argument("--nvtx", action="store_true", help=text)
    engine_options.add_plugins(parser)


def add_frames(parser: Parser, *flags: str) -> None:
    """The options of a data set; `flags` are other names of --dataroot."""
    parser.add_argument(*flags, "--dataroot", type=Path, default="data/minidrive", help="MiniDrive or nuScenes")
    parser.add_argument("--version", default="v1.0-mini", help="the folder of its tables (v1.0-mini)")
    parser.add_argument("--split", default="mini_val", help="a split of nuScenes, or all (mini_val)")


def file_of(options: Namespace) -> Path:
    """The one of --engine and --weights that is given."""
    if (options.engine is None) == (options.weights is None):
        found = "both" if options.engine else "neither"
        raise BadInput("the network", f"{found} of --engine and --weights", "one of them", "say what is to be run")
    if options.nvtx and options.engine:
        fix = "leave --nvtx out: TensorRT marks its layers by itself"
        raise BadInput("--nvtx", "an engine", "--weights, whose modules PyTorch runs", fix)
    check_used(options.plugins, "--plugins", options.engine, "--engine of the runtime tensorrt")
    path = as_path(options.engine or options.weights)
    if not path.is_file():
        raise BadInput(path, found_at(path), "a file with the network", "correct the path")
    return path


def about(options: Namespace, config: Config, files: list[Path]) -> dict[str, str]:
    """What tells an evaluation of a network in these files from others: system, configuration, file and digest."""
    return {"system": options.system, "config": config.name, "file": files[0].name, "sha256": sha256(*files)}


def parts(path: Path) -> tuple[list[Path], bool]:
    """The files of a network, its own and behind it an ONNX file's external weights; whether it computes in 16 bits."""
    if path.suffix != ".onnx":
        return [path], False
    from helpers.graph import file, walk  # onnx, which an engine does without

    model = file.parse(path, weights=False)
    return [path, *(path.parent / name for name in file.external_files(path, model))], walk.has_half(model)


def tell_mixture(store: Any) -> None:
    """Say of a `helpers.evaluate.Store` whose frames are not all of one code that they are not."""
    if told := store.mixture():
        print(f"note: {told}", file=sys.stderr)


def tell_rounding(path: Path, half: bool) -> None:
    """Say of an ONNX file, if it computes in 16 bits (`half`), that ONNX Runtime on a CPU rounds less."""
    if half:
        told = "ONNX Runtime computes what has no kernel for them in FP32, and rounds less than a GPU"
        print(f"note: {path} has 16-bit numbers: {told}; helpers.precision.mixed rounds all", file=sys.stderr)


def opened(options: Namespace, config: Config, path: Path) -> tuple[Callable[[], Run], Config, str]:
    """(what opens the network, the configuration with the sizes that it is fixed to, what runs it in words)."""
    if options.weights:
        return lambda: _torch_run(options, config, path), config, "PyTorch"
    plugins: dict[str, Any] = {"plugins": options.plugins} if options.plugins else {}
    loaded = engine.load(path, **plugins)
    if "pictures" in loaded.inputs and config.pictures not in loaded.inputs:
        expected = f"the input {config.pictures!r}, which the host prepares"
        raise BadInput(f"input 'pictures' of {path}", "the cameras' pictures as bytes", expected,
                       "export it without --pictures; this one is for helpers.pipeline, as in lesson 07")  # fmt: skip
    sizes = {
        free.name: loaded.inputs[name].shape[axis]
        for name, axes in config.free_axes().items()
        for axis, free in axes.items()
        if name in loaded.inputs
    }
    fixed = {name: size for name, size in sizes.items() if isinstance(size, int)}
    chosen = config.fixed(fixed) if fixed else config
    return lambda: _told(chosen.adapted(loaded.run, loaded.inputs), options, chosen), chosen, loaded.description


def _told(run: Run, options: Namespace, config: Config) -> Run:
    """`run`; where its inputs are other ones, the command made the arrays, and the network is what to change."""

    def fed(feeds: Arrays) -> Arrays:
        try:
            return run(feeds)
        except BadInput as error:
            if not error.where.startswith("input "):
                raise
            fix = f"it is not {options.system} --config={config.name}: name those of this file, or pass another file"
            raise BadInput(error.where, error.found, error.expected, fix) from error

    return fed


def _torch_run(options, config, path):
    import torch

    from helpers.benchmark import ranges
    from helpers.models.runner import runner

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = models.load_checkpoint(models.create(options.system, config), path).to(device)
    run = runner(model, device)
    if not options.nvtx:
        return run
    if ranges.library() is None:
        print("this build of PyTorch has no NVTX: nothing is marked", file=sys.stderr)

    def within_ranges(feeds):
        with ranges.marked(model):
            return run(feeds)

    return within_ranges
