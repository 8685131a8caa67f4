"""The planning head: where the vehicle should be in the next three seconds."""

import torch
from torch import Tensor, nn

from helpers.layers.transformer import DecoderLayer
from helpers.systems.uniad.config import Config

LAYERS, BLOCKS, COMMANDS = 3, 3, 3  # commands: right, left, forward


class Layers(nn.Module):
    """Layers under the public name."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.embed_dims
        self.layers = nn.ModuleList(DecoderLayer(dims, config.num_heads, 2 * dims) for _ in range(LAYERS))


class PlanningHead(nn.Module):
    """A path of one frame, before anything is done about collisions."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.embed_dims
        self.bev_size = config.bev_h, config.bev_w
        self.navi_embed, self.pos_embed = nn.Embedding(COMMANDS, dims), nn.Embedding(1, dims)
        self.reg_branch = nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 2 * config.plan_steps))
        self.attn_module = Layers(config)
        self.mlp_fuser = nn.Sequential(nn.Linear(3 * dims, dims), nn.LayerNorm(dims), nn.ReLU())
        blocks = (
            nn.Sequential(nn.Conv2d(dims, dims // 2, 3, padding=1), nn.ReLU(), nn.Conv2d(dims // 2, dims, 1))
            for _ in range(BLOCKS)
        )
        self.bev_adapter = nn.Sequential(*blocks)

    def forward(self, bev: Tensor, position: Tensor, modes: Tensor, query: Tensor, command: Tensor) -> Tensor:
        """Args:
            bev, position: [1, cells, C]. modes: [P, C], of the vehicle's motion. query: [C], of the vehicle itself.
            command: [1]: 0 right, 1 left, 2 forward.

        Returns:
            [1, T, 2] m, x and y in the LiDAR frame, half a second apart.
        """  # fmt: skip
        told = self.navi_embed(command.long())
        plan = torch.cat([modes, query.detach().expand_as(modes), told.expand_as(modes)], -1)
        plan = self.mlp_fuser(plan).amax(0, keepdim=True)[None] + self.pos_embed.weight
        grid = (bev + position).transpose(1, 2).unflatten(2, self.bev_size)
        memory = (grid + self.bev_adapter(grid)).flatten(2).transpose(1, 2)
        for layer in self.attn_module.layers:
            plan = layer(plan, memory)
        return self.reg_branch(plan[0]).unflatten(1, (-1, 2)).cumsum(1)
