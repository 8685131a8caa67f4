"""What is known of types and shapes: stated, inferred, read off a run; and what stays unknown."""

import resource
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from helpers import graph
from helpers.files import ROOT
from helpers.graph import inference, types
from tests.builders.graphs import captures, free_batch, model, sequences, value


def test_shapes_that_only_a_run_can_tell():
    """Range of a computed number: no static inference gives its length."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Cos", ["total"], ["one"]),
        helper.make_node("Range", ["zero", "one", "step"], ["range"]),
        helper.make_node("Neg", ["range"], ["out"]),
    ]
    whole = model(nodes, {"x": [3]}, {"out": None}, {"zero": np.float32(0), "step": np.float32(0.25)})
    assert graph.tensor_types(whole)["range"] == (TensorProto.FLOAT, [4])


def test_a_graph_that_does_not_run_on_zeros_has_tables():
    nodes = [
        helper.make_node("Div", ["eights", "i"], ["s"]),
        helper.make_node("Reshape", ["x", "s"], ["y"]),
        helper.make_node("Neg", ["x"], ["z"]),
    ]
    inputs = [value("x", [2, 4]), value("i", [2], TensorProto.INT64)]
    whole = model(nodes, inputs, {"y": ["a", "b"], "z": None}, {"eights": np.array([8, 8])})
    rows = {row["tensor"]: row for row in graph.shapes(whole)}
    assert rows["z"]["shape"] == [2, 4] and None not in (rows["s"]["shape"], rows["y"]["dtype"])


@pytest.mark.parametrize("written", [-1, 0])
def test_sizes_that_stand_for_free_dimensions_are_free(written):
    known = graph.tensor_types(free_batch(written))
    assert known["x"] == (TensorProto.FLOAT, [None, 3, 4, 4]) and known["c"] == (TensorProto.FLOAT, [None, 2, 4, 4])
    assert known["y"][1] == [None, 5]


def test_a_free_dimension_is_not_filled_in_by_a_run():
    """A Reshape to a computed shape, over a free batch: nothing tells its sizes."""
    whole = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]> g (float[N, 4] x, int64[2] s) => (float[a, b] y) { y = Reshape(x, s) }
        """
    )
    assert graph.tensor_types(whole)["y"] == (TensorProto.FLOAT, ["a", "b"])


def test_lengths_that_the_values_decide_are_unknown():
    """NonZero finds nothing in zeros; what follows from it is as unknown as that."""
    whole = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]> g (float[4] x) => (int64[1, n] y, float[4] z)
        { at = NonZero(x) y = Neg(at) z = Neg(x) }
        """
    )
    known = graph.tensor_types(whole)
    assert known["at"][1] == [1, None] and known["y"][1] == [1, "n"] and known["z"][1] == [4]


def test_operators_that_disagree_leave_their_shapes_unknown():
    """One definition cannot serve a rotation to the nearest pixel and a bilinear one."""
    nodes = [
        helper.make_node("RotateTRT2", ["x", "a", "c"], [out], f"/{out}", domain="trt.plugins", interpolation=mode)
        for mode, out in enumerate("yz")
    ]
    whole = model(nodes, {"x": [3, 4, 5], "a": [1], "c": [2]}, dict.fromkeys("yz"), opsets=[("trt.plugins", 1)])
    assert graph.tensor_types(whole)["y"] == (TensorProto.FLOAT, None)
    del whole.graph.node[1:], whole.graph.output[1:]
    assert graph.tensor_types(whole)["y"] == (TensorProto.FLOAT, [3, 4, 5])


def test_what_is_no_tensor_has_a_kind_and_no_tensor_type():
    assert types.non_tensors(sequences()) == {"halves": "sequence"} and types.non_tensors(captures()) == {}
    assert graph.tensor_types(sequences()).keys() == {"x", "sizes", "first", "y"}


def test_nothing_large_is_made_of_zeros(monkeypatch):
    """An input that no memory holds is not allocated to find out about a shape."""
    whole = model(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        [value("x", [1 << 40]), value("s", [2], TensorProto.INT64)],
        {"y": None},
    )
    monkeypatch.setattr(types, "_by_running", lambda *_: pytest.fail("run"))
    assert graph.tensor_types(whole)["y"] == (TensorProto.FLOAT, [None, None])


COMPUTED = """<ir_version: 9, opset_import: ["": 18]>
    g (float[1] x) => (float[1] y) <float[1] far = {SIZE}> {
        size = Add (x, far)
        whole = Cast <to = 7> (size)
        c = ConstantOfShape <value = float[1] {1}> (whole)
        y = ReduceSum (c)
    }"""


@pytest.mark.parametrize(("size", "found"), [(1 << 20, [1 << 20]), (1 << 28, [None])])
def test_a_run_on_zeros_has_no_more_memory_than_zeros_may_have(monkeypatch, size, found):
    monkeypatch.setattr(types, "MOST_BYTES", 1 << 28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert graph.tensor_types(parser.parse_model(COMPUTED.replace("SIZE", str(size))))["c"][1] == found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 18


def test_types_leave_the_model_as_it_was():
    whole = free_batch(-1)
    before = whole.SerializeToString()
    assert types.values(whole) and whole.SerializeToString() == before


def test_what_does_not_infer_says_what_it_states():
    """Inference refuses a graph whose parts contradict each other."""
    whole = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3]}, {"y": [7]}, {"w": np.ones((4, 5))})
    assert graph.tensor_types(whole)["x"] == (TensorProto.FLOAT, [2, 3])
    assert isinstance(whole, onnx.ModelProto)


def test_shapes_as_text():
    assert [types.text(shape) for shape in (["N", 3], [None], [], None)] == ["[N, 3]", "[?]", "[]", "[?]"]
    assert [types.count(shape) for shape in ([2, 3], [], ["N", 3], [None], None)] == [6, 1, None, None, None]


LONG = """<ir_version: 9, opset_import: ["": 18, "demo": 1]>
    long (float[1] x) => (float[N] y) { y = demo.Long (x) }
    <domain: "demo", opset_import: ["": 18]>
    Long (x) => (y) {
      size = SIZE
      whole = Cast <to = 7> (x)
      vector = Reshape (whole, size)
      sum = Add (vector, vector)
      y = Cast <to = 1> (sum)
    }"""
INFER = f"""
import re, resource, sys
from pathlib import Path
from onnx import parser
from helpers.files import ROOT
from helpers.graph import inference, types
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
inference.inferred(parser.parse_model({LONG!r}.replace("SIZE", sys.argv[1])))
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])  # getrusage counts the parent's too
"""


@pytest.mark.parametrize(
    "size", ["Constant <value_ints = [4611686018427387904]> ()", "Constant <value = int64[1] {4611686018427387904}> ()"]
)
def test_inference_follows_no_values_into_vectors_that_fill_the_memory(size):
    done = subprocess.run([sys.executable, "-c", INFER, size], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and int(done.stdout) < 2**20


@pytest.mark.parametrize("last", [3, 2**63 - 1])
def test_the_end_of_a_slice_is_no_size(last):
    model = parser.parse_model(f"""<ir_version: 9, opset_import: ["": 18]>
        cut (float[1, 2, 3] x, float[6] z) => (float[A, B] y) <int64[1] one = {{1}}> {{
          end = Constant <value = int64[1] {{{last}}}> ()
          shape = Shape (x)
          sizes = Slice (shape, one, end)
          y = Reshape (z, sizes)
        }}""")
    inferred = types.stated(inference.inferred(model).graph)
    assert types.type_of(inferred["y"])[1] == [2, 3]
