"""The report in words and as rows."""

import numpy as np

from helpers import display
from helpers.precision import first_divergence
from tests.builders.graphs import chain

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_report_reads():
    found = first_divergence(chain(), chain(1.5), X)
    text = str(found)
    for part in (
        "first divergence: t2 [4]",
        "/t2/Mul (Mul)",
        "error:     0.5",
        "hint:",
        "frame 0",
        "input:     t1 ",
        "result:    t2 ",
    ):
        assert part in text, text
    assert [row["tensor"] for row in found.rows()] == ["t1", "t2"]
    assert "t1" in display.table(found.rows()).data
