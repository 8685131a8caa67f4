"""The exported graph of UniAD: its interface, its values over a drive, and as many rows as there are.

Of the heads behind the tracks, which carry nothing from frame to frame, the graph has none: see `tiny.Tracked`.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from onnx import helper

from benchmarks.systems import SYSTEMS
from helpers import engine, export, graph
from helpers.engine import tensorrt_rtx
from helpers.errors import BadInput
from helpers.graph import ends
from helpers.sequence import rollout
from helpers.systems.bevformer.config import CONFIGS as OTHERS
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.rows import OBJECTS, OWNERS, PATHS, Bounded
from tests.helpers.systems.driven import driven
from tests.helpers.systems.uniad.test_network import observed
from tests.helpers.systems.uniad.tiny import SHORT, drive

FRAMES = 5
PUBLIC = [
    "prev_track_intances0", "prev_track_intances1", "prev_track_intances3", "prev_track_intances4",
    "prev_track_intances5", "prev_track_intances6", "prev_track_intances8", "prev_track_intances9",
    "prev_track_intances11", "prev_track_intances12", "prev_track_intances13", "prev_timestamp", "prev_l2g_r_mat",
    "prev_l2g_t", "prev_bev", "timestamp", "l2g_r_mat", "l2g_t", "img", "img_metas_can_bus", "img_metas_lidar2img",
    "command", "use_prev_bev", "max_obj_id",
]  # fmt: skip
WHOLE = {6: np.int32, 1: np.float32}


@pytest.fixture(scope="module")
def steps():
    return drive(FRAMES, SHORT)


@pytest.fixture(scope="module")
def free(tiny_uniad, tmp_path_factory):
    """The graph that takes and gives as many rows as there are."""
    out = tmp_path_factory.mktemp("free") / "free.onnx"
    return ends.add_ends(tiny_uniad[1], out, SHORT, pictures=None, boxes=False, rows=True)


@pytest.fixture(scope="module")
def whole(tiny_uniad, steps):
    """(what ONNX Runtime gives of the graph with room for all rows, what PyTorch gives) of every frame."""
    model, path = tiny_uniad
    with engine.load(path) as loaded:
        running = rollout(loaded.run, steps, SHORT.states, SHORT.initial_states())
        return [outputs for _, _, outputs in running], driven(model, steps)


def test_the_interface_is_that_of_the_public_export(tiny_uniad):
    """Its 24 inputs, all of them read; its three plugins; the states, boxes, identities, occupancy and plan."""
    made = graph.load(tiny_uniad[1])
    types = {v.name: WHOLE[v.type.tensor_type.elem_type] for v in made.graph.input}
    assert list(types) == PUBLIC and types == SHORT.input_types()
    assert set(PUBLIC) <= {name for node in made.graph.node for name in node.input}
    custom = {node.op_type for node in made.graph.node if node.domain == "trt.plugins"}
    assert custom == {"InverseTRT", "MultiScaleDeformableAttnTRT2", "RotateTRT2"}
    outputs = [value.name for value in made.graph.output]
    public = [f"{name}_out" for name in PUBLIC[:14]]
    public += ["bev_embed", "obj_idxes", "max_obj_id_out", "seg_out", "outs_planning"]
    public += [f"bboxes_dict_{name}" for name in ("bboxes", "scores", "labels", "bbox_index")]
    assert set(public) <= set(outputs) and outputs == list(SHORT.output_shapes())


def test_the_map_is_made_without_truths_of_the_vehicle_s_motion(tiny_uniad):
    """TensorRT 8.6.0 refused the part from the motion to the first layer's places, in which an angle was chosen."""
    made = graph.load(tiny_uniad[1]).graph
    made_by = {output: node for node in made.node for output in node.output}
    waiting, before = ["bev_embed"], {}
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and node.name not in before:
            before[node.name] = node.op_type
            waiting += node.input
    projected = {kind for name, kind in before.items() if "/projection/" in name}
    assert "Cos" in before.values() and "Greater" in projected
    rest = {kind for name, kind in before.items() if "/projection/" not in name}
    assert not rest & {"Where", "IsNaN", "Greater", "Less", "Equal", "Atan"}
    assert "IsNaN" not in {node.op_type for node in made.node}


def test_it_computes_what_the_network_does_over_five_frames(whole):
    """Each side with its own past: whole numbers to the last, the rest within 1e-4 of the largest."""
    for frame, (ours, theirs) in enumerate(zip(*whole, strict=True)):
        for name, expected in theirs.items():
            if expected.dtype.kind == "i":
                assert np.array_equal(ours[name], expected), (frame, name)
            else:
                assert export.difference(ours[name], expected)["rel"] < 1e-4, (frame, name)
    lives = [set(outputs["prev_track_intances3_out"][41:]) - {-1} for outputs in whole[1]]
    assert lives[0] and any(now - before for before, now in itertools.pairwise(lives))


def test_backbone_and_pyramid_in_an_engine_of_their_own_change_nothing(tiny_uniad, steps, whole, tmp_path):
    """The form in which TensorRT 8.6.0 never meets both precisions in one network; only the features go across."""
    first, rest = tmp_path / "first.onnx", tmp_path / "rest.onnx"
    assert len(graph.split(tiny_uniad[1], SYSTEMS["uniad"].before, first, rest)) == len(SHORT.picked)
    assert [value.name for value in graph.load(first).graph.input] == ["img"]
    with engine.load(first) as before, engine.load(rest, before=before) as loaded:
        running = rollout(loaded.run, steps[:2], SHORT.states, SHORT.initial_states())
        for (_, _, outputs), expected in zip(running, whole[0], strict=False):
            assert all(np.array_equal(outputs[name], array) for name, array in expected.items())


def test_another_past_is_no_parity(tiny_uniad, steps, whole):
    with engine.load(tiny_uniad[1]) as loaded:
        forgetful = loaded.run(steps[-1].feeds | SHORT.initial_states())
    for name in ("bev_embed", "prev_track_intances11_out"):
        assert export.difference(forgetful[name], whole[0][-1][name])["rel"] > 1e-3, name
    assert not np.array_equal(forgetful["obj_idxes"], whole[0][-1]["obj_idxes"])


def test_as_many_rows_as_there_are_say_the_same(free, steps, whole):
    """N of the tracks and K of the objects change from frame to frame; nothing that they hold does."""
    counts = []
    with engine.load(free) as loaded:
        assert loaded.inputs["prev_track_intances11"].shape == ("tracks", 4, 32)
        assert {str(loaded.outputs[name].shape[0]) for name in ("obj_idxes", "traj_preds")} == {
            "objects", "objects_and_vehicle",
        }  # fmt: skip
        run = SHORT.adapted(loaded.run, loaded.inputs)

        def counted(feeds):
            outputs = run.run(feeds)
            counts.append((len(feeds["prev_track_intances3"]), len(outputs["prev_track_intances3_out"]),
                           len(outputs["obj_idxes"]), len(outputs["traj_preds"])))  # fmt: skip
            return outputs

        bounded = type(run)(counted, SHORT)
        running = list(rollout(bounded, steps, SHORT.states, SHORT.initial_states()))
    for (_, _, outputs), expected in zip(running, whole[0], strict=True):
        found, wanted = observed(SHORT, outputs), observed(SHORT, expected)
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)
        seen = np.flatnonzero(expected["obj_idxes"] >= 0)
        owners = np.insert(np.searchsorted(seen, np.arange(SHORT.carried)) + 1, 0, 0)
        assert np.array_equal(outputs["ins_seg_out"], owners[expected["ins_seg_out"]])
    rows = SHORT.num_query + 1
    assert counts[0][0] == rows and all(before[1] == now[0] for before, now in itertools.pairwise(counts))
    assert all(seen + 1 == agents for *_, seen, agents in counts)
    assert len({n for n, *_ in counts}) > 2 and len({seen for *_, seen, _ in counts}) > 1


def test_a_graph_that_gives_more_objects_or_fewer_tracks_than_there_can_be_is_refused():
    feeds = SHORT.initial_states() | {"use_prev_bev": np.zeros(1, np.int32)}
    for name, rows in (("obj_idxes", SHORT.carried + 1), ("prev_track_intances3_out", SHORT.num_query)):
        outputs = {key: np.zeros(shape, np.int32) for key, shape in SHORT.output_shapes().items()}
        outputs[name] = np.zeros(rows, np.int32)
        with pytest.raises(BadInput, match=rf"{name}[\s\S]*{rows} rows"):
            Bounded(lambda given, made=outputs: made, SHORT)(feeds)


def test_owners_of_cells_follow_the_objects_where_rows_between_them_are_empty(tmp_path):
    """Of a graph that gives what it is given: the second row holds nothing, and what the third owns is the second's."""
    outputs = SHORT.output_shapes()
    sources = {f"{name}_out": name for name in SHORT.empty}
    told = {name: sources.get(name, f"{name}_in") for name in (*sources, *OBJECTS, *PATHS, OWNERS)}
    types = SHORT.input_types() | {f"{name}_in": np.dtype(np.int32) for name in ("obj_idxes", OWNERS)}
    nodes = [helper.make_node("Identity", [source], [name], name) for name, source in told.items()]
    made = helper.make_model(helper.make_graph(nodes, "rows", *(
        [helper.make_tensor_value_info(name, 6 if types.get(name, 0) == np.int32 else 1, outputs[key])
         for key, name in pairs] for pairs in (told.items(), zip(told, told, strict=True))
    )), opset_imports=[helper.make_opsetid("", 18)], ir_version=9)  # fmt: skip
    for value in made.graph.output:
        value.type.tensor_type.elem_type = 6 if types.get(told[value.name], 0) == np.int32 else 1
    ids, owner = np.full(SHORT.carried, -1, np.int32), np.zeros(outputs[OWNERS], np.int32)
    ids[[0, 2]], owner[0, 0, :2, 0] = (7, 4), (3, 1)
    given = {name: np.zeros((45, *outputs[f"{name}_out"][1:]), types[name]) for name in SHORT.empty}
    given |= {f"{name}_in": np.zeros(outputs[name], np.float32) for name in (*OBJECTS, *PATHS)}
    given |= {"obj_idxes_in": ids, f"{OWNERS}_in": owner}
    given["prev_track_intances3"][41:] = 5, -1, 6, -1
    with engine.load(graph.save(ends.with_rows(made, SHORT), tmp_path / "rows.onnx")) as loaded:
        found = loaded.run(given)
    assert found["obj_idxes"].tolist() == [7, 4] and found[OWNERS][0, 0, :3, 0].tolist() == [2, 1, 0]
    assert found["prev_track_intances3_out"][41:].tolist() == [5, 6] and len(found["traj_preds"]) == 3


@pytest.mark.parametrize("count", [SHORT.num_query + 1, SHORT.rows - 3, SHORT.rows])
def test_every_number_of_tracks_is_taken(free, steps, whole, count):
    """None, some and all that there is room for; rows without a track among them count as none."""
    past = {name: whole[0][2][source] for name, source in SHORT.states.items()}
    given = {name: array[:count] if name in SHORT.empty else array for name, array in past.items()}
    kept = given["prev_track_intances3"]
    with engine.load(free) as loaded:
        found = loaded.run(steps[3].feeds | given)
    own = SHORT.num_query + 1
    assert len(found["prev_track_intances3_out"]) >= own and (found["prev_track_intances3_out"][own:] >= 0).all()
    seen = whole[0][3]["obj_idxes"]
    same = np.array_equal(found["obj_idxes"], seen[seen >= 0])
    assert same == ((kept >= 0).sum() == (past["prev_track_intances3"] >= 0).sum())


def test_tensorrt_rtx_parses_the_graph_with_room_for_all_rows(tiny_uniad, free):
    """It has no NonZero, and so none of the other form."""
    assert len(tensorrt_rtx.layers(tiny_uniad[1])) > 500
    with pytest.raises(BadInput, match="NonZero"):
        tensorrt_rtx.layers(free)


def test_only_graphs_with_such_rows_get_this_end(tiny_uniad):
    made = graph.load(tiny_uniad[1])
    with pytest.raises(BadInput, match="rows that may be empty"):
        ends.with_rows(made, OTHERS["mini"])
    with pytest.raises(BadInput, match="names of this end"):
        ends.with_rows(ends.with_rows(made, SHORT), SHORT)
    with pytest.raises(BadInput, match="inputs of the graph"):
        made.graph.input[0].name = "another"
        ends.with_rows(made, SHORT)


def test_the_room_for_tracks_is_the_public_one():
    """901 to 1150 rows; the mini's are fewer, in the same form."""
    for name, least, most in (("base", 901, 1150), ("tiny", 901, 1150), ("mini", 301, 401)):
        config = CONFIGS[name]
        assert (config.num_query + 1, config.rows) == (least, most)
        assert {empty.dimension for empty in config.empty.values()} == {"tracks"} and len(config.empty) == 11
    assert dataclasses.replace(SHORT, carried=9).rows == 50
