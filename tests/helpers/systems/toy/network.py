"""The network of the toy, in plain PyTorch."""

import torch
from torch import nn

from tests.helpers.systems.toy.config import CLASSES


class Toy(nn.Module):
    """Cameras are averaged, fused with the map of the frame before, and read out as voxels."""

    def __init__(self, config):
        super().__init__()
        width = config.channels
        self.config = config
        self.backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1),
            nn.ReLU(),
        )
        self.fuse = nn.Conv2d(2 * width, width, 3, padding=1)
        self.command = nn.Embedding(3, width)
        self.motion = nn.Linear(6, 4)
        self.head = nn.Conv2d(width, len(CLASSES) * config.grid[0], 1)

    def forward(self, image, prev_map, prev_motion, command, velocity):
        features = self.backbone(image.flatten(0, 1)).mean(0, keepdim=True)
        motion = torch.tanh(self.motion(torch.cat([prev_motion, velocity], 1)))
        fused = self.fuse(torch.cat([features, prev_map], 1)) + self.command(command)[:, :, None, None]
        fused = torch.relu(fused * (1 + motion.mean()))
        return self.head(fused).view(1, len(CLASSES), *self.config.grid), fused, motion
