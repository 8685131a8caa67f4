"""The motion head: where every object, and the vehicle, may go, in several modes."""

import math

import torch
from torch import Tensor, nn

from helpers.layers.attention import FeedForward
from helpers.layers.branches import class_branch, regression_branch
from helpers.layers.encoding import sine
from helpers.layers.transformer import DecoderLayer, EncoderLayer
from helpers.ops.ms_deform_attn import ms_deform_attn
from helpers.systems.uniad import anchors
from helpers.systems.uniad.common import ABOUT_PI, Agents, Futures
from helpers.systems.uniad.config import Config

RAYS = 4  # points about an end, of each group


class EndAttention(nn.Module):
    """Deformable attention about the end of a path: a group of points for each step, all about that end."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, heads, steps = config.embed_dims, config.num_heads, config.motion_steps
        self.heads, self.steps, self.shape = heads, steps, (config.bev_h, config.bev_w)
        self.sampling_offsets = nn.Linear(dims, heads * steps * RAYS * 2)
        self.attention_weights = nn.Linear(dims, heads * steps * RAYS)
        self.value_proj = nn.Linear(dims, dims)
        self.output_proj = nn.Sequential(nn.Linear(steps * dims, dims), nn.LayerNorm(dims), nn.ReLU())
        self._initialize()

    def _initialize(self):
        """Offsets start as rays, one direction per head, one step further per point."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], -1)
        rays = (rays / rays.abs().amax(-1, keepdim=True))[:, None, None] * torch.arange(1.0, RAYS + 1)[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(rays.expand(-1, self.steps, -1, -1).flatten())
        for parameter in (self.sampling_offsets.weight, *self.attention_weights.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, query: Tensor, position: Tensor, bev: Tensor, ends: Tensor) -> Tensor:
        """query and position [A, P, C], bev [1, cells, C], ends [A, P, 2] in map units -> [A, P, C]."""
        asking = (query + position).flatten(0, 1)
        offsets, logits = (
            layer(asking).unflatten(1, (self.heads, self.steps, -1)).transpose(1, 2).flatten(0, 1)[None]
            for layer in (self.sampling_offsets, self.attention_weights)
        )
        places = ends.flatten(0, 1)[:, None].expand(-1, self.steps, -1).flatten(0, 1)[None, :, None]
        value = self.value_proj(bev).unflatten(2, (self.heads, -1))
        attended = ms_deform_attn(value, [self.shape], places, offsets, logits)
        return self.output_proj(attended[0].flatten(1).view(*query.shape[:2], -1)) + query


class EndLayer(nn.Module):
    """Attention about the end of a path and feed-forward; a LayerNorm after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([EndAttention(config)])
        self.ffns = nn.ModuleList([FeedForward(config.embed_dims, config.ffn_dims)])
        self.norms = nn.ModuleList(nn.LayerNorm(config.embed_dims) for _ in range(2))

    def forward(self, query: Tensor, position: Tensor, bev: Tensor, ends: Tensor) -> Tensor:
        query = self.norms[0](self.attentions[0](query, position, bev, ends))
        return self.norms[1](self.ffns[0](query))


class Interaction(nn.Module):
    """A layer of torch's transformer under the public name."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.interaction_transformer = layer


class MotionFormer(nn.Module):
    """Modes of every object that look at other objects, at lanes and at the map where they end."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, heads, layers = config.embed_dims, config.num_heads, config.motion_layers
        wide = 2 * dims
        self.intention_interaction_layers = Interaction(EncoderLayer(dims, heads, wide))
        self.track_agent_interaction_layers, self.map_interaction_layers = (
            nn.ModuleList(Interaction(DecoderLayer(dims, heads, wide)) for _ in range(layers)) for _ in range(2)
        )
        self.bev_interaction_layers = nn.ModuleList(EndLayer(config) for _ in range(layers))
        self.static_dynamic_fuser, self.in_query_fuser = fuser(wide, wide, dims), fuser(wide, wide, dims)
        self.dynamic_embed_fuser, self.out_query_fuser = fuser(3 * dims, wide, dims), fuser(4 * dims, wide, dims)

    def layer(
        self,
        number: int,
        query: Tensor,
        objects: tuple[Tensor, Tensor, Tensor],
        lanes: Tensor,
        bev: Tensor,
        ends: Tensor,
    ) -> Tensor:
        """query [A, P, C]; objects: content and position [A, C], and which are valid; lanes [1, L, C] with their
        position; ends [A, P, 2] in map units -> [A, P, C].
        """
        content, position, valid = objects
        keys, place = (content + position)[None], position[:, None].expand_as(query)
        agents = self.track_agent_interaction_layers[number].interaction_transformer(query + place, keys, valid)
        roads = self.map_interaction_layers[number].interaction_transformer(query + place, lanes)
        around = self.bev_interaction_layers[number](query, place, bev, ends)
        return self.out_query_fuser(torch.cat([agents, roads, around, keys[0][:, None].expand_as(query)], -1))


class MotionHead(nn.Module):
    """Paths of one frame. The anchors, by group of classes, are no part of a checkpoint: `set_anchors`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, layers, modes = config.embed_dims, config.motion_layers, config.modes
        self.config, self.modes = config, modes
        self.learnable_motion_query_embedding = nn.Embedding(modes * len(config.groups), dims)
        self.motionformer = MotionFormer(config)
        fused = nn.Linear(dims * config.decoder_layers, dims), nn.LayerNorm(dims), nn.ReLU()
        self.layer_track_query_fuser = nn.Sequential(*fused)  # of the public checkpoint; read by nothing
        for name in ("agent_level", "scene_level_ego", "scene_level_offset"):
            setattr(self, f"{name}_embedding_layer", fuser(dims, 2 * dims, dims))
        self.boxes_query_embedding_layer = fuser(dims, 2 * dims, dims)
        self.traj_cls_branches = nn.ModuleList(class_branch(dims, 1, rare=False) for _ in range(layers))
        steps = 5 * config.motion_steps
        self.traj_reg_branches = nn.ModuleList(regression_branch(dims, steps) for _ in range(layers))
        self.register_buffer("anchors", torch.from_numpy(anchors.plain(config)), persistent=False)
        bounds = torch.tensor(config.pc_range)
        self.register_buffer("low", bounds[:2], persistent=False)
        self.register_buffer("size", bounds[3:5] - bounds[:2], persistent=False)

    def set_anchors(self, values: object) -> None:
        """Take anchors [groups, modes, steps, 2] in m, such as the public k-means centers, from NumPy."""
        self.anchors.copy_(torch.from_numpy(anchors.checked(values, self.config)))

    def forward(self, bev: Tensor, agents: Agents, lanes: tuple[Tensor, Tensor]) -> Futures:
        """bev [1, cells, C]; lanes: queries and positions [1, L, C]."""
        position = self.boxes_query_embedding_layer(self._place(agents.center))
        ends = self.anchors[:, :, -1][agents.group]  # [A, P, 2], of the object's own frame
        agent = self.agent_level_embedding_layer(self._place(ends))
        offset_end = rotated(ends, agents.yaw - ABOUT_PI)
        offset, ego = self._scene(offset_end, agents.center)
        learned = self.learnable_motion_query_embedding.weight.unflatten(0, (-1, self.modes))[agents.group]
        former = self.motionformer
        agent = former.intention_interaction_layers.interaction_transformer(agent)
        static, query = agent + offset + learned, torch.zeros_like(agent)
        objects, lane = (agents.query, position, agents.valid), lanes[0] + lanes[1]
        for number, branch in enumerate(self.traj_reg_branches):
            dynamic = former.dynamic_embed_fuser(torch.cat([agent, offset, ego], -1))
            intention = former.static_dynamic_fuser(torch.cat([static, dynamic], -1))
            query = former.in_query_fuser(torch.cat([query, intention], -1))
            ends = (offset_end + agents.center[:, None] - self.low) / self.size
            query = former.layer(number, query, objects, lane, bev, ends)
            path = branch(query).unflatten(2, (-1, 5))
            offset_end = path[..., :2].sum(2).detach()
            agent = self.agent_level_embedding_layer(self._place(rotated(offset_end, ABOUT_PI - agents.yaw)))
            offset, ego = self._scene(offset_end, agents.center)
        mean, (deviation, correlation) = path[..., :2].cumsum(2), path[..., 2:].split([2, 1], -1)
        paths = torch.cat([mean, deviation.exp(), correlation.tanh()], -1)
        scores = self.traj_cls_branches[-1](query)[..., 0].log_softmax(1)
        return Futures(paths, scores, query, position)

    def _scene(self, ends, centers):
        """Embeddings of ends [A, P, 2] relative to the center, and of where they are."""
        offset = self.scene_level_offset_embedding_layer(self._place(ends))
        return offset, self.scene_level_ego_embedding_layer(self._place(ends + centers[:, None]))

    def _place(self, points):
        """Points [..., 2] in m as sines [..., C], y first."""
        return torch.cat([sine(axis, self.config.embed_dims // 2) for axis in self._shares(points)], -1)

    def _shares(self, points):
        return ((points - self.low) / self.size).flip(-1).split(1, -1)


def rotated(points: Tensor, angles: Tensor) -> Tensor:
    """[A, P, 2] turned counter-clockwise by angles [A] in rad."""
    sine_, cosine = angles.sin()[:, None], angles.cos()[:, None]
    x, y = points.unbind(-1)
    return torch.stack([cosine * x - sine_ * y, sine_ * x + cosine * y], -1)


def fuser(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
