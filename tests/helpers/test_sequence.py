"""The one loop over frames: what a network is fed, where a sequence begins, and what a missing state says."""

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.sequence import Step, as_steps, beginning, rollout

STATES = {"sum": "total", "last": "kept"}


def run(feeds):
    """Two states: the sum of all x so far and the x before."""
    return {"total": feeds["sum"] + feeds["x"], "kept": feeds["x"], "other": feeds["x"] * 0}


def steps(*values, first=(0,)):
    return [Step({"x": np.float32([x])}, index in first, f"frame {index}") for index, x in enumerate(values)]


def start():
    return {"sum": np.float32([0]), "last": np.float32([-1])}


def fed(*arguments, **options):
    return [
        tuple(float(feeds[name][0]) for name in ("x", "sum", "last")) for _, feeds, _ in rollout(*arguments, **options)
    ]


def test_each_state_is_the_output_of_the_frame_before():
    assert fed(run, steps(1, 2, 4), STATES, start()) == [(1, 0, -1), (2, 1, 1), (4, 3, 2)]


def test_a_scene_change_starts_from_the_initial_states_again():
    assert fed(run, steps(1, 2, 4, first=(0, 2)), STATES, start()) == [(1, 0, -1), (2, 1, 1), (4, 0, -1)]


def test_without_reset_the_states_cross_a_scene_change():
    seen = fed(run, steps(1, 2, 4, first=(0, 2)), STATES, start(), reset=False)
    assert seen == [(1, 0, -1), (2, 1, 1), (4, 3, 2)]


def test_a_step_that_begins_no_sequence_is_fed_the_initial_states_all_the_same():
    assert fed(run, steps(5, 6, first=()), STATES, start()) == [(5, 0, -1), (6, 5, 5)]


def test_step_and_outputs_come_with_the_feeds():
    (step, feeds, outputs), *_ = rollout(run, steps(3), STATES, start())
    assert step.frame == "frame 0" and step.first and set(step.feeds) == {"x"}
    assert set(feeds) == {"x", "sum", "last"} and outputs["total"] == 3


def test_a_runner_that_keeps_its_states_is_restarted_where_a_sequence_begins():
    events = []

    def keeps(feeds):
        events.append(float(feeds["x"][0]))
        return {}

    list(rollout(keeps, steps(1, 2, 4, first=(0, 2)), {}, {}, restart=lambda: events.append("restart")))
    assert events == ["restart", 1, 2, "restart", 4]


def test_frames_are_run_as_they_are_asked_for():
    seen = []
    running = rollout(lambda feeds: seen.append(1) or run(feeds), iter(steps(1, 2, 4)), STATES, start())
    next(running)
    assert len(seen) == 1


def test_the_initial_states_are_not_written_to():
    initial = start()
    list(rollout(run, steps(1, 2), STATES, initial))
    assert initial["sum"] == 0 and initial["last"] == -1


def test_a_missing_output_is_named():
    with pytest.raises(BadInput, match="no total among kept, other") as caught:
        list(rollout(lambda feeds: {"kept": feeds["x"], "other": feeds["x"]}, steps(1), STATES, start()))
    assert "states" in caught.value.fix


def test_a_missing_initial_state_is_named():
    with pytest.raises(BadInput, match="no last among sum"):
        list(rollout(run, steps(1), STATES, {"sum": np.zeros(1)}))


def test_bare_feeds_are_one_sequence_and_steps_stay():
    assert list(as_steps([{"x": 1}, {"x": 2}])) == [Step({"x": 1}, True), Step({"x": 2}, False)]
    given = steps(1, 2, 4, first=(0, 2))
    assert list(as_steps(given)) == given


def test_a_state_keeps_its_type():
    halves = {"total": "float16", "kept": "float32"}
    running = rollout(
        lambda feeds: {name: array.astype(halves.get(name, "f4")) for name, array in run(feeds).items()},
        steps(1, 2, 4),
        STATES,
        start(),
    )
    assert {feeds["sum"].dtype for _, feeds, _ in running} == {np.dtype(np.float32)}


def test_what_run_writes_into_does_not_reach_the_caller():
    initial, buffer = {"s": np.zeros(2, np.float32)}, np.zeros(2, np.float32)

    def run(feeds):
        feeds["s"] += 1
        buffer[:] = feeds["s"]
        return {"out": buffer}

    steps = [Step({}, True), Step({}, False), Step({}, True)]
    seen = [feeds["s"] for _, feeds, _ in rollout(run, steps, {"s": "out"}, initial)]
    assert [array.tolist() for array in seen] == [[1, 1], [2, 2], [1, 1]] and not initial["s"].any()


@pytest.mark.parametrize("output", [np.zeros((3, 2), np.float32), np.zeros(2, np.int64)])
def test_a_state_of_another_shape_or_kind_is_refused(output):
    steps = rollout(lambda feeds: {"out": output}, [{}, {}], {"s": "out"}, {"s": np.zeros(2, np.float32)})
    with pytest.raises(BadInput, match="output out"):
        next(steps)


def test_what_is_no_list_of_frames_no_table_of_states_and_no_outputs_is_named():
    with pytest.raises(BadInput, match="a list of frames"):
        list(as_steps({"x": np.zeros(1)}))
    with pytest.raises(BadInput, match="states"):
        next(rollout(lambda feeds: {}, [{}], ["s"], {}))
    with pytest.raises(BadInput, match="gave a NoneType"):
        next(rollout(lambda feeds: None, [{}], {}, {}))


def test_a_runner_is_restarted_only_where_states_are_reset():
    steps, calls = [Step({}, True), Step({}, True)], []
    for reset in (True, False):
        list(rollout(lambda feeds: {}, steps, {}, {}, reset=reset, restart=lambda: calls.append(1)))
        assert len(calls) == 2


def test_an_engine_begins_with_what_it_is_given_and_zeros_else():
    inputs = {"ids": ((2,), np.dtype(np.int32)), "sum": ((1,), np.dtype(np.float32)), "x": ((1,), np.dtype(np.float32))}
    given = {"ids": np.array([-1, -1], np.int64), "other": np.ones(1)}
    found = beginning(inputs, ["ids", "sum"], given)
    assert found["ids"].tolist() == [-1, -1] and found["ids"].dtype == np.int32
    assert found["sum"] == 0 and found.keys() == {"ids", "sum"}
    assert given["ids"] is not found["ids"] and not any(beginning(inputs, ["ids"])["ids"])


@pytest.mark.parametrize("array", [np.ones((1, 2)), np.ones(2), np.ones(3, np.int32)])
def test_an_initial_state_of_another_shape_or_kind_is_refused(array):
    with pytest.raises(BadInput, match=r"initial state ids(.|\n)*int32\[2\]"):
        beginning({"ids": ((2,), np.dtype(np.int32))}, ["ids"], {"ids": array})
