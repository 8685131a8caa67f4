"""`python -m helpers builder`: an engine of layered weights, its network written layer by layer, without ONNX."""

from argparse import Namespace
from pathlib import Path

from helpers import engine, models
from helpers.cli import numbers
from helpers.cli.engine import announce
from helpers.cli.engine_options import RTX, TRT
from helpers.cli.parser import Parser, check_used
from helpers.errors import BadInput
from helpers.files import check_target, sha256
from helpers.systems.base import Config

DESCRIPTION = (
    "Build an engine of weights that `weights split` wrote, its network written layer by layer through TensorRT's "
    "network definition API, without ONNX. TensorRT-RTX builds on any machine, TensorRT for the GPU at hand."
)
QUANT = {"False": "fp32", "fp16": "fp16", "int8": "int8"}


def main(argv: list[str]) -> int:
    """`python -m helpers builder SYSTEM -i FOLDER -o FILE -quant=False`; prints the layers, and the engine's path."""
    options = _parser().parse_args(argv)
    _check_quant(options)
    config, define = models.config(options.system, options.config), models.definition(options.system)

    from helpers.engine.definition.build import Source, build
    from helpers.models import arrays, layered

    index, settings = options.input / layered.INDEX, _settings(options)
    _check_out(options)
    weights = arrays.read(options.input)
    about = {"system": options.system, "config": config.name, "weights_sha256": sha256(index)}
    ranges = _ranges(options, config)
    if ranges:
        about["calibration_sha256"] = sha256(options.calibration)
    announce()
    source = Source(lambda network: define(network, config), weights, ranges, about)
    meta = build(source, options.out, options.runtime, QUANT[options.quant], **settings)
    kinds = ", ".join(f"{count} {kind}" for kind, count in meta["network_layers"].items())
    print(f"{sum(meta['network_layers'].values())} layers: {kinds}")
    print(f"{meta['runtime']} {meta['version']}  {meta['size_bytes'] / 2**20:.2f} MiB  {meta['build_seconds']} s")
    print(options.out)
    return 0


def _check_quant(options: Namespace) -> None:
    if options.quant not in QUANT:
        raise BadInput("option -quant", repr(options.quant), f"one of {list(QUANT)}", "correct it")
    if (options.quant == "int8") != bool(options.calibration):
        expected = "a calibration set, for the ranges" if options.quant == "int8" else "none, without INT8"
        found = options.calibration or "nothing"
        raise BadInput("option --calibration", found, expected, "write one with helpers.calibration.collect")


def _ranges(options: Namespace, config: Config) -> dict[str, float]:
    """Of the calibration set where there is one, by PyTorch."""
    if not options.calibration:
        return {}
    from helpers.calibration import CalibrationReader, check_calibration
    from helpers.models.ranges import ranges  # torch, which the rest does without

    shapes, types = config.input_shapes(), config.input_types()
    check_calibration(options.calibration, shapes, types)
    samples = CalibrationReader(options.calibration, shapes, input_types=types)
    return ranges(models.load_checkpoint(models.create(options.system, config), options.input), samples)


def _check_out(options: Namespace) -> None:
    for path in (options.out, engine.cache.metadata_file(options.out)):
        if path.resolve().is_relative_to(options.input.resolve()):
            raise BadInput(path, f"a place in {options.input}, the input", "a place of its own", "give another name")
        check_target(path)


def _settings(options: Namespace) -> dict:
    given = {"optimization_level": options.level, "workspace": options.workspace}
    check_used(options.no_tf32, "--noTF32", options.runtime == TRT, f"--runtime={TRT}")
    check_used(options.capability, "--computeCapability", options.runtime == RTX, f"--runtime={RTX}")
    if options.runtime == RTX:
        given["compute_capability"] = options.capability.split(",") if options.capability else None
    else:
        given["tf32"] = False if options.no_tf32 else None
    return {name: value for name, value in given.items() if value is not None}


def _parser() -> Parser:
    parser = Parser("python -m helpers builder", description=DESCRIPTION)
    parser.add_argument("system", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="the configuration that the weights are of (published, or the first)")
    text = "a folder that `weights split` wrote"
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="FOLDER", help=text)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the engine to write")
    text = f"{', '.join(QUANT)}: types of numbers (False)"
    parser.add_argument("-quant", "--quant", default="False", metavar="TYPE", help=text)
    text = "int8: a set of helpers.calibration, which PyTorch runs for the ranges"
    parser.add_argument("--calibration", type=Path, metavar="FILE.npz", help=text)
    text = "tensorrt_rtx builds anywhere, tensorrt for the GPU at hand"
    parser.add_argument("--runtime", default=RTX, choices=[RTX, TRT], help=text)
    text = "tensorrt_rtx: GPUs to build for"
    parser.add_argument("--computeCapability", dest="capability", metavar="8.6,8.9,...", help=text)
    parser.add_argument("--noTF32", dest="no_tf32", action="store_true", help="tensorrt: no TF32 in float32 products")
    text = "0 (quickest build) to 5"
    parser.add_argument("--builderOptimizationLevel", dest="level", type=numbers.whole(0, 5), metavar="N", help=text)
    text = "limit of the scratch memory"
    parser.add_argument("--workspace", type=numbers.real(1, 1e6), metavar="MIB", help=text)
    return parser
