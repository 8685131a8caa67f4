"""What the vision part is asked for: boxes and lanes, matched one to one with what is there."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from data_scripts.train.omnidrive.worlds import NONE

CLASS_WEIGHT, BOX_WEIGHT, LANE_WEIGHT = 2.0, 0.25, 0.1
MATCHED = 8  # numbers of a box code that are compared to match it: without the velocity
MANY = 5  # lane queries that each lane is matched to, of the group that is in training only
IMPOSSIBLE = 1e4


def sigmoid_focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss per element (arXiv:1708.02002)."""
    p = logits.sigmoid()
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = (alpha * targets + (1 - alpha) * (1 - targets)) * (p * (1 - targets) + (1 - p) * targets) ** gamma
    return weight * ce


def class_costs(logits: Tensor, labels: Tensor) -> Tensor:
    """[L, B, Q, G] of logits [L, B, Q, classes] and labels [B, G]: the focal loss's own cost of a match."""
    p = logits.sigmoid()
    positive = -(p + 1e-12).log() * 0.25 * (1 - p) ** 2
    negative = -(1 - p + 1e-12).log() * 0.75 * p**2
    which = labels.clamp(min=0)[None, :, None].expand(len(p), -1, p.shape[2], -1)
    return CLASS_WEIGHT * (positive - negative).gather(3, which)


def matches(costs: list[Tensor], counts: list[np.ndarray], pool) -> list[tuple[Tensor, ...]]:
    """The cheapest pairs of each problem, one to one (Hungarian algorithm), all in one copy from the device.

    costs: [L, B, Q, G] each, of which the first counts[b] columns are targets. Returns (layer, b, query, target) each.
    """
    flat = torch.cat([torch.nan_to_num(cost.float(), IMPOSSIBLE, IMPOSSIBLE, -IMPOSSIBLE).flatten() for cost in costs])
    arrays = np.split(flat.cpu().numpy(), np.cumsum([cost.numel() for cost in costs])[:-1])
    found = []
    for cost, array, count in zip(costs, arrays, counts, strict=True):
        table = array.reshape(cost.shape)
        places = [(layer, b) for layer in range(len(table)) for b in range(table.shape[1])]
        tables = [table[layer, b, :, : count[b]] for layer, b in places]
        pairs = pool.map(linear_sum_assignment, tables)
        parts = [np.stack([np.full_like(q, at[0]), np.full_like(q, at[1]), q, g]) for at, (q, g) in
                 zip(places, pairs, strict=True)]  # fmt: skip
        found.append(tuple(torch.from_numpy(np.concatenate(parts, 1)).to(cost.device)))
    return found


def set_loss(logits: Tensor, errors: Tensor, labels: Tensor, pairs: tuple[Tensor, ...]) -> Tensor:
    """Focal loss of all queries, and `errors` [pairs] of those that are matched, per target of a layer."""
    layer, b, query, target = pairs
    wanted = torch.zeros_like(logits)
    wanted[layer, b, query, labels[b, target]] = 1
    count = max(len(query) / len(logits), 1)
    return (CLASS_WEIGHT * sigmoid_focal(logits, wanted).sum() + errors.sum()) / count


def box_costs(logits: Tensor, codes: Tensor, labels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """[L, B, Q, G]: classes and the L1 distance of codes [L, B, Q, 10] from targets [B, G, 10]."""
    own, other = (each[..., :MATCHED] * weights[:MATCHED] for each in (codes, targets))
    distance = torch.cdist(own, other[None].expand(len(own), -1, -1, -1), p=1)
    return class_costs(logits, labels) + BOX_WEIGHT * distance


def box_errors(codes: Tensor, targets: Tensor, weights: Tensor, pairs: tuple[Tensor, ...]) -> Tensor:
    """[pairs]"""
    layer, b, query, target = pairs
    return BOX_WEIGHT * ((codes[layer, b, query] - targets[b, target]).abs() * weights).sum(-1)


def lane_costs(logits: Tensor, lines: Tensor, targets: Tensor) -> Tensor:
    """[L, B, Q, G] of lines [L, B, Q, 3 * points] and targets [B, G, 3 * points], in m."""
    distance = torch.cdist(lines, targets[None].expand(len(lines), -1, -1, -1), p=1)
    return class_costs(logits, torch.zeros_like(targets[..., 0], dtype=torch.long)) + _of_point(distance, lines)


def lane_errors(lines: Tensor, targets: Tensor, pairs: tuple[Tensor, ...]) -> Tensor:
    """[pairs]"""
    layer, b, query, target = pairs
    return _of_point((lines[layer, b, query] - targets[b, target]).abs().sum(-1), lines)


def _of_point(distance, lines):
    """The weighted mean over a lane's points of a sum over all their coordinates."""
    return LANE_WEIGHT * distance * 3 / lines.shape[-1]


def detection_losses(found: dict[str, Tensor], rows: dict[str, Tensor], weights: Tensor, pool) -> dict[str, Tensor]:
    """Of boxes, and of lanes matched one to one and one to many; found: the network's outputs by name."""
    labels, targets, lanes = rows["labels"], rows["codes"], rows["lanes"].flatten(2).nan_to_num(0)
    boxes, lines = (labels != NONE).sum(1), (~rows["lanes"][..., 0, 0].isnan()).sum(1)
    again = torch.arange(MANY * lanes.shape[1], device=lanes.device) % lines[:, None].clamp(min=1)
    kinds = {
        "boxes": (found["all_cls_scores"], found["all_bbox_preds"], labels, targets, boxes),
        "lanes": _lanes(found, "one", lanes, lines),
        "lanes_many": _lanes(found, "many", lanes.gather(1, again[..., None].expand(-1, -1, lanes.shape[2])),
                             MANY * lines),
    }  # fmt: skip
    with torch.no_grad():
        costs = [
            (box_costs(*parts[:2], labels, targets, weights) if name == "boxes" else lane_costs(*parts[:2], parts[3]))
            for name, parts in kinds.items()
        ]
        pairs = matches(costs, [parts[4].cpu().numpy() for parts in kinds.values()], pool)
    return {
        name: set_loss(parts[0], _errors(name, parts, weights, each), parts[2], each)
        for (name, parts), each in zip(kinds.items(), pairs, strict=True)
    }


def _lanes(found, how, lanes, count):
    """Logits, lines, labels, targets and their number of one group of lane queries."""
    labels = torch.zeros_like(lanes[..., 0], dtype=torch.long)
    return found[f"all_lane_cls_one2{how}"], found[f"all_lane_preds_one2{how}"], labels, lanes, count


def _errors(name, parts, weights, pairs):
    if name == "boxes":
        return box_errors(parts[1], parts[3], weights, pairs)
    return lane_errors(parts[1], parts[3], pairs)
