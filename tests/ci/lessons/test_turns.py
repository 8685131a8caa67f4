"""Turns: cells share the machine, a timed one has it for itself, nobody overtakes who waits, and a long one pauses."""

import json
import threading
from pathlib import Path

import nbformat

from ci.lessons import run
from helpers import turns
from helpers.turns import Turns
from tests.builders.waiting import HANG, until
from tests.ci.lessons.notebooks import code, exercise, lesson

STILL = 0.1  # as long as we look whether a turn comes that must not


class Asked(threading.Thread):
    """A lesson that asks for its turn."""

    def __init__(self, turns, alone):
        super().__init__(target=turns.take, args=(alone,), daemon=True)
        self.turns = turns
        self.start()

    def comes(self, within=HANG):
        self.join(within)
        return not self.is_alive()

    def waits(self):
        """Whether it is the next, which does not come yet."""
        return until(lambda: self.turns._is_held("next")) and not self.comes(STILL)


def test_cells_run_side_by_side_and_a_timed_one_alone(tmp_path):
    one, other = Turns(tmp_path), Turns(tmp_path)
    one.take(False)
    assert Asked(other, False).comes()
    alone = Asked(one, True)
    assert alone.waits()
    back = Asked(other, False)  # the turn before is over, so the timed cell runs first
    assert alone.comes() and not back.comes(STILL)
    assert Asked(one, True).comes() and not back.comes(STILL)  # the next timed cell keeps the turn
    assert Asked(one, False).comes() and back.comes()


def test_nobody_overtakes_a_timed_cell_that_waits(tmp_path):
    one, other, third = (Turns(tmp_path) for _ in range(3))
    one.take(False)
    alone = Asked(other, True)
    assert alone.waits()
    late = Asked(third, False)  # could share with the first, but came after the timed one
    assert not late.comes(STILL) and alone.is_alive()
    waiting = Asked(one, False)
    assert alone.comes() and not late.comes(STILL)
    assert Asked(other, False).comes() and late.comes() and waiting.comes()


def test_a_long_cell_pauses_for_a_timed_one_and_a_timed_one_for_nobody(tmp_path, monkeypatch):
    one, other = Turns(tmp_path), Turns(tmp_path)
    monkeypatch.setenv(turns.VARIABLE, one.variable())
    one.take(False)
    turns.pause()  # nobody waits
    alone = Asked(other, True)
    assert alone.waits()
    paused = threading.Thread(target=turns.pause, daemon=True)
    paused.start()
    assert alone.comes()
    monkeypatch.setenv(turns.VARIABLE, other.variable())
    turns.pause()  # alone as it is, it keeps the turn while another waits
    paused.join(STILL)
    assert paused.is_alive()
    assert Asked(other, False).comes()
    paused.join(HANG)
    assert not paused.is_alive()


SPAN = """import json, pathlib, time
started = time.monotonic()
time.sleep({})
with pathlib.Path({!r}).open("a") as file:
    file.write(json.dumps([{!r}, started, time.monotonic()]) + "\\n")"""


LONG = """import pathlib
from helpers import display
for _ in display.progress(range({}), "long"):
    exec({!r})
    if pathlib.Path({!r}).read_text().count("timed") == 2:
        break"""
MOST = 20 * HANG  # steps of the long cell, each of a twentieth of a second


def test_of_lessons_that_run_side_by_side_a_timed_cell_is_alone_even_during_a_long_one(tmp_path):
    log = str(tmp_path / "log")
    nbformat.write(lesson(code(LONG.format(MOST, SPAN.format(0.05, log, "plain"), log))), tmp_path / "plain.ipynb")
    timed = [code(SPAN.format(0.3, log, "timed"), "timed"), code("1"), code(SPAN.format(0.3, log, "timed"), "timed")]
    nbformat.write(lesson(*timed, *exercise()), tmp_path / "timed.ipynb")
    paths = [str(tmp_path / f"{name}.ipynb") for name in ("plain", "timed")]
    assert run.main(["--out", str(tmp_path / "out"), "--jobs", "2", "--prove-checks", *paths]) == 0
    spans = [json.loads(line) for line in Path(log).read_text().splitlines()]
    alone = [span for span in spans if span[0] == "timed"]
    assert len(alone) == 2 and len(spans) < MOST  # the long cell let both pass
    for _, started, ended in alone:
        assert not [span for span in spans if span[0] == "plain" and span[1] < ended and span[2] > started]
