"""Plots and their colors."""

import numpy as np
import pytest

from helpers import display
from helpers.display import operators, plots
from helpers.display.style import CLASS_COLORS, PALETTE, ink_on
from helpers.errors import BadInput
from tests.helpers.display.pictures import near, pixels


class TestPlots:
    rows = ({"name": "FP32", "NDS": 0.41, "ratio": 1.0}, {"name": "INT8", "NDS": 0.40, "ratio": 0.5})

    def test_a_bar_is_as_high_as_its_value(self):
        image = display.bars(self.rows, "name", ["NDS", "ratio"], title="Two")
        below_legend = slice(60, None)
        high, low = (near(image, color, 3)[below_legend].sum(axis=0).max() for color in (PALETTE[1], PALETTE[0]))
        assert high / low == pytest.approx(1.0 / 0.41, rel=0.03)
        assert "Two" in image.alt

    def test_a_version_below_the_floor_is_hollow(self):
        kept, lost = (
            near(display.frontier(self.rows, "ratio", "NDS", floor=f), PALETTE[1]).sum() for f in (0.39, 0.405)
        )
        assert lost < 0.7 * kept

    def test_labels_of_close_points_take_different_sides(self):
        taken = []
        sides = [plots.free_side((100, 100 + k), 60, taken) for k in range(4)]
        assert sides == [((8, 6), "left"), ((8, -13), "left"), ((-8, 6), "right"), ((-8, -13), "right")]
        assert taken[2] == (32, 108, 92, 118)
        assert plots.free_side((300, 100), 60, taken) == ((8, 6), "left")

    def test_histogram_marks_and_refuses_nan(self):
        image = display.histogram({"a": [1, 2, 3], "b": [2.0, 5.0]}, marks={"max": 5.0})
        assert near(image, PALETTE[2], 10).any()
        with pytest.raises(BadInput, match="1 values not finite"):
            display.histogram([1.0, np.nan])
        with pytest.raises(BadInput, match="no values"):
            display.histogram({"empty": []})

    @pytest.mark.parametrize(("count", "scale"), [(9, "linear"), (10, "log")])
    def test_few_counts_are_whole_numbers_on_a_plain_axis(self, count, scale, monkeypatch):
        monkeypatch.setattr(plots, "picture", lambda figure, alt: figure)
        axes = plots.histogram([1.0] * count + [2.0]).axes[0]
        assert axes.get_yscale() == scale
        assert scale == "log" or all(tick == int(tick) for tick in axes.get_yticks())

    def test_op_chart_sets_custom_operators_apart(self):
        rows = [{"op": "Conv", "domain": "", "count": 5}, {"op": "RotateTRT2", "domain": "trt.plugins", "count": 1}]
        assert near(display.op_chart(rows), PALETTE[3], 3).any()
        assert near(display.op_chart(rows, top=1), PALETTE[3], 3).any()
        assert pixels(display.op_chart(rows, top=1)).shape == pixels(display.op_chart(rows)).shape
        assert not near(display.op_chart(rows[:1]), PALETTE[3], 3).any()

    @pytest.mark.parametrize(("count", "whole"), [(2, True), (2.5, False)])
    def test_op_chart_counts_in_whole_numbers(self, count, whole, monkeypatch):
        monkeypatch.setattr(operators, "picture", lambda figure, alt: figure)
        ticks = display.op_chart([{"op": "Conv", "count": count}]).axes[0].get_xticks()
        assert all(tick == int(tick) for tick in ticks) == whole

    def test_lines_and_a_column_that_is_not_there(self):
        assert near(display.lines({"loss": [3, 2, 1]}, log=True), PALETTE[0], 3).any()
        with pytest.raises(BadInput, match="'mAP'"):
            display.bars(self.rows, "name", "mAP")
        with pytest.raises(BadInput, match="no rows"):
            display.op_chart([])

    @pytest.mark.parametrize("color", [*PALETTE, *CLASS_COLORS.values()])
    def test_ink_contrasts(self, color):
        dark = ("#0072B2", "#AA4499", "#333333", "#8A6A58")
        assert ink_on(color) == ("#FFFFFF" if color in dark else "#000000")
