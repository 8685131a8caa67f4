"""Outputs of the toy to the class of every voxel, and the metric of its task."""

import numpy as np


def decode(voxels):
    """voxels [1,classes,z,y,x] logits -> class indices [z,y,x]."""
    return np.asarray(voxels)[0].argmax(0)


def mean_iou(pairs, classes):
    """Mean of the intersection over union of every class in the truth, over (found, truth) pairs of class indices."""
    pairs = list(pairs)
    both, either, there = np.zeros((3, len(classes)))
    for found, truth in pairs:
        for k in range(len(classes)):
            both[k] += ((found == k) & (truth == k)).sum()
            either[k] += ((found == k) | (truth == k)).sum()
            there[k] += (truth == k).sum()
    return float((both[there > 0] / either[there > 0]).mean())
