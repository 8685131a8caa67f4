"""UniAD against a record of the public code, stage by stage and frame by frame, and what its switches do."""

import collections
import dataclasses
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from helpers import models
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.models.runner import runner
from helpers.sequence import rollout
from helpers.systems.uniad.config import CONFIGS
from tests.helpers.systems.driven import driven
from tests.helpers.systems.uniad.tiny import LARGE, SMALL, drive, feeds, network

RECORDED = json.loads(Path(__file__).with_name("public_record.json").read_text())
KEYS = {  # tensors of each part: base, tiny
    "img_backbone": (676, 318), "img_neck": (14, 4), "pts_bbox_head": (432, 354), "query_interact": (24, 24),
    "memory_bank": (14, 14), "seg_head": (578, 578), "motion_head": (259, 259), "occ_head": (380, 380),
    "planning_head": (76, 76), "reference_points": (2, 2), "query_embedding": (1, 1), "criterion": (1, 1),
}  # fmt: skip
TOTAL = {"base": (2457, 131_809_024), "tiny": (2011, 85_807_042)}


@pytest.fixture(scope="module", params=["large", "small"])
def driving(request):
    """(network, outputs of every recorded frame); "large" is made as the base, "small" as the tiny."""
    model = network({"large": LARGE, "small": SMALL}[request.param])
    return model, driven(model, drive(len(RECORDED[request.param]), model.config))


def observed(config, outputs):
    """The record's names -> what the outputs say, without the rows that hold nothing."""
    seen = outputs["obj_idxes"] >= 0
    agents = np.append(seen, True)
    paths = outputs["traj_preds"][agents].copy()
    paths[..., 2:4] = np.log(paths[..., 2:4])
    rows = np.arange(config.rows) <= config.num_query
    rows |= outputs["prev_track_intances3_out"] >= 0
    return {
        "bev": outputs["bev_embed"],
        "ids": outputs["obj_idxes"][seen],
        "boxes": outputs["bboxes_dict_bboxes"][seen],
        "scores": outputs["bboxes_dict_scores"][seen],
        "labels": outputs["bboxes_dict_labels"][seen],
        "query": outputs["prev_track_intances0_out"][rows],
        "points": outputs["prev_track_intances1_out"][rows],
        "carried": outputs["prev_track_intances3_out"][rows],
        "missed": outputs["prev_track_intances5_out"][rows],
        "memory": outputs["prev_track_intances11_out"][rows],
        "wait": outputs["prev_track_intances13_out"][rows],
        "masks": np.concatenate([outputs["lane_masks"], outputs["drivable_mask"]]),
        "lane_scores": outputs["lane_scores"],
        "lane_classes": outputs["lane_classes"],
        "paths": paths,
        "path_scores": outputs["traj_log_scores"][agents],
        "occupied": outputs["seg_out"],
        "plan": outputs["outs_planning"],
    }


def alive(outputs):
    """Identity -> misses, of the tracks that are carried on."""
    ids = outputs["prev_track_intances3_out"]
    return dict(zip(ids[ids >= 0].tolist(), outputs["prev_track_intances5_out"][ids >= 0].tolist(), strict=True))


@functools.cache
def skeleton(name):
    return models.skeleton("uniad", name)


@pytest.mark.parametrize("name", TOTAL)
def test_names_and_counts_are_those_of_the_public_checkpoint(name):
    model = skeleton(name)
    parts = collections.Counter(key.partition(".")[0] for key in model.state_dict())
    assert parts == {part: counts[name == "tiny"] for part, counts in KEYS.items()}
    assert (len(model.state_dict()), models.parameter_count(model)) == TOTAL[name]


def test_the_checkpoint_of_the_mini_has_its_tensors():
    with safe_open(ROOT / "checkpoints/uniad_mini.safetensors", "pt") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    assert shapes == {name: tuple(tensor.shape) for name, tensor in skeleton("mini").state_dict().items()}


def test_shapes_are_those_of_the_public_checkpoint():
    some = {
        "img_backbone.layer3.22.conv2.conv_offset.weight": (27, 256, 3, 3),
        "img_neck.fpn_convs.3.conv.weight": (256, 256, 3, 3),
        "pts_bbox_head.transformer.encoder.layers.5.attentions.0.sampling_offsets.weight": (128, 512),
        "pts_bbox_head.transformer.encoder.layers.0.attentions.1.deformable_attention.sampling_offsets.weight": (
            512,
            256,
        ),
        "pts_bbox_head.past_traj_reg_branches.5.4.weight": (16, 256),
        "query_embedding.weight": (901, 512),
        "seg_head.transformer.encoder.layers.0.attentions.0.sampling_offsets.weight": (256, 256),
        "seg_head.stuff_mask_head.blocks.5.self_attention.qkv.weight": (768, 256),
        "seg_head.things_mask_head.attnen.linear_l1.0.weight": (8, 8),
        "motion_head.motionformer.bev_interaction_layers.2.attentions.0.output_proj.0.weight": (256, 3072),
        "motion_head.layer_track_query_fuser.0.weight": (256, 1536),
        "occ_head.transformer_decoder.layers.4.ffns.0.layers.0.0.weight": (2048, 256),
        "planning_head.reg_branch.2.weight": (12, 256),
    }
    state = skeleton("base").state_dict()
    assert {name: tuple(state[name].shape) for name in some} == some
    narrow = skeleton("tiny").state_dict()
    assert tuple(narrow["seg_head.transformer.encoder.layers.0.attentions.0.sampling_offsets.weight"].shape) == (
        64,
        256,
    )
    assert {name for name in narrow if name not in state} == set()


def test_the_values_are_those_of_the_public_code(driving):
    """Each frame with the past of its own: identities to the last, the rest by mean, weighted mean and three elements.

    Recorded in float32 from the public classes at these sizes and with these weights, mmcv's kernel for several levels
    read as it reads memory.
    """
    model, frames = driving
    for outputs, record in zip(frames, RECORDED[model.config.name], strict=True):
        found = observed(model.config, outputs)
        assert list(found) == list(record)
        for name, expected in record.items():
            flat = found[name].astype(np.float64).ravel()
            if found[name].dtype.kind == "i" and flat.size < 100:
                assert flat.astype(int).tolist() == expected, name
                continue
            weighted = flat * np.cos(np.arange(flat.size))
            summary = [np.abs(flat).mean(), weighted.mean(), flat[0], flat[flat.size // 2], flat[-1]]
            np.testing.assert_allclose(summary, expected, rtol=2e-5, atol=5e-5, err_msg=name)


def test_tracks_are_born_missed_found_again_and_forgotten(driving):
    model, frames = driving
    lives = [alive(outputs) for outputs in frames]
    pairs = list(itertools.pairwise(lives))
    assert lives[0] and any(now.keys() - before.keys() for before, now in pairs)
    assert any(before.keys() - now.keys() for before, now in pairs)
    assert any(0 < misses < model.config.patience for life in lives for misses in life.values())
    if model.config.name == "small":
        assert any(before.get(track) and not misses for before, now in pairs for track, misses in now.items())
    newest = [int(outputs["max_obj_id_out"][0]) for outputs in frames]
    assert newest == sorted(newest) and newest[-1] > max(lives[-1])


def test_a_scene_begins_with_nothing_but_the_next_identity(driving):
    """Whatever the states hold, and zeros as well as what `fresh` makes."""
    model, frames = driving
    config, run = model.config, runner(model, "cpu")
    past = {name: frames[-1][source] for name, source in config.states.items()}
    none, given = config.initial_states(), feeds(0, config)
    first, later = (observed(config, run(given | states)) for states in (none, past))
    assert np.array_equal(later["ids"] - past["max_obj_id"], first["ids"]) and len(first["ids"])
    for name in first.keys() - {"ids", "carried"}:
        assert np.array_equal(first[name], later[name]), name


def test_rows_without_a_track_are_seen_by_nothing(driving):
    """Noise where nothing is carried changes no output but those rows themselves."""
    model, frames = driving
    config, run, random = model.config, runner(model, "cpu"), np.random.RandomState(0)
    past = {name: frames[1][source] for name, source in config.states.items()}
    empty = past["prev_track_intances3"] < 0
    other = {name: array.copy() for name, array in past.items()}
    for number in (0, 1, 9, 11):
        state = other[f"prev_track_intances{number}"]
        state[empty] = random.normal(size=state[empty].shape)
    assert empty.sum() > config.num_query + 1
    one, two = (observed(config, run(feeds(2, config) | each)) for each in (past, other))
    for name in one:
        assert np.array_equal(one[name], two[name]), name


def test_more_room_for_tracks_changes_nothing(driving):
    model, frames = driving
    wide = dataclasses.replace(model.config, carried=model.config.carried + 15)
    other = models.create("uniad", wide)
    other.load_state_dict(model.state_dict())
    other.motion_head.set_anchors(model.motion_head.anchors.numpy())
    for mine, theirs in zip(frames[:2], driven(other, drive(2, wide)), strict=True):
        for (name, left), right in zip(
            observed(model.config, mine).items(), observed(wide, theirs).values(), strict=True
        ):
            np.testing.assert_allclose(left, right, atol=2e-5, rtol=1e-5, err_msg=name)


def test_the_readings_of_the_temporal_shift_differ_once_the_vehicle_moves():
    outputs = {}
    for reading in ("both", "history"):
        config = dataclasses.replace(SMALL, temporal_shift=reading)
        outputs[reading] = driven(network(config), drive(2, config))
    still, moving = (
        np.abs(one["bev_embed"] - two["bev_embed"]).mean() for one, two in zip(*outputs.values(), strict=True)
    )
    assert still == 0 and moving > 1e-2


def test_the_readings_of_the_map_differ_where_there_are_several_levels():
    outputs = []
    for config in (LARGE, dataclasses.replace(LARGE, map_sampling="first")):
        outputs.append(driven(network(config), drive(1, config))[0])
    assert np.array_equal(outputs[0]["bev_embed"], outputs[1]["bev_embed"])
    assert np.abs(outputs[0]["lane_masks"] - outputs[1]["lane_masks"]).max() > 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"temporal_shift": "present"}, "both or history"),
        ({"map_sampling": "level"}, "flat or first"),
        ({"first_motion": ""}, "zero or absolute"),
        ({"picked": (4,)}, "stages that there are"),
        ({"picked": ()}, "one at least"),
        ({"map_masks": 61}, "queries times classes"),
        ({"num_heads": 0}, "whole channels"),
        ({"num_query": -1}, "0 or more"),
        ({"occupancy_cell": 0.0}, "above 0"),
        ({"pc_range": (0.0,) * 6}, "larger maximum"),
        ({"pc_range": (float("nan"),) * 6}, "finite"),
        ({"vehicles": (99,)}, "classes from 0"),
        ({"birth_score": 2.0}, "up to 1"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        dataclasses.replace(SMALL, **changes)


def test_anchors_of_another_shape_are_refused():
    head = models.skeleton("uniad", SMALL).motion_head
    with pytest.raises(BadInput, match="motion anchors"):
        head.set_anchors(np.zeros((4, 6, 12)))


def test_the_states_of_the_mini_are_carried_by_the_loop_that_runs_frames():
    """Shapes and types of the published interface: N rows of tracks, whole numbers for identities."""
    config = CONFIGS["tiny"]
    inputs, types = config.input_shapes(), config.input_types()
    assert inputs["prev_track_intances0"] == (1150, 512) and inputs["prev_bev"] == (2500, 1, 256)
    assert config.output_shapes()["seg_out"] == (1, 5, 1, 50, 50) and config.output_shapes()["outs_planning"] == (
        1,
        6,
        2,
    )
    assert {name for name, kind in types.items() if kind == np.int32} == {
        "prev_track_intances3", "prev_track_intances4", "prev_track_intances5", "prev_track_intances12",
        "use_prev_bev", "max_obj_id",
    }  # fmt: skip
    assert CONFIGS["base"].feature_sizes == ((116, 200), (58, 100), (29, 50), (15, 25))
    steps = list(rollout(lambda given: {source: given[name] for name, source in config.states.items()},
                         [{}], config.states, config.initial_states()))  # fmt: skip
    assert steps[0][2].keys() == set(config.states.values())
