"""Outputs of the toy to the class of every voxel, and the metric of its task."""

import numpy as np


def decode(voxels):
    """voxels [1,classes,z,y,x] logits -> class indices [z,y,x]."""
    return np.asarray(voxels)[0].argmax(0)


def mean_iou(pairs, classes):
    """Mean of the intersection over union of every class that occurs, over (found, truth) pairs of class indices."""
    pairs = list(pairs)
    both, either = np.zeros(len(classes)), np.zeros(len(classes))
    for found, truth in pairs:
        for k in range(len(classes)):
            both[k] += ((found == k) & (truth == k)).sum()
            either[k] += ((found == k) | (truth == k)).sum()
    return float((both[either > 0] / either[either > 0]).mean())
