"""The box code and back, and outputs made by hand to tracks, map, futures and occupancy."""

import numpy as np
import pytest

from helpers.boxes import Boxes
from helpers.dataset import CLASSES
from helpers.errors import BadInput
from helpers.systems.uniad import decode
from helpers.systems.uniad.config import CONFIGS


def boxes():
    random = np.random.RandomState(0)
    sizes, yaws = random.uniform(0.5, 9, (5, 3)), random.uniform(-3, 3, 5)
    return Boxes(random.normal(size=(5, 3)) * 20, sizes, yaws, random.normal(size=(5, 2)), [0, 3, 8, 9, 5],
                 [0.9, 0.8, 0.6, 0.5, 0.4], "lidar", CLASSES)  # fmt: skip


def outputs():
    """Six rows, of which the third and the last hold nothing."""
    given, code = boxes(), decode.encode_boxes(boxes())
    rows = np.full((7, 9), 7.0)
    taken = [0, 1, 3, 4, 5]
    rows[taken] = np.concatenate(
        [code[:, [0, 1, 4]], np.exp(code[:, [2, 3, 5]]), np.arctan2(code[:, 6:7], code[:, 7:8]), code[:, 8:]], 1
    )
    ids, scores, labels = np.full(7, -1), np.zeros(7), np.zeros(7, int)
    ids[taken], scores[taken], labels[taken] = (4, 2, 9, 1, 7), given.scores, given.labels
    return {"bboxes_dict_bboxes": rows, "bboxes_dict_scores": scores, "bboxes_dict_labels": labels, "obj_idxes": ids}


def test_boxes_come_back_from_their_code():
    """The bottom of a box is what the code holds; its yaw turns clockwise from -y."""
    tracked, given = decode.decode_tracks(outputs()), boxes()
    assert tracked.ids.tolist() == [4, 2, 9, 1, 7] and tracked.rows.tolist() == [0, 1, 3, 4, 5]
    for name in ("centers", "sizes", "yaws", "velocities", "labels", "scores"):
        np.testing.assert_allclose(getattr(tracked.boxes, name), getattr(given, name), atol=2e-5, err_msg=name)
    np.testing.assert_allclose(decode.encode_boxes(given)[:, 4], given.centers[:, 2] - given.sizes[:, 2] / 2, atol=1e-5)


def lane(value, rows):
    mask = np.zeros((8, 8))
    mask[rows] = value
    return mask


def test_lanes_are_painted_the_surest_first():
    """One that lies under another for more than 0.4 of itself goes, and so does one that is too unsure."""
    masks = [lane(0.9, slice(0, 2)), lane(1.2, slice(1, 4)), lane(0.9, slice(1, 3)), lane(0.4, slice(6, 8)),
             lane(0.6, slice(5, 7))]  # fmt: skip
    given = {
        "lane_masks": np.stack(masks),
        "lane_scores": np.array([0.5, 0.9, 0.9, 0.9, 0.2]),
        "lane_classes": np.array([1, 2, 1, 0, 0]),
        "drivable_mask": lane(0.51, slice(4, 8))[None],
    }
    roads = decode.decode_roads(given)
    assert [roads.lanes[kind].any(1).nonzero()[0].tolist() for kind in range(3)] == [[], [], [1, 2, 3]]
    assert roads.instance[:, 0].tolist() == [0, 1, 1, 1, 0, 0, 0, 0] and roads.drivable[4:].all()
    given["lane_masks"][0][1] = 0  # no overlap is left
    roads = decode.decode_roads(given)
    assert roads.instance[:, 0].tolist() == [2, 1, 1, 1, 0, 0, 0, 0] and roads.lanes[1, 0].all()
    given["lane_classes"][:2] = 0  # what was painted of class 0 hinders nothing
    given["lane_masks"][0] = lane(0.9, slice(1, 3))
    assert decode.decode_roads(given).instance[:, 0].tolist() == [0, 2, 2, 1, 0, 0, 0, 0]


def test_futures_start_at_the_objects_and_the_vehicle_at_the_sensor():
    given = outputs() | {"traj_preds": np.ones((8, 2, 3, 5)), "traj_log_scores": np.log(np.full((8, 2), 0.5))}
    paths, scores = decode.decode_futures(given)
    np.testing.assert_allclose(paths[1, 0, 0], given["bboxes_dict_bboxes"][1, :2] + 1)
    assert (paths[-1] == 1).all() and np.allclose(scores, 0.5)


def test_vehicles_on_the_grid_are_numbered_without_gaps():
    owner = np.zeros((1, 2, 2, 2), int)
    owner[0, 0, 0, 0], owner[0, 1, 1] = 9, 4
    assert decode.decode_occupancy({"ins_seg_out": owner}).tolist() == [[[2, 0], [0, 0]], [[0, 0], [1, 1]]]
    assert decode.decode_occupancy({"ins_seg_out": np.full((1, 1, 1, 2), 5)}).tolist() == [[[1, 1]]]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("bboxes_dict_bboxes", np.zeros((7, 8)), r"shape \(7, 8\)"),
        ("bboxes_dict_bboxes", np.full((7, 9), np.nan), "63 values"),
        ("bboxes_dict_scores", np.zeros(6), "bboxes_dict_scores"),
        ("bboxes_dict_bboxes", np.full((7, 9), "x"), "numbers"),
        ("bboxes_dict_labels", np.full(7, 0.5), "0.5"),
        ("bboxes_dict_labels", np.array(["car"] * 7), "bboxes_dict_labels"),
        ("obj_idxes", np.arange(3), "obj_idxes"),
        ("obj_idxes", np.full(7, np.nan), "obj_idxes"),
        ("obj_idxes", np.int64(1), "obj_idxes"),
    ],
)
def test_outputs_that_cannot_be_are_named(name, value, said):
    with pytest.raises(BadInput, match=said):
        decode.decode_tracks(outputs() | {name: value})


@pytest.mark.parametrize("change", [
    {"lane_classes": np.full(2, 3)}, {"lane_classes": np.full(2, -1)}, {"lane_classes": np.zeros(1, int)},
    {"lane_classes": np.full(2, 0.5)}, {"drivable_mask": np.zeros((1, 3, 8))}, {"lane_masks": np.array([["x"]])},
])  # fmt: skip
def test_lanes_that_cannot_be_are_named(change):
    given = {"lane_masks": np.ones((2, 8, 8)), "lane_scores": np.ones(2), "lane_classes": np.zeros(2, int),
             "drivable_mask": np.zeros((1, 8, 8))}  # fmt: skip
    assert decode.decode_roads(given).lanes[0].all()
    with pytest.raises(BadInput, match=next(iter(change))):
        decode.decode_roads(given | change)
    with pytest.raises(BadInput, match="kinds"):
        decode.decode_roads(given, 0)


@pytest.mark.parametrize("value", [np.nan, 0.5, -5, "x", None])
def test_cells_whose_owner_is_no_number_are_named(value):
    with pytest.raises(BadInput, match="ins_seg_out"):
        decode.decode_occupancy({"ins_seg_out": np.full((1, 2, 3, 3), value)})


def test_what_an_output_lacks_is_named():
    for read in (decode.decode_tracks, decode.decode_roads, decode.decode_futures, decode.decode_occupancy):
        for given in ({}, {"ins_seg_out": np.zeros((1, 0, 3, 3))}):
            with pytest.raises(BadInput):
                read(given)
    with pytest.raises(BadInput, match="logarithms of probabilities"):
        decode.decode_futures(outputs() | {"traj_preds": np.ones((8, 2, 3, 5)), "traj_log_scores": np.ones((8, 2))})


def whole():
    """All that `decode` reads, of the six rows of `outputs`."""
    logs = np.log(np.arange(1, 9)[:, None] * np.array([[0.05, 0.02]]))
    return outputs() | {
        "traj_preds": np.ones((8, 2, 3, 5)), "traj_log_scores": logs, "outs_planning": np.zeros((1, 6, 2)),
        "lane_masks": np.zeros((1, 8, 8)), "lane_scores": np.zeros(1), "lane_classes": np.zeros(1, int),
        "drivable_mask": np.zeros((1, 8, 8)), "seg_out": np.zeros((1, 5, 1, 4, 4), int),
        "ins_seg_out": np.zeros((1, 5, 4, 4), int),
    }  # fmt: skip


def test_the_chances_of_paths_are_those_of_the_tracks_rows():
    found = decode.decode(whole(), CONFIGS["mini"])
    np.testing.assert_allclose(found.chances, np.exp(whole()["traj_log_scores"][[0, 1, 3, 4, 5]]))
    assert found.paths.shape == (5, 2, 3, 2) and found.owner.shape == found.occupied.shape == (5, 4, 4)


def test_two_grids_of_one_occupancy_that_differ_are_refused():
    with pytest.raises(BadInput, match=r"seg_out\n  found: +times and cells \(5, 4, 3\)"):
        decode.decode(whole() | {"seg_out": np.zeros((1, 5, 1, 4, 3), int)}, CONFIGS["mini"])
