"""Frames that overlap, on the recorded APIs and a driver that runs queued work only when somebody waits for it."""

import numpy as np
import pytest

from helpers import engine
from helpers.errors import BadInput
from tests.helpers.engine.tensorrt.builders import built, save_free, step

STATES = {"history": "kept"}


def frames(count=6, again=4, begin=0.0):
    """[(x, first, what comes out)] of a sequence that begins anew at `again`, with a history of `begin`."""
    history, found = np.full((3, 2), begin, np.float32), []
    for seed in range(count):
        x = np.random.default_rng(seed).standard_normal((3, 2)).astype(np.float32)
        history = np.full_like(history, begin) if seed == again else history
        outputs = step(x, history)
        found.append((x, seed in (0, again), outputs["top"]))
        history = outputs["kept"]
    return found


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_frames_on_their_way_at_once_come_out_as_one_after_another(trt, model, driver, cuda_graph):
    with engine.load(built(model), states=STATES, cuda_graph=cuda_graph) as loaded:
        slots, given, found = loaded.slots(3, STATES), frames(), []
        for index, (x, first, _) in enumerate(given):
            slot = slots[index % 3]
            if index >= 3:
                found.append(slot.result())
            slot.inputs["x"][...] = x
            slot.submit(first)
        found += [slots[index % 3].result() for index in range(3, 6)]
        assert [list(outputs) for outputs in found] == [["top"]] * 6
        for outputs, (_, _, expected) in zip(found, given, strict=True):
            np.testing.assert_allclose(outputs["top"], expected, rtol=1e-6)
        for slot in slots:
            slot.close()


def test_a_sequence_begins_with_the_states_that_are_given(trt, model, driver):
    initial = {"history": np.full((3, 2), 0.5, np.float32)}
    given = frames(begin=0.5)
    with engine.load(built(model), states=STATES, initial=initial) as loaded:
        outputs = [loaded.run({"x": x})["top"] for x, *_ in given[:4]]
        (slot,) = loaded.slots(1, STATES, initial)
        for x, first, _ in given:
            slot.inputs["x"][...] = x
            slot.submit(first and x is not given[0][0])
            outputs.append(slot.result()["top"])
        slot.close()
    for found, (*_, expected) in zip(outputs, [*given[:4], *given], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "array, named", [(np.ones((3, 2)).astype(int), r"int64\[3, 2\]"), (np.ones((1, 2)), r"float64\[1, 2\]")]
)
def test_initial_states_that_do_not_fit_are_refused(trt, model, array, named):
    with pytest.raises(BadInput, match=f"initial state history(.|\n)*{named}(.|\n)*float32"):
        engine.load(built(model), states=STATES, initial={"history": array})


def test_a_frame_is_written_while_another_is_on_its_way(trt, model, driver):
    """Nothing is waited for between two frames, and what is written next does not reach the one before."""
    (x, _, first), (y, _, second), *_ = frames()
    with engine.load(built(model), states=STATES) as loaded:
        one, other = loaded.slots(2, STATES)
        one.inputs["x"][...] = x
        one.submit(False)
        driver.log.clear()
        other.inputs["x"][...] = y
        other.submit(False)
        assert driver.log == []
        np.testing.assert_allclose(other.result()["top"], second, rtol=1e-6)
        np.testing.assert_allclose(one.result()["top"], first, rtol=1e-6)
        stages = other.spans
        assert list(stages) == ["copy", "compute", "copy back"] and all(a <= b for a, b in stages.values())
        for slot in (one, other):
            slot.close()


def test_an_input_that_lies_on_the_gpu_is_put_together_there(trt, model, driver):
    x, _, expected = frames()[0]
    with engine.load(built(model), states=STATES) as loaded:
        (slot,) = loaded.slots(1, STATES)
        halves = [loaded._device.allocate(half.nbytes) for half in (x[:1], x[1:])]
        for memory, half in zip(halves, (x[:1], x[1:]), strict=True):
            driver.memory[memory.address][:] = half.tobytes()
        slot.place("x", [(memory.address, memory.size) for memory in halves])
        driver.log.clear()
        slot.submit(True)
        np.testing.assert_allclose(slot.result()["top"], expected, rtol=1e-6)
        assert "upload" not in driver.log
        slot.inputs["x"][...] = 0
        slot.submit(True)
        assert slot.result()["top"].max() == 0
        slot.close()
        for memory in halves:
            memory.free()


def test_slots_give_back_what_they_hold(trt, model, driver):
    with engine.load(built(model), states=STATES) as loaded:
        before = len(driver.memory), len(driver.pinned), len(driver.handles)
        for slot in loaded.slots(2, STATES):
            slot.submit(True)
            slot.result()
            slot.close()
        assert (len(driver.memory), len(driver.pinned), len(driver.handles)) == before


def test_other_states_and_free_dimensions_are_refused(trt, model, tmp_path):
    with engine.load(built(model)) as loaded, pytest.raises(BadInput, match="load it with these states"):
        loaded.slots(1, STATES)
    shapes = [{"x": [(1, 2), (2, 2), (4, 2)]}]
    path = built(save_free(tmp_path / "free.onnx"), shapes=shapes)
    with engine.load(path) as loaded, pytest.raises(BadInput, match="fixed sizes"):
        loaded.slots(1, {})
