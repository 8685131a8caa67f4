"""The door of models: ONNX files, damaged in their bytes or in their fields."""

import contextlib
import shutil
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import numpy_helper, parser

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent, command
from helpers import graph
from helpers.errors import BadInput
from helpers.graph.file import check_weights, parse

FILE, WEIGHTS = "model.onnx", "weights.bin"
HEAD = '<ir_version: 9, opset_import: ["": 18, "trt.plugins": 1, "demo": 1]>'
SOURCES = {
    "convolution": """
        convolution (float[1, 2, 6, 6] x) => (float[1, 3] y)
        <float[3, 2, 1, 1] w = {1, 2, 3, 4, 5, 6}, float[3] b = {0, 1, 2}, int64[2] shape = {1, 3},
         float[3, 3] m = {1, 0, 0, 0, 1, 0, 0, 0, 1}> {
          c = Conv (x, w, b)
          r = Relu (c)
          two = Constant <value = float {2}> ()
          s = Mul (r, two)
          p = GlobalAveragePool (s)
          f = Reshape (p, shape)
          g = Gemm <alpha = 0.5> (f, m)
          y = Softmax (g)
        }""",
    "branches": """
        branches (float[2] x, bool flag) => (float[2] out) <float[1] one = {1}, float[1] three = {3}> {
          doubled = Add (x, x)
          chosen = If <then_branch = then () => (float[2] kept) { kept = Add (doubled, one) },
                       else_branch = other () => (float[2] dropped) {
                         two = Constant <value_float = 2.0> ()
                         inner = Mul (x, two)
                         dropped = Mul (inner, three)
                       }> (flag)
          out = Relu (chosen)
        }""",
    "loop": """
        loop (float[1, 2] x) => (float[1, 2] y) <int64 three = {3}, bool go = {1}> {
          y = Loop <body = body (int64 i, bool c, float[1, 2] s) => (bool d, float[1, 2] t)
                    <float[2, 2] w = {1, 0, 0, 1}> { d = Identity (c)  u = MatMul (s, w)  t = Add (u, x) }>
              (three, go, x)
        }""",
    "sequence": """
        sequence (float[2, 2] x) => (float[N, 2] y) <int64 first = {0}> {
          s = SplitToSequence <axis = 0> (x)
          one = SequenceAt (s, first)
          t = SequenceInsert (s, one)
          y = ConcatFromSequence <axis = 0> (t)
        }""",
    "free": """
        free (float[N, 4] x) => (float[N, M] y) <float[4, 4] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}> {
          z = MatMul (x, w)
          n = NonZero (z)
          f = Cast <to = 1> (n)
          t = Transpose (f)
          s = ReduceSum <keepdims = 0> (t)
          y = Add (z, s)
        }""",
    "rounded": """
        rounded (float[1, 4] x) => (float[1, 4] y)
        <float scale = {0.1}, int8 zero = {0}, float[4, 4] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}> {
          q = QuantizeLinear (x, scale, zero)
          d = DequantizeLinear (q, scale, zero)
          y = MatMul (d, w)
        }""",
    "turned": """
        turned (float[1, 4, 4] image, float[1] angle, float[2] center) => (float[1, 4, 4] out) {
          r = trt.plugins.RotateTRT2 <interpolation = 0> (image, angle, center)
          out = Relu (r)
        }""",
    "defined": """
        defined (float[2, 2] x) => (float[2, 2] y) <float[2, 2] w = {1, 2, 3, 4}> {
          h = demo.Halve <by = 0.5> (x, w)
          y = Relu (h)
        }
        <domain: "demo", opset_import: ["": 18]>
        Halve <by> (x, w) => (y) {
          m = MatMul (x, w)
          c = Constant <value_float: float = @by> ()
          half = Constant <value = float {0.5}> ()
          p = Mul (m, half)
          y = Mul (p, c)
        }""",
}


def prepare(common: Path) -> None:
    """Write the whole files, and take each through the door once."""
    for name, source in SOURCES.items():
        folder = common / name
        folder.mkdir()
        model = graph.with_functions(parser.parse_model(HEAD + source))
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))  # raw, as exporters do
        graph.save(model, folder / FILE)
        enter(folder)
    outside = common / "outside"
    outside.mkdir()
    model = onnx.load(common / "convolution" / FILE)
    del model.metadata_props[:]  # the digest is of a file with its weights inside
    onnx.save(model, outside / FILE, save_as_external_data=True, location=WEIGHTS, size_threshold=50)
    enter(outside)


def make(random: Random, common: Path, folder: Path) -> None:
    source = random.choice(sorted(path.parent for path in common.glob(f"*/{FILE}")))
    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / FILE
    if (folder / WEIGHTS).exists() and random.random() < 0.3:
        path = folder / WEIGHTS
    if path.name == WEIGHTS or random.random() < 0.3:
        path.write_bytes(mutate.octets(path.read_bytes(), random))
        return
    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:]
    made = mutate.message(model, random)
    path.write_bytes(made.SerializeToString())


def enter(folder: Path) -> None:
    """Every command that takes an ONNX file; the first refusal is the answer, once the others have been asked too."""
    path, refusals = str(folder / FILE), []
    build = f"--onnx={path}", f"--cache={folder / 'engines'}"
    taking = [["graph", path, "--shapes", "--blocks"], ["engine", "build", *build]]
    if b"Loop" not in Path(path).read_bytes():  # which may rightly go on for ever
        taking += [["engine", "run", *build], ["divergence", path, path]]
    for argv in taking:
        try:
            command(*argv)
        except BadInput as error:
            if "free dimensions" not in error.found:  # those of the whole files are no fault
                refusals.append(error)
    for argv in (["quantize", "--onnx_path", path, "--calibration_data_path", "absent.npz"],
                 ["graph", path, "--postprocess"]):  # fmt: skip
        with contextlib.suppress(BadInput):
            command(*argv)
    if len(refusals) < len(taking):
        _check(path)
    if refusals:
        raise refusals[0]


def _check(path):
    """Silent if the file that a command took holds a weight that is no number, or fewer than it claims."""
    try:
        model = parse(path)
        check_weights(model, path)
    except BadInput as error:
        raise Silent(f"a command took what another refused: {error}") from error
    for tensor in _tensors(model):
        array = numpy_helper.to_array(tensor)
        if array.shape != tuple(tensor.dims):
            raise Silent(f"tensor {tensor.name} of {array.shape}, which claims {list(tensor.dims)}")
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise Silent(f"NaN in tensor {tensor.name}")


def _tensors(one):
    """Every TensorProto in a protobuf message, wherever it stands."""
    if isinstance(one, onnx.TensorProto):
        yield one
        return
    for field, value in one.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                yield from _tensors(inner)


DOOR = Door(prepare, make, enter, (FILE, WEIGHTS))
