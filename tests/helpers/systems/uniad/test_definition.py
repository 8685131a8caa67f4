"""UniAD's network definition against the PyTorch model: part by part, and the whole over a drive.

A definition is computed by `tests.helpers.engine.definition.interpreter`, since TensorRT-RTX runs on no CPU.
"""

import dataclasses

import numpy as np
import pytest
import torch

from helpers import models
from helpers.errors import BadInput
from helpers.models.ranges import ranges
from helpers.sequence import rollout
from helpers.systems.uniad import anchors
from helpers.systems.uniad.common import Agents, Place, Tracks
from helpers.systems.uniad.definition import bev, grids, lanes, memory, motion, network, occupancy, planning, tracks
from helpers.systems.uniad.grids import Downscale
from helpers.systems.uniad.lanes import MapAttention
from helpers.systems.uniad.tracks import aged, first, moved
from tests.helpers.engine.definition.interpreter import interpreted, layers
from tests.helpers.engine.definition.written import computed, empty, noise, weights_of
from tests.helpers.systems.driven import driven
from tests.helpers.systems.uniad import tiny
from tests.helpers.systems.uniad.tiny import LARGE, SHORT, drive, feeds

CONFIG = dataclasses.replace(  # as the base: deformable convolutions, levels, a grid of its own, here an odd one
    LARGE, name="parts", depths=(1, 1, 1, 1), image_size=(32, 48), image_scale=0.03, bev_h=10, bev_w=10,
    rotate_center=(5.0, 5.0), encoder_layers=1, things_layers=1, stuff_layers=1, motion_layers=2, occupancy_steps=2,
    occupancy_range=50.0, occupancy_cell=100 / 9,
)  # fmt: skip
CELLS, DIMS, AGENTS = CONFIG.bev_h * CONFIG.bev_w, CONFIG.embed_dims, 7
FRAME = feeds(1, CONFIG)


@pytest.fixture(scope="module")
def model():
    made = tiny.network(CONFIG)
    made.motion_head.set_anchors(anchors.plain(CONFIG))
    return made


def rows(config=CONFIG):
    """The states of a drive's second frame: what a few objects leave behind."""
    count = config.rows
    values = [array.astype(np.float32) for array in config.initial_states().values()][: len(Tracks._fields)]
    found = dict(zip(Tracks._fields, values, strict=True))
    for k, name in enumerate(("query", "points", "boxes", "memory")):
        found[name] = noise(*found[name].shape, seed=k)
    random = np.random.default_rng(4)
    found |= {
        "ids": random.integers(-1, 3, count), "missed": random.integers(0, 3, count),
        "empty": np.sort(random.integers(0, 2, (count, config.slots)))[:, ::-1], "wait": random.integers(0, 3, count),
    }  # fmt: skip
    whole = ("ids", "targets", "missed", "empty")
    return {
        name: np.ascontiguousarray(array, np.int32 if name in whole else np.float32) for name, array in found.items()
    }


def held_against(found, expected, rtol=2e-4, atol=2e-5):
    """Arrays against tensors, in their order."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=rtol, atol=atol)


def torches(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_backbone_and_pyramid(model):
    expected = model.features(torch.from_numpy(FRAME["img"]))
    found = computed(lambda m, img: network.features(m, img, CONFIG), [FRAME["img"]], model)
    held_against(found, [level[0] for level in expected])
    assert len(found) == 4


@pytest.mark.parametrize("shift, use", [("both", 1), ("history", 1), ("history", 0)])
def test_encoder(model, shift, use, monkeypatch):
    """The map of noise, its history turned and shifted; what is remembered counts only where it is used."""
    config = dataclasses.replace(CONFIG, temporal_shift=shift)
    encoder = model.pts_bbox_head.transformer.encoder
    monkeypatch.setattr(encoder, "shift_present", shift == "both")
    given = [noise(CELLS, 1, DIMS, seed=2), np.array([use], np.int32), FRAME["img_metas_can_bus"][None],
             FRAME["img_metas_lidar2img"],
             *(noise(6, DIMS, *size, seed=k) for k, size in enumerate(config.feature_sizes))]  # fmt: skip
    before, used, can_bus, lidar2img, *features = torches(*given)
    features = [level[None] for level in features]
    expected, position = model.pts_bbox_head.encode(features, before, used.float(), can_bus, lidar2img)

    def write(m, before, used, can_bus, lidar2img, *features):
        return bev.encode(m.pts_bbox_head, list(features), bev.Motion(before, used, can_bus), lidar2img, config)

    held_against([computed(write, given, model)], [expected])
    head = empty(weights_of(model))
    found = bev.positional_encoding(bev.Module(head, "pts_bbox_head.positional_encoding"), config)
    np.testing.assert_array_equal(found, position.detach().numpy())


def test_objects_on_the_map(model):
    """Decoder and branches: references are refined from layer to layer, queries without a track are not seen."""
    visible = (np.arange(CONFIG.rows) % 3 > 0).astype(np.int32)
    given = [noise(1, CELLS, DIMS), noise(CONFIG.rows, 2 * DIMS, seed=1), noise(CONFIG.rows, 3, seed=2)]
    expected = model.pts_bbox_head.levels(*torches(*given), torch.from_numpy(visible) == 1)[-1]

    def write(m, world, query, points, visible):
        return bev.found(m.pts_bbox_head, world, query, points, visible.equals(1), CONFIG)

    held_against(computed(write, [*given, visible], model), expected[:-1])


def test_objects_move_with_the_vehicle(model):
    places = [noise(1), *(np.float32(array)[None] for array in tiny.pose(1.5)), noise(1, seed=1),
              *(np.float32(array)[None] for array in tiny.pose(2.0))]  # fmt: skip
    given = [noise(9, 3), noise(9, 2, seed=1, scale=4.0), *places]
    points, velocity, *where = torches(*given)
    expected = moved(points, velocity, Place(*where[:3]), Place(*where[3:]), torch.tensor(CONFIG.pc_range))

    def write(m, points, velocity, *where):
        return tracks.moved(points, velocity, Place(*where[:3]), Place(*where[3:]), CONFIG)

    held_against([computed(write, given)], [expected])


def test_tracks_are_born_and_die(model):
    state, scores = rows(), np.linspace(0, 1, CONFIG.rows, dtype=np.float32)
    given = [*state.values(), scores, np.array([5], np.int32)]
    *fields, score, newest = torches(*given)
    expected, after = aged(Tracks(*fields), score, newest, CONFIG)
    count = CONFIG.carried

    def write(m, *given):
        *fields, score, newest = given
        found, after = tracks.aged(Tracks(*fields), score, newest, CONFIG)
        return found.ids, found.missed, after, tracks.first(found.ids > -1, count)

    held_against(computed(write, given), [expected.ids, expected.missed, after, first(expected.ids >= 0, count)])
    assert {-1, 2, 5} <= set(expected.ids.tolist()) and after.item() > 6


@pytest.mark.parametrize("alive", [0.5, 2.0])
def test_memory_and_the_next_query(model, alive):
    state = rows()
    alive = (np.random.default_rng(1).random(CONFIG.rows) > alive).astype(np.int32)  # above 1: no track at all
    given = [*state.values(), noise(CONFIG.rows, DIMS), np.abs(noise(CONFIG.rows, seed=1)), alive]
    *fields, output, scores, living = torches(*given)
    kept, after = model.memory_bank(Tracks(*fields), output, scores)
    asked = model.query_interact(kept.query, output, living == 1)

    def write(m, *given):
        *fields, output, scores, living = given
        kept, after = memory.memory_bank(m.memory_bank, Tracks(*fields), output, scores, CONFIG)
        asked = memory.query_interaction(m.query_interact, kept.query, output, living.equals(1), CONFIG)
        return kept.memory, kept.empty, kept.wait, after, asked

    held_against(computed(write, given, model), [kept.memory, kept.empty, kept.wait, after, asked])


@pytest.mark.parametrize("sampling", ["flat", "first"])
def test_lanes(model, sampling, monkeypatch):
    """Offsets of four levels, of which one is read, as either way has it."""
    config, world = dataclasses.replace(CONFIG, map_sampling=sampling), noise(1, CELLS, DIMS)
    for module in model.modules():
        if isinstance(module, MapAttention):
            monkeypatch.setattr(module, "flat", sampling == "flat")
    expected = model.seg_head(torch.from_numpy(world))
    found = computed(lambda m, world: lanes.map_head(m.seg_head, world, config), [world], model)
    held_against(found, [getattr(expected, name) for name in lanes.Lanes._fields])


def test_motion(model):
    """Weights of noise let deviations, which are exponentials, grow beyond all bounds: they are held as logarithms."""
    given = [noise(1, CELLS, DIMS), noise(AGENTS, DIMS, seed=1), noise(AGENTS, 2, seed=2, scale=20.0),
             noise(AGENTS, seed=3), np.arange(AGENTS, dtype=np.int32) % 4, np.array([1, 1, 0, 1, 0, 1, 1], np.int32),
             noise(1, CONFIG.map_queries, DIMS, seed=4), noise(1, CONFIG.map_queries, DIMS, seed=5)]  # fmt: skip
    world, *agents, valid, query, position = torches(*given)
    expected = model.motion_head(world, Agents(*agents[:3], agents[3].long(), valid == 1), (query, position))

    def write(m, world, query, center, yaw, group, valid, *roads):
        agents = Agents(query, center, yaw, group, valid.equals(1))
        return motion.motion_head(m.motion_head, world, agents, roads, CONFIG)

    found, expected = computed(write, given, model), list(expected)
    for paths in (found[0], expected[0]):
        paths[..., 2:4] = np.log(paths[..., 2:4]) if isinstance(paths, np.ndarray) else paths[..., 2:4].log()
    held_against(found, expected, atol=1e-4)


@pytest.mark.parametrize("command", [0, 2])
def test_planning(model, command):
    given = [noise(1, CELLS, DIMS), noise(CONFIG.modes, DIMS, seed=1), noise(1, DIMS, seed=2), np.float32([command])]
    position = noise(1, CELLS, DIMS, seed=3)
    world, modes, query, told = torches(*given)
    expected = model.planning_head(world, torch.from_numpy(position), modes, query[0], told)

    def write(m, world, modes, query, told):
        return planning.planning_head(m.planning_head, world, position, (modes, query), told.whole(), CONFIG)

    held_against([computed(write, given, model)], [expected])


def test_occupancy(model):
    """On a grid of its own, which is odd and so padded on the way down."""
    given = [noise(1, CELLS, DIMS), noise(AGENTS, CONFIG.modes, DIMS, seed=1), noise(AGENTS, DIMS, seed=2),
             noise(AGENTS, DIMS, seed=3), np.linspace(0.2, 1, AGENTS, dtype=np.float32),
             np.array([1, 1, 0, 1, 0, 1, 1], np.int32)]  # fmt: skip
    world, *vehicles, scores, valid = torches(*given)
    expected = model.occ_head(world, tuple(vehicles), scores, valid == 1)

    def write(m, world, modes, query, position, scores, valid):
        vehicles = modes, query, position
        return occupancy.occupancy_head(m.occ_head, world, vehicles, scores, valid.equals(1), CONFIG)

    held_against(computed(write, given, model), [expected.occupied, expected.owner])
    assert 0 < expected.occupied.float().mean() < 1 and len(expected.owner.unique()) > 2


def test_a_grid_that_is_halved(model):
    x, module = noise(1, 8, 5, 7), Downscale(8).eval()
    with torch.no_grad():
        held_against([computed(grids.downscale, [x], module)], [module(torch.from_numpy(x))])


# ----------------------------------------------------------------------------------------- the whole


def defined(config, model, half=False, ranges=None):
    """The whole definition, written."""
    made = empty(weights_of(model), half, ranges)
    network.define(made, config)
    return made


@pytest.fixture(scope="module")
def short():
    """(model, the steps of a drive, what PyTorch says of each)."""
    model, steps = tiny.network(SHORT), drive(3, SHORT)
    model.motion_head.set_anchors(anchors.plain(SHORT))
    return model, steps, driven(model, steps)


def test_the_whole_over_a_drive(short):
    """Inputs and outputs as the ONNX graph has them; each road carries its own states from frame to frame."""
    model, steps, frames = short
    made = defined(SHORT, model)
    given = [made.definition.get_input(k) for k in range(made.definition.num_inputs)]
    assert {tensor.name: tuple(tensor.shape) for tensor in given} == SHORT.input_shapes()
    run = interpreted(made.definition)
    found = [outputs for _, _, outputs in rollout(run, steps, SHORT.states, SHORT.initial_states())]
    for outputs, expected in zip(found, frames, strict=True):
        assert {name: array.shape for name, array in outputs.items()} == SHORT.output_shapes()
        for name, array in expected.items():
            assert outputs[name].dtype == array.dtype
            pair = [each.copy() for each in (outputs[name], array)]
            if name == "traj_preds":
                for paths in pair:
                    paths[..., 2:4] = np.log(paths[..., 2:4])
            np.testing.assert_allclose(*pair, rtol=1e-3, atol=1e-4, err_msg=name)
    assert max((outputs["obj_idxes"] >= 0).sum() for outputs in found) > 3


def test_what_is_computed_is_transposed_by_a_layer_of_its_own(short):
    """Within a product only arrays are, as in ONNX graphs."""
    run = layers(defined(SHORT, short[0]).definition)
    made_by = {layer.get_output(0).name: kind for kind, layer in run}
    turned = [layer.get_input(1).name for kind, layer in run
              if kind == "MATRIX_MULTIPLY" and layer.op1.name == "TRANSPOSE"]  # fmt: skip
    assert len(turned) > 100 and {made_by[name] for name in turned} == {"CONSTANT"}


def first_frame(short, **settings):
    """(network, its outputs on the first frame, those of PyTorch, mean error of the map)."""
    model, steps, frames = short
    made = defined(SHORT, model, **settings)
    found, expected = interpreted(made.definition)(steps[0].feeds | SHORT.initial_states()), frames[0]
    assert [found[name].dtype for name in expected] == [array.dtype for array in expected.values()]
    error = np.abs(found["bev_embed"] - expected["bev_embed"]).mean() / np.abs(expected["bev_embed"]).mean()
    return made, found, expected, error


def test_in_half_precision(short):
    """Types meet everywhere, and what half precision costs the map is there and small."""
    _, found, expected, error = first_frame(short, half=True)
    assert 1e-5 < error < 5e-3
    boxes = [outputs["prev_track_intances9_out"] for outputs in (found, expected)]
    np.testing.assert_allclose(*boxes, rtol=0.05, atol=0.05)


def test_in_int8(short):
    """What INT8 costs the map is there and not much; places stay in floating point."""
    model, steps, _ = short
    measured = ranges(model, [steps[0].feeds | SHORT.initial_states()])
    made, _, _, error = first_frame(short, ranges=measured)
    left = {name.rpartition(".")[2] for name in measured.keys() - made.ranges.keys()}
    assert {"reference_points", "sampling_offsets"} <= left and len(made.ranges) > 100
    assert made.kinds().count("QUANTIZE") >= 2 * len(made.ranges) and 1e-3 < error < 0.05


def test_what_has_no_definition():
    assert models.definition("uniad") is network.define
    with pytest.raises(BadInput, match=r"system fbocc[\s\S]*no network definition"):
        models.definition("fbocc")
