"""What the edits leave of a graph, and that it computes the same."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers import graph
from helpers.errors import BadInput
from helpers.graph import edit, session
from tests.builders.functions import D, M, N, P, Q, S, halving, image, run, with_plugins
from tests.builders.graphs import captures, free_batch, looping, model, sequences

X = np.float32([-3, 5])
WHOLE = {
    "If, taken": (captures(), {"x": X, "flag": np.array(True)}),
    "If, not taken": (captures(), {"x": X, "flag": np.array(False)}),
    "Loop": (looping(), {"x": X[None], "step": np.float32([[1, 2]])}),
    "function": (halving(), {"image": image()}),
}


def arrays_of(whole, feeds):
    """dict of every tensor of the main graph to its array, all from one run."""
    names = [name for node in whole.graph.node for name in node.output]
    every = edit.with_outputs(whole, names, graph.tensor_types(whole))
    outputs = [value.name for value in every.graph.output]
    return dict(zip(outputs, session.run(session.open_session(every, "disable"), outputs, feeds), strict=True))


@pytest.mark.parametrize("case", WHOLE)
def test_every_part_computes_what_the_whole_does(case):
    """From the inputs to every tensor, and from every tensor on to the outputs."""
    whole, feeds = WHOLE[case]
    known, types = arrays_of(whole, feeds) | feeds, graph.tensor_types(whole)
    end = whole.graph.output[0].name
    inner = [name for node in whole.graph.node for name in node.output]
    cuts = [(list(feeds), name) for name in inner] + [([*feeds, name], end) for name in inner if name != end]
    for inputs, output in cuts:
        part = edit.cut(whole, inputs, [output], types)
        given = [value.name for value in part.graph.input]
        (found,) = session.run(session.open_session(part, "disable"), [output], {name: known[name] for name in given})
        np.testing.assert_array_equal(found, known[output], err_msg=f"{inputs} to {output}")


def test_a_part_has_what_it_needs_and_no_more():
    part = edit.cut(captures(), ["x", "flag"], ["doubled"])
    assert [value.name for value in part.graph.input] == ["x"] and not part.graph.initializer
    part = edit.cut(captures(), ["flag", "doubled", "x"], ["chosen"], {"doubled": (TensorProto.FLOAT, [2])})
    assert [node.op_type for node in part.graph.node] == ["If"]
    assert sorted(tensor.name for tensor in part.graph.initializer) == ["one", "three"], "captured by the branches"
    whole = halving()
    assert not edit.cut(whole, ["image"], ["f"]).functions and len(edit.cut(whole, ["image"], ["h"]).functions) == 1
    with pytest.raises(BadInput, match=r"need \['x'\] too"):
        edit.cut(captures(), ["flag", "doubled"], ["chosen"], {"doubled": (TensorProto.FLOAT, [2])})


def test_a_constant_may_become_an_input():
    part = edit.cut(halving(), ["f", "mix"], ["h"], graph.tensor_types(halving()))
    assert [value.name for value in part.graph.input] == ["f", "mix"] and not part.graph.initializer


def test_marked_outputs_leave_the_model_as_it_was(plain):
    before = plain.SerializeToString()
    marked = edit.with_outputs(plain, ["r", "out"], graph.tensor_types(plain))
    assert [value.name for value in marked.graph.output] == ["out", "r"] and plain.SerializeToString() == before


def test_inner_nodes_are_named_after_their_caller():
    """In a function that calls another one, and is called twice."""
    inner = helper.make_function("d", "Inner", ["a"], ["c"], [helper.make_node("Abs", ["a"], ["b"], "same"),
                                 helper.make_node("Neg", ["b"], ["c"])], [helper.make_opsetid("", 18)])  # fmt: skip
    outer = helper.make_function("d", "Outer", ["a"], ["c"], [helper.make_node("Inner", ["a"], ["b"], domain="d"),
                                 helper.make_node("Exp", ["b"], ["c"])],
                                 [helper.make_opsetid("", 18), helper.make_opsetid("d", 1)])  # fmt: skip
    nodes = [
        helper.make_node("Outer", ["x"], ["p"], "/one", domain="d"),
        helper.make_node("Relu", ["p"], ["q"], "/relu"),
        helper.make_node("Outer", ["q"], ["y"], domain="d"),
    ]
    whole = model(nodes, {"x": [2]}, {"y": [2]}, functions=[inner, outer], opsets=[("d", 1)])
    flat = edit.inlined(whole)
    assert not flat.functions
    assert [node.name for node in flat.graph.node] == [
        "/one/Abs_0", "/one/Neg_1", "/one/Exp_2", "/relu", "y/Abs_0", "y/Neg_1", "y/Exp_2",
    ]  # fmt: skip
    np.testing.assert_array_equal(run(flat, x=X)[0], run(whole, x=X)[0])


def test_rounding_to_half_is_kept():
    """A Cast to half and back, which ONNX Runtime drops between operators that it runs in single precision."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["half", "half"], ["twice"]),
        helper.make_node("Cast", ["twice"], ["y"], to=TensorProto.FLOAT),
    ]
    whole = model(nodes, {"x": [2]}, {"y": [2]})
    kept = edit.rounding_kept(whole)
    assert [node.op_type for node in kept.graph.node] == ["Cast", "Identity", "Add", "Identity", "Cast"]
    x = np.float32([1 / 3, 40000])
    (found,) = session.run(session.open_session(kept, "disable"), ["y"], {"x": x})
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, (x.astype(np.float16) * np.float16(2)).astype(np.float32))
    single = captures()
    assert edit.rounding_kept(single) is single


def test_subgraph_keeps_functions_and_values(plain, tmp_path):
    source = graph.save(plain, tmp_path / "plain.onnx")
    part = graph.load(graph.subgraph(source, tmp_path / "part.onnx", ["f"], ["h"]))
    assert part.graph.name == "part"
    assert [node.op_type for node in part.graph.node] == ["Halve"] and len(part.functions) == 1
    whole = edit.with_outputs(plain, ["f", "h"], graph.tensor_types(plain))
    _, f, h = run(whole, image=image())
    np.testing.assert_array_equal(run(part, f=f)[0], h)


def test_subgraph_refuses_unknown_and_missing_tensors(plain, tmp_path):
    source = graph.save(plain, tmp_path / "plain.onnx")
    with pytest.raises(BadInput, match="no such tensor"):
        graph.subgraph(source, tmp_path / "part.onnx", ["ff"], ["h"])
    with pytest.raises(BadInput, match=r"need \['image'\] too"):
        graph.subgraph(source, tmp_path / "part.onnx", ["h"], ["out", "r"])
    with pytest.raises(BadInput, match="also an input"):
        graph.subgraph(source, tmp_path / "sub" / ".." / "plain.onnx", ["f"], ["h"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain.onnx"]


def test_an_output_over_external_weights_is_refused(plain, tmp_path):
    source = tmp_path / "plain.onnx"
    onnx.save(plain, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = (tmp_path / "weights.bin").read_bytes()
    for write in (lambda out: graph.subgraph(source, out, ["f"], ["h"]), lambda out: graph.postprocess(source, out)):
        with pytest.raises(BadInput, match=r"weights\.bin\n.*also an input"):
            write(tmp_path / "weights.bin")
    assert (tmp_path / "weights.bin").read_bytes() == before


def test_subgraph_wants_lists_of_names_and_an_end(plain, tmp_path):
    for inputs, outputs in (([], []), ("xy", ["y"]), ([], "y")):
        with pytest.raises(BadInput, match="puts"):
            graph.subgraph(plain, tmp_path / "part.onnx", inputs, outputs)
    assert not list(tmp_path.glob("part*"))


def test_subgraph_through_branches_sequences_and_free_batches(tmp_path):
    """Each part is a file of its own, past the checks of `graph.load`, with the types of its ends."""
    part = graph.load(graph.subgraph(captures(), tmp_path / "branch.onnx", ["flag", "x", "doubled"], ["chosen"]))
    (found,) = run(part, flag=np.array(True), doubled=2 * X, x=X)
    np.testing.assert_array_equal(found, 2 * X + 1)
    halves = graph.load(graph.subgraph(sequences(), tmp_path / "halves.onnx", ["x"], ["halves"]))
    assert halves.graph.output[0].type.HasField("sequence_type")
    assert [part.shape for part in run(halves, x=np.zeros((1, 4), np.float32))[0]] == [(1, 2), (1, 2)]
    with pytest.raises(BadInput, match=r"input halves\n.*a sequence"):
        graph.subgraph(sequences(), tmp_path / "rest.onnx", ["halves"], ["y"])
    head = graph.load(graph.subgraph(free_batch(), tmp_path / "head.onnx", ["f"], ["y"]))
    assert run(head, f=np.ones((7, 32), np.float32))[0].shape == (7, 5)


def test_postprocess_moves_custom_nodes_and_fills_shapes(postprocessed):
    source, made = postprocessed
    assert made == source.with_name("plugins_post.onnx")
    model = graph.load(made)
    assert [(d.domain, d.version) for d in model.opset_import if d.domain == graph.DOMAIN] == [(graph.DOMAIN, 1)]
    assert {node.op_type: node.domain for node in graph.custom_nodes(model)} == dict.fromkeys(
        ("RotateTRT2", "MultiScaleDeformableAttnTRT2"), graph.DOMAIN
    )
    written = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.value_info, *model.graph.output]
    }
    assert written == {"turned": [N * D, S, M], "value": [N, S, M, D], "attended": [N, Q, M, D], "out": [N, Q, M, D]}
    assert all(
        v.type.tensor_type.elem_type == TensorProto.FLOAT for v in [*model.graph.value_info, *model.graph.output]
    )


def test_postprocess_makes_onnxruntime_run_it(postprocessed):
    """With angle 0, weights equal and offsets 0 at a cell's center, MSDA reads that cell."""
    _, made = postprocessed
    value = np.random.default_rng(3).normal(size=(N * D, S, M)).astype(np.float32)
    points = np.full((N, Q, 1, 2), [1.5 / 4, 2.5 / 3], np.float32)  # column 1 of 4, row 2 of 3
    zeros = {"offsets": np.zeros((N, Q, M, P * 2), np.float32), "weights": np.zeros((N, Q, M, P), np.float32)}
    (out,) = run(graph.load(made), map=value, angle=np.zeros(1, np.float32), points=points, **zeros)
    cells = np.maximum(value.reshape(N, S, M, D)[:, 2 * 4 + 1], 0)
    np.testing.assert_allclose(out, np.broadcast_to(cells[:, None], out.shape), rtol=1e-5, atol=1e-6)


def test_postprocess_can_leave_the_bodies_out(postprocessed, tmp_path):
    model = graph.load(graph.postprocess(postprocessed[0], tmp_path / "bare.onnx", functions=False))
    assert not model.functions and {row["kind"] for row in graph.op_table(model)} == {"onnx", "plugin"}


def test_postprocess_refuses_an_operator_nobody_defines(tmp_path):
    model = with_plugins("")
    model.graph.node[0].op_type = "RotateTRT9"
    (tmp_path / "strange.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadInput, match=r"node rotate\n.*RotateTRT9") as caught:
        graph.postprocess(tmp_path / "strange.onnx")
    assert all(name in caught.value.expected for name in graph.PLUGINS)
    assert [p.name for p in tmp_path.iterdir()] == ["strange.onnx"]


def test_postprocess_writes_a_file_of_its_own(postprocessed):
    source, _ = postprocessed
    before = source.read_bytes()
    with pytest.raises(BadInput, match="also an input"):
        graph.postprocess(source, source)
    assert source.read_bytes() == before


def test_postprocess_keeps_free_dimensions(tmp_path):
    onnx.save(free_batch(), tmp_path / "free.onnx")
    made = graph.load(graph.postprocess(tmp_path / "free.onnx"))
    assert graph.tensor_types(made)["c"] == (TensorProto.FLOAT, ["N", 2, 4, 4])
    assert run(made, x=np.ones((2, 3, 4, 4), np.float32))[0].shape == (2, 5)


def test_postprocess_of_an_opset_without_definitions(tmp_path):
    """Bodies need GridSample of opset 16; nodes for the plugin library do not."""
    old = with_plugins("")
    del old.graph.node[1:], old.graph.output[0].type.tensor_type.shape.dim[:]
    old.graph.output[0].name, old.opset_import[0].version = "turned", 13
    (tmp_path / "old.onnx").write_bytes(old.SerializeToString())
    bare = graph.load(graph.postprocess(tmp_path / "old.onnx", tmp_path / "bare.onnx", functions=False))
    assert [(node.domain, node.op_type) for node in bare.graph.node] == [(graph.DOMAIN, "RotateTRT2")]
    with pytest.raises(BadInput, match=r"old\.onnx: .*\n.*opset 13"):
        graph.postprocess(tmp_path / "old.onnx")
