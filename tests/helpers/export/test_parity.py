"""The check of an export against PyTorch, over frames with states and changes of scene."""

import numpy as np
import pytest
import torch

from helpers import engine, export
from helpers.errors import BadInput
from helpers.sequence import Step
from tests.builders.bevformer import drive
from tests.helpers.export.toy import noise


def test_parity_over_frames_with_history(mini):
    model, path = mini
    rows = export.check(path, model, list(drive(model.config, 3)))
    assert {(row["frame"], row["output"]) for row in rows} == {
        (frame, name) for frame in range(3) for name in model.config.output_shapes()
    }
    export.assert_parity(rows, rel=1e-4)


def test_check_carries_each_sides_history(toy):
    """A wrong gain on the state cannot show on the first frame; later it does, and the error says where."""
    model, path = toy
    model.gain.fill_(0.6)
    try:
        rows = export.check(path, model, noise(3))
    finally:
        model.gain.fill_(0.5)
    assert rows[0]["rel"] < 1e-6 < 1e-3 < rows[1]["rel"]
    with pytest.raises(AssertionError, match="frame 1: bev_embed"):
        export.assert_parity(rows)


def test_check_carries_two_histories(toy):
    """Two loops by hand, each with a state of its own, err as the rows say; one history for both would err less."""
    model, path = toy
    with engine.load(path) as loaded:
        theirs = loaded.run
        model.gain.fill_(0.6)
        try:
            rows = export.check(path, model, noise(3))
            ours, before, after = [], np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32)
            for feeds in noise(3):
                before = theirs(feeds | {"prev_bev": before})["bev_embed"]
                with torch.no_grad():
                    (after,) = model(torch.from_numpy(feeds["image"]), torch.as_tensor(after))
                ours.append(np.abs(after.numpy() - before).max())
        finally:
            model.gain.fill_(0.5)
    assert [row["max_abs"] for row in rows] == pytest.approx(ours, rel=1e-4, abs=1e-6)


def test_check_begins_anew_with_a_scene(toy):
    """The wrong gain shows on a second frame only if it has a history."""
    model, path = toy
    steps = [Step(feeds, index != 2) for index, feeds in enumerate(noise(3))]
    model.gain.fill_(0.6)
    try:
        rows = export.check(path, model, steps)
    finally:
        model.gain.fill_(0.5)
    assert max(rows[0]["rel"], rows[1]["rel"]) < 1e-6 < 1e-3 < rows[2]["rel"]


def test_difference():
    assert export.difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])) == pytest.approx(
        {"max_abs": 0.5, "rel": 0.25, "mean_rel": 1 / 6}
    )
    row = {"frame": 0, "output": "y"} | export.difference(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(AssertionError, match="frame 0: y"):
        export.assert_parity([row])
    with pytest.raises(AssertionError, match="no frame"):
        export.assert_parity([])


def test_nothing_is_known_of_empty_outputs_and_of_other_shapes():
    rows = [{"frame": 0, "output": "y"} | export.difference(np.ones((0, 4)), np.ones((0, 4)))]
    assert np.isnan([rows[0]["max_abs"], rows[0]["rel"], rows[0]["mean_rel"]]).all()
    with pytest.raises(AssertionError, match="y differs"):
        export.assert_parity(rows)
    with pytest.raises(BadInput, match=r"\[1, 4\]"):
        export.difference(np.ones((1, 4)), np.ones(4))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_parity(value):
    broken, whole = np.array([1, value]), np.ones(2)
    for a, b in ((broken, whole), (whole, broken), (broken, broken)):
        with np.errstate(invalid="ignore"), pytest.raises(AssertionError, match="y differs"):
            export.assert_parity([{"frame": 0, "output": "y"} | export.difference(a, b)])
