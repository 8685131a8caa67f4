"""The exported graph of OmniDrive: its interface, and its values over a drive with history."""

import numpy as np
import onnx
import pytest

from helpers import engine, export, graph
from helpers.engine.tensorrt.graph import for_version
from helpers.sequence import rollout
from tests.helpers.systems.omnidrive.tiny import TINY, drive

# Ten frames: two scenes, and a gap after which nothing is kept.
SECONDS = (0.0, 0.5, 1.0, 1.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5)
TIMES = tuple((at, at in (0.0, 6.0)) for at in SECONDS)


@pytest.fixture(scope="module")
def steps():
    return drive(TIMES)


@pytest.fixture(scope="module")
def run(tiny_omnidrive):
    with engine.load(tiny_omnidrive[1]) as loaded:
        yield loaded.run


def outputs(run, steps, states=TINY.states):
    initial = TINY.initial_states()
    return [found for _, _, found in rollout(run, steps, states, {name: initial[name] for name in states})]


def test_the_interface_is_that_of_the_public_export(tiny_omnidrive):
    """19 inputs, all of them read, and 20 outputs, in float32; every LayerNorm one node, no operator of our own."""
    made = graph.load(tiny_omnidrive[1])
    inputs, found = ([v.name for v in values] for values in (made.graph.input, made.graph.output))
    assert inputs == list(TINY.input_shapes()) and found == list(TINY.output_shapes())
    assert {v.type.tensor_type.elem_type for v in (*made.graph.input, *made.graph.output)} == {1}
    assert set(inputs) <= {name for node in made.graph.node for name in node.input}
    norms = [node.name for node in made.graph.node if node.op_type == "LayerNormalization"]
    assert len(norms) == 2 * (3 + 3 * 2 + 2 + 2 + 1) and not made.functions


def test_for_tensorrt_8_6_it_has_no_truths_and_every_norm_a_bias_of_its_scale(tiny_omnidrive):
    """What its builder might have stumbled over; nothing else may come to be of another type than before."""
    made = for_version(graph.load(tiny_omnidrive[1]), "8.6.0")
    types = {value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(made).graph.value_info}
    assert types == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    sizes = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
    norms = [node for node in made.graph.node if node.op_type == "LayerNormalization"]
    assert norms and all(sizes[node.input[1]] == sizes[node.input[2]] for node in norms)


def test_it_computes_what_the_network_does_over_ten_frames(tiny_omnidrive, steps):
    model, path = tiny_omnidrive
    rows = export.check(path, model, steps)
    assert len(rows) == 10 * len(TINY.output_shapes())
    export.assert_parity(rows, rel=1e-4)


@pytest.mark.parametrize("control", ["nothing is remembered", "the first memory is kept", "frames in another order"])
def test_another_past_is_no_parity(control, run, steps):
    """What the check must see: the last frame before the gap and the last of all, with a wrong past."""
    right = outputs(run, steps)
    if control == "nothing is remembered":
        wrong = outputs(lambda given: run(given | TINY.initial_states()), steps)
    elif control == "the first memory is kept":
        kept = {name: right[0][source] for name, source in TINY.states.items()}
        wrong = outputs(lambda given: run(given | kept), steps)
    else:
        order = [0, 2, 1, 3, 4, 5, 6, 8, 7, 9]
        found = outputs(run, [steps[k] for k in order])
        wrong = [found[order.index(k)] for k in range(len(order))]
    for frame in (3, 9):
        for name in ("vision_embeded", "all_cls_scores", "all_lane_preds_one2one"):
            assert export.difference(wrong[frame][name], right[frame][name])["rel"] > 1e-3, (frame, name)
    assert np.isfinite(right[9]["all_bbox_preds"]).all()
