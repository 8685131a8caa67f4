"""What is asked in training alone, of parts that would else hear little: patches of pictures, and the extra queries."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.train.omnidrive.losses import sigmoid_focal
from data_scripts.train.omnidrive.worlds import NONE

NEAREST, DEPTH = 1.0, 20.0  # m: of a center that a camera sees; a depth whose logarithm is told as 0
COUNTED = 30.0  # m, within which things are counted
FAR = 10.0  # m of a path that count as 1


class Hints(nn.Module):
    """Linear layers that tell of each patch what has its center there and how far, and of all extra queries where the
    vehicle will be and how many things of each class are near. They are trained along and not kept.
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.config, self.classes = config, config.num_classes
        self.patch = nn.Linear(config.width, self.classes + 3)
        nn.init.constant_(self.patch.bias, -4.0)
        nn.init.zeros_(self.patch.bias[self.classes :])
        self.told = nn.Linear(2 * config.extra * config.dims, 12 + self.classes)
        nn.init.zeros_(self.told.weight)

    def patches(self, features: Tensor, rows: dict[str, Tensor]) -> Tensor:
        """Of tokens [B, cameras * cells, width]: a class where a center is, its place in the cell, and its depth."""
        height, width = self.config.feature_size
        found = self.patch(features).unflatten(1, (-1, height * width))
        cell, place, depth, seen = centers(rows, self.config)
        wanted = torch.zeros(*found.shape[:3], self.classes, device=found.device).flatten(2)
        at = cell * self.classes + rows["labels"].clamp(min=0)[:, None]
        wanted.scatter_reduce_(2, at, seen.float(), "amax")
        count = seen.sum().clamp(min=1)
        classes = sigmoid_focal(found[..., : self.classes].flatten(2), wanted).sum() / count
        here = found[..., self.classes :].gather(2, cell[..., None].expand(-1, -1, -1, 3))
        error = (here[..., :2] - place).abs().sum(-1) + (here[..., 2] - (depth / DEPTH).log()).abs()
        return 2 * classes + (error * seen).sum() / count

    def extras(self, queries: Tensor, rows: dict[str, Tensor]) -> Tensor:
        """Of the extra queries of both heads behind the last layer [B, 2 * extra, C]: the path, and counts."""
        found = self.told(queries.flatten(1))
        known, path = ~rows["path"][:, 0, 0].isnan(), rows["path"].nan_to_num(0).flatten(1) / FAR
        way = F.smooth_l1_loss(found[:, :12], path, reduction="none").mean(1)
        return (way * known).sum() / known.sum().clamp(min=1) + F.smooth_l1_loss(found[:, 12:], counts(rows))


def counts(rows: dict[str, Tensor], classes: int = 10) -> Tensor:
    """log(1 + number of things within COUNTED m) of each class, [B, classes]."""
    labels, near = rows["labels"], rows["codes"][..., :2].norm(dim=-1) < COUNTED
    one_hot = F.one_hot(labels.clamp(min=0), classes) * ((labels != NONE) & near)[..., None]
    return one_hot.sum(1).float().log1p()


def centers(rows: dict[str, Tensor], config) -> tuple[Tensor, ...]:
    """Where each box's center is in each camera, [B, cameras, G] each: cell, place in it [.., 2] in -0.5..0.5, depth in
    m, and whether the camera sees it.
    """
    points = F.pad(rows["codes"][..., :3], (0, 1), value=1.0)
    shown = torch.linalg.inv(rows["img2lidars"]) @ points.transpose(1, 2)[:, None]  # [B, cameras, 4, G]
    depth = shown[:, :, 2]
    place = shown[:, :, :2] / depth.clamp(min=NEAREST)[:, :, None] / config.patch
    size = torch.tensor(config.feature_size[::-1], device=place.device)
    inside = ((place >= 0) & (place < size[:, None])).all(2)
    seen = inside & (depth > NEAREST) & (rows["labels"] != NONE)[:, None]
    cell = place.floor().minimum(size[:, None] - 1).clamp(min=0)
    flat = (cell[:, :, 1] * size[0] + cell[:, :, 0]).long()
    return flat, (place - cell - 0.5).transpose(2, 3), depth.clamp(min=NEAREST), seen
