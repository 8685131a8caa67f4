"""Spans of a frame, and points under two ceilings."""

from itertools import combinations

import numpy as np
import pytest

from helpers import display
from helpers.display import timing
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


def test_texts_of_short_bars_do_not_cover_each_other(monkeypatch):
    monkeypatch.setattr(timing, "picture", lambda figure, alt: figure)
    work = [("CPU", 3, 3.8, "copy in"), ("CPU", 3.8, 4.5, "enqueue"), ("CPU", 4.5, 5.2, "copy out")]
    figure = timing.timeline(work, {"end to end": (0, 10.5)}, "One frame")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().strip()]
    assert len(boxes) == 4 and not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def frames(period, latency, count=3):
    """Frames of `latency` ms, of which the first half is decoding, each `period` ms after the one before."""
    starts = [7 + k * period / 1e3 for k in range(count)]
    half = latency / 2e3
    return [{"decode": (at, at + half), "compute": (at + half, at + 2 * half)} for at in starts]


def test_a_schedule_draws_each_stage_to_scale_and_tells_the_pace_of_each_way():
    ways = {"fast": frames(40, 60), "slow": frames(100, 100)}
    image = display.schedule(ways, "Two ways")
    decode, compute = (near(image, color, 3) for color in PALETTE[:2])
    rows = np.flatnonzero(decode[: int(0.85 * len(decode))].any(axis=1))  # the legend lies below
    for row in (rows[0], rows[-1]):  # a lane of the first way, and the last of the second, which reaches farthest
        assert compute[row].sum() == pytest.approx(decode[row].sum(), rel=0.1)
    assert decode[rows[0]].sum() / decode[rows[-1]].sum() == pytest.approx(60 / 100, rel=0.1)
    assert "fast: a frame every 40 ms, each takes 60 ms (decode 30, compute 30); " in image.alt
    assert image.alt.endswith("slow: a frame every 100 ms, each takes 100 ms (decode 50, compute 50).")


def test_a_frame_alone_has_no_schedule():
    with pytest.raises(BadInput, match="at least 2"):
        display.schedule({"before": frames(100, 100, 1)}, "One frame")


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
