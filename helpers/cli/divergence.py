"""`python -m helpers divergence`: the first tensor in which two ONNX files differ."""

import argparse
import zipfile

import numpy as np

from helpers.errors import BadInput
from helpers.precision import STRATEGIES, OnnxSide, first_divergence


def main(argv):
    """`python -m helpers divergence REFERENCE.onnx CANDIDATE.onnx`: exit code 0 if equal, 1 if not, 2 for bad input."""
    parser = argparse.ArgumentParser("python -m helpers divergence", description="Find the first tensor that differs.")
    parser.add_argument("reference", help="ONNX file that is right")
    parser.add_argument("candidate", help="ONNX file that may be wrong")
    parser.add_argument("--inputs", metavar="FRAMES.npz", help="arrays by input name, [frames, ...] (seeded noise)")
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of each tensor's largest value (1e-3)")
    parser.add_argument("--strategy", choices=STRATEGIES, default="walk")
    parser.add_argument("--inside", action="store_true", help="look inside the custom operators too")
    arguments = parser.parse_args(argv)
    reference = OnnxSide(arguments.reference, arguments.inside)
    frames = _saved_frames(arguments.inputs) if arguments.inputs else [_noise(reference)]
    candidate = OnnxSide(arguments.candidate, arguments.inside)
    result = first_divergence(reference, candidate, frames, tolerance=arguments.tolerance, strategy=arguments.strategy)
    print(result)
    return int(result.found)


def _noise(side):
    """Seeded normal noise for every input."""
    random, inputs = np.random.default_rng(0), side.inputs
    for name, shape in inputs.items():
        if None in shape:
            raise BadInput(f"input {name}", f"free dimensions in {shape}", "a shape", "pass arrays with --inputs")
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}


def _saved_frames(path):
    """The frames of an .npz file: arrays by input name, the frame along the first axis."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(path, error, "an .npz file without pickles", "write it with numpy.savez") from error
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise BadInput(path, f"frames by array: {counts}", "the same first extent", "stack the frames of every input")
    return [{name: array[i] for name, array in arrays.items()} for i in range(next(iter(counts.values())))]
