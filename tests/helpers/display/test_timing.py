"""Spans of a frame, and points under two ceilings."""

import pytest

from helpers import display
from helpers.display.style import PALETTE
from helpers.errors import BadInput
from tests.helpers.display.pictures import near

WORK = [("CPU", 0, 2, "read"), ("GPU", 2, 8, "kernels"), ("CPU", 8, 9, "decode")]


def test_a_timeline_draws_each_bar_and_tells_what_a_span_holds():
    image = display.timeline(WORK, {"GPU": (2, 8), "end to end": (0, 9)}, "One frame")
    wide, narrow = (near(image, color, 3).sum() for color in (PALETTE[1], PALETTE[2]))
    assert wide / narrow == pytest.approx(6, rel=0.1)
    assert image.alt.startswith("One frame. CPU: read, then decode; GPU: kernels. ")
    assert "GPU spans kernels; end to end spans read, kernels, decode." in image.alt


def test_a_roofline_tells_which_roof_is_over_a_point():
    points = {"add": (0.1, 5e8), "product": (100, 5e10)}
    image = display.roofline({"FP32": 1e11}, 1e10, points, "A machine")
    assert near(image, PALETTE[0], 3).any() and near(image, PALETTE[1], 3).any()
    assert "add: 0.1 operations per byte, 50% of the memory roof" in image.alt
    assert "product: 100 operations per byte, 50% of the arithmetic roof" in image.alt


@pytest.mark.parametrize("points", [{}, {"nothing": (1.0, 0.0)}, {"endless": (float("inf"), 1.0)}])
def test_a_roofline_refuses_what_no_logarithm_has(points):
    with pytest.raises(BadInput, match="above 0"):
        display.roofline({"FP32": 1e11}, 1e10, points, "A machine")
