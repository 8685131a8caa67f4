"""Requests over time: lanes in the order of sending, bars as long as the parts, and the same in words."""

import pytest
from matplotlib.axes import Axes

from helpers import display
from helpers.display import Request

FOUND = [
    Request(10.05, 10.30, 200, queue=0.10, policy=0.12),
    Request(10.00, 10.15, 200, queue=0.0, policy=0.14),
    Request(10.10, 10.11, 503),
]


def test_bars_end_where_the_answer_comes(monkeypatch):
    drawn = []
    barh = Axes.barh

    def noted(self, lane, width, left, **look):
        drawn.append((lane, left, width))
        return barh(self, lane, width, left=left, **look)

    monkeypatch.setattr(Axes, "barh", noted)
    made = display.requests(FOUND, "A crowd")
    assert [lane for lane, _, _ in drawn] == [0, 0, 1, 1, 2, 2]
    assert drawn[1][1:] == pytest.approx((10, 140)) and drawn[2][1:] == pytest.approx((80, 100))
    assert drawn[3][1:] == pytest.approx((180, 120)) and drawn[5][2] == 0
    assert made.alt == (
        "A crowd. 3 requests: 2 with status 200, the slowest after 250 ms; 1 with status 503, the slowest after 10 ms."
    )
