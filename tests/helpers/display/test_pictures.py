"""The text of a picture says what the picture shows, with its numbers, and is never longer than one can listen to."""

import numpy as np
import pytest
from matplotlib import pyplot

from helpers import display
from helpers.display import pictures
from helpers.display.style import PALETTE
from helpers.errors import BadInput
from tests.helpers.display.pictures import near


def test_a_figure_becomes_a_picture_with_its_text_and_is_shown_once():
    drawn, axes = pyplot.subplots()
    axes.plot([1, 2])
    shown = display.figure(drawn, 'A line from 1 to 2, <"rising">')
    data, metadata = shown._repr_mimebundle_()
    assert data["text/html"].startswith(
        '<img alt="A line from 1 to 2, &lt;&quot;rising&quot;&gt;" src="data:image/png;'
    )
    assert data["text/plain"] == 'Picture: A line from 1 to 2, <"rising">' and metadata == {}
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("alt", ["", "  "])
def test_a_figure_without_a_text_is_refused(alt):
    with pytest.raises(BadInput, match="no alternative text"):
        display.figure(pyplot.figure(), alt)
    pyplot.close("all")


def test_texts_carry_the_numbers():
    rows = [{"name": "FP32", "ms": 12.5, "NDS": 0.668}, {"name": "INT8", "ms": 3.25, "NDS": 0.5}]
    bars = display.bars(rows, "name", ["ms", "NDS"], "Both.").alt
    assert bars == "Both. Bars of ms, NDS by name: FP32: ms 12.5, NDS 0.668; INT8: ms 3.25, NDS 0.5"
    points = display.frontier(rows, "ms", "NDS", floor=0.65).alt
    assert points == "Points of NDS against ms: FP32: NDS 0.668 at 12.5; INT8: NDS 0.5 at 3.25; must keep 0.65"
    spread = display.histogram({"a": np.arange(101.0)}, marks={"clip": 90}).alt
    assert spread == "Histogram of value: a, 101 values from 0 to 100, median 50; clip marked at 90"
    operators = [{"op": "Conv", "count": 3}, {"op": "Own", "count": 1, "domain": "trt.plugins"}]
    assert display.op_chart(operators).alt == "Bars of count by op: Conv 3; Own 1 (custom)"


def test_shares_lie_end_to_end_and_are_told():
    rows = [{"op": "Conv", "INT8": 3, "left": 1}, {"op": "Add", "INT8": 0, "left": 4}]
    image = display.shares(rows, "op", ["INT8", "left"], "What became INT8", "nodes")
    assert image.alt == "What became INT8. Bars of nodes by op: Conv: 3 INT8, 1 left; Add: 0 INT8, 4 left"
    widths = [near(image, color, 3).sum(axis=1).max() for color in (PALETTE[2], "#D5D5D5")]
    assert widths[0] == pytest.approx(3 / 4 * widths[1], rel=0.05)
    with pytest.raises(BadInput, match="a column 'right'"):
        display.shares(rows, "op", ["right"])


def test_a_curve_is_told_by_its_ends_and_extremes():
    curves = {"u": ([10, 20, 30], [5, 1, 4]), "short": [1, 2], "holes": [float("nan"), 3, 1, 2], "none": []}
    assert display.lines(curves, ylabel="ms").alt == (
        "Curves of ms against step: u goes from 5 to 4, lowest 1 at 20, highest 5 at 10; short goes from 1 to 2; "
        "holes goes from 3 to 2, lowest 1 at 2, highest 3 at 1; none is empty"
    )
    assert "highest 3 at c" in display.lines({"named": (["a", "b", "c"], [1, 2, 3])}).alt


def test_matrices_share_a_scale_and_are_told():
    panels = {"before": np.array([[0.5, -1.0]]), "after": np.array([[0.0, -1.0], [0.0, 1.0]])}
    assert display.matrices(panels, "A weight").alt == (
        "A weight. before: 1 by 2, 2 different values from -1 to 0.5; after: 2 by 2, 3 different values from -1 to 1."
    )
    with pytest.raises(BadInput, match="choose two axes"):
        display.matrices({"cache": np.zeros((2, 2, 2))}, "A cache")


def test_tokens_lie_end_to_end_and_are_told():
    image = display.tokens({"slow": (6.0, [2.0, 4.0]), "quick": (3.0, [1.0, 2.0])}, "Two ways")
    told = "slow: first token after 6 ms, then 3 ms a token; quick: first token after 3 ms, then 1.5 ms a token"
    assert image.alt == f"Two ways. {told}."
    prompt = near(image, PALETTE[0], 3)
    lanes = [width for width in prompt.sum(axis=1) if width > 20]
    assert max(lanes) == pytest.approx(2 * min(lanes), rel=0.05)


def test_long_lists_end_with_how_many_there_are():
    assert pictures.listed(map(str, range(15))).endswith("; 11; and 3 more")
    assert pictures.listed(["one"]) == "one"
    assert pictures.tally(["car", "traffic_cone", "car"]) == " (2 car, 1 traffic cone)"
    assert pictures.tally([]) == ""
