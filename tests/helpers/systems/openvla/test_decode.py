"""Actions to tokens and back, by the figures of the public code."""

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.systems.openvla.config import CONFIGS
from helpers.systems.openvla.decode import NoAction, decode, encode, limits, normalize, statistics_of, unnormalize
from tests.helpers.systems.openvla.tiny import STATISTICS

PUBLISHED = CONFIGS["published"]


def test_values_become_the_ids_of_the_public_code():
    values = np.array([-1, -2, 0, np.nextafter(1, 0), 1, 7, np.nan])
    assert encode(values, PUBLISHED).tolist() == [31999, 31999, 31872, 31745, 31744, 31744, 31744]


def test_ids_become_the_middles_of_their_bins():
    found = decode([31744, 31745, 31746, 31998, 31999], PUBLISHED)
    step = 2 / 255
    assert found == pytest.approx([1 - step / 2, 1 - step / 2, 1 - 1.5 * step, -1 + 1.5 * step, -1 + step / 2])
    assert found[0] == pytest.approx(0.99608, abs=1e-5) and found.dtype == np.float64


def test_there_and_back_is_off_by_half_a_bin_at_most():
    values = np.linspace(-1, 1, 1001)
    assert np.abs(decode(encode(values, PUBLISHED), PUBLISHED) - values).max() <= 1 / 255 + 1e-12


@pytest.mark.parametrize("other", [2, 31743, 32000, 32063, 0])
def test_an_id_that_is_no_actions_is_refused(other):
    with pytest.raises(NoAction, match=f"1 of 3 tokens are no action's, such as {other}"):
        decode([31800, other, 31900], PUBLISHED)


def test_units_come_back_and_the_gripper_stays():
    statistics = STATISTICS["action"]
    found = unnormalize(np.array([-1, 1, 0, 0.5, -1, 1, 0.25]), statistics)
    assert found == pytest.approx([-0.1, 0.2, 0, 0.5, -1, 1, 0.25])
    assert normalize(found, statistics) == pytest.approx([-1, 1, 0, 0.5, -1, 1, 0.25])
    whole = {name: statistics[name] for name in ("q01", "q99")}
    assert unnormalize(np.ones(7), whole)[6] == 1 and unnormalize(-np.ones(7), whole)[6] == 0


def test_a_data_set_without_a_key_must_be_the_only_one():
    both = {"one": STATISTICS, "two": STATISTICS}
    assert statistics_of({"one": STATISTICS}, None, "x") is STATISTICS["action"]
    assert statistics_of(both, "two", "x") is STATISTICS["action"]
    for key, said in ((None, "no unnorm_key"), ("three", "'three'")):
        with pytest.raises(BadInput, match=said):
            statistics_of(both, key, "x")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"q01": [1], "q99": [1, 2]},
        {"q01": ["x"], "q99": [1]},
        {"q01": [1], "q99": [np.nan]},
        {"q01": [2, 3], "q99": [2, 1]},
        {"q01": [], "q99": []},
        {"q01": [-1e308], "q99": [1e308]},
        {"q01": [-(10**400)], "q99": [1]},
        {"q01": [0, 0], "q99": [1, 1], "mask": ["true", "false"]},
        {"q01": [0], "q99": [1], "mask": [0.5]},
        {"q01": [0], "q99": [1], "mask": [None]},
    ],
)
def test_statistics_that_cannot_be_used_are_named(broken):
    with pytest.raises(BadInput, match="statistics of actions"):
        limits(broken)
