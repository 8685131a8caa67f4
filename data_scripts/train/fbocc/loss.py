"""The loss: cross entropy and Lovász softmax over the voxels that cameras see, and the depth that the LiDAR saw."""

import torch
import torch.nn.functional as F

from data_scripts.train.fbocc.frames import UNSEEN

DEPTH_WEIGHT, LOVASZ_WEIGHT, SORTED = 0.5, 1.0, 400_000


def occupancy_loss(logits, labels, weights):
    """logits [B,19,Y,X,Z], labels uint8 [B,200,200,16] (x, y, z), weights [19] -> scalar.

    The logits are interpolated to the labels' voxels, as `decode` does.
    """
    labels = labels.transpose(1, 2)
    seen = labels != UNSEEN
    target = labels[seen].long() + 1
    full = F.interpolate(logits, labels.shape[1:], mode="trilinear", align_corners=False)
    found = full.movedim(1, -1)[seen].float()
    chosen = torch.randint(len(target), (min(SORTED, len(target)),), device=target.device)
    lovasz = lovasz_softmax(found[chosen].softmax(-1), target[chosen])
    return F.cross_entropy(found, target, weights) + LOVASZ_WEIGHT * lovasz


def lovasz_softmax(probabilities, target):
    """The convex surrogate of the mean IoU (arXiv:1705.08790) of [N,C] and classes [N], over the classes present."""
    losses = []
    for k in target.unique():
        foreground = (target == k).float()
        errors, order = (foreground - probabilities[:, k]).abs().sort(descending=True)
        foreground = foreground[order]
        both = foreground.sum() - foreground.cumsum(0)
        jaccard = 1 - both / (foreground.sum() + (1 - foreground).cumsum(0))
        losses.append(errors @ torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]]))
    return torch.stack(losses).mean()


def depth_loss(depth, bins):
    """depth probabilities [N,D,h,w], bins int64 [N,h,w], -1 without a LiDAR point -> mean negative log-likelihood."""
    return F.nll_loss(depth.float().clamp(min=1e-6).log(), bins, ignore_index=-1)


def class_weights(scenes, device):
    """1 / log of how often a class is seen, 0 for what never is, with a mean of one over the others: [19]."""
    counts = torch.zeros(19)
    for scene in scenes:
        labels = torch.stack([frame["labels"] for frame in scene])
        counts[1:] += torch.bincount(labels[labels != UNSEEN].long(), minlength=18).float().cpu()
    weights = torch.where(counts > 0, 1 / (counts + 3).log(), 0)
    return (weights / weights[counts > 0].mean()).to(device)
