"""IoU and VPQ of future occupancy: cases counted by hand, and what the public evaluation says of random ones."""

import json

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.metrics import future_occupancy
from tests.helpers.metrics.record_uniad import CASES, RECORD, sequence


def maps(*steps, size=200):
    """Ids [T, size, size]: of each step {id: (row, column, height, width)}."""
    made = np.zeros((len(steps), size, size), np.int64)
    for cells, step in zip(made, steps, strict=True):
        for name, (row, column, height, width) in step.items():
            cells[row : row + height, column : column + width] = name
    return made


def test_the_public_evaluation_says_the_same():
    ours = future_occupancy.score(sequence(seed) for seed in range(CASES))
    theirs = json.loads(RECORD.read_text())["occupancy"]
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=1e-5)  # theirs are float32
    assert ours["sequences"] == CASES and theirs["RQ-n"] > 1.2 * theirs["RQ-f"]


def test_a_vehicle_that_keeps_its_id_counts_and_one_that_changes_it_is_wrong_and_missed():
    box = (100, 100, 4, 8)
    label = maps(*[{1: box}] * 5)
    kept, changed = (
        future_occupancy.counts(found, label) for found in (label * 7, maps(*[{k + 1: box} for k in range(5)]))
    )
    assert kept[1].tolist() == [160, 160, 5, 5, 0, 0]
    assert changed[1].tolist() == [160, 160, 1, 1, 4, 4]  # the first has no id before it
    assert future_occupancy.rates(kept)["VPQ-f"] == 100 and future_occupancy.rates(changed)["VPQ-f"] == 20
    assert future_occupancy.rates(changed)["IoU-f"] == 100


def test_half_an_overlap_is_no_match():
    label = maps({1: (100, 100, 4, 8)})
    for width, right in ((5, 1), (4, 0)):  # IoU 0.625, and 0.5
        found = maps({9: (100, 100, 4, width)})
        assert future_occupancy.counts(found, label)[0].tolist()[3:] == [right, 1 - right, 1 - right]


def test_who_loses_the_worse_match_has_the_higher_sq_but_not_the_higher_vpq():
    label, one = maps({1: (100, 100, 4, 8), 2: (80, 80, 4, 8)}), {1: (100, 100, 4, 8)}
    both, fewer = (future_occupancy.score([(maps(step), label)]) for step in (one | {2: (80, 80, 4, 5)}, one))
    assert (both["SQ-n"], fewer["SQ-n"]) == pytest.approx(((100 + 62.5) / 2, 100))
    assert (both["VPQ-n"], fewer["VPQ-n"]) == pytest.approx(((100 + 62.5) / 2, 100 / 1.5))
    assert fewer["IoU-n"] < both["IoU-n"]


def test_near_is_the_middle_30_meters():
    label = maps({1: (69, 100, 1, 5), 2: (70, 100, 1, 5), 3: (129, 129, 1, 1), 4: (130, 130, 1, 1)})
    total = future_occupancy.counts(label, label)
    assert total[:, 0].tolist() == [6, 12] and total[:, 3].tolist() == [2, 4]
    small = maps({1: (0, 0, 2, 2)}, size=50)
    np.testing.assert_array_equal(*future_occupancy.counts(small, small))  # a map of 25 m is near everywhere


def test_nothing_has_no_rate_and_cells_may_come_without_ids():
    empty = maps({}, {})
    assert all(np.isnan(value) for value in future_occupancy.rates(future_occupancy.counts(empty, empty)).values())
    label = maps({1: (100, 100, 2, 2)})
    total = future_occupancy.counts(np.zeros_like(label), label, label > 0)
    rates = future_occupancy.rates(total)
    assert rates["IoU-n"] == 100 and rates["VPQ-n"] == 0 and np.isnan(rates["SQ-n"])


@pytest.mark.parametrize(
    ("found", "label", "occupied", "said"),
    [
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4), int), None, "found"),
        (np.zeros((2, 4, 5), int), np.zeros((2, 4, 4), int), None, "found"),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), None, "label"),
        (np.full((1, 4, 4), -1), np.zeros((1, 4, 4), int), None, "id -1"),
        (np.zeros((1, 4, 4), int), np.zeros((1, 4, 4), int), np.zeros((1, 4, 4)), "occupied"),
    ],
)
def test_other_maps_are_refused(found, label, occupied, said):
    with pytest.raises(BadInput, match=said):
        future_occupancy.counts(found, label, occupied)
    with pytest.raises(BadInput, match="sequences"):
        future_occupancy.score([])
    with pytest.raises(BadInput, match="sequence 0"):
        future_occupancy.score([np.ones((1, 4, 4), int)])
    with pytest.raises(BadInput, match="none below 0"):
        future_occupancy.rates(np.full((2, 6), -1.0))
