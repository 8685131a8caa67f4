"""The loss of BEVFormer (arXiv 2203.17270), and a heatmap beside it that exists only during training."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

CODE_WEIGHTS = torch.tensor([1.0] * 8 + [0.2] * 2)
CLASS_WEIGHT, BOX_WEIGHT = 2.0, 0.25


def sigmoid_focal(logits, targets, alpha=0.25, gamma=2.0):
    """Focal loss per element (arXiv 1708.02002)."""
    p = logits.sigmoid()
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = (alpha * targets + (1 - alpha) * (1 - targets)) * (p * (1 - targets) + (1 - p) * targets) ** gamma
    return weight * ce


def match_costs(logits, boxes, items):
    """Matching cost of every query with every target, as in the paper: list of [L, Q, G] arrays, one per element."""
    p = logits.float().sigmoid()
    positive = -(p + 1e-12).log() * 0.25 * (1 - p) ** 2
    negative = -(1 - p + 1e-12).log() * 0.75 * p**2
    class_cost = CLASS_WEIGHT * (positive - negative)
    costs = []
    for b, item in enumerate(items):
        target = torch.from_numpy(item["boxes"]).to(boxes.device)
        labels = torch.from_numpy(item["labels"]).to(boxes.device)
        box_cost = BOX_WEIGHT * torch.cdist(boxes[:, b, :, :8].float(), target[None, :, :8].float(), p=1)
        costs.append(torch.nan_to_num(class_cost[:, b][:, :, labels] + box_cost, 1e4, 1e4, -1e4))
    return [cost.cpu().numpy() for cost in costs]


def detection_loss(logits, boxes, items, pool):
    """logits, boxes [L, B, Q, 10] -> scalar: focal and L1 over all layers, normalized by the number of targets."""
    with torch.no_grad():
        costs = match_costs(logits, boxes, items)
    matches = list(pool.map(lambda cost: [linear_sum_assignment(layer) for layer in cost], costs))
    labels, code, rows = torch.zeros_like(logits), [], []
    for b, per_layer in enumerate(matches):
        for layer, (query, target) in enumerate(per_layer):
            rows.append(
                np.stack([np.full_like(query, layer), np.full_like(query, b), query, items[b]["labels"][target]])
            )
            code.append(items[b]["boxes"][target])
    layer, b, query, label = torch.from_numpy(np.concatenate(rows, 1)).to(logits.device)
    labels[layer, b, query, label] = 1
    count = max(len(query) / len(logits), 1)
    classes = sigmoid_focal(logits.float(), labels.float()).sum() / count
    target = torch.from_numpy(np.concatenate(code)).to(logits.device)
    weight = CODE_WEIGHTS.to(logits.device)
    regression = ((boxes[layer, b, query].float() - target).abs() * weight).sum() / count
    return CLASS_WEIGHT * classes + BOX_WEIGHT * regression


def heatmap_target(items, config, device):
    """Gaussian bump of one cell at every target center: [B, 10, bev_h, bev_w]."""
    low, high = (torch.tensor(config.pc_range[i : i + 2], device=device) for i in (0, 3))
    size = torch.tensor([config.bev_w, config.bev_h], device=device)
    boxes = torch.from_numpy(np.concatenate([item["boxes"] for item in items])).to(device)
    x, y = ((boxes[:, :2] - low) / (high - low) * size).split(1, 1)
    bump_x = torch.exp(-0.5 * (torch.arange(config.bev_w, device=device) + 0.5 - x) ** 2)
    bump_y = torch.exp(-0.5 * (torch.arange(config.bev_h, device=device) + 0.5 - y) ** 2)
    rows = np.concatenate([b * 10 + item["labels"] for b, item in enumerate(items)])
    heat = torch.zeros(len(items) * 10, config.bev_h, config.bev_w, device=device)
    bumps = bump_y[:, :, None] * bump_x[:, None]
    heat.scatter_reduce_(0, torch.from_numpy(rows).to(device)[:, None, None].expand_as(bumps), bumps, "amax")
    return heat.unflatten(0, (len(items), 10))


def heatmap_loss(logits, target):
    """Penalty-reduced focal loss of CenterPoint's heatmap; cells within half a cell of a center count as positive."""
    p = logits.float().sigmoid().clamp(1e-4, 1 - 1e-4)
    positive = target > 0.75
    loss = -torch.where(positive, (1 - p) ** 2 * p.log(), (1 - target) ** 4 * p**2 * (1 - p).log())
    return loss.sum() / positive.sum().clamp(min=1)
