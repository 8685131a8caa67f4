"""OmniDrive in PyTorch: names, values recorded from the public code, who sees whom, and what is remembered."""

import collections
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import models
from helpers.errors import BadInput
from helpers.models.runner import runner
from helpers.systems.omnidrive.memory import LONGEST_GAP, Motion
from tests.helpers.systems.driven import driven
from tests.helpers.systems.omnidrive.tiny import DRIVE, TINY, drive, feeds, network, pose

RECORDED = json.loads(Path(__file__).with_name("public_record.json").read_text())


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def frames(model):
    return driven(model, drive())


def first(model, **changes):
    """Outputs of one frame without a past."""
    given = feeds(first=True) | TINY.initial_states() | changes
    return runner(model, "cpu")(given)


def changed_by(model, name, outputs):
    """How much each of the outputs moves when one tensor does."""
    before, parameter = first(model), model.get_parameter(name)
    kept = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
        after = first(model)
        parameter.copy_(kept)
    return [float(np.abs(before[output] - after[output]).max()) for output in outputs]


def test_names_and_shapes_are_those_of_the_public_checkpoint():
    """741 tensors without the language model; what heads and layers share stands there once for each of them."""
    state = models.skeleton("omnidrive", "published").state_dict()
    parts = collections.Counter(name.partition(".")[0] for name in state)
    top = len(state) - sum(parts[name] for name in ("img_backbone", "pts_bbox_head", "map_head"))
    assert len(state) == 741 and top == 20
    assert [parts[name] for name in ("img_backbone", "pts_bbox_head", "map_head")] == [259, 232, 230]
    some = {
        "img_backbone.pos_embed": (1, 197, 768),
        "img_backbone.blocks.11.mlp.w3.weight": (768, 2048),
        "img_backbone.blocks.0.attn.rope.freqs_cos": (256, 64),
        "img_backbone.rope_glb.freqs_sin": (1600, 64),
        "pts_bbox_head.can_bus_embed.0.weight": (1024, 74),
        "pts_bbox_head.cls_branches.5.6.weight": (10, 256),
        "pts_bbox_head.transformer.query_decoder._layers.5.transformer_layers.4._layers.3.weight": (256, 2048),
        "pts_bbox_head.transformer.query_decoder._layers.0.transformer_layers.2.attn.in_proj_weight": (768, 256),
        "map_head.reg_branches.0.4.weight": (33, 256),
        "map_head.instance_embedding_lane.weight": (1800, 256),
        "map_head.query_pos.0.weight": (256, 396),
        "ego_pose_pe.reduce.0.weight": (256, 156),
        "position_encoder.0.weight": (1024, 192),
        "coords_d": (64,),
    }
    assert {name: tuple(state[name].shape) for name in some} == some


def test_the_interface_is_that_of_the_public_graph():
    config = models.config("omnidrive", "published")
    inputs, outputs = config.input_shapes(), config.output_shapes()
    assert (len(inputs), len(outputs), len(config.states)) == (19, 20, 11)
    assert inputs["img"] == (1, 6, 3, 640, 640) and inputs["memory_reference_point_map_in"] == (1, 900, 11, 3)
    assert outputs["vision_embeded"] == (1, 513, 2048) and outputs["all_bbox_preds"] == (6, 1, 900, 10)
    assert outputs["all_lane_preds_one2many"] == (6, 1, 1500, 33)
    assert config.states["memory_canbus_bbox_in"] == "memory_canbus_bbox_out"


def test_the_values_are_those_of_the_public_code(frames):
    """Seven frames, two scenes and a gap, each with the past of its own: mean, weighted mean and three elements.

    Recorded from the public classes and their export wrapper at these sizes and with these weights, in float32.
    """
    assert len(frames) == len(RECORDED) == len(DRIVE)
    for outputs, record in zip(frames, RECORDED, strict=True):
        assert list(outputs) == list(record)
        for name, expected in record.items():
            flat = outputs[name].astype(np.float64).ravel()
            weighted = flat * np.cos(np.arange(flat.size))
            found = [np.abs(flat).mean(), weighted.mean(), flat[0], flat[flat.size // 2], flat[-1]]
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=5e-4, err_msg=name)


def test_the_map_may_lie_anywhere(model, frames):
    """The same drive elsewhere on the map: nothing changes but what is stored of places."""
    moved = driven(model, drive(place=pose(7.0)))
    for here, there in zip(frames, moved, strict=True):
        for name in ("vision_embeded", "all_cls_scores", "all_bbox_preds", "all_lane_preds_one2one"):
            np.testing.assert_allclose(here[name], there[name], rtol=1e-3, atol=3e-3, err_msg=name)


def test_a_scene_and_a_long_gap_begin_anew_and_a_short_one_does_not(model):
    past = driven(model, drive(DRIVE[:2]))[-1]
    kept = {name: past[source] for name, source in TINY.states.items()}
    none, run = TINY.initial_states(), runner(model, "cpu")
    for seconds, begins, forgets in ((1.0, False, False), (2.4, False, False), (2.6, False, True), (1.0, True, True)):
        given = feeds(seconds, begins, seed=5)
        differ = np.abs(
            run(given | kept)["all_cls_scores"] - run(feeds(seconds, True, seed=5) | none)["all_cls_scores"]
        )
        assert (differ.max() == 0) == forgets, seconds


def test_the_past_belongs_to_a_frame_for_less_than_two_seconds_to_the_last_bit():
    """As a comparison says it, about every float next to the limit, and with none in the graph."""
    near = np.float32([0, 1e-38, 0.5, 1, 1.9999, 3.9999, 4, 6, 1e4, 3e38, np.inf])
    edges = [np.nextafter(np.float32(LONGEST_GAP), np.float32(to)) for to in (0, 9)]
    ages = np.concatenate([near, edges, [LONGEST_GAP], *(np.arange(-64, 65) * 2.0**-k + LONGEST_GAP for k in (12, 22))])
    ages = torch.from_numpy(np.concatenate([ages, -ages]).astype(np.float32))
    for begins in (0.0, 1.0):
        motion = Motion(torch.full_like(ages, begins), ages, *[torch.eye(4)[None]] * 2)
        expected = (ages.abs() < LONGEST_GAP).float() * (1 - begins)
        assert torch.equal(motion.kept(torch.zeros_like(ages)), expected)


def test_the_state_keeps_the_best_rows_and_where_and_when_they_were(frames):
    count, rows = TINY.propagated, TINY.remembered
    for (seconds, _), outputs in zip(DRIVE, frames, strict=True):
        best = np.sort(np.argsort(-outputs["all_cls_scores"][-1, 0].max(-1), kind="stable")[:count])
        centers = outputs["all_bbox_preds"][-1, 0, best, :3]
        stored = outputs["memory_reference_point_bbox_out"][0, :count] - pose(seconds)[:3, 3]
        back = stored @ pose(seconds)[:3, :3]
        assert np.abs(back[:, None] - centers).sum(-1).min(0).max() < 1e-3
        for kind in ("bbox", "map"):
            assert np.allclose(outputs[f"memory_egopose_{kind}_out"][0, :count], pose(seconds), atol=1e-5)
            assert np.allclose(outputs[f"memory_timestamp_{kind}_out"][0, :count], -seconds)
            assert outputs[f"sample_time_{kind}_out"] == pytest.approx([-seconds])
    for before, after in itertools.pairwise(frames[:3]):
        old = before["memory_embedding_map_out"][0, :rows]
        assert np.array_equal(after["memory_embedding_map_out"][0, count:], old)


def test_the_last_token_of_the_boxes_says_how_the_vehicle_drives(model):
    usual = first(model)["vision_embeded"][0]
    other = first(model, can_bus=np.ones((1, 13), np.float32))["vision_embeded"][0]
    assert np.flatnonzero(np.abs(usual - other).max(-1)).tolist() == [TINY.extra]


def test_boxes_and_lanes_do_not_see_the_queries_of_the_language_model(model):
    seen = ("all_cls_scores", "all_lane_cls_one2one", "vision_embeded")
    boxes, _, tokens = changed_by(model, "pts_bbox_head.query_embedding.weight", seen)
    assert boxes == 0 and tokens > 0.01
    _, lanes, tokens = changed_by(model, "map_head.query_embedding.weight", seen)
    assert lanes == 0 and tokens > 0.01
    assert changed_by(model, "pts_bbox_head.reference_points.weight", seen)[2] > 0.01


def test_lanes_of_the_two_groups_do_not_see_each_other(model):
    names, table = ("all_lane_cls_one2one", "all_lane_cls_one2many"), model.map_head.instance_embedding_lane.weight
    before, kept = first(model), table.detach().clone()
    for rows, moved in ((slice(TINY.lanes[0]), 0), (slice(TINY.lanes[0], None), 1)):
        with torch.no_grad():
            table[rows].add_(1)
            after = first(model)
            table.copy_(kept)
        assert [np.abs(before[name] - after[name]).max() > 1e-3 for name in names] == [moved == 0, moved == 1]


@torch.no_grad()
def test_streams_of_a_batch_do_not_touch_each_other(model):
    past = driven(model, drive(DRIVE[:2]))[-1]
    streams = [
        feeds(1.0, False, seed=3) | {name: past[source] for name, source in TINY.states.items()},
        feeds(0.0, True, seed=4) | TINY.initial_states(),
    ]
    both = model(**{name: torch.from_numpy(np.concatenate([s[name] for s in streams])) for name in streams[0]})
    for stream, given in enumerate(streams):
        for (name, alone), together in zip(runner(model, "cpu")(given).items(), both, strict=True):
            axis = 1 if name.startswith(("all_", "outs_")) else 0
            found = together.numpy().take([stream], axis)
            np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-3, err_msg=name)


def test_every_weight_learns_and_nothing_flows_through_time():
    trained = network(dataclasses.replace(TINY, depth=1, global_blocks=())).train()
    given = {name: torch.from_numpy(array) for name, array in (feeds(first=True) | TINY.initial_states()).items()}
    outputs = dict(zip(TINY.output_shapes(), trained(**given), strict=True))
    states = set(TINY.states.values())
    assert [name for name in states if outputs[name].requires_grad] == []
    sum(outputs[name].abs().mean() for name in outputs.keys() - states).backward()
    weights = [(name, weight) for name, weight in trained.named_parameters() if weight.requires_grad]
    assert [name for name, weight in weights if weight.grad is None or not weight.grad.any()] == []


def test_a_checkpoint_with_the_language_model_is_loaded_without_it(model, tmp_path):
    """As the public ones are; what is left is loaded whole or not at all."""
    language = {"lm_head.model.embed_tokens.weight": torch.ones(2, 2), "lm_head.weighted_mask": torch.ones(2)}
    path, fresh = tmp_path / "omnidrive.pth", models.create("omnidrive", TINY)
    torch.save({"state_dict": model.state_dict() | language}, path)
    models.load_checkpoint(fresh, path)
    assert np.array_equal(first(fresh)["vision_embeded"], first(model)["vision_embeded"])
    torch.save(model.state_dict() | {"neck.weight": torch.ones(2)}, path)
    with pytest.raises(BadInput, match=r"unexpected \(1\): neck.weight"):
        models.load_checkpoint(fresh, path)
