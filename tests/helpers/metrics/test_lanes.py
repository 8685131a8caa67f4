"""IoU of a map, against sets of cells."""

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.metrics import lanes


def frame(random, flipped=0.1):
    """(lanes, road, true_lanes, true_road); of what is found a share is wrong."""
    true = random.random((4, 20, 30)) < 0.3
    found = true ^ (random.random(true.shape) < flipped)
    return found[:3], found[3], true[:3], true[3]


def cells(mask):
    return set(zip(*map(list, np.nonzero(mask)), strict=True))


def test_cells_are_counted_over_all_frames_as_sets_of_them():
    random = np.random.default_rng(0)
    frames = [frame(random, flipped) for flipped in (0.05, 0.1, 0.4)]
    ours, slow = lanes.score(frames), {name: [set(), set()] for name in lanes.ROWS}
    for k, (found, road, true, true_road) in enumerate(frames):
        pairs = {f"IoU/{name}": (found[c], true[c]) for c, name in enumerate(lanes.CLASSES)}
        for name, pair in (pairs | {"IoU/drivable": (road, true_road)}).items():
            one, other = ({(k, *at) for at in cells(mask)} for mask in pair)
            slow[name][0] |= one & other
            slow[name][1] |= one | other
        one, other = ({(k, i, j) for _, i, j in cells(mask)} for mask in (found, true))
        slow["IoU-lane"][0] |= one & other
        slow["IoU-lane"][1] |= one | other
    assert ours == {name: len(both) / len(either) for name, (both, either) in slow.items()} | {"frames": 3}
    means = np.mean([lanes.rates(lanes.counts(*one))["IoU-lane"] for one in frames])
    assert abs(ours["IoU-lane"] - means) > 1e-3  # not the mean over frames


def test_the_right_map_has_1_a_turned_one_less_and_nothing_has_none():
    _, _, true, road = frame(np.random.default_rng(1))
    assert set(lanes.score([(true, road, true, road)]).values()) == {1}
    assert lanes.score([(true[:, ::-1], road[::-1], true, road)])["IoU-lane"] < 0.7
    mixed = lanes.score([(true[[1, 2, 0]], road, true, road)])  # classes confused: the lanes together are right
    assert mixed["IoU-lane"] == 1 and mixed["IoU/divider"] < 0.5
    nothing = np.zeros_like(true)
    assert np.isnan(lanes.score([(nothing, road, nothing, road)])["IoU/crossing"])


@pytest.mark.parametrize("change", ["float", "shape", "classes", "road"])
def test_other_masks_are_refused(change):
    one = list(frame(np.random.default_rng(2)))
    if change == "float":
        one[0] = one[0].astype(np.float32)
    elif change == "shape":
        one[2] = one[2][:, :, :-1]
    elif change == "classes":
        one[0] = one[0][:2]
    else:
        one[1] = one[1][None]
    with pytest.raises(BadInput, match=r"lanes|road"):
        lanes.counts(*one)
    with pytest.raises(BadInput, match="frames"):
        lanes.score([])
    for wrong in (1, tuple(frame(np.random.default_rng(2)))[:3]):
        with pytest.raises(BadInput, match="frame 0"):
            lanes.score([wrong])
    for total in (np.full((5, 2), -1), np.array([[5, 1]] * 5)):
        with pytest.raises(BadInput, match="cells in both"):
            lanes.rates(total)
