"""Pictures as bytes in, boxes out: the graph's arithmetic against the host's."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import helper

from helpers import engine, graph
from helpers.dataset import preprocess
from helpers.engine.tensorrt.graph import for_version
from helpers.errors import BadInput
from helpers.graph import ends
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.decode import POST_CENTER_RANGE, decode_outputs
from helpers.systems.fbocc.config import CONFIGS as OCCUPANCY
from tests.builders.graphs import model

MINI = CONFIGS["mini"]


def scaled(scale, size):
    return dataclasses.replace(MINI, image_scale=scale, image_size=size)


def run(made, path, **feeds):
    with engine.load(graph.save(made, path)) as opened:
        return opened.run(feeds)


@pytest.mark.parametrize(
    ("scale", "source", "size"),
    [
        (0.5, (90, 160), (64, 96)),
        (0.25, (90, 160), (32, 64)),
        (0.37, (91, 157), (40, 60)),
        (1.0, (17, 31), (32, 32)),
        (0.44, (45, 33), (19, 14)),
    ],
)
def test_pixels_are_those_of_the_host(tmp_path, scale, source, size):
    """Within a hundredth of one step of eight bits, on even and odd sizes; the padding is zero."""
    config = scaled(scale, size)
    pictures = np.random.default_rng(0).integers(0, 256, (1, 2, *source, 3), np.uint8)
    shape = (1, 2, 3, *size)
    whole = model([helper.make_node("Identity", ["image"], ["y"])], {"image": shape}, {"y": shape})
    found = run(ends.with_pictures(whole, config, source), tmp_path / "ends.onnx", pictures=pictures)["y"]
    expected = preprocess(pictures[0], config)[None]
    step = 1 / max(config.image_std)
    np.testing.assert_allclose(found, expected, rtol=0, atol=step / 100)
    assert found.std() > 0.5 and not found[..., int(source[0] * scale) :, :].any()


def outputs(layers=2, batch=1, queries=50, seed=0):
    random = np.random.default_rng(seed)
    coords = random.standard_normal((layers, batch, queries, 10)).astype(np.float32)
    coords[..., [0, 1, 4]] *= [40, 40, 6]  # some beyond the range
    return random.standard_normal((layers, batch, queries, 10)).astype(np.float32) * 3, coords


def box_graph(classes):
    shape, names = classes.shape, ("outputs_classes", "outputs_coords")
    nodes = [helper.make_node("Identity", [f"{name}_in"], [name], name) for name in names]
    return model(nodes, {f"{name}_in": shape for name in names}, dict.fromkeys(names, shape))


def seeing(whole, shape):
    """The graph with an input `image` and an output that is the brightest of it."""
    whole.graph.input.append(helper.make_tensor_value_info("image", 1, shape))
    whole.graph.node.append(helper.make_node("ReduceMax", ["image"], ["seen"], "seen", keepdims=0))
    whole.graph.output.append(helper.make_tensor_value_info("seen", 1, []))
    return whole


def chosen(classes, coords, path):
    made = ends.with_boxes(box_graph(classes), MINI)
    return run(made, path, outputs_classes_in=classes, outputs_coords_in=coords)


@pytest.mark.parametrize("queries", [5, 50])
def test_boxes_are_those_of_the_host(tmp_path, queries):
    classes, coords = outputs(queries=queries)
    coords[-1, 0, :4, 6:8] = [[-1, 0], [1e-4, -1], [0, 0], [0, -1]]  # a heading along x, near the seam, none
    found = chosen(classes, coords, tmp_path / "boxes.onnx")
    ours, theirs = MINI.decode(found), decode_outputs(classes, coords)
    assert 0 < len(theirs) < min(300, 10 * queries) and found["boxes"].shape == (1, min(300, 10 * queries), 9)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    for name in ("centers", "sizes", "velocities", "scores"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.cos(ours.yaws - theirs.yaws), 1, atol=1e-6)
    assert (np.abs(ours.yaws) <= np.float32(np.pi)).all() and ours.frame == theirs.frame


def test_every_stream_of_a_batch_chooses_among_its_own(tmp_path):
    classes, coords = outputs(batch=3)
    found = chosen(classes, coords, tmp_path / "boxes.onnx")
    for index in range(3):
        ours = MINI.decode({name: array[index : index + 1] for name, array in found.items()})
        theirs = decode_outputs(classes[:, [index]], coords[:, [index]])
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_allclose(ours.centers, theirs.centers, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_border_is_where_the_host_has_it(tmp_path, axis):
    classes, coords = outputs(queries=6)
    coords[-1, 0, :, [0, 1, 4]] = 0
    for query, border in enumerate(np.float32([POST_CENTER_RANGE[axis], POST_CENTER_RANGE[axis + 3]])):
        near = [np.nextafter(border, np.float32(side)) for side in (-np.inf, np.inf)]
        coords[-1, 0, 3 * query : 3 * query + 3, (0, 1, 4)[axis]] = [near[0], border, near[1]]
    found = chosen(classes, coords, tmp_path / "boxes.onnx")
    ours, theirs = MINI.decode(found), decode_outputs(classes, coords)
    np.testing.assert_array_equal(ours.centers, theirs.centers)
    assert 20 <= len(ours) <= 40


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["classes", "coords"])
@pytest.mark.parametrize("score", [-9, 9])
def test_what_is_not_finite_is_refused_whether_it_is_chosen_or_not(tmp_path, value, where, score):
    """As the host does: a network that overflowed somewhere is not to be believed elsewhere."""
    classes, coords = outputs(queries=80)
    classes[-1, 0, 3] = score
    (classes if where == "classes" else coords)[-1, 0, 3, 2] = value
    host = {"outputs_classes": classes, "outputs_coords": coords}
    for found in (chosen(classes, coords, tmp_path / "boxes.onnx"), host):
        with pytest.raises(BadInput, match="NaN or infinite"):
            MINI.decode(found)


def test_ends_go_onto_a_whole_graph_and_tensorrt_8_6_reads_a_cast_first(tmp_path):
    size, shape = (32, 48), (1, 2, 3, 32, 48)
    whole = box_graph(np.zeros((2, 1, 5, 10)))
    whole.graph.input.append(helper.make_tensor_value_info("image", 1, shape))
    whole.graph.node.append(helper.make_node("Identity", ["image"], ["seen"], "seen"))
    whole.graph.output.append(helper.make_tensor_value_info("seen", 1, shape))
    source = graph.save(whole, tmp_path / "whole.onnx")
    made = graph.load(ends.add_ends(source, tmp_path / "ends.onnx", scaled(0.5, size), (60, 90)))
    assert [value.name for value in made.graph.output] == ["seen", "scores", "labels", "inside", "boxes"]
    assert {value.name: value.type.tensor_type.elem_type for value in made.graph.input}["pictures"] == 2
    for name in ("8.6.0", "10.13.0"):
        rewritten = for_version(made, name)
        readers = [node for node in rewritten.graph.node if "pictures" in node.input]
        assert [(node.op_type, node.name) for node in readers] == [("Cast", "/pictures/Cast_0")]
    onnx.checker.check_model(rewritten)


def test_the_ends_run_before_and_after_the_graph_that_they_were_put_on(tmp_path):
    """Three engines are the one of the graph with ends, to the last bit; an output that is no box stays."""
    config, size, shape = scaled(0.5, (32, 48)), (60, 90), (1, 2, 3, 32, 48)
    classes, coords = outputs(queries=20)
    source = graph.save(seeing(box_graph(coords), shape), tmp_path / "whole.onnx")
    with_ends = ends.add_ends(source, tmp_path / "ends.onnx", config, size)
    first, last = tmp_path / "pictures.onnx", tmp_path / "boxes.onnx"
    ends.cut_ends(with_ends, first, last)
    assert not [node.name for end in (first, last) for node in graph.load(end).graph.node if "/" not in node.name]
    pictures = np.random.default_rng(0).integers(0, 256, (1, 2, *size, 3), np.uint8)
    before = engine.load(source, before=engine.load(first))
    with engine.load(with_ends) as one, engine.load(last, before=before) as three:
        assert one.inputs == three.inputs and one.outputs == three.outputs
        feeds = {"pictures": pictures, "outputs_classes_in": classes, "outputs_coords_in": coords}
        expected, found = (each.run(feeds) for each in (one, three))
    assert expected["seen"] and all(np.array_equal(found[name], array) for name, array in expected.items())


@pytest.mark.parametrize("pictures, boxes, said", [(None, True, "of the pictures"), ((60, 90), False, "of the boxes")])
def test_a_graph_without_both_ends_is_not_cut(tmp_path, pictures, boxes, said):
    source = graph.save(seeing(box_graph(outputs(queries=5)[1]), (1, 2, 3, 32, 48)), tmp_path / "whole.onnx")
    made = ends.add_ends(source, tmp_path / "made.onnx", scaled(0.5, (32, 48)), pictures, boxes)
    with pytest.raises(BadInput, match=f"no nodes {said}"):
        ends.cut_ends(made, tmp_path / "first.onnx", tmp_path / "last.onnx")
    with pytest.raises(BadInput):
        ends.cut_ends(made, made, tmp_path / "last.onnx")
    whole = ends.add_ends(source, tmp_path / "ends.onnx", scaled(0.5, (32, 48)), (60, 90))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(BadInput, match="a folder"):
        ends.cut_ends(whole, tmp_path / "first.onnx", tmp_path / "folder.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ends.onnx", "folder.onnx", "made.onnx", "whole.onnx"]


def test_a_graph_or_a_system_that_does_not_fit_is_named():
    shape = (1, 2, 3, 32, 48)
    whole = model([helper.make_node("Identity", ["image"], ["y"])], {"image": shape}, {"y": shape})
    with pytest.raises(BadInput, match=r"at least \(225, 400\)"):
        ends.with_pictures(whole, scaled(0.25, (32, 48)))
    with pytest.raises(BadInput, match=r"3x900, of which scaling by 0.25 leaves 0x225(.|\n)*larger pictures"):
        ends.with_pictures(whole, scaled(0.25, (32, 48)), (3, 900))
    with pytest.raises(BadInput, match=r"input image(.|\n)*32, 48"):
        ends.with_pictures(whole, MINI)
    with pytest.raises(BadInput, match=r"input image of the graph(.|\n)*none of x"):
        ends.with_pictures(model([helper.make_node("Identity", ["x"], ["y"])], {"x": [1]}, {"y": [1]}), MINI)
    with pytest.raises(BadInput, match="input for pictures"):
        ends.with_pictures(whole, OCCUPANCY["mini"])
    with pytest.raises(BadInput, match="among them outputs_classes"):
        ends.with_boxes(whole, MINI)
    for size in (0, "n"):
        free = model([helper.make_node("Identity", ["image"], ["y"])], {"image": [size, *shape[1:]]}, {"y": None})
        with pytest.raises(BadInput, match="5 fixed sizes"):
            ends.with_pictures(free, scaled(0.5, (32, 48)), (60, 90))
    half = onnx.ModelProto.FromString(whole.SerializeToString())
    half.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    with pytest.raises(BadInput, match=r"FLOAT16(.|\n)*FLOAT \["):
        ends.with_pictures(half, scaled(0.5, (32, 48)), (60, 90))
    name = OCCUPANCY["mini"].decoded[0]
    voxels = model([helper.make_node("Identity", ["x"], [name])], {"x": [1]}, {name: [1]})
    with pytest.raises(BadInput, match="no boxes to choose"):
        ends.with_boxes(voxels, OCCUPANCY["mini"])


@pytest.mark.parametrize(
    "size", [(0, 0), (-60, 90), (60,), (60, 90, 3), (60.0, 90), ("60", "90"), "60", 60, (True, True)]
)
def test_what_is_no_size_of_a_picture_is_refused(size):
    shape = (1, 2, 3, 32, 48)
    whole = model([helper.make_node("Identity", ["image"], ["y"])], {"image": shape}, {"y": shape})
    with pytest.raises(BadInput, match="whole numbers above 0"):
        ends.with_pictures(whole, scaled(0.5, (32, 48)), size)


def test_ends_are_put_on_once_and_never_over_the_graph_itself(tmp_path):
    shape = (1, 2, 3, 32, 48)
    whole = model([helper.make_node("Identity", ["image"], ["y"], "/pictures/Cast_0")], {"image": shape}, {"y": shape})
    with pytest.raises(BadInput, match="/pictures/Cast_0"):
        ends.with_pictures(whole, scaled(0.5, (32, 48)), (60, 90))
    source = graph.save(whole, tmp_path / "whole.onnx")
    before = source.read_bytes()
    with pytest.raises(BadInput, match="also an input"):
        ends.add_ends(source, source, MINI, pictures=None, boxes=False)
    assert source.read_bytes() == before
