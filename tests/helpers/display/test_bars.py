"""Bars that stand and bars that lie: their lengths, and names and numbers that do not cover each other."""

import importlib
from itertools import combinations

import numpy as np
import pytest

from helpers import display
from helpers.display.style import DPI, PALETTE, WIDEST, wrapped
from tests.helpers.display.pictures import near, pixels

PARTS = ("projection", "around them", "decoder", "encoder", "backbone", "class and box branches")
CLASSES = ("car", "truck", "construction\nvehicle", "bus", "trailer", "barrier", "pedestrian")


def drawn(rows, ys, monkeypatch):
    """The figure that `bars` makes of rows, drawn."""
    monkeypatch.setattr(importlib.import_module("helpers.display.bars"), "picture", lambda figure, alt: figure)
    figure = display.bars(rows, "name", ys, "Of all")
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(
    ("names", "ys"),
    [(PARTS, ["error"]), (CLASSES, ["FP32", "INT8"]), (PARTS[:4], ["a", "b", "c"])],
    ids=["standing", "lying", "three series"],
)
def test_neither_names_nor_numbers_cover_each_other(names, ys, monkeypatch):
    rows = [{"name": name} | {y: 98.76 - k - n for n, y in enumerate(ys)} for k, name in enumerate(names)]
    axes = drawn(rows, ys, monkeypatch).axes[0]
    for texts in (axes.get_xticklabels(), axes.get_yticklabels(), axes.texts):
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert len(axes.texts) == len(names) * len(ys)


def test_many_bars_lie_as_long_as_their_values():
    rows = [{"name": name, "FP32": 2.0, "INT8": 1.0} for name in CLASSES]
    image = display.bars(rows, "name", ["FP32", "INT8"])
    long, short = (near(image, color, 3).sum(axis=1).max() for color in PALETTE[:2])
    assert long / short == pytest.approx(2, rel=0.03)
    assert "construction vehicle: FP32 2, INT8 1" in image.alt


def test_no_picture_of_letters_is_wider_than_a_page():
    wide = display.bars([{"name": str(k), "a": k, "b": k} for k in range(7)], "name", ["a", "b"])
    panels = display.matrices({str(k): np.eye(3) for k in range(4)}, "Four")
    row = display.side_by_side([np.eye(9)] * 4, ["what history changes in it"] * 4)
    smooth = display.outliers(([1.0, 2.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 2.0]))
    for image in (wide, panels, row, smooth):
        assert pixels(image).shape[1] <= 1.03 * WIDEST * DPI


def test_text_is_broken_between_words():
    assert wrapped("class and box branches", 1.0, 9) == "class and box\nbranches"
    assert wrapped("FP32\nNDS 0.354", 1.0, 9) == "FP32\nNDS 0.354"
    assert wrapped("MultiScaleDeformableAttn", 0.5, 9) == "MultiScaleDeformableAttn"
