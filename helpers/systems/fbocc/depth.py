"""From feature maps to context and a distribution over depth, told about each camera (BEVDepth, arXiv:2206.10092)."""

import torch
from torch import Tensor, nn

CAMERA_PARAMETERS = 27
DILATIONS = (6, 12, 18)


class DepthNet(nn.Module):
    """Feature maps [N, C, H, W] and camera parameters [N, 27] to context and depth probabilities."""

    def __init__(self, inplanes: int, planes: int, context: int, bins: int) -> None:
        super().__init__()
        self.reduce_conv = nn.Sequential(nn.Conv2d(inplanes, planes, 3, padding=1), nn.BatchNorm2d(planes), nn.ReLU())
        self.context_conv = nn.Conv2d(planes, context, 1)
        self.bn = nn.BatchNorm1d(CAMERA_PARAMETERS)
        self.depth_mlp, self.context_mlp = CameraMlp(planes), CameraMlp(planes)
        self.depth_se, self.context_se = Gate(planes), Gate(planes)
        blocks = [BasicBlock(planes) for _ in range(3)]
        self.depth_conv = nn.Sequential(*blocks, Aspp(planes), nn.Conv2d(planes, bins, 1))

    def forward(self, features: Tensor, cameras: Tensor) -> tuple[Tensor, Tensor]:
        """Context [N, context, H, W] and depth [N, bins, H, W], which sums to one over the bins."""
        cameras = self.bn(cameras)
        features = self.reduce_conv(features)
        context = self.context_conv(self.context_se(features, self.context_mlp(cameras)))
        depth = self.depth_conv(self.depth_se(features, self.depth_mlp(cameras)))
        return context, depth.softmax(1)


class CameraMlp(nn.Module):
    """Camera parameters [N, 27] to [N, planes, 1, 1]."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(CAMERA_PARAMETERS, planes), nn.Linear(planes, planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x).relu())[:, :, None, None]


class Gate(nn.Module):
    """Channels weighted by what the camera says (squeeze and excitation, arXiv:1709.01507)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(planes, planes, 1), nn.Conv2d(planes, planes, 1)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        return x * self.conv_expand(self.conv_reduce(said).relu()).sigmoid()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + x).relu()


class Atrous(nn.Module):
    """A convolution, normalization and ReLU; `dilation` None is a 1x1 convolution."""

    def __init__(self, planes: int, dilation: int | None = None) -> None:
        super().__init__()
        kernel, spread = (3, dilation) if dilation else (1, 1)
        padding = dilation or 0
        self.atrous_conv = nn.Conv2d(planes, planes, kernel, padding=padding, dilation=spread, bias=False)
        self.bn = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.atrous_conv(x)).relu()


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (arXiv:1706.05587)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.aspp1 = Atrous(planes)
        self.aspp2, self.aspp3, self.aspp4 = (Atrous(planes, dilation) for dilation in DILATIONS)
        pool = nn.Conv2d(planes, planes, 1, bias=False)
        self.global_avg_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), pool, nn.BatchNorm2d(planes), nn.ReLU())
        self.conv1, self.bn1 = nn.Conv2d(5 * planes, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        whole = self.global_avg_pool(x).expand(-1, -1, *x.shape[2:])
        branches = [self.aspp1(x), self.aspp2(x), self.aspp3(x), self.aspp4(x), whole]
        return self.dropout(self.bn1(self.conv1(torch.cat(branches, 1))).relu())
