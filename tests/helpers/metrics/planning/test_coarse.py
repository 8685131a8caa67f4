"""Paths on cells of 0.5 m: as the public evaluation of UniAD scores random ones, by hand, and over MiniDrive."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.dataset import open_dataset
from helpers.errors import BadInput
from helpers.metrics import planning
from helpers.metrics.planning import coarse
from tests.helpers.metrics.record_uniad import RECORD, plan


@pytest.fixture(scope="module")
def frame(minidrive):
    return open_dataset(minidrive)[0]


def test_the_public_evaluation_says_the_same(frame):
    theirs, rows = json.loads(RECORD.read_text())["planning"], []
    for seed in range(40):
        path, true, cells = plan(seed)
        rows.append(coarse.measure(path, dataclasses.replace(frame, future_path=true), cells))
    ours = planning.summary(rows)
    for name, key in (("L2", "L2"), ("collision", "obj_box_col")):
        for second in (1, 2, 3):
            assert ours[f"{name}/at@{second}s"] == pytest.approx(theirs[key][2 * second - 1], rel=1e-5)
            assert ours[f"{name}/mean@{second}s"] == pytest.approx(np.mean(theirs[key][: 2 * second]), rel=1e-5)
    assert ours["collision/at@1s"] != ours["collision/mean@1s"] and ours["samples"] == 40


def test_the_body_is_its_cells_before_the_lidar():
    cells = np.zeros((6, 200, 200), bool)
    assert coarse.BODY.min(0).tolist() == [97, 98] and coarse.BODY.max(0).tolist() == [104, 101]
    path = np.zeros((6, 2))
    for (row, column), hit in {(104, 98): True, (105, 98): False, (97, 101): True, (96, 101): False,
                               (100, 102): False}.items():  # fmt: skip
        cells[:] = False
        cells[2, row, column] = True
        assert coarse.collisions(path, cells).tolist() == [False, False, hit, False, False, False]
    cells[:] = False
    cells[3, 114, 95] = True  # 5 m before the first cell's row, and 1.5 m to the left
    path[3] = (5.0, 1.5)
    assert coarse.collisions(path, cells).tolist() == [k == 3 for k in range(6)]
    path[3] = (5.0, -1.5)
    assert not coarse.collisions(path, cells).any()


def test_the_drivers_own_collision_is_not_the_planners(frame):
    path = np.c_[np.arange(1.0, 7), np.zeros(6)]
    cells = np.ones((6, 200, 200), bool)
    row = coarse.measure(path, dataclasses.replace(frame, future_path=path), cells)
    assert not any(value for name, value in row.items() if name.startswith("collision"))
    free = cells.copy()
    free[:, :108] = False
    row = coarse.measure(np.add(path, (20, 0)), dataclasses.replace(frame, future_path=0 * path), free)
    assert row["collision/at@3s"] == row["collision/mean@3s"] == 1 and row["L2/at@1s"] == 22


def test_vehicles_of_a_frame_lie_where_finer_cells_have_them(minidrive):
    dataset = open_dataset(minidrive)
    frame = next(one for one in dataset if len(one.boxes))
    cells = coarse.occupied(dataset, frame)
    fine = planning.Surroundings.of(dataset, frame).occupied[0]
    places = np.argwhere(cells[0]) * 0.5 - 49.75
    ego = np.c_[places[:, 0] + coarse.LIDAR, -places[:, 1]]
    inside = ego[(np.abs(ego) < 48).all(1)]
    i, j = np.rint((inside[:, 1] + 49.95) / 0.1).astype(int), np.rint((inside[:, 0] + 49.95) / 0.1).astype(int)
    near = [fine[a - 6 : a + 7, b - 6 : b + 7].any() for a, b in zip(i, j, strict=True)]
    assert len(near) > 20 and np.mean(near) > 0.99
    assert cells.shape == (6, 200, 200) and 0.5 < cells[0].sum() * 25 / fine.sum() < 2.0


def test_other_shapes_are_refused(frame):
    cells = np.zeros((6, 200, 200), bool)
    for path, other in ((np.zeros((5, 2)), cells), (np.zeros((6, 2)), cells[:5]), (np.full((6, 2), np.nan), cells)):
        with pytest.raises(BadInput, match=r"path|cells"):
            coarse.collisions(path, other)
    with pytest.raises(BadInput, match="key frames after"):
        coarse.measure(np.zeros((6, 2)), dataclasses.replace(frame, future_path=np.zeros((3, 2))), cells)
