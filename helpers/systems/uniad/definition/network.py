"""`helpers.systems.uniad.network`: tracks, map, motion, occupancy and plan of one frame, from inputs to outputs."""

import re

import numpy as np

from helpers.engine.definition import Module, Network, Tensor
from helpers.engine.definition.functions import cat, max_pool, where
from helpers.engine.definition.layers import conv, linear
from helpers.engine.definition.resnet import bottleneck, pyramid
from helpers.systems.uniad.common import NONE, RANGE, VEHICLE, Agents, Place, Tracks
from helpers.systems.uniad.config import TRACKS, Config
from helpers.systems.uniad.definition.bev import Found, Motion, encode, found, positional_encoding
from helpers.systems.uniad.definition.lanes import map_head
from helpers.systems.uniad.definition.memory import memory_bank, query_interaction
from helpers.systems.uniad.definition.motion import motion_head
from helpers.systems.uniad.definition.occupancy import occupancy_head
from helpers.systems.uniad.definition.planning import planning_head
from helpers.systems.uniad.definition.tracks import (
    aged,
    decoded,
    first,
    fresh,
    moved,
)

# Places, positions and what is regressed stay in floating point where the rest is INT8.
UNQUANTIZED = re.compile(r"reference_points|reg_branch|sampling_offsets|can_bus_mlp|_embedding_layer|conv_offset")
Objects = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def define(network: Network, config: Config) -> None:
    """Write the forward of `UniAD` into `network`: inputs and outputs as `config` has them, under those names.

    Raises:
        BadInput: weights of another configuration.
    """
    network.ranges = {name: most for name, most in network.ranges.items() if not UNQUANTIZED.search(name)}
    types = config.input_types()
    given = {name: network.input(name, shape, types[name]) for name, shape in config.input_shapes().items()}
    outputs = forward(Module(network), given, config)
    for (name, shape), tensor in zip(config.output_shapes().items(), outputs, strict=True):
        whole = tensor.kind not in ("FLOAT", "HALF")
        network.output(name, tensor, shape, np.dtype(np.int32 if whole else np.float32))


def forward(m: Module, given: dict[str, Tensor], config: Config) -> tuple[Tensor, ...]:
    """`UniAD.forward` of the inputs by name."""
    network = m.network
    before = Tracks(*(given[f"prev_track_intances{number}"] for number in TRACKS))
    names = "timestamp", "l2g_r_mat", "l2g_t"
    places = Place(*(given[f"prev_{name}"] for name in names)), Place(*(given[name] for name in names))
    motion = Motion(given["prev_bev"], given["use_prev_bev"], given["img_metas_can_bus"].unsqueeze(0))
    head, seen = m.pts_bbox_head, features(m, given["img"], config)
    bev = encode(head, seen, motion, given["img_metas_lidar2img"], config)
    with network.full_precision():
        tracks = asked(m, before, places, motion.use_prev_bev, config)
    held = holds(tracks, config)
    hit = found(head, bev, tracks.query, tracks.points, held, config)
    with network.full_precision():
        tracks, scores, newest = lived(tracks, hit, held, given["max_obj_id"], config)
        agents, objects = handed_on(tracks, hit, scores, config)
    boxes, kept_scores, labels, place, ids = objects
    position = positional_encoding(head.positional_encoding, config)
    return (
        *remembered(m, tracks, hit.output, scores, config), *places[1], bev.transpose(0, 1),
        boxes, kept_scores, labels, place, ids, newest,
        *ahead(m, (bev, position), agents, objects, given["command"], config),
    )  # fmt: skip


def features(m: Module, img: Tensor, config: Config) -> list[Tensor]:
    """`UniAD.features`: img [1, cameras, 3, H, W] -> of every level [cameras, C, h, w]."""
    stages = resnet(m.img_backbone, img[0], config)
    return pyramid(m.img_neck, [stages[stage] for stage in config.picked], config.num_feature_levels)


def resnet(m: Module, x: Tensor, config: Config) -> list[Tensor]:
    """`ResNet.stages`."""
    x, stages = max_pool(conv(m.conv1, x, 2, m.bn1).relu(), 3, 2, 1), []
    for stage, depth in enumerate(config.depths):
        blocks = getattr(m, f"layer{stage + 1}")
        for number in range(depth):
            stride = 2 if stage and not number else 1
            x = bottleneck(blocks[number], x, stride, config.caffe, stage in config.deformable, not number)
        stages.append(x)
    return stages


def fresh_rows(m: Module, config: Config) -> Tracks:
    """The rows of the learned queries, the vehicle's own last."""
    learned = m.query_embedding.constant("weight", (config.num_query + 1, 2 * config.embed_dims))
    points = linear(m.reference_points, learned[:, : config.embed_dims])
    return fresh(m.network, learned, points, config)


def asked(m: Module, before: Tracks, places: tuple[Place, Place], use: Tensor, config: Config) -> Tracks:
    """`UniAD.asked`: the rows of this frame."""
    carried = Tracks(*(each[config.num_query + 1 :] for each in before))
    points = linear(m.reference_points, carried.query[:, : config.embed_dims])
    ahead = moved(carried.points, carried.boxes[:, -2:], *places, config)
    points = cat([ahead, points[:, 2:]], 1)
    ids = where(use > 0, carried.ids, NONE)
    return fresh_rows(m, config).then(carried._replace(points=points, ids=ids), cat)


def holds(tracks: Tracks, config: Config) -> Tensor:
    """`UniAD._holds`: BOOL [N], the fresh rows, and the carried ones that have a track."""
    fresh_row = np.arange(config.rows) <= config.num_query
    return where(tracks.ids.network.constant(fresh_row).equals(1), 1, (tracks.ids > NONE).whole()).equals(1)


def lived(tracks: Tracks, hit: Found, held: Tensor, newest: Tensor, config: Config) -> tuple[Tracks, Tensor, Tensor]:
    """`UniAD.lived`: births and deaths."""
    scores = where(held, hit.logits.sigmoid().amax(1), 0.0)
    own = held.network.constant(np.arange(config.rows)).equals(config.num_query)
    tracks = tracks._replace(points=hit.points, boxes=hit.boxes, ids=where(own, VEHICLE, tracks.ids))
    tracks, newest = aged(tracks, scores, newest, config)
    return tracks, scores, newest


def handed_on(tracks: Tracks, hit: Found, scores: Tensor, config: Config) -> tuple[Agents, Objects]:
    """`UniAD.handed_on`: what the other heads take."""
    network, vehicle = scores.network, config.num_query
    seen = (tracks.ids > NONE) & (scores >= config.alive_score)
    best, rows = where(seen, scores, -1.0 - np.arange(config.rows, dtype=np.float32)).topk(config.carried)
    boxes = decoded(tracks.boxes[rows])
    valid = (best >= 0.0) & (boxes[:, :3].abs() <= np.array(RANGE, np.float32)).all(1)
    agents = cat([rows, np.array([vehicle])], 0)
    boxes = cat([boxes, decoded(tracks.boxes[vehicle : vehicle + 1])], 0)
    labels = hit.logits[agents].argmax()
    groups = {kind: number for number, group in enumerate(config.groups) for kind in group}
    group = network.constant(np.array([groups[kind] for kind in range(config.num_classes)]))[labels]
    known = cat([valid.whole(), np.array([1])], 0).equals(1)
    ids = where(valid, tracks.ids[rows], NONE)
    place = where(valid, seen.whole().cumsum(0)[rows] - 1, NONE)
    objects = boxes[:-1], where(valid, best, 0.0), labels[:-1], place, ids
    return Agents(hit.output[agents], boxes[:, :2], boxes[:, 6], group, known), objects


def remembered(m: Module, tracks: Tracks, output: Tensor, scores: Tensor, config: Config) -> Tracks:
    """`UniAD.remembered`: the state of the next frame."""
    network = m.network
    tracks, output = memory_bank(m.memory_bank, tracks, output, scores, config)
    with network.full_precision():
        living = tracks.ids > NONE
        rows = first(living, config.carried)
        kept = tracks.taken(rows)
        kept = kept._replace(ids=where(living.whole()[rows].equals(1), kept.ids, NONE))
    query = query_interaction(m.query_interact, kept.query, output[rows], kept.ids > NONE, config)
    with network.full_precision():
        return fresh_rows(m, config).then(kept._replace(query=query), cat)


def ahead(
    m: Module, world: tuple[Tensor, np.ndarray], agents: Agents, objects: Objects, command: Tensor, config: Config
) -> tuple[Tensor, ...]:
    """`UniAD.ahead`: the outputs from `lane_masks` on; world: the map and its position [1, cells, C]."""
    (bev, position), (_, scores, labels, _, ids) = world, objects
    lanes = map_head(m.seg_head, bev, config)
    futures = motion_head(m.motion_head, bev, agents, (lanes.query, lanes.position), config)
    kinds = np.isin(np.arange(config.num_classes), config.vehicles).astype(np.int32)
    moving = (ids > NONE) & m.network.constant(kinds)[labels].equals(1)
    vehicles = futures.query[:-1], agents.query[:-1], futures.position[:-1]
    occupancy = occupancy_head(m.occ_head, bev, vehicles, scores, moving, config)
    vehicle = futures.query[-1], agents.query[-1:]
    plan = planning_head(m.planning_head, bev, position, vehicle, command.whole(), config)
    return (
        lanes.masks, lanes.scores, lanes.classes, lanes.drivable,
        futures.paths, futures.log_scores, occupancy.occupied, occupancy.owner, plan,
    )  # fmt: skip
