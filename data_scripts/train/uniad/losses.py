"""What UniAD is asked for: objects and whose they are, lines of the map, paths, cells, the own way.

Weights are those of the public training where it has such a loss: focal 2 and L1 0.25 of boxes; focal 2, L1 5, GIoU 2
and dice 2 of lanes; of motion 0.5 for the mode, 0.5 for its likelihood, 0.25 for where it ends; of cells 5 and dice 1.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from data_scripts.train.omnidrive.losses import sigmoid_focal
from data_scripts.train.uniad.samples import NONE
from helpers.systems.uniad.bev import Found
from helpers.systems.uniad.lanes import MapHead

CLASS, BOX, LANE_BOX, LANE_SHAPE, MASK = 2.0, 0.25, 5.0, 2.0, 2.0
MODE, LIKELIHOOD, END, CELLS, SHAPE = 0.5, 0.5, 0.25, 5.0, 1.0
MATCHED = 8  # numbers of a box code that are compared to match it: without the velocity
LEAST_SPREAD, MOST_CORRELATION = math.log(0.1), 0.9  # of a path's point, log m
Rows = dict[str, Tensor]


def class_costs(logits: Tensor, classes: Tensor) -> Tensor:
    """[N, G] of logits [N, C] and classes [G]: the focal loss's own cost of a match."""
    p = logits.sigmoid()
    positive = -(p + 1e-12).log() * 0.25 * (1 - p) ** 2
    negative = -(1 - p + 1e-12).log() * 0.75 * p**2
    return CLASS * (positive - negative)[:, classes]


def pairs(cost: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest pairs (row, column) of a cost [N, G], one to one (Hungarian algorithm)."""
    table = torch.nan_to_num(cost.detach().float(), 1e4, 1e4, -1e4).cpu().numpy()
    found = linear_sum_assignment(table)
    row, column = (torch.from_numpy(each).to(cost.device) for each in found)
    return row, column


@torch.no_grad()
def assigned(found: Found, ids: Tensor, rows: Rows, weights: Tensor, own: int) -> Tensor:
    """Which object is each row's, int64 [N], NONE for none.

    A carried row has that of its number, while it is there. Of the first `own` rows, the fresh ones, each object that
    nobody carries gets the one that costs least.
    """
    numbers = rows["numbers"]
    same = (ids[:, None] == numbers) & (ids[:, None] >= 0)
    chosen = torch.where(same.any(1), same.int().argmax(1), NONE)
    left = torch.nonzero((numbers != NONE) & ~same.any(0))[:, 0]
    logits, codes = found.logits[:own], found.boxes[:own]
    scale = weights[:MATCHED]
    cost = class_costs(logits, rows["classes"][left])
    cost = cost + BOX * torch.cdist(codes[:, :MATCHED] * scale, rows["codes"][left][:, :MATCHED] * scale, p=1)
    row, column = pairs(cost)
    chosen[row] = left[column]
    return chosen


def track_loss(found: Found, chosen: Tensor, holds: Tensor, rows: Rows, weights: Tensor, own: int) -> Tensor:
    """Of one decoder layer: classes of all rows that hold something, boxes of those with an object. Row `own` is the
    vehicle itself, a car.
    """
    mine, wanted = chosen >= 0, torch.zeros_like(found.logits)
    wanted[mine, rows["classes"][chosen[mine]]] = 1
    wanted[own, 0] = 1
    targets = torch.cat([rows["codes"][chosen[mine]], rows["own"][None]])
    boxes = torch.cat([found.boxes[mine], found.boxes[own : own + 1]])
    count = len(boxes)
    return (
        CLASS * sigmoid_focal(found.logits, wanted)[holds].sum() + BOX * ((boxes - targets).abs() * weights).sum()
    ) / count


def corners(boxes: Tensor) -> Tensor:
    """Center, width and height [..., 4] -> least x and y, greatest x and y."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """GIoU of boxes [..., 4] as corners (arXiv:1902.09630)."""
    inner = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    outer = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    both, hull = inner.prod(-1), outer.prod(-1).clamp(min=1e-9)
    either = ((one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - both).clamp(
        min=1e-9
    )
    return both / either - (hull - either) / hull


def dice(values: Tensor, masks: Tensor) -> Tensor:
    """1 - 2 |A B| / (|A|^2 + |B|^2) of values [N, cells] and masks [N, cells], each."""
    masks = masks.to(values.dtype)
    both, either = (values * masks).sum(1), (values**2).sum(1) + (masks**2).sum(1)
    return 1 - 2 * both / (either + 1e-3)


def lane_boxes(lanes: Tensor) -> Tensor:
    """Masks bool [N, H, W] that are not empty -> their boxes [N, 4], center and size in map units."""
    found = []
    for axis, size in ((1, lanes.shape[2]), (2, lanes.shape[1])):
        used = lanes.any(axis).float()
        first, last = used.argmax(1), size - 1 - used.flip(1).argmax(1)
        found.append(((first + last + 1) / 2 / size, (last + 1 - first) / size))
    (x, width), (y, height) = found
    return torch.stack([x, y, width, height], 1)


class Asked(NamedTuple):
    """What the map head's lanes are: memory [1, cells, C], and of every decoder layer queries [1, Q, C] and boxes
    [1, Q, 4]; asked: queries and positions [1, Q, C] that the motion looks at.
    """  # fmt: skip

    memory: Tensor
    layers: list[tuple[Tensor, Tensor]]
    asked: tuple[Tensor, Tensor]


def lanes_of(head: MapHead, bev: Tensor) -> Asked:
    """The lanes' queries of a map [1, cells, C], before their masks."""
    memory = head.transformer.encode(bev)
    position, content = head.query_embedding.weight[None].chunk(2, 2)
    layers = head.transformer.decode(content, position, memory, head.reg_branches)
    return Asked(memory, layers, (layers[-1][0], position))


def map_loss(head: MapHead, found: Asked, rows: Rows) -> Tensor:
    """Classes and boxes of every layer, masks of the last."""
    memory, layers, _ = found
    there = rows["kinds"] != NONE
    lanes, kinds = rows["lanes"][there], rows["kinds"][there]
    targets, count, loss = lane_boxes(lanes), max(len(kinds), 1), memory.new_zeros(())
    for branch, (query, boxes) in zip(head.cls_branches, layers, strict=True):
        logits, wanted = branch(query[0]), torch.zeros(len(boxes[0]), head.kinds, device=memory.device)
        shape = overlaps(corners(boxes[0])[:, None], corners(targets)[None])
        cost = class_costs(logits, kinds) + LANE_BOX * torch.cdist(boxes[0], targets, p=1) - LANE_SHAPE * shape
        row, column = pairs(cost)
        wanted[row, kinds[column]] = 1
        near = LANE_BOX * (boxes[0][row] - targets[column]).abs().sum()
        near = near + LANE_SHAPE * (1 - shape[row, column]).sum()
        loss = loss + (CLASS * sigmoid_focal(logits, wanted).sum() + near) / count
    masks = head.things_mask_head(query[:, row], memory)
    content, place = head.stuff_query.weight[None].chunk(2, 2)
    road = head.stuff_mask_head(content, memory, place)
    loss = loss + MASK * dice(road, rows["drivable"].flatten()[None]).sum()
    return loss + MASK * dice(masks, lanes[column].flatten(1)).sum() / count


def path_loss(paths: Tensor, scores: Tensor, targets: Tensor) -> Tensor:
    """Paths [A, P, T, 5] and log scores [A, P] against where each goes [A, T, 2], NaN where that is not known.

    Only the mode that is nearest on average is asked for its likelihood, and the scores for that mode.
    """
    known = ~targets.isnan().any(-1)
    some = known.any(1)
    if not some.any():
        return paths.sum() * 0
    paths, scores, known, targets = paths[some], scores[some], known[some], targets[some].nan_to_num(0)
    away = targets[:, None] - paths[..., :2]
    distance = torch.where(known[:, None], (away**2).sum(-1).clamp(min=1e-9).sqrt(), 0)
    best = (distance.detach().sum(2)).argmin(1)
    each = torch.arange(len(best), device=best.device)
    likelihood = torch.where(known, surprise(paths[each, best], away[each, best]), 0).sum(1) / known.sum(1)
    last = known.shape[1] - 1 - known.flip(1).int().argmax(1)
    return (MODE * -scores[each, best] + LIKELIHOOD * likelihood + END * distance[each, best, last]).mean()


def surprise(points: Tensor, away: Tensor) -> Tensor:
    """Negative log likelihood, but for a constant, of places `away` [..., 2] from the means of normal distributions
    [..., 5]: mean, deviations, correlation.
    """
    spread = points[..., 2:4].log().clamp(min=LEAST_SPREAD)
    correlation = points[..., 4].clamp(-MOST_CORRELATION, MOST_CORRELATION)
    x, y = (away * (-spread).exp()).unbind(-1)
    free = 1 - correlation**2
    return spread.sum(-1) + 0.5 * free.log() + (x**2 + y**2 - 2 * correlation * x * y) / (2 * free)


def cell_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cells of vehicles: logits [A, T, H, W] and masks bool [A, T, H, W]."""
    if not len(logits):
        return logits.sum()
    right = F.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype))
    return (
        CELLS * right + SHAPE * dice(logits.sigmoid().flatten(0, 1).flatten(1), masks.flatten(0, 1).flatten(1)).mean()
    )


def plan_loss(plan: Tensor, way: Tensor) -> Tensor:
    """Mean distance of a plan [T, 2] from the way [T, 2], where it is known."""
    known = ~way.isnan().any(-1)
    if not known.any():
        return plan.sum() * 0
    return (((plan - way.nan_to_num(0)) ** 2).sum(-1) + 1e-6).sqrt()[known].mean()
