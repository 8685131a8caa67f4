"""`python -m helpers quantize`: quantize an ONNX file, and say what was left in floating point."""

from pathlib import Path

from helpers.cli import numbers
from helpers.cli.parser import Parser, check_used
from helpers.quantize import METHODS, MODES, Options, counts, quantize, report

DESCRIPTION = "Quantize an ONNX file; custom nodes keep their functions and stay in floating point."


def main(argv: list[str]) -> int:
    """`python -m helpers quantize`: the option names are those of ModelOpt's own command."""
    parser = Parser("python -m helpers quantize", description=DESCRIPTION)
    parser.add_argument("--onnx_path", type=Path, required=True, help="floating-point model")
    parser.add_argument("--output_path", type=Path, help="default: beside the model, as NAME.quant.onnx")
    parser.add_argument("--calibration_data_path", type=Path, help=".npz; without it ranges are random (timing only)")
    parser.add_argument("--quantize_mode", default="int8", choices=MODES)
    parser.add_argument("--calibration_method", default="entropy", choices=METHODS)
    parser.add_argument("--op_types_to_exclude", nargs="*", default=["MatMul"], metavar="TYPE")
    parser.add_argument(
        "--nodes_to_exclude",
        nargs="*",
        default=[],
        metavar="REGEX",
        help="names that stay in floating point, from their beginning",
    )
    parser.add_argument("--simplify", action="store_true", help="fold constants with onnxslim first")
    parser.add_argument("--samples", type=numbers.whole(1, 10**6), help="use only the first so many samples")
    parser.add_argument("--linears", action="store_true", help="quantize matrix products with a weight even so")
    text = "SmoothQuant for these, with this alpha; 0.5 shares the difficulty between activations and weights"
    parser.add_argument("--smooth", type=numbers.real(0, 1), metavar="ALPHA", help=text)
    arguments = parser.parse_args(argv)
    check_used(arguments.samples, "--samples", arguments.calibration_data_path, "--calibration_data_path")
    chosen = Options(
        tuple(arguments.op_types_to_exclude),
        tuple(arguments.nodes_to_exclude),
        arguments.simplify,
        arguments.samples,
        progress=True,
        linears=arguments.linears,
        smooth=arguments.smooth,
    )
    out = quantize(
        arguments.onnx_path,
        arguments.output_path or arguments.onnx_path.parent / f"{arguments.onnx_path.stem}.quant.onnx",
        arguments.quantize_mode,
        arguments.calibration_method,
        arguments.calibration_data_path,
        chosen,
    )
    rows = counts(report(out, arguments.onnx_path))
    print(f"{'operator':<32}{'nodes':>6}{'quantized':>11}{'left':>6}  why left")
    for row in rows:
        print(f"{row['op']:<32}{row['nodes']:>6}{row['quantized']:>11}{row['left']:>6}  {row['why left']}")
    print(out)
    return 0
