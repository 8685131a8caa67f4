"""ResNet with bottleneck blocks (arXiv:1512.03385) and FPN, with the parameter names of mmdetection."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from helpers.ops.deform_conv import deform_conv

EXPANSION = 4


class DeformableConv(nn.Conv2d):
    """A 3x3 convolution without bias that predicts its own offsets and factors (DCNv2)."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__(inplanes, planes, 3, stride, 1, bias=False)
        self.conv_offset = nn.Conv2d(inplanes, 27, 3, stride, 1)

    def settle(self) -> None:
        """Where training begins: no tap is moved, each counts half."""
        for parameter in self.conv_offset.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        offset, factor = self.conv_offset(x).split([18, 9], 1)
        return deform_conv(x, offset, factor.sigmoid(), self.weight, self.stride[0], 1)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut. [N, C_in, H, W] -> [N, 4*planes, H', W'].

    The 3x3 carries the stride, or where `caffe` the first 1x1; `deformable` makes the 3x3 a `DeformableConv`.
    """

    def __init__(self, inplanes: int, planes: int, stride: int, caffe: bool = False, deformable: bool = False) -> None:
        super().__init__()
        outplanes = planes * EXPANSION
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = nn.Conv2d(inplanes, planes, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        plain = nn.Conv2d(planes, planes, 3, second, 1, bias=False)
        self.conv2 = DeformableConv(planes, planes, second) if deformable else plain
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outplanes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outplanes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inplanes != outplanes:
            shortcut = nn.Conv2d(inplanes, outplanes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outplanes))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    """Last stage of a ResNet: [N, 3, H, W] -> [N, out_channels, H/stride, W/stride].

    `depths` holds the blocks of each stage, `base_channels` the channels of the stem and the planes of the first stage;
    `caffe` and `deformable`, the stages with such convolutions counted from 0, are as in `Bottleneck`.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 4, 6, 3),
        base_channels: int = 64,
        caffe: bool = False,
        deformable: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inplanes = base_channels
        for stage, depth in enumerate(depths):
            planes = base_channels * 2**stage
            blocks = []
            for block in range(depth):
                stride = 2 if stage and not block else 1
                blocks.append(Bottleneck(inplanes, planes, stride, caffe, stage in deformable))
                inplanes = planes * EXPANSION
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_stages, self.out_channels, self.stride = len(depths), inplanes, 2 ** (len(depths) + 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, DeformableConv):
                module.settle()

    def stages(self, x: Tensor) -> list[Tensor]:
        """The output of every stage, each half the size and twice the channels of the one before."""
        x, outputs = self.maxpool(self.relu(self.bn1(self.conv1(x)))), []
        for stage in range(self.num_stages):
            x = getattr(self, f"layer{stage + 1}")(x)
            outputs.append(x)
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)[-1]


class ConvModule(nn.Module):
    """A convolution with bias under the name that mmcv gives it."""

    def __init__(self, inplanes: int, outplanes: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inplanes, outplanes, kernel, stride, kernel // 2)
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class FPN(nn.Module):
    """Feature pyramid (arXiv:1612.03144) of one level: a 1x1 and a 3x3 convolution, no norm, no activation."""

    def __init__(self, inplanes: int, outplanes: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList([ConvModule(inplanes, outplanes, 1)])
        self.fpn_convs = nn.ModuleList([ConvModule(outplanes, outplanes, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.fpn_convs[0](self.lateral_convs[0](x))


class Pyramid(nn.Module):
    """FPN of several levels: each takes up what is above it; further levels are 3x3 convolutions of stride 2.

    Args:
        inplanes: channels of the maps that come in, the finest first.
        outplanes: channels of every map that leaves.
        levels: maps that leave.
    """

    def __init__(self, inplanes: Sequence[int], outplanes: int, levels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(ConvModule(planes, outplanes, 1) for planes in inplanes)
        own = [ConvModule(outplanes, outplanes, 3) for _ in inplanes]
        further = [ConvModule(outplanes, outplanes, 3, 2) for _ in range(levels - len(inplanes))]
        self.fpn_convs = nn.ModuleList(own + further)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps [N, C_l, H_l, W_l], the finest first -> `levels` maps [N, outplanes, H_l, W_l]."""
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)]
        for level in range(len(laterals) - 1, 0, -1):
            above = F.interpolate(laterals[level], size=laterals[level - 1].shape[2:], mode="nearest")
            laterals[level - 1] = laterals[level - 1] + above
        found = [conv(x) for conv, x in zip(self.fpn_convs, laterals, strict=False)]
        for conv in self.fpn_convs[len(found) :]:
            found.append(conv(found[-1]))
        return found
