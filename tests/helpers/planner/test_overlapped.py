"""Frames and answers in order, whoever is ahead; what overlaps, and what happens when something fails."""

import threading
import types

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.planner import Answer, Planner, overlapped
from helpers.planner.overlapped import drive
from helpers.sequence import Step
from tests.builders.waiting import HANG, interrupt, telling

PLACE = types.SimpleNamespace(location="boston-seaport")
CONFIG = types.SimpleNamespace(
    table="rows", states={"seen_in": "seen"}, initial_states=lambda: {"seen_in": np.zeros((1, 1, 1), np.float32)}
)
STEPS = [Step({"x": np.float32([k])}, k in (0, 3), PLACE) for k in range(5)]


def network(feeds):
    """The table holds the frames of this sequence added up."""
    total = feeds["seen_in"] + feeds["x"]
    return {"rows": total, "seen": total}


class Speaker(Planner):
    """Answers with its table's number; `before` is called with it."""

    def __init__(self, before=lambda number: None):
        self.before, self.threads = before, set()

    def answer(self, table, location, question="", sampling=None):
        self.threads.add(threading.get_ident())
        self.before(float(table[0, 0]))
        return Answer(f"{location} {table[0, 0]:g}", None, [])


@pytest.mark.parametrize("ahead", [0, 1, 3, 9])
def test_frames_come_in_order_with_their_own_answers_and_memory(ahead):
    speaker = Speaker()
    found = list(drive(network, STEPS, CONFIG, speaker, ahead))
    assert [planned.answer.text for planned in found] == [f"boston-seaport {n}" for n in (0, 1, 3, 3, 7)]
    assert [float(planned.step.feeds["x"][0]) for planned in found] == [0, 1, 2, 3, 4]
    assert [planned.outputs["rows"].item() for planned in found] == [0, 1, 3, 3, 7]
    assert len(speaker.threads) == 1 and threading.get_ident() not in speaker.threads


def test_the_network_runs_while_an_answer_is_under_way_and_no_farther_ahead():
    """The first answer waits until the network has begun the second frame: one after the other it would never end."""
    begun, frames = threading.Event(), []

    def run(feeds):
        frames.append(float(feeds["x"][0]))
        if len(frames) == 2:
            begun.set()
        return network(feeds)

    waited = []
    drives = drive(run, STEPS, CONFIG, Speaker(lambda number: waited.append(begun.wait(HANG))), 1)
    next(drives)
    assert waited[0] and frames == [0, 1]
    assert len(list(drives)) == 4
    one_by_one = drive(run, STEPS, CONFIG, Speaker(), 0)
    frames.clear()
    next(one_by_one)
    assert frames == [0]
    one_by_one.close()


def test_what_fails_is_raised_at_its_frame_and_nothing_more_is_asked():
    asked = []

    def refuse(number):
        asked.append(number)
        if number == 1:
            raise BadInput("table", "no numbers", "numbers", "mend it")

    drives = drive(network, STEPS, CONFIG, Speaker(refuse), 1)
    assert next(drives).answer.text.endswith(" 0")
    with pytest.raises(BadInput, match="no numbers"):
        next(drives)
    assert list(drives) == [] and asked[:2] == [0, 1] and len(asked) <= 3


def test_one_answer_at_a_time_and_none_after_the_caller_has_stopped(monkeypatch):
    """A language model keeps one cache; four answers wait when the caller stops after the first."""
    asked, alone, begun, stopped = [], threading.Lock(), threading.Event(), threading.Event()
    monkeypatch.setattr(overlapped, "ThreadPoolExecutor", telling(stopped))

    def slow(number):
        asked.append(number)
        assert alone.acquire(blocking=False), "two answers at once"
        if len(asked) == 2:
            begun.set()
            assert stopped.wait(HANG)
        alone.release()

    drives = drive(network, STEPS, CONFIG, Speaker(slow), 4)
    next(drives)
    assert begun.wait(HANG)
    drives.close()
    assert len(asked) == 2


def test_an_interrupt_at_the_end_leaves_no_answer_under_way(monkeypatch):
    begun, stopped, ended = threading.Event(), threading.Event(), []
    monkeypatch.setattr(overlapped, "ThreadPoolExecutor", telling(stopped))

    def slow(number):
        if number:
            begun.set()
            assert stopped.wait(HANG)
            interrupt()
            ended.append(number)

    drives = drive(network, STEPS, CONFIG, Speaker(slow), 1)
    next(drives)
    assert begun.wait(HANG)
    with pytest.raises(KeyboardInterrupt):
        drives.close()
    assert ended == [1]


def test_what_cannot_be_driven_is_refused():
    for config, ahead, found in ((types.SimpleNamespace(states={}, initial_states=dict), 1, "no table"),
                                 (CONFIG, -1, "0 or more")):  # fmt: skip
        with pytest.raises(BadInput, match=found):
            drive(network, STEPS, config, Speaker(), ahead)
