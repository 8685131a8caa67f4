"""`helpers.systems.uniad.planning`: where the vehicle should be in the next three seconds."""

import numpy as np

from helpers.engine.definition import Module, Tensor
from helpers.engine.definition.attention import decoder_layer
from helpers.engine.definition.functions import cat
from helpers.engine.definition.layers import conv, linear, normed
from helpers.systems.uniad.config import Config

LAYERS, BLOCKS = 3, 3


def planning_head(
    m: Module, bev: Tensor, position: np.ndarray, vehicle: tuple[Tensor, Tensor], command: Tensor, config: Config
) -> Tensor:
    """`PlanningHead`: bev and position [1, cells, C]; of the vehicle motion's modes [P, C] and query [1, C]; command
    int32 [1] -> [1, T, 2] m.
    """
    modes, query = vehicle
    told = m.navi_embed.constant()[command]
    plan = cat([modes, query.expand(*modes.shape), told.expand(*modes.shape)], -1)
    plan = normed(m.mlp_fuser, plan).amax(0, keepdim=True).unsqueeze(0) + m.pos_embed.array("weight")
    grid = (bev + position).transpose(1, 2).unflatten(2, (config.bev_h, config.bev_w))
    memory = (grid + adapter(m.bev_adapter, grid)).flatten(2).transpose(1, 2)
    for number in range(LAYERS):
        plan = decoder_layer(m.attn_module.layers[number], plan, memory, config.num_heads)
    path = linear(m.reg_branch[2], linear(m.reg_branch[0], plan[0]).relu())
    with m.network.full_precision():
        return path.unflatten(1, (-1, 2)).cumsum(1)


def adapter(m: Module, x: Tensor) -> Tensor:
    """`PlanningHead.bev_adapter`: a residual of [1, C, H, W]."""
    for block in range(BLOCKS):
        x = conv(m[block][2], conv(m[block][0], x).relu())
    return x
