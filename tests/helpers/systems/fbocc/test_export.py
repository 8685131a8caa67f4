"""The exported graph of FB-OCC: its interface, its free dimensions, and its values over frames with history."""

import numpy as np

from helpers import engine, export, graph
from helpers.sequence import Step, rollout
from tests.helpers.systems.fbocc.tiny import TINY, feeds


def test_the_interface_is_that_of_the_public_export(tiny_fbocc):
    made = graph.load(tiny_fbocc[1]).graph
    inputs, outputs = ({v.name: _shape(v) for v in values} for values in (made.input, made.output))
    assert (len(inputs), len(outputs)) == (20, 4)
    assert list(inputs) == list(TINY.input_shapes()) and list(outputs) == list(TINY.output_shapes())
    assert {name: shape for name, shape in inputs.items() if any(isinstance(axis, str) for axis in shape)} == {
        "ranks_depth": ["points"],
        "ranks_feat": ["points"],
        "ranks_bev": ["points"],
        "interval_starts": ["intervals"],
        "interval_lengths": ["intervals"],
        "indexes": [1, 6, "queries"],
        "queries_rebatch": [1, 6, "queries", TINY.channels],
        "reference_points_rebatch": [1, 6, "queries", TINY.pillar_points, 2],
        "bev_query_depth_rebatch": [1, 6, "queries", TINY.pillar_points, 1],
    }
    assert {node.op_type for node in made.node if node.domain == "trt.plugins"} == {
        "BEVPoolV2TRT2",
        "GridSampler3DTRT2",
        "MixLevelsTRT2",
        "MultiScaleDeformableAttnTRT2",
    }


def test_it_computes_what_the_network_does_over_frames_with_history(tiny_fbocc):
    """Six frames, a new sequence in between; without the history the volumes differ, so that it is really carried."""
    model, path = tiny_fbocc
    steps = [Step(feeds(seed=seed, first=seed in (0, 4)), seed in (0, 4)) for seed in range(6)]
    export.assert_parity(export.check(path, model, steps), rel=1e-4)
    forgetful = [step._replace(first=True) for step in steps]
    forgetful = [step._replace(feeds=step.feeds | {"start_of_sequence": np.array([True])}) for step in forgetful]
    kept, lost = (_volumes(path, given) for given in (steps, forgetful))
    assert np.allclose(kept[0], lost[0]) and not np.allclose(kept[2], lost[2], rtol=0.01)


def _shape(value):
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _volumes(path, steps):
    with engine.load(path) as loaded:
        running = rollout(loaded.run, steps, TINY.states, TINY.initial_states())
        return [outputs["pred_occupancy"] for _, _, outputs in running]
