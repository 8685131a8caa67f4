"""BEVFormer (arXiv:2203.17270): multi-camera 3D detection with a recurrent bird's-eye-view map, in plain PyTorch.

One forward serves training, evaluation and export. Parameter names and shapes of the published configuration are those
of the public checkpoint `bevformer_tiny_epoch_24.pth`; the arithmetic is that of its TensorRT deployment graph, where
every camera sees every query and a mask takes the place of the data-dependent gather.
"""

import torch
from torch import Tensor, nn

from helpers.layers.attention import PositionalEncoding
from helpers.layers.branches import class_branch, regression_branch
from helpers.layers.encoding import inverse_sigmoid
from helpers.layers.resnet import FPN, ResNet
from helpers.systems.bevformer.config import Config
from helpers.systems.bevformer.transformer import Transformer


class Head(nn.Module):
    """Bird's-eye map, object queries and the class and box branches of every decoder layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, layers = config.embed_dims, config.decoder_layers
        weights = torch.tensor([1.0] * (config.code_size - 2) + [0.2] * 2)
        self.code_weights = nn.Parameter(weights, requires_grad=False)
        self.register_buffer("low", torch.tensor(config.pc_range[:3]), persistent=False)
        self.register_buffer("high", torch.tensor(config.pc_range[3:]), persistent=False)
        self.positional_encoding = PositionalEncoding(config.bev_h, config.bev_w, dims)
        self.transformer = Transformer(config)
        self.cls_branches = nn.ModuleList(class_branch(dims, config.num_classes) for _ in range(layers))
        self.reg_branches = nn.ModuleList(regression_branch(dims, config.code_size) for _ in range(layers))
        self.bev_embedding = nn.Embedding(config.bev_h * config.bev_w, dims)
        self.query_embedding = nn.Embedding(config.num_query, 2 * dims)

    def forward(
        self, features: Tensor, prev_bev: Tensor, use_prev_bev: Tensor, can_bus: Tensor, geometry: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """features [B, cameras, C, H, W]; can_bus [B, 18]; geometry: lidar2img, or the two that take its place; the
        rest as in `BEVFormer.forward`.
        """
        bev, results = self.transformer(
            features,
            self.bev_embedding.weight,
            self.positional_encoding(),
            self.query_embedding.weight,
            self.reg_branches,
            prev_bev,
            use_prev_bev,
            can_bus,
            geometry,
        )
        classes = [branch(query) for branch, (query, _, _) in zip(self.cls_branches, results, strict=True)]
        coords = [self._boxes(delta, reference) for _, reference, delta in results]
        return bev.transpose(0, 1), torch.stack(classes), torch.stack(coords)

    def _boxes(self, delta, reference):
        """Box regression [B, Q, 10] about reference points [B, Q, 3] in 0..1 -> boxes with their centers in meters."""
        center = torch.cat([delta[..., :2], delta[..., 4:5]], -1) + inverse_sigmoid(reference)
        center = center.sigmoid() * (self.high - self.low) + self.low
        return torch.cat([center[..., :2], delta[..., 2:4], center[..., 2:], delta[..., 5:]], -1)


class BEVFormer(nn.Module):
    """The detector. Frames: LiDAR (meters); the map's columns run along x and its rows along y."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.pts_bbox_head = Head(config)
        self.img_backbone = ResNet(config.depths, config.base_channels)
        self.img_neck = FPN(self.img_backbone.out_channels, config.embed_dims)

    def forward(
        self,
        image: Tensor,
        prev_bev: Tensor,
        use_prev_bev: Tensor,
        can_bus: Tensor,
        lidar2img: Tensor | None = None,
        reference_points_cam: Tensor | None = None,
        bev_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One frame of B independent streams (B = 1 in an exported graph); all tensors float32.

        Args:
            image: [B, 6, 3, H, W], normalized RGB of `config.image_size`.
            prev_bev: [bev_h*bev_w, B, C], `bev_embed` of the previous frame; on a first frame any finite values.
            use_prev_bev: [B], 1 on a frame with history, 0 on the first of a scene.
            can_bus: [B*18]; [0:3] translation (m) and [17] yaw (degrees) since the previous frame, [16] absolute yaw
                (radians).
            lidar2img: [B, 6, 4, 4], LiDAR (x, y, z, 1) to (u*d, v*d, d, 1) in pixels of the scaled image.
            reference_points_cam, bev_mask: in its place where `config.projection` is "inputs", [B*6, cells, 1,
                2*pillar_points] and [B, 6, cells, 1], as `helpers.ops.project_pillars` has them.

        Returns:
            bev_embed [bev_h*bev_w, B, C], outputs_classes [layers, B, queries, classes] logits and outputs_coords
            [layers, B, queries, 10]: cx, cy, log w, log l, cz, log h, sin yaw, cos yaw, vx, vy (meters, LiDAR).
        """
        batch, given = image.shape[0], (lidar2img, reference_points_cam, bev_mask)
        geometry = tuple(tensor for tensor in given if tensor is not None)
        features = self.img_neck(self.img_backbone(image.flatten(0, 1))).unflatten(0, (batch, -1))
        return self.pts_bbox_head(features, prev_bev, use_prev_bev, can_bus.view(batch, 18), geometry)
