"""Runners of ONNX graphs and of engines."""

import numpy as np
import pytest
from onnx import parser

from helpers.errors import BadInput
from helpers.graph import session
from helpers.precision import OnnxRunner, Options, Runner, faults, first_divergence, groups
from tests.builders.graphs import chain, sequences

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_a_graph_that_mixes_types_is_refused():
    mixed = faults.half(chain(), "/t2/*")
    assert mixed.graph.node[4].op_type == "Mul"
    mixed.graph.node[4].input[0] = "t1"  # past the Cast
    with pytest.raises(BadInput, match=r"ONNX Runtime [\d.]+ runs on a CPU"):
        first_divergence(chain(), mixed, X)


def parsed(interface, body, head='ir_version: 8, opset_import: ["": 17]'):
    return parser.parse_model(f"<{head}> g {interface} {{ {body} }}")


def branched(then):
    """y is minus `then` of x, or x; the branches capture x."""
    return parsed(
        "(float[1,8] x, bool c) => (float[1,8] y)",
        f"a = Abs(x) z = If(c)<then_branch = t () => (float[1,8] p) {{ p = {then}(a) }},"
        "else_branch = e () => (float[1,8] q) { q = Neg(a) }> y = Neg(z)",
    )


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_branches_that_capture_names(strategy):
    frames = [{"x": np.float32([[1, 2, 3, 4, 5, 6, 7, 8]]), "c": np.bool_(True)}]
    options = Options(strategy=strategy)
    assert not first_divergence(branched("Sqrt"), branched("Sqrt"), frames, options=options).found
    found = first_divergence(branched("Sqrt"), branched("Exp"), frames, options=options)
    assert (found.tensor, found.op) == ("z", "If") and [item.name for item in found.inputs] == ["c", "a", "z"]
    assert not first_divergence(branched("Sqrt"), branched("Exp"), [frames[0] | {"c": np.bool_(False)}]).found


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
def test_sequences_are_left_out_of_the_comparison(strategy):
    def split(index):
        body = "a = Neg(x) q = SplitToSequence<axis=1>(a, s) y = SequenceAt(q, i)"
        head = 'ir_version: 8, opset_import: ["": 17]'
        interface = f"(float[1,4] x) => (float[1,2] y) <int64[2] s = {{2,2}}, int64 i = {{{index}}}>"
        return parsed(interface, body, head)

    assert OnnxRunner(split(0)).names == ["a", "y"]
    frames, options = [{"x": np.float32([[1, 2, 3, 4]])}], Options(strategy=strategy)
    same = first_divergence(split(0), split(0), frames, options=options)
    assert not same.found and same.compared == (2 if strategy == "walk" else 1)
    found = first_divergence(split(0), split(1), frames, options=options)
    assert (found.tensor, found.op) == ("y", "SequenceAt")


def test_an_input_that_is_a_sequence_is_refused():
    model = parsed("(seq(float[2]) x, int64 i) => (float[2] y)", "y = SequenceAt(x, i)")
    with pytest.raises(BadInput, match=r"input x[\s\S]*sequence"):
        OnnxRunner(model)


def test_a_graph_that_does_not_run_is_told_by_its_node():
    model = parsed("(float[1,4] x, int64[1] i) => (float[1,1] y)", "y = Gather<axis=1>(x, i)")
    with pytest.raises(BadInput, match=r"(?i:gather)[\s\S]*idx=9"):
        first_divergence(model, model, [{"x": np.zeros((1, 4), np.float32), "i": np.array([9])}])


def test_a_runner_is_what_its_base_says():
    runner = Runner()
    assert (runner.strategy, runner.any_tensor, runner.rebuilt, runner.at_once) == ("walk", False, False, 1)
    assert runner.model is None and not runner.unmatched and not runner.types
    assert runner.weight_of(chain().graph.node[0], 1) is None
    with pytest.raises(NotImplementedError):
        runner.probe(["y"])


GROUPED = """<ir_version: 9, opset_import: ["": 18, "d": 1]> g (float[1,8] x, bool c) => (float[1,8] y)
    <float[1,8] one = {1, 1, 1, 1, 1, 1, 1, 1}> {
        a = Abs (x)  n = NonZero (a)  h = Cast <to = 10> (a)  b = Cast <to = 1> (h)
        z = If (c) <then_branch = t () => (float[1,8] p) { p = Add (a, one) },
                    else_branch = e () => (float[1,8] q) { q = Neg (b) }>
        w = d.Twice (z)  s = Shape (n)  y = Add (w, x)
    }
    <domain: "d", opset_import: ["": 18]> Twice (v) => (u) { u = Add (v, v) }"""


def test_tensors_in_groups_are_those_of_the_whole(monkeypatch):
    """Half precision, branches that capture, functions and lengths that the values tell, over three frames."""
    frames = [{"x": np.float32([[-1, 2, 0, 3, 0.1, 5, 6, k]]), "c": np.array(k > 0)} for k in range(3)]
    whole, asked = OnnxRunner(parser.parse_model(GROUPED)), []
    expected = [whole.probe(whole.names)(frame) for frame in frames]
    opened = session.open_session

    def counted(model, *rest, **options):
        asked.append(len(model.graph.node))
        return opened(model, *rest, **options)

    monkeypatch.setattr(session, "open_session", counted)
    for size in (1, 2, 4):
        asked.clear()
        monkeypatch.setattr(groups, "NODES", size)
        run = whole.probe(whole.names)
        for frame, right in zip(frames, expected, strict=True):
            found = run(frame)
            assert list(found) == list(right)
            for name, array in right.items():
                np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert max(asked) <= size and len(asked) == -(-len(whole._exact.graph.node) // size)


def test_a_graph_in_groups_is_opened_by_its_groups_alone(monkeypatch):
    """What ONNX Runtime does not take is refused all the same, when the group comes that holds it."""
    mixed = parser.parse_model("""<ir_version: 9, opset_import: ["": 18]> m (float[2] x) => (float[2] y) {
        a = Abs (x)  h = Cast <to = 10> (a)  b = Add (h, x)  y = Abs (b) }""")
    with pytest.raises(BadInput, match="Add"):
        OnnxRunner(mixed)
    monkeypatch.setattr(groups, "NODES", 2)
    runner = OnnxRunner(mixed)
    with pytest.raises(BadInput, match="Add"):
        runner.probe(runner.names)({"x": np.ones(2, np.float32)})


def test_a_sequence_is_not_handed_from_group_to_group(monkeypatch):
    monkeypatch.setattr(groups, "NODES", 1)
    runner = OnnxRunner(sequences())
    feeds = {name: np.ones(shape, runner.types[name]) for name, shape in runner.inputs.items()}
    assert runner.names == list(runner.probe(runner.names)(feeds))
