"""`python -m helpers create_engine`: a TensorRT engine of a system's graph, its profile made from real samples."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from helpers import engine, models
from helpers.calibration import samples
from helpers.cli import engine_options
from helpers.cli.engine import announce, built, check_files
from helpers.cli.engine_options import TRT
from helpers.cli.parser import Parser
from helpers.engine import cache
from helpers.errors import BadInput
from helpers.ops import library
from helpers.systems.base import Config

DESCRIPTION = (
    "Build a TensorRT engine on the machine that will run it. Sizes of inputs with free dimensions: least and most are "
    "the configuration's, the best is the median of real samples."
)
TUNING = ("optimization_level", "workspace", "timing_cache", "tactic_sources")  # how it is built, not what
ABSENT = "make gpu TIER=trt10 (or trt11), on a machine with a GPU; DRIVE OS and JetPack bring TensorRT with them"


def main(argv: list[str]) -> int:
    """`python -m helpers create_engine SYSTEM`: prints the profile and the engine's path.

    What was given is checked before TensorRT is asked for.
    """
    arguments = _parser().parse_args(argv)
    arguments.saveEngine = arguments.saveEngine or arguments.onnx.parent / f"{arguments.onnx.stem}.engine"
    config, model = models.config(arguments.system, arguments.config), cache.read_model(arguments.onnx)
    found = samples.read_shapes(arguments.samples, config)
    for folder, shapes in found.items():
        _check_graph(arguments.onnx, model, folder, shapes, config)
    library.identity(arguments.plugins)
    check_files(arguments, *(path for folder in found for path in folder.iterdir()))
    options = _options(arguments, config, model)
    options["shapes"] = samples.profile(list(found.values()), config)
    for name, three in options["shapes"].items():
        print(f"{name:<28}" + "  ".join(f"{size} {'x'.join(map(str, shape))}" for size, shape in
                                        zip(("min", "opt", "max"), three, strict=True)), flush=True)  # fmt: skip
    if not (tensorrt := engine.available()[TRT]):
        expected = "TensorRT 8.6 to 11 and a GPU: an engine runs where it was built"
        raise BadInput("TensorRT", tensorrt.reason, expected, ABSENT)
    print(built(arguments, options | _tuning(arguments), announce))
    return 0


def _parser():
    parser = Parser("python -m helpers create_engine", description=DESCRIPTION)
    parser.set_defaults(runtime=TRT)
    parser.add_argument("system", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="the configuration that was exported (published, or the first)")
    parser.add_argument("--onnx_path", dest="onnx", type=Path, required=True, metavar="FILE", help="its graph")
    parser.add_argument("--samples", type=Path, required=True, metavar="FOLDER", help="as helpers samples writes them")
    parser.add_argument("--trt_plugin_path", dest="plugins", action="append", type=Path, required=True,
                        metavar="LIBRARY", help="the plugin library for this TensorRT; repeat for more")  # fmt: skip
    parser.add_argument("--trt_engine_path", dest="saveEngine", type=Path, metavar="FILE",
                        help="the engine to write (beside the graph, as NAME.engine)")  # fmt: skip
    parser.add_argument("--fp16", action="store_true", help="allow FP16, but where the system needs FP32")
    parser.add_argument("--cache", type=Path, default="build/engines", metavar="FOLDER",
                        help="engine cache (build/engines)")  # fmt: skip
    engine_options.add(parser, [option for option in engine_options.BUILD if option.name in TUNING])
    return parser


def _check_graph(onnx_path: Path, model: Any, folder: Path, shapes: samples.Shapes, config: Config) -> None:
    """BadInput unless the graph takes these shapes, and has the inputs of the configuration."""
    from helpers.graph import walk  # onnx

    fix = "pass the --config that the graph was exported from"
    taken = {value.name: walk.shape_of(value) for value in walk.inputs(model)}
    if taken.keys() != config.input_shapes().keys():
        differ = sorted(taken.keys() ^ config.input_shapes().keys())
        raise BadInput(onnx_path, f"inputs {list(taken)}", f"those of {config.name}, which differ in {differ}", fix)
    for name, shape in shapes.items():
        known = taken[name]
        if len(known) != len(shape) or any(size not in (None, own) for size, own in zip(known, shape, strict=True)):
            raise BadInput(f"input {name!r} of {onnx_path}", f"a graph for {list(known)}",
                           f"one that takes {list(shape)}, of {folder}", fix)  # fmt: skip


def _options(arguments: Namespace, config: Config, model: Any) -> dict[str, Any]:
    """Precision, and what stays in FP32 where half precision is allowed."""
    from helpers.graph.walk import is_quantized  # onnx

    precision = {(False, False): "fp32", (False, True): "fp16", (True, False): "explicit", (True, True): "best"}
    options = {"precision": precision[is_quantized(model), arguments.fp16], "plugins": arguments.plugins}
    return options | ({"layer_precisions": dict.fromkeys(config.fp32, "fp32")} if arguments.fp16 else {})


def _tuning(arguments):
    given = {name: value for name in TUNING if (value := getattr(arguments, name)) is not None}
    return given | {name: read(given[name]) for name, read in engine_options.READ.items() if name in given}
