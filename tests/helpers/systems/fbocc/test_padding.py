"""Inputs of free sizes filled up to fixed ones: the outputs stay, and nothing is ever cut."""

import dataclasses

import numpy as np
import pytest

from helpers import engine, export, models
from helpers.errors import BadInput
from helpers.sequence import Step, rollout
from tests.helpers.systems.fbocc.tiny import TINY, feeds

SIZES = {"points": 1_900, "intervals": 700, "queries": 110}


def test_a_fixed_configuration_has_no_free_dimension():
    fixed = TINY.fixed()
    assert not fixed.free_axes() and dataclasses.replace(fixed, points=TINY.points).free_axes().keys() == {
        "ranks_depth",
        "ranks_feat",
        "ranks_bev",
    }
    assert fixed.input_shapes()["ranks_bev"] == (2_000,)
    assert TINY.fixed(SIZES).input_shapes()["queries_rebatch"] == (1, 6, 110, TINY.channels)
    with pytest.raises(BadInput, match=r"free dimension of config .tiny.[\s\S]*pixels"):
        TINY.fixed({"pixels": 3})
    with pytest.raises(BadInput, match="whole numbers above 0"):
        TINY.fixed({"points": 0})


def test_padded_inputs_give_the_same_outputs(tiny_fbocc, tmp_path):
    """In ONNX Runtime, through the graph of free sizes and the one of fixed sizes, over frames with history."""
    fixed, given = TINY.fixed(SIZES), [feeds(seed=seed, first=seed == 0) for seed in range(3)]
    made = models.create("fbocc", fixed)
    made.load_state_dict(tiny_fbocc[0].state_dict())
    paths, found = {"free": tiny_fbocc[1], "fixed": export.export(made, tmp_path / "fixed.onnx")}, {}
    for name, config in (("free", TINY), ("fixed", fixed)):
        with engine.load(paths[name]) as loaded:
            for padding in (TINY, fixed) if name == "free" else (fixed,):
                steps = [Step(padding.padded(one), index == 0) for index, one in enumerate(given)]
                running = rollout(loaded.run, steps, config.states, config.initial_states())
                found[name, padding is fixed] = [outputs for _, _, outputs in running]
    expected = found.pop(("free", False))
    assert len(expected) == 3 and len(found) == 2
    for outputs in found.values():
        for one, other in zip(outputs, expected, strict=True):
            for name, array in other.items():
                np.testing.assert_allclose(one[name], array, rtol=0, atol=1e-5 * max(1, np.abs(array).max()))


def test_what_does_not_fit_is_never_cut():
    given = feeds()
    for name, size in (("points", 100), ("intervals", 50), ("queries", 5)):
        with pytest.raises(BadInput, match=r"at most .*to be padded"):
            TINY.fixed(SIZES | {name: size}).padded(given)
    assert all(array is given[name] for name, array in TINY.padded(given).items())
