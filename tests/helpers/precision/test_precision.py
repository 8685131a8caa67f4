"""The finder of the first bad tensor: three faults planted in BEVFormer mini, and every hint on a few nodes."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import __main__ as cli
from helpers import display, export, graph
from helpers.errors import BadInput
from helpers.models import create
from helpers.precision import EngineSide, OnnxSide, first_divergence
from helpers.precision import faults as precision_faults
from helpers.precision.errors import measure
from helpers.precision.pytorch import TorchSide
from helpers.sequence import Step
from helpers.systems.bevformer.config import CONFIGS
from tests.helpers.test_export import drive, scrambled

ENCODER = "/pts_bbox_head/transformer/encoder"
ATTENTION = f"{ENCODER}/layers.0/attentions.0"
MSDA = "MultiScaleDeformableAttnTRT2"
FAULTS = {
    "projection in half": (
        lambda model: precision_faults.half(model, f"{ENCODER}/projection/*"),
        f"{ENCODER}/projection/Div",
        "overflow",
    ),
    "swapped axis": (
        lambda model: precision_faults.swap_axis(model, f"{ATTENTION}/Transpose_1"),
        f"{ATTENTION}/Transpose_1",
        "layout",
    ),
    "align_corners": (
        lambda model: precision_faults.align_corners(model, MSDA),
        f"{ATTENTION}/{MSDA}",
        "mode",
    ),
}


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """(mini BEVFormer with small pictures and a coarse map as a side, its graph as a side, one frame with history)."""
    config = dataclasses.replace(CONFIGS["mini"], image_size=(64, 96), bev_h=25, bev_w=25)
    model = scrambled(create("bevformer", config))
    path = export.export(model, tmp_path_factory.mktemp("precision") / "mini.onnx")
    past = np.random.default_rng(0).normal(size=config.input_shapes()["prev_bev"]).astype(np.float32)
    reference = OnnxSide(path)
    return TorchSide(model, reference.model), reference, [list(drive(config, 2))[1] | {"prev_bev": past}]


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found_between_graphs(mini, fault, strategy):
    _, reference, frames = mini
    plant, node, kind = FAULTS[fault]
    found = first_divergence(reference, plant(reference.model), frames, tolerance=1e-2, strategy=strategy, memory=64)
    assert found.found and (found.node, found.kind) == (node, kind), str(found)
    assert found.tensor == f"{node}_output_0" and found.module == node[1:].rpartition("/")[0].replace("/", ".")
    assert all(item.error < 1e-2 for item in found.inputs[:-1]) and not found.inputs[-1].error < 1e-2
    assert found.probes >= 8 if strategy == "bisect" else found.compared > 100
    if fault == "align_corners":
        assert f"GridSample in the body of {MSDA}: align_corners is 1, the reference has 0" in found.hint


@pytest.mark.parametrize("strategy", ["walk", "bisect"])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found_against_pytorch(mini, fault, strategy):
    """The module is found by its output, the node in it by the hint."""
    model, reference, frames = mini
    plant, node, kind = FAULTS[fault]
    found = first_divergence(model, plant(reference.model), frames, tolerance=1e-2, strategy=strategy, memory=64)
    assert (found.node, found.kind) == (node, kind), str(found)
    assert node in found.between and found.tensor.startswith(node.rpartition("/")[0])


def test_inside_a_custom_operator(mini):
    """With the definitions inlined the exact operator is found; here of the one that turns the map."""
    _, reference, frames = mini
    wrong = precision_faults.align_corners(reference.model, "RotateTRT2")
    found = first_divergence(reference.model, wrong, frames, inside=True, memory=64)
    assert found.op == "GridSample" and found.node.startswith("/pts_bbox_head/transformer/RotateTRT2/GridSample")
    assert "align_corners is 1, the reference has 0" in found.hint


def test_healthy_export_agrees_with_pytorch(mini):
    """Every matched module, so a wrong match would show; what has no tensor of its own is said."""
    side, reference, frames = mini
    found = first_divergence(side, reference, frames, tolerance=1e-4)
    assert not found.found and found.compared >= 180 and 0 < found.worst[1] < 1e-4
    assert f"no divergence: {found.compared} tensors" in str(found)
    assert found.unmatched["img_backbone.layer1.0.conv1"] == "img_backbone.layer1.0.bn1 is folded into it"
    assert "folded into constants" in found.unmatched["pts_bbox_head.positional_encoding"]
    matched = {place[0] for place in side._places.values()}
    called = {
        path for path, module in side.module.named_modules() if path and next(module.parameters(), None) is not None
    }
    assert {"img_backbone.layer1.0.bn1", "pts_bbox_head.transformer.encoder.projection"} <= matched
    assert not [path for path in called if path.endswith(("_proj", "offsets", "norms.0")) and path not in matched]


def test_bisection_over_built_engines(mini, tmp_path):
    """Every probe is an engine of its own, here of ONNX Runtime, with the probed tensors as outputs."""
    _, reference, frames = mini
    model = FAULTS["swapped axis"][0](reference.model)
    parts = [
        graph.subgraph(
            whole, tmp_path / f"{name}.onnx", ["prev_bev", "use_prev_bev", "can_bus"], [f"{ATTENTION}/Add_1_output_0"]
        )
        for name, whole in (("right", reference.model), ("wrong", model))
    ]
    frame = {name: array for name, array in frames[0].items() if name in ("prev_bev", "use_prev_bev", "can_bus")}
    found = first_divergence(parts[0], EngineSide(parts[1], "onnxruntime", tmp_path / "engines"), [frame])
    assert (found.node, found.kind, found.strategy) == (f"{ATTENTION}/Transpose_1", "layout", "bisect")
    assert 5 < len(list((tmp_path / "engines").rglob("*.onnx"))) <= found.probes + 1 < 16


# ------------------------------------------------------------------------------------------------------ a few nodes


def model_of(nodes, inputs, outputs, constants=()):
    """A checked `onnx.ModelProto`; inputs are {name: shape}, nodes are named after their outputs."""
    for node in nodes:
        node.name = f"/{node.output[0]}/{node.op_type}"
    made = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def chain(scale=1.0, length=6):
    """x -> t0 -> t1 -> ...: each adds 1, t2 multiplies by `scale`."""
    nodes = [
        helper.make_node(
            "Mul" if i == 2 else "Add", [f"t{i - 1}" if i else "x", "scale" if i == 2 else "one"], [f"t{i}"]
        )
        for i in range(length)
    ]
    constants = {"one": np.float32([1]), "scale": np.float32([scale])}
    return model_of(nodes, {"x": [4]}, [f"t{length - 1}"], constants)


X = [{"x": np.float32([1, 2, 3, 4])}]


def test_wrong_constant():
    for strategy in ("walk", "bisect"):
        found = first_divergence(chain(), chain(1.5), X, strategy=strategy)
        assert (found.tensor, found.op, found.kind) == ("t2", "Mul", "constant")
        assert "input 1 of /t2/Mul, scale, differs by 0.5" in found.hint
        assert found.error == pytest.approx(0.5) and found.share == 1.0


def test_tolerance_is_relative_and_can_be_set_by_name():
    assert not first_divergence(chain(), chain(1.005), X, tolerance=1e-2).found
    assert first_divergence(chain(), chain(1.005), X, tolerance=1e-2, overrides={"t2": 1e-3}).tensor == "t2"
    assert first_divergence(chain(), chain(1.005), X, {}, 1e-3, {"t2": 1e-2, "t?": 1.0, "t4": 1e-3}).tensor == "t4"


class Recorder:
    """A stand-in for an engine: it may be asked for a few tensors at a time, and nothing else is known of it."""

    strategy = "bisect"

    def __init__(self, model, wrong):
        side = OnnxSide(model)
        self.inputs, self.outputs, self.names, self.model = side.inputs, side.outputs, side.names, side.model
        self.side, self.wrong, self.asked = side, wrong, []

    def probe(self, names):
        self.asked.append(list(names))
        run = self.side.probe(names)
        return lambda feeds: {name: array * self.wrong.get(name, 1) for name, array in run(feeds).items()}


def test_bisection_asks_for_few_tensors():
    model = chain(length=200)
    engine = Recorder(model, {f"t{i}": 1.01 for i in range(77, 200)})
    found = first_divergence(model, engine, X)
    assert found.tensor == "t77" and found.probes <= 10 and max(map(len, engine.asked)) <= 2
    assert found.kind == "half" and "engine inspector" in found.hint


def test_bisection_walks_where_an_error_heals():
    """t77 is bad again after t40..t60 went bad and healed: the tensor that bisection meets has a bad ancestor."""
    model = chain(length=100)
    for wrong in ({39, 40, *range(41, 100, 2)}, {*range(76, 78), *range(10, 60), 99}):
        engine = Recorder(model, {f"t{i}": 1.01 for i in wrong})
        found = first_divergence(model, engine, X)
        walked = first_divergence(model, engine, X, strategy="walk")
        assert walked.tensor == f"t{min(wrong)}"
        index = int(found.tensor[1:])
        assert index in wrong and index - 1 not in wrong


def test_bisection_looks_at_the_inputs_of_what_it_found():
    """t0 is bad, its descendants heal, and the output takes t0 once more beside them."""
    nodes = [helper.make_node("Neg", [f"t{i - 1}" if i else "x"], [f"t{i}"]) for i in range(9)]
    model = model_of([*nodes, helper.make_node("Add", ["t0", "t8"], ["y"])], {"x": [4]}, ["y"])
    assert first_divergence(model, Recorder(model, {"t0": 1.1, "y": 1.1}), X).tensor == "t0"


def test_the_worst_frame_counts():
    other = chain()
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([2]), "one"))
    found = first_divergence(chain(), other, [{"x": np.zeros(4, np.float32)}, {"x": np.full(4, 9, np.float32)}])
    assert (found.tensor, found.frame, found.error) == ("t0", 0, 1.0)


def test_trial_of_other_axes():
    """The reference shows its output only: of two Transposes the one is named whose other axes make it agree."""

    def twice(perm):
        nodes = [
            helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("Transpose", ["b"], ["c"], perm=perm),
            helper.make_node("MatMul", ["c", "w"], ["y"]),
        ]
        return model_of(nodes, {"x": [3, 3]}, ["y"], {"w": np.arange(9, dtype=np.float32).reshape(3, 3) ** 2})

    reference = Recorder(twice([1, 0]), {})
    reference.model, reference.names = None, ["y"]
    frames = [{"x": np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)}]
    found = first_divergence(reference, twice([0, 1]), frames)
    assert (found.tensor, found.node, found.kind) == ("y", "/c/Transpose", "layout")
    assert "perm is [0, 1]; with perm = [1, 0] the sides agree" in found.hint


def test_bisection_follows_branches():
    """Only one of two branches is bad, and the bad one comes first in the graph's order."""
    nodes = [helper.make_node("Neg", ["x"], ["a0"])]
    nodes += [helper.make_node("Neg", [f"a{i}"], [f"a{i + 1}"]) for i in range(5)]
    nodes += [helper.make_node("Abs", ["x" if i == 0 else f"b{i - 1}"], [f"b{i}"]) for i in range(6)]
    nodes += [helper.make_node("Add", ["a5", "b5"], ["y"])]
    model = model_of(nodes, {"x": [4]}, ["y"])
    engine = Recorder(model, {"a3": 1.1, "a4": 1.1, "a5": 1.1, "y": 1.1})
    assert first_divergence(model, engine, X).tensor == "a3"


def test_accumulation_in_half():
    rng = np.random.default_rng(0)
    weight = rng.uniform(size=(4096, 8)).astype(np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [4, 4096]}, ["y"], {"w": weight})
    frames = [{"x": rng.uniform(size=(4, 4096)).astype(np.float32)}]
    found = first_divergence(model, precision_faults.half(model, "*"), frames, tolerance=1e-5)
    assert (found.kind, found.node) == ("accumulate", "/y/MatMul") and "sum of 4096 terms" in found.hint
    found = first_divergence(chain(1 / 3), precision_faults.half(chain(1 / 3), "/t2/*"), X, tolerance=1e-5)
    assert (found.kind, found.node) == ("half", "/t2/Mul") and "11 bits" in found.hint


def test_constant_below_half(mini, tmp_path):
    """The ego motion by onnxconverter-common, which changes types and adds Casts: 1e-6 is a subnormal."""
    from onnxconverter_common import float16

    _, reference, _ = mini
    tensor = "/pts_bbox_head/transformer/Concat_output_0"
    right = onnx.load(graph.subgraph(reference.model, tmp_path / "motion.onnx", ["can_bus"], [tensor]))
    converted = float16.convert_float_to_float16(onnx.load(tmp_path / "motion.onnx"), keep_io_types=True)
    frames = [{"can_bus": np.zeros(18, np.float32)}]
    found = first_divergence(right, converted, frames, tolerance=1e-2)
    assert (found.node, found.kind) == ("/pts_bbox_head/transformer/Where", "half") and "few bits left" in found.hint
    assert found.inputs[-1].candidate.dtype == "float16" and found.inputs[-1].reference.dtype == "float32"
    assert not first_divergence(right, converted, frames, tolerance=1e-2, overrides={"*/Where_output_0": 0.02}).found


def test_a_graph_that_mixes_types_is_refused():
    mixed = precision_faults.half(chain(), "/t2/*")
    assert mixed.graph.node[4].op_type == "Mul"
    mixed.graph.node[4].input[0] = "t1"  # past the Cast
    with pytest.raises(BadInput, match="ONNX Runtime runs on a CPU"):
        first_divergence(chain(), mixed, X)


def test_overflow_in_half_shows_on_the_cpu():
    """ONNX Runtime would drop the Casts between the two nodes, and the overflow with them."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"]), helper.make_node("Sqrt", ["y"], ["z"])]
    model = model_of(nodes, {"x": [4]}, ["z"])
    frames = [{"x": np.float32([1, 2, 3, 1000])}]
    found = first_divergence(model, precision_faults.half(model, "*"), frames, tolerance=1e-2)
    assert (found.kind, found.tensor, found.error) == ("overflow", "y", np.inf)
    assert "1 values are not finite (the reference reaches 1e+06)" in found.hint
    assert found.inputs[-1].candidate.nonfinite == 1 and found.inputs[-1].reference.nonfinite == 0


def test_wrong_layout_by_its_values():
    """Without a graph of the candidate's own, the permutation is read off the values."""
    model = model_of([helper.make_node("Exp", ["x"], ["y"])], {"x": [3, 3]}, ["y"])
    engine = Recorder(model, {})
    engine.probe = lambda names: lambda feeds: {"y": np.exp(feeds["x"]).T.copy()}
    found = first_divergence(model, engine, [{"x": np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)}])
    assert found.kind == "layout" and "axes [1, 0]" in found.hint
    noisy = np.random.default_rng(1).normal(1, 0.01, size=(3, 3))
    engine.probe = lambda names: lambda feeds: {"y": np.exp(feeds["x"]) * noisy}
    assert first_divergence(model, engine, [{"x": np.eye(3, dtype=np.float32)}]).kind != "layout"
    rng = np.random.default_rng(0)
    dense = rng.uniform(size=20000).astype(np.float32)
    shaken = dense + rng.normal(size=20000) * 0.04 * dense * (1 - dense)
    wide = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": [20000]}, ["y"])
    engine = Recorder(wide, {})
    engine.probe = lambda names: lambda feeds: {"y": shaken}
    assert first_divergence(wide, engine, [{"x": dense}], tolerance=0.03).kind == "half"  # sorted, both look the same


def sampled(mode):
    nodes = [
        helper.make_node("Mul", ["grid", "one"], ["moved"]),
        helper.make_node("GridSample", ["image", "moved"], ["y"], mode=mode, align_corners=0),
    ]
    model = model_of(nodes, {"image": [1, 1, 32, 32], "grid": [1, 32, 32, 2]}, ["y"], {"one": np.float32(1)})
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32(1.0001), "one"))
    return model, other


def test_ties_of_nearest_sampling_are_told_from_faults():
    rng = np.random.default_rng(0)
    frames = [
        {
            "image": rng.normal(size=(1, 1, 32, 32)).astype(np.float32),
            "grid": rng.uniform(-1, 1, size=(1, 32, 32, 2)).astype(np.float32),
        }
    ]
    found = first_divergence(*sampled("nearest"), frames)
    assert (found.op, found.kind) == ("GridSample", "decision") and 0 < found.share < 0.01 and found.error > 0.1
    assert f"{found.share:.2%} of the elements" in found.hint
    assert not first_divergence(*sampled("bilinear"), frames, tolerance=1e-2).found
    other = sampled("nearest")[0]
    found = first_divergence(sampled("bilinear")[0], other, frames)
    assert found.kind == "mode" and "mode is nearest, the reference has bilinear" in found.hint


def test_carried_error():
    """x - 1 near 1: the error of t0 is within its tolerance, and the subtraction makes it large."""

    def near_one(scale):
        nodes = [helper.make_node("Mul", ["x", "scale"], ["a"]), helper.make_node("Sub", ["a", "one"], ["b"])]
        return model_of(nodes, {"x": [4]}, ["b"], {"scale": np.float32(scale), "one": np.float32(1)})

    frames = [{"x": np.float32([1.01, 1.02, 1.0, 0.99])}]
    found = first_divergence(near_one(1), near_one(1.0005), frames)
    assert (found.tensor, found.kind) == ("b", "carried") and "a is already off by 0.0005" in found.hint


def test_history_is_the_references():
    """The state doubles what it gets: a fault of the first frame would double with it, but each frame starts anew."""

    def recurrent(gain):
        nodes = [
            helper.make_node("Mul", ["prev_bev", "gain"], ["kept"]),
            helper.make_node("Add", ["kept", "x"], ["bev_embed"]),
        ]
        return model_of(nodes, {"x": [4], "prev_bev": [4]}, ["bev_embed"], {"gain": np.float32(gain)})

    states = {"prev_bev": "bev_embed"}
    found = first_divergence(recurrent(2), recurrent(2.2), X * 3, states)
    assert (found.tensor, found.frames) == ("kept", 3) and found.error == pytest.approx(0.1)
    assert not first_divergence(recurrent(2), recurrent(2.2), X, states).found  # no history on a first frame
    scenes = [Step(X[0], first) for first in (True, False, True, True)]
    assert first_divergence(recurrent(2), recurrent(2.2), scenes, states).frame == 1
    assert not first_divergence(recurrent(2), recurrent(2.2), scenes[2:], states).found
    held = [X[0] | {"prev_bev": np.zeros(4, np.float32)}] * 2  # frames with an array of their own are fed that
    assert not first_divergence(recurrent(2), recurrent(2.2), held, states).found
    np.testing.assert_array_equal(found.inputs[0].reference[:2], found.inputs[0].candidate[:2])


def test_measure():
    one = np.float32([1, -4])
    assert measure(one, one, 0, 3) == (0, 0, 3)
    assert measure(np.float16([1, -3]), one, 0.1, 0) == (0.25, 0.5, 0)
    assert measure(np.float32([1, np.nan]), one, 0.1, 0) == (np.inf, 0.5, 0)
    assert measure(np.float32([1, np.inf]), np.float32([1, np.inf]), 0, 0).relative == 0
    assert measure(np.float32([1, -np.inf]), np.float32([1, np.inf]), 0, 0).relative == np.inf
    assert measure(np.array([True, False]), np.array([True, True]), 0, 0).relative == 0.5
    assert measure(one[None], one, 0, 0).relative == np.inf


def test_report_reads():
    found = first_divergence(chain(), chain(1.5), X)
    text = str(found)
    for part in (
        "first divergence: t2 [4]",
        "/t2/Mul (Mul)",
        "error:     0.5",
        "hint:",
        "frame 0",
        "input:     t1 ",
        "result:    t2 ",
    ):
        assert part in text, text
    assert [row["tensor"] for row in found.rows()] == ["t1", "t2"]
    assert "t1" in display.table(found.rows()).data


def test_faults_leave_the_model_alone_and_refuse_what_is_not_there():
    model = chain()
    before = model.SerializeToString()
    precision_faults.half(model, "*")
    assert model.SerializeToString() == before
    with pytest.raises(BadInput, match="no such node"):
        precision_faults.half(model, "/nothing/*")
    with pytest.raises(BadInput, match="no other axis"):
        precision_faults.swap_axis(model, "/t2/Mul")
    with pytest.raises(BadInput, match="no GridSample"):
        precision_faults.align_corners(model)
    turned = model_of([helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1])], {"x": [2, 3]}, ["y"])
    with pytest.raises(BadInput, match="no other axis"):
        precision_faults.swap_axis(turned, "/y/Transpose")
    other = precision_faults.swap_axis(turned, "/y/Transpose", perm=[1, 0])
    found = first_divergence(turned, other, [{"x": np.float32([[1, 2, 3], [4, 5, 6]])}])
    assert found.kind == "layout" and found.error == np.inf


def test_bad_input():
    with pytest.raises(BadInput, match="inputs of the candidate"):
        first_divergence(chain(), model_of([helper.make_node("Neg", ["z"], ["t0"])], {"z": [4]}, ["t0"]), X)
    with pytest.raises(BadInput, match="none in common"):
        first_divergence(chain(), model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": [4]}, ["y"]), X)
    with pytest.raises(BadInput, match="frame 0"):
        first_divergence(chain(), chain(), [{"x": np.zeros(5, np.float32)}])
    with pytest.raises(BadInput, match="frames"):
        first_divergence(chain(), chain(), [])
    with pytest.raises(BadInput, match="strategy"):
        first_divergence(chain(), chain(), X, strategy="guess")


def test_command(tmp_path, capsys):
    right, wrong, cut = (tmp_path / name for name in ("right.onnx", "wrong.onnx", "cut.onnx"))
    graph.save(chain(), right)
    graph.save(chain(1.5), wrong)
    cut.write_bytes(right.read_bytes()[:150])
    np.savez(tmp_path / "frames.npz", x=np.stack([X[0]["x"]] * 2))
    np.savez(tmp_path / "bad.npz", x=np.zeros((2, 5), np.float32))

    def run(*arguments):
        return cli.main(["divergence", *map(str, arguments)])

    assert run(right, right) == 0 and "no divergence: 6 tensors compared over 1 frames" in capsys.readouterr().out
    assert run(right, wrong, "--inputs", tmp_path / "frames.npz") == 1
    assert "first divergence: t2" in (out := capsys.readouterr().out) and "over 2 frames" in out
    assert run(right, wrong, "--tolerance", 2, "--strategy", "bisect") == 0
    assert run(right, cut) == 2 and "cut.onnx" in capsys.readouterr().err
    assert run(right, wrong, "--inputs", tmp_path / "bad.npz") == 2 and "frame 0" in capsys.readouterr().err
    assert run(right, wrong, "--inputs", right) == 2 and "right.onnx" in capsys.readouterr().err
