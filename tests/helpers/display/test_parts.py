"""The map of a network's parts: colors by value or by kind, one box for each, and all of it in words."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from helpers import display
from helpers.display.style import PALETTE
from helpers.errors import BadInput
from tests.helpers.display.pictures import near

ROWS = {"backbone": ["block 0", "block 1"], "head": ["memory"]}


def test_numbers_are_on_a_logarithmic_scale():
    found = display.parts(ROWS, {"block 0": 1e-4, "block 1": 1e-2, "memory": 1.0}, {"memory": "3 %"}, "Errors")
    for place in (0.0, 0.5, 1.0):
        assert near(found, to_hex(colormaps["YlOrRd"](place)), 6).sum() > 3000
    assert found.alt == "Errors. block 0 1.0e-04; block 1 0.01; memory 1."


def test_kinds_have_colors_and_a_key():
    found = display.parts(ROWS, {"block 0": "FP16", "block 1": "FP16", "memory": "FP32"}, {}, "Border")
    counts = [near(found, color, 6).sum() for color in PALETTE[:3]]
    assert counts[0] > 1.5 * counts[1] > 3000 and counts[2] == 0
    assert "block 1 FP16; memory FP32" in found.alt


def test_a_kind_keeps_its_color_where_another_is_absent():
    everywhere = dict.fromkeys(("block 0", "block 1", "memory"), "FP32")
    alone, beside = (display.parts(ROWS, everywhere, {}, "Border", kinds) for kinds in ((), ("FP16", "FP32")))
    for found, color in ((alone, PALETTE[0]), (beside, PALETTE[1])):
        assert near(found, color, 6).sum() > 9000
    with pytest.raises(BadInput, match="FP32"):
        display.parts(ROWS, everywhere, {}, "Border", ["FP16"])


def test_a_part_that_nothing_changes_is_drawn():
    assert "memory 0" in display.parts(ROWS, {"block 0": 0.5, "block 1": 0.0, "memory": 0.0}, {}, "Errors").alt


def test_what_is_not_finite_is_beyond_all_others():
    found = display.parts(
        ROWS, {"block 0": 1e-3, "block 1": np.inf, "memory": 1e-2, "no row has it": 1.0}, {}, "Errors"
    )
    assert near(found, to_hex(colormaps["YlOrRd"](1.0)), 6).sum() > 3000
    assert found.alt == "Errors. block 0 0.001; block 1 inf; memory 0.01."


def test_every_part_needs_a_value():
    with pytest.raises(BadInput, match="block 1, memory"):
        display.parts(ROWS, {"block 0": 1.0}, {}, "Errors")
    with pytest.raises(BadInput, match="no part"):
        display.parts({}, {}, {}, "Errors")
