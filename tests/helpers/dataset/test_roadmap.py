"""Maps against nuscenes-devkit's own reading of the same file, by hand, and broken."""

import copy
import dataclasses
import json
import os

import numpy as np
import pytest
from nuscenes.map_expansion.map_api import NuScenesMap

from helpers.dataset import open_dataset, roadmap
from helpers.errors import BadInput


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


@pytest.fixture(scope="module")
def content(minidrive):
    return json.loads((minidrive / "maps/expansion/scene-0103.json").read_text())


def test_lines_and_areas_agree_with_the_devkit(dataset, minidrive, tmp_path):
    (tmp_path / "maps/expansion").mkdir(parents=True)
    os.symlink(minidrive / "maps/expansion/scene-0103.json", tmp_path / "maps/expansion/boston-seaport.json")
    theirs, ours = NuScenesMap(str(tmp_path), "boston-seaport"), dataset.roadmap(dataset[0])
    lanes = [row["token"] for row in theirs.lane + theirs.lane_connector]
    assert [lane.token for lane in ours.lanes] == lanes
    assert sum(lane.connector for lane in ours.lanes) == len(theirs.lane_connector) > 0
    for lane in ours.lanes:
        line = np.array(theirs.discretize_lanes([lane.token], 0.05)[lane.token])
        gaps = np.hypot(*(lane.points[:, None, :2] - line[None, :, :2]).transpose(2, 0, 1))
        assert gaps.min(1).max() < 0.03 and (np.diff(gaps.argmin(1)) > 0).all()
        nearest = line[gaps.argmin(1)]
        assert np.abs(np.sin(lane.points[:, 2] - nearest[:, 2])).max() < 0.01
        assert np.linalg.norm(np.diff(lane.points[:, :2], axis=0), axis=1).max() <= 0.5 + 1e-6
        assert list(lane.outgoing) == theirs.get_outgoing_lane_ids(lane.token)
    tokens = [token for row in theirs.drivable_area for token in row["polygon_tokens"]]
    for rings, token in zip(ours.drivable, tokens, strict=True):
        np.testing.assert_allclose(rings[0], np.array(theirs.extract_polygon(token).exterior.coords)[:-1])
    rows = theirs.road_divider + theirs.lane_divider
    assert len(ours.dividers) == len(rows) > 1 and len(ours.crossings) == len(theirs.ped_crossing) > 0
    for line, row in zip(ours.dividers, rows, strict=True):
        np.testing.assert_allclose(line, np.array(theirs.extract_line(row["line_token"]).coords))
    for areas, rows in ((ours.crossings, theirs.ped_crossing), (ours.roads, theirs.road_segment + theirs.lane)):
        for (ring,), row in zip(areas, rows, strict=True):
            np.testing.assert_allclose(
                ring, np.array(theirs.extract_polygon(row["polygon_token"]).exterior.coords)[:-1]
            )
    assert dataset.roadmap(dataset[1]) is ours is not dataset.roadmap(dataset[4])


def test_pieces_within_reach_lie_in_the_vehicles_frame(dataset):
    """The vehicle's own lane passes through its origin, and a turned vehicle sees the same line turned."""
    frame = dataset[2]
    found = roadmap.center_lines(dataset.roadmap(frame), frame, (30.0, 15.0))
    nearest = min(found, key=lambda piece: np.hypot(*piece[:, :2].T).min())
    assert np.hypot(*nearest[:, :2].T).min() < 0.3 and (np.diff(nearest[:, 0]) > 0).all()
    for piece in found:
        assert piece.shape[1] == 3 and len(piece) > 1 and (piece[:, 2] == 0).all()
        assert (np.abs(piece[:, :2]) <= (30.0, 15.0)).all()
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]
    turned = dataclasses.replace(frame, ego2global=frame.ego2global @ turn)
    seen = roadmap.center_lines(dataset.roadmap(frame), turned, (15.0, 30.0))
    for one, other in zip(found, seen, strict=True):
        np.testing.assert_allclose(one[:, :2], np.stack([-other[:, 1], other[:, 0]], -1), atol=1e-9)


def test_a_line_that_leaves_and_comes_back_is_two_pieces(dataset):
    points = np.stack([np.arange(-5.0, 6.0), 10 - np.abs(np.arange(-5.0, 6.0)), np.zeros(11)], -1)
    frame = dataclasses.replace(dataset[0], ego2global=np.eye(4))
    lane = roadmap.Lane("x", False, points, ())
    found = roadmap.center_lines(roadmap.Roadmap([lane], []), frame, (9.0, 7.5))
    assert [piece[:, 0].tolist() for piece in found] == [[-5, -4, -3], [3, 4, 5]]


def test_arcs_by_hand():
    quarter = {"start_pose": [0.0, 0.0, 0.0], "shape": "LSR", "radius": 2.0, "segment_length": [np.pi, 3.0, np.pi]}
    line = roadmap._line([quarter])
    np.testing.assert_allclose(line[-1], [4.0, 7.0, 0.0], atol=1e-12)
    assert any(np.allclose(point, [2.0, 2.0, np.pi / 2]) for point in line)


def test_where_a_map_lies(minidrive, dataset, tmp_path):
    assert roadmap.path_of(minidrive, dataset[0]).name == "scene-0103.json"
    assert roadmap.path_of(tmp_path, dataset[0]) == tmp_path / "maps/expansion/minidrive.json"


BROKEN = {
    "no list of objects": lambda m: m.update(lane={}),
    r"polygon: row 0, token \w+\n  found: +no holes": lambda m: m["polygon"][0].pop("holes"),
    r"node: row 2.*\n  found: +x = nan": lambda m: m["node"][2].update(x=float("nan")),
    r"version = '1.2'": lambda m: m.update(version="1.2"),
    r"version = None": lambda m: m.pop("version"),
    r"polygon\n  found: +no record 'nowhere'": lambda m: m["drivable_area"][0].update(polygon_tokens=["nowhere"]),
    r"node\n  found: +no record 'gone'": lambda m: m["polygon"][0]["exterior_node_tokens"].append("gone"),
    r"arcline_path_3\n  found: +a list": lambda m: m.update(arcline_path_3=[]),
    r"found: +radius = 0": lambda m: first(m).update(radius=0),
    r"found: +shape = 'LXR'": lambda m: first(m).update(shape="LXR"),
    r"found: +segment_length = \[1e\+300": lambda m: first(m).update(segment_length=[1e300, 0, 0]),
    r"found: +start_pose = \[0, 0\]": lambda m: first(m).update(start_pose=[0, 0]),
    r"line\n  found: +no record 'lost'": lambda m: m["road_divider"][0].update(line_token="lost"),
    r"ped_crossing: row 0.*\n  found: +no polygon_token": lambda m: m["ped_crossing"][0].pop("polygon_token"),
    r"connectivity\[": lambda m: m["connectivity"].update({m["lane"][0]["token"]: {"outgoing": [3]}}),
}


def first(content):
    return content["arcline_path_3"][content["lane"][0]["token"]][0]


@pytest.mark.parametrize("found", BROKEN)
def test_a_broken_map_is_named(content, tmp_path, found):
    damaged = copy.deepcopy(content)
    BROKEN[found](damaged)
    path = tmp_path / "map.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(BadInput, match=rf"map\.json[\s\S]*{found}"):
        roadmap.read(path)


def test_no_map_at_all(tmp_path):
    with pytest.raises(BadInput, match="no file"):
        roadmap.read(tmp_path / "map.json")
    (tmp_path / "map.json").write_text("[]")
    with pytest.raises(BadInput, match="a JSON list"):
        roadmap.read(tmp_path / "map.json")


def test_a_map_may_lack_what_is_painted(content, tmp_path):
    part = {name: rows for name, rows in content.items() if name not in roadmap.MARKS}
    part["lane"] = [{"token": row["token"]} for row in part["lane"]]
    (tmp_path / "map.json").write_text(json.dumps(part))
    found = roadmap.read(tmp_path / "map.json")
    assert found.lanes and not (found.dividers or found.crossings or found.roads)


def test_a_map_with_holes(content, tmp_path):
    content = copy.deepcopy(content)
    hole = [row["token"] for row in content["node"][:3]]
    token = content["drivable_area"][0]["polygon_tokens"][0]
    next(row for row in content["polygon"] if row["token"] == token)["holes"] = [{"node_tokens": hole}]
    (tmp_path / "map.json").write_text(json.dumps(content))
    rings = roadmap.read(tmp_path / "map.json").drivable[0]
    assert len(rings) == 2
    np.testing.assert_allclose(rings[1], [[row["x"], row["y"]] for row in content["node"][:3]])
