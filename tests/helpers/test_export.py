"""Export and its check: names, tidiness and parity of BEVFormer mini, and the traps on a toy model."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from helpers import engine, export, graph
from helpers.errors import BadInput
from helpers.ops.rotate import rotate
from helpers.sequence import Step
from tests.builders.bevformer import drive, scrambled


def test_interface_is_that_of_the_public_export(mini):
    made = graph.load(mini[1]).graph

    def interface(values):
        types = [value.type.tensor_type for value in values]
        assert {kind.elem_type for kind in types} == {onnx.TensorProto.FLOAT}
        return [(v.name, [d.dim_value for d in kind.shape.dim]) for v, kind in zip(values, types, strict=True)]

    assert interface(made.input) == [
        ("image", [1, 6, 3, 256, 416]),
        ("prev_bev", [2500, 1, 128]),
        ("use_prev_bev", [1]),
        ("can_bus", [18]),
        ("lidar2img", [1, 6, 4, 4]),
    ]
    assert interface(made.output) == [
        ("bev_embed", [2500, 1, 128]),
        ("outputs_classes", [3, 1, 300, 10]),
        ("outputs_coords", [3, 1, 300, 10]),
    ]


def test_one_file_that_speaks_of_no_machine(mini):
    path = mini[1]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    content = path.read_bytes()
    assert not [word for word in (b".py", b"stack_trace", b"name_scopes", b"site-packages") if word in content]


def test_parity_over_frames_with_history(mini):
    model, path = mini
    rows = export.check(path, model, list(drive(model.config, 3)))
    assert {(row["frame"], row["output"]) for row in rows} == {
        (frame, name) for frame in range(3) for name in model.config.output_shapes()
    }
    export.assert_parity(rows, rel=1e-4)


def test_graph_is_tidy(mini):
    table = {row["op"]: row for row in graph.op_table(mini[1])}
    assert not table.keys() & {
        "BatchNormalization",
        "ScatterND",
        "Shape",
        "Constant",
        "ConstantOfShape",
        "NonZero",
        "If",
        "Loop",
    }
    assert table["MultiScaleDeformableAttnTRT2"]["count"] == 2 * 2 + 3 and table["RotateTRT2"]["count"] == 1
    assert table["Conv"]["count"] == 1 + 3 * 9 + 3 + 2
    assert sum(row["count"] for row in table.values()) < 700
    model = graph.load(mini[1])
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert node.op_type != "Conv" or (len(node.input) == 3 and constants.issuperset(node.input[1:])), node.name


def test_nodes_are_named_after_modules(mini):
    model, path = mini
    names = [node.name for node in graph.load(path).graph.node]
    assert len(set(names)) == len(names)
    modules = {name for name, _ in model.named_modules()}
    assert {name.strip("/").rpartition("/")[0].replace("/", ".") for name in names} <= modules
    assert "/img_backbone/layer1.0/conv2/Conv" in names
    assert "/pts_bbox_head/transformer/encoder/layers.0/attentions.0/sampling_offsets/MatMul" in names
    assert any(name.startswith("/pts_bbox_head/transformer/encoder/projection/") for name in names)


def test_blocks_add_up(mini):
    """Convolutions of the backbone by hand: parameters with the folded biases, and 2 FLOPs per multiply-accumulate."""
    model, path = mini
    blocks = {row["block"]: row for row in graph.cost_by_block(path, depth=1)}
    convolutions = [module for module in model.img_backbone.modules() if isinstance(module, nn.Conv2d)]
    assert blocks["img_backbone"]["parameters"] == sum(c.weight.numel() + c.out_channels for c in convolutions)
    flops, hooks = [], []
    for module in convolutions:
        hooks.append(module.register_forward_hook(lambda m, _, y: flops.append(2 * y.numel() * m.weight[0].numel())))
    with torch.no_grad():
        model.img_backbone(torch.zeros(6, 3, *model.config.image_size))
    for hook in hooks:
        hook.remove()
    assert blocks["img_backbone"]["flops"] == sum(flops)


# --------------------------------------------------------------------------------------------------------------- toy


class Toy(nn.Module):
    """A recurrent model with a custom operator and what optimizers get wrong: BatchNorm, an epsilon, an idle Expand."""

    def __init__(self, width=4):
        super().__init__()
        inputs, outputs = {"image": (1, 3, 8, 8), "prev_bev": (1, 4)}, {"bev_embed": (1, width)}
        self.config = SimpleNamespace(
            input_shapes=lambda: inputs,
            input_types=lambda: dict.fromkeys(inputs, np.float32),
            output_shapes=lambda: outputs,
            states={"prev_bev": "bev_embed"},
            initial_states=lambda: {"prev_bev": np.zeros((1, 4), np.float32)},
        )
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))])
        self.register_buffer("gain", torch.tensor(0.5))  # of the history; and a point to turn about

    def forward(self, image, prev_bev):
        turned = rotate(self.layers[0](image)[0], prev_bev[0, :1], torch.stack([self.gain, self.gain]))
        total = prev_bev.sum()
        now = turned.mean((1, 2))[None].expand(1, -1)
        return (now + prev_bev.expand(1, -1) * self.gain + total / (total + 1e-8),)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    model = scrambled(Toy().eval())
    return model, export.export(model, tmp_path_factory.mktemp("toy") / "toy.onnx")


def noise(count):
    return [{"image": np.random.default_rng(i).normal(size=(1, 3, 8, 8)).astype(np.float32)} for i in range(count)]


def test_an_epsilon_of_1e_8_survives(toy):
    """On the first frame the quotient is 0/0 without it."""
    model, path = toy
    export.assert_parity(export.check(path, model, noise(1)))


def test_folding_and_no_ops(toy):
    model = graph.load(toy[1])
    ops = [node.op_type for node in model.graph.node]
    assert "Expand" not in ops and "BatchNormalization" not in ops
    conv = model.graph.node[ops.index("Conv")]
    norm = toy[0].layers[0][1]
    weight = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == conv.input[1])
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).view(-1, 1, 1, 1)
    np.testing.assert_allclose(weight, (toy[0].layers[0][0].weight * scale).detach(), rtol=1e-6)
    assert conv.name == "/layers.0.0/Conv"


def test_plugin_graph_is_the_portable_one_without_bodies(toy, tmp_path):
    model, path = toy
    portable = graph.load(path)
    plugin = export.export(model, tmp_path / "plugin.onnx", plugin=True)
    bare = graph.load(plugin)
    assert [function.name for function in portable.functions] == ["RotateTRT2"] and not bare.functions
    assert bare.graph == portable.graph
    assert {node.domain for node in graph.custom_nodes(bare)} == {graph.DOMAIN}
    export.assert_parity(export.check(plugin, model, noise(2)))


def test_check_carries_each_sides_history(toy):
    """A wrong gain on the state cannot show on the first frame; later it does, and the error says where."""
    model, path = toy
    model.gain.fill_(0.6)
    try:
        rows = export.check(path, model, noise(3))
    finally:
        model.gain.fill_(0.5)
    assert rows[0]["rel"] < 1e-6 < 1e-3 < rows[1]["rel"]
    with pytest.raises(AssertionError, match="frame 1: bev_embed"):
        export.assert_parity(rows)


def test_check_carries_two_histories(toy):
    """Two loops by hand, each with a state of its own, err as the rows say; one history for both would err less."""
    model, path = toy
    with engine.load(path) as loaded:
        theirs = loaded.run
        model.gain.fill_(0.6)
        try:
            rows = export.check(path, model, noise(3))
            ours, before, after = [], np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)
            for feeds in noise(3):
                before = theirs(feeds | {"prev_bev": before})["bev_embed"]
                with torch.no_grad():
                    (after,) = model(torch.from_numpy(feeds["image"]), torch.as_tensor(after))
                ours.append(np.abs(after.numpy() - before).max())
        finally:
            model.gain.fill_(0.5)
    assert [row["max_abs"] for row in rows] == pytest.approx(ours, rel=1e-4, abs=1e-6)


def test_check_begins_anew_with_a_scene(toy):
    """The wrong gain shows on a second frame only if it has a history."""
    model, path = toy
    steps = [Step(feeds, index != 2) for index, feeds in enumerate(noise(3))]
    model.gain.fill_(0.6)
    try:
        rows = export.check(path, model, steps)
    finally:
        model.gain.fill_(0.5)
    assert max(rows[0]["rel"], rows[1]["rel"]) < 1e-6 < 1e-3 < rows[2]["rel"]


def test_difference():
    assert export.difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == pytest.approx(
        {"max_abs": 0.5, "rel": 0.25, "mean_rel": 1 / 6}
    )
    row = {"frame": 0, "output": "y"} | export.difference(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(AssertionError, match="frame 0: y"):
        export.assert_parity([row])
    with pytest.raises(AssertionError, match="no frame"):
        export.assert_parity([])


def test_export_refuses_what_would_not_be_the_model(tmp_path):
    with pytest.raises(BadInput, match="training mode"):
        export.export(Toy(), tmp_path / "toy.onnx")
    with pytest.raises(BadInput, match="config agree"):
        export.export(Toy(width=5).eval(), tmp_path / "toy.onnx")
    assert not list(tmp_path.iterdir())
