"""onnx's inference, within its limits: what it finds is kept, and no file makes it take the machine."""

import os
import time

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from ci.fuzz.door import command
from helpers import graph, processes
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.graph import inference, types
from tests.builders.graphs import captures, free_batch, sequences
from tests.builders.waiting import HANG

HEAD = '<ir_version: 9, opset_import: ["": 18]>'
BATCH = "b{0} = Concat <axis = 0> (b{1}, b{1})"
# Vectors of sizes as long as memory: each element becomes a dimension while values are followed.
GROWING = {
    "expanded": "g (float[1] x) => (int64[N] y) <int64[1] n = {40000}, int64[1] one = {1}> {"
                " m = Mul (n, n)  e = Expand (one, m)  y = Add (e, e) }",
    "repeated": "g (float[1] x) => (int64[N] y) { b0 = Cast <to = 7> (x) "
                + "".join(BATCH.format(i + 1, i) for i in range(30)) + " y = Add (b30, b30) }",
}  # fmt: skip
RANK = """g (float[1] x) => (float[N] y) <int64[1] n = {1000000000}, int64[1] one = {1}> {
    e = Expand (one, n)
    y = Reshape (x, e)
}"""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Little room, so that no test takes long."""
    monkeypatch.setattr(inference, "ROOM", 1 << 28)


@pytest.mark.parametrize("name", GROWING)
def test_values_that_fill_the_memory_are_refused_before_a_runtime_follows_them(tmp_path, name):
    path = tmp_path / "model.onnx"
    onnx.save(parser.parse_model(HEAD + GROWING[name]), path)
    build = ["engine", "build", f"--onnx={path}", f"--cache={tmp_path / 'cache'}"]
    for argv in (build, ["engine", "run", f"--loadEngine={path}"], ["graph", "--shapes", path]):
        with pytest.raises(BadInput, match=r"model\.onnx.*\n.*the inference of onnx ends with (MemoryError|SIG|an ex)"):
            command(*map(str, argv))
    assert not (tmp_path / "cache").exists()


def test_sizes_that_fill_the_memory_are_refused_with_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(parser.parse_model(HEAD + RANK), path)
    for call in (graph.tensor_types, inference.infer, inference.inferred):
        with pytest.raises(BadInput, match=r"^model\.onnx\n.*ends with (MemoryError|SIGABRT)"):
            call(onnx.load(path), "model.onnx")
    for argv in (["graph", "--shapes"], ["graph", "--blocks"], ["graph", "--postprocess"], ["divergence", path]):
        with pytest.raises(BadInput, match=r"model\.onnx.*\n.*the inference of onnx ends"):
            command(*map(str, argv), str(path))


@pytest.mark.parametrize(
    ("end", "named", "patience"), [(os.abort, "SIGABRT", HANG), (lambda: time.sleep(1000), "SIGALRM", 1)]
)
def test_an_inference_that_crashes_or_hangs_is_refused(monkeypatch, end, named, patience):
    monkeypatch.setattr(inference, "SECONDS", 1)
    monkeypatch.setattr(processes, "PATIENCE", patience)
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda *_, **__: end())
    with pytest.raises(BadInput, match=f"m\n.*ends with {named}\n.*in 1 s and 256 MiB"):
        inference.inferred(free_batch("N"), "m")


def loop():
    """A model whose inference types the inputs of a body."""
    return parser.parse_model(f"""{HEAD} g (float[2] x, int64 n, bool c) => (y) {{
        y = Loop <body = b (i, d, s) => (e, t) {{ e = Identity (d)  u = Add (s, x)  t = Relu (u) }}> (n, c, x)
    }}""")


@pytest.mark.parametrize("make", [lambda: free_batch("N"), captures, sequences, loop])
def test_what_onnx_infers_is_what_is_found(make):
    whole = make()
    expected = onnx.shape_inference.infer_shapes(whole, data_prop=True)
    assert inference.infer(whole) == expected and whole == make()


def test_weights_do_not_come_back_from_the_other_process(monkeypatch):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 1000])
    held = [numpy_helper.from_array(np.ones((1000, 3), np.float32), "w"), numpy_helper.from_array(np.arange(65), "s")]
    whole = helper.make_model(helper.make_graph([node], "g", [value], [onnx.ValueInfoProto(name="y")], held))
    told, take = [], inference._take
    monkeypatch.setattr(inference, "_take", lambda graph, answer: (told.append(answer.ByteSize()), take(graph, answer)))
    found = inference.infer(whole).graph
    assert types.type_of(found.output[0])[1] == [2, 3] and found.initializer == whole.graph.initializer
    assert 65 * 8 < told[0] < 1000


def test_what_onnx_refuses_is_told_with_its_reason():
    whole = parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = z.Relu (x) }")
    with pytest.raises(BadInput, match=r"^m\n.*No opset import for domain z"):
        inference.infer(whole, "m")
    assert inference.inferred(whole) == whole


def test_only_one_place_asks_onnx_to_infer():
    asking = [path for path in (ROOT / "helpers").rglob("*.py") if "infer_shapes(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in asking] == ["inference.py"]
