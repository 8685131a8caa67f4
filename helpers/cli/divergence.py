"""`python -m helpers divergence`: the first tensor in which two ONNX files differ."""

from pathlib import Path

from helpers.cli import arrays, numbers
from helpers.cli.parser import Parser
from helpers.precision import STRATEGIES, OnnxRunner, Options, first_divergence


def main(argv: list[str]) -> int:
    """`python -m helpers divergence REFERENCE.onnx CANDIDATE.onnx`: exit code 0 if equal, 1 if not, 2 for bad input.

    A tensor that is not a number in both files is not equal.
    """
    parser = Parser("python -m helpers divergence", description="Find the first tensor that differs.")
    parser.add_argument("reference", type=Path, help="ONNX file that is right")
    parser.add_argument("candidate", type=Path, help="ONNX file that may be wrong")
    parser.add_argument(
        "--inputs", type=Path, metavar="FRAMES.npz", help="arrays by input name, [frames, ...] (seeded noise)"
    )
    parser.add_argument(
        "--tolerance", type=numbers.real(0, 1e6), default=1e-3, help="of each tensor's largest value (1e-3)"
    )
    parser.add_argument("--strategy", choices=STRATEGIES, default="walk")
    parser.add_argument("--inside", action="store_true", help="look inside the custom operators too")
    arguments = parser.parse_args(argv)
    reference, candidate = (OnnxRunner(path, arguments.inside) for path in (arguments.reference, arguments.candidate))
    if arguments.inputs:
        frames = arrays.load_frames(arguments.inputs, reference.inputs, reference.types)
    else:
        frames = [arrays.noise(reference.inputs, reference.types, "pass arrays with --inputs")]
    options = Options(strategy=arguments.strategy)
    result = first_divergence(reference, candidate, frames, tolerance=arguments.tolerance, options=options)
    print(result)
    return int(result.found)
