"""ResNet with bottleneck blocks (arXiv:1512.03385) and a one-level FPN, with the parameter names of mmdetection."""

from collections.abc import Sequence

from torch import Tensor, nn

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 (carries the stride), 1x1 convolutions around a shortcut. [N, C_in, H, W] -> [N, 4*planes, H', W']."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        outplanes = planes * EXPANSION
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
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

    `depths` holds the blocks of each stage, `base_channels` the channels of the stem and the planes of the first stage.
    """

    def __init__(self, depths: Sequence[int] = (3, 4, 6, 3), base_channels: int = 64) -> None:
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
                blocks.append(Bottleneck(inplanes, planes, 2 if stage and not block else 1))
                inplanes = planes * EXPANSION
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_stages, self.out_channels, self.stride = len(depths), inplanes, 2 ** (len(depths) + 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

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

    def __init__(self, inplanes: int, outplanes: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inplanes, outplanes, kernel, padding=kernel // 2)
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
