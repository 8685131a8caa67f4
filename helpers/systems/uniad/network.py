"""UniAD (arXiv:2212.10156) in plain PyTorch: tracks, map, motion, occupancy and plan in one forward.

Parameter names and shapes of the configurations "base" and "tiny" are those of the public checkpoints. All shapes are
static: of tracks there are as many rows as may be, and what a row without a track holds is seen by nothing.
"""

import torch
from torch import Tensor, nn

from helpers.layers.encoding import heading
from helpers.layers.resnet import Pyramid, ResNet
from helpers.systems.uniad.bev import Found, TrackHead
from helpers.systems.uniad.common import NONE, RANGE, VEHICLE, Agents, Place, Tracks
from helpers.systems.uniad.config import Config
from helpers.systems.uniad.lanes import MapHead
from helpers.systems.uniad.memory import MemoryBank, QueryInteraction
from helpers.systems.uniad.motion import MotionHead
from helpers.systems.uniad.occupancy import OccupancyHead
from helpers.systems.uniad.planning import PlanningHead
from helpers.systems.uniad.tracks import aged, first, fresh, moved

CENTER, EXTENT = (0, 1, 4), (2, 3, 5)  # where a box code has x, y, z and the logarithms of w, l, h


class Criterion(nn.Module):
    """What the public checkpoint holds of its loss: weights of the box code. Read by nothing."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.register_buffer("code_weights", torch.tensor([1.0] * (config.code_size - 2) + [0.2] * 2))


class UniAD(nn.Module):
    """One frame of one stream. Frame: LiDAR (meters); the map's columns run along x and its rows along y."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.pts_bbox_head = TrackHead(config)
        self.img_backbone = ResNet(config.depths, config.base_channels, config.caffe, config.deformable)
        planes = [4 * config.base_channels * 2**stage for stage in config.picked]
        self.img_neck = Pyramid(planes, config.embed_dims, config.num_feature_levels)
        self.query_embedding = nn.Embedding(config.num_query + 1, 2 * config.embed_dims)
        self.reference_points = nn.Linear(config.embed_dims, 3)
        self.query_interact, self.memory_bank = QueryInteraction(config), MemoryBank(config)
        self.criterion = Criterion(config)
        self.seg_head, self.motion_head = MapHead(config), MotionHead(config)
        self.occ_head, self.planning_head = OccupancyHead(config), PlanningHead(config)
        groups = {kind: number for number, group in enumerate(config.groups) for kind in group}
        kinds = range(config.num_classes)
        self.register_buffer("group", torch.tensor([groups[kind] for kind in kinds]), persistent=False)
        self.register_buffer("vehicle", torch.tensor([kind in config.vehicles for kind in kinds]), persistent=False)
        self.register_buffer("range", torch.tensor(RANGE), persistent=False)
        self.register_buffer("center", torch.tensor(CENTER), persistent=False)
        self.register_buffer("extent", torch.tensor(EXTENT), persistent=False)

    def forward(
        self,
        prev_track_intances0: Tensor,
        prev_track_intances1: Tensor,
        prev_track_intances3: Tensor,
        prev_track_intances4: Tensor,
        prev_track_intances5: Tensor,
        prev_track_intances6: Tensor,
        prev_track_intances8: Tensor,
        prev_track_intances9: Tensor,
        prev_track_intances11: Tensor,
        prev_track_intances12: Tensor,
        prev_track_intances13: Tensor,
        prev_timestamp: Tensor,
        prev_l2g_r_mat: Tensor,
        prev_l2g_t: Tensor,
        prev_bev: Tensor,
        timestamp: Tensor,
        l2g_r_mat: Tensor,
        l2g_t: Tensor,
        img: Tensor,
        img_metas_can_bus: Tensor,
        img_metas_lidar2img: Tensor,
        command: Tensor,
        use_prev_bev: Tensor,
        max_obj_id: Tensor,
    ) -> tuple[Tensor, ...]:
        """Args: as `Config.input_shapes` has them, spelled as in the public graph.

            prev_track_intances0..13: the fields of `Tracks`; of the first `num_query` + 1 rows nothing is read.
            timestamp: s. l2g_r_mat, l2g_t: from the LiDAR frame to the map, x_map = x @ l2g_r_mat + l2g_t, m.
            img: [1, cameras, 3, H, W]. img_metas_can_bus: [18], position (m) and yaw (degrees) relative to the previous
            frame. img_metas_lidar2img: into pixels of the network's picture. command: 0 right, 1 left, 2 forward.
            use_prev_bev: 0 where a scene begins: nothing of the states is read then but max_obj_id.

        Returns:
            The tensors of `Config.output_shapes`, in its order.
        """  # fmt: skip
        before = Tracks(
            prev_track_intances0, prev_track_intances1, prev_track_intances3, prev_track_intances4,
            prev_track_intances5, prev_track_intances6, prev_track_intances8, prev_track_intances9,
            prev_track_intances11, prev_track_intances12, prev_track_intances13,
        )  # fmt: skip
        places = Place(prev_timestamp, prev_l2g_r_mat, prev_l2g_t), Place(timestamp, l2g_r_mat, l2g_t)
        use = use_prev_bev.to(img.dtype)
        bev, position = self.pts_bbox_head.encode(
            self.features(img), prev_bev, use, img_metas_can_bus[None], img_metas_lidar2img
        )
        tracks = self.asked(before, places, use)
        found = self.pts_bbox_head.levels(bev, tracks.query, tracks.points, self._holds(tracks))[-1]
        tracks, scores, newest = self.lived(tracks, found, max_obj_id)
        agents, objects = self.handed_on(tracks, found, scores)
        boxes, kept_scores, labels, place, ids = objects
        return (
            *self.remembered(tracks, found.output, scores), *(each.clone() for each in places[1]), bev.transpose(0, 1),
            boxes, kept_scores, labels.to(torch.int32), place, ids, newest,
            *self.ahead(bev, position, agents, (kept_scores, labels, ids), command),
        )  # fmt: skip

    def ahead(
        self, bev: Tensor, position: Tensor, agents: Agents, objects: tuple[Tensor, Tensor, Tensor], command: Tensor
    ) -> tuple[Tensor, ...]:
        """What the heads behind the tracks say: the outputs from `lane_masks` on.

        bev and its position [1, cells, C]; objects: scores, labels and identities of `handed_on`.
        """
        scores, labels, ids = objects
        lanes = self.seg_head(bev)
        futures = self.motion_head(bev, agents, (lanes.query, lanes.position))
        moving = (ids >= 0) & self.vehicle[labels]
        vehicles = futures.query[:-1], agents.query[:-1], futures.position[:-1]
        occupancy = self.occ_head(bev, vehicles, scores, moving)
        plan = self.planning_head(bev, position, futures.query[-1], agents.query[-1], command)
        return (
            lanes.masks, lanes.scores, lanes.classes.to(torch.int32), lanes.drivable,
            futures.paths, futures.log_scores, occupancy.occupied, occupancy.owner, plan,
        )  # fmt: skip

    def features(self, img: Tensor) -> list[Tensor]:
        """img [1, cameras, 3, H, W] -> of every level [1, cameras, C, h, w]."""
        stages = self.img_backbone.stages(img[0])
        return [level[None] for level in self.img_neck([stages[stage] for stage in self.config.picked])]

    def asked(self, before: Tracks, places: tuple[Place, Place], use: Tensor) -> Tracks:
        """The rows of this frame: fresh ones, then those carried on from `before`, moved to where they are now."""
        learned, own = self.query_embedding.weight, self.config.num_query + 1
        new = fresh(learned, self.reference_points(learned[:, : learned.shape[1] // 2]), self.config.slots)
        carried = Tracks(*(each[own:] for each in before))
        points = self.reference_points(carried.query[:, : learned.shape[1] // 2])
        ahead = moved(carried.points, carried.boxes[:, -2:], *places, self.pts_bbox_head.bounds)
        points = torch.cat([ahead.to(points.dtype), points[:, 2:]], 1)
        return new.then(carried._replace(points=points, ids=torch.where(use > 0, carried.ids, NONE)), torch.cat)

    def _holds(self, tracks):
        """bool [N]: the fresh rows, and the carried ones that have a track."""
        row = torch.arange(len(tracks.ids), device=tracks.ids.device)
        return (row <= self.config.num_query) | (tracks.ids >= 0)

    def lived(self, tracks: Tracks, found: Found, newest: Tensor) -> tuple[Tracks, Tensor, Tensor]:
        """Births and deaths: the rows with what was found of them, their scores [N], and the next identity."""
        row = torch.arange(len(tracks.ids), device=tracks.ids.device)
        scores = torch.where(self._holds(tracks), found.logits.sigmoid().amax(1), 0)
        ids = torch.where(row == self.config.num_query, VEHICLE, tracks.ids)
        tracks = tracks._replace(points=found.points, boxes=found.boxes, ids=ids)
        tracks, newest = aged(tracks, scores, newest, self.config)
        return tracks, scores, newest

    def handed_on(
        self, tracks: Tracks, found: Found, scores: Tensor
    ) -> tuple[Agents, tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """What the other heads take: tracks that were seen, best first, and last the vehicle itself.

        Returns the agents, and of the objects without the vehicle boxes [A, 9], scores [A], labels [A] int64, and
        int32 [A], -1 where there is none, places among those seen in the order of rows, and identities.
        """
        seen = (tracks.ids >= 0) & (scores >= self.config.alive_score)
        row = torch.arange(len(scores), device=scores.device)
        best, rows = torch.where(seen, scores, -1 - row.to(scores.dtype)).topk(self.config.carried)  # no two alike
        boxes = self._decoded(tracks.boxes[rows])
        valid = (best >= 0) & (boxes[:, :3].abs() <= self.range).all(1)
        vehicle = self.config.num_query
        rows = torch.cat([rows, rows.new_full((1,), vehicle)])
        boxes = torch.cat([boxes, self._decoded(tracks.boxes[vehicle : vehicle + 1])])
        labels = found.logits[rows].argmax(1)
        agents = Agents(
            found.output[rows], boxes[:, :2], boxes[:, 6], self.group[labels],
            torch.cat([valid, torch.ones_like(valid[:1])]),
        )  # fmt: skip
        ids = torch.where(valid, tracks.ids[rows[:-1]], NONE)
        place = torch.where(valid, seen.to(torch.int32).cumsum(0, dtype=torch.int32)[rows[:-1]] - 1, NONE)
        return agents, (boxes[:-1], torch.where(valid, best, 0), labels[:-1], place, ids)

    def remembered(self, tracks: Tracks, output: Tensor, scores: Tensor) -> Tracks:
        """The state of the next frame: fresh rows, then the living tracks in their order."""
        learned, count = self.query_embedding.weight, self.config.carried
        tracks, output = self.memory_bank(tracks, output, scores)
        living = tracks.ids >= 0
        rows = first(living, count)
        kept = tracks.taken(rows)
        kept = kept._replace(ids=torch.where(living[rows], kept.ids, NONE))
        kept = kept._replace(query=self.query_interact(kept.query, output[rows], kept.ids >= 0))
        new = fresh(learned, self.reference_points(learned[:, : learned.shape[1] // 2]), self.config.slots)
        return new.then(kept, torch.cat)

    def _decoded(self, code):
        """Box codes [N, 10] -> x, y, z, w, l, h (m), yaw (rad), vx, vy (m/s), [N, 9]; the yaw is the code's own."""
        center, size = code[:, self.center], code[:, self.extent].exp()
        return torch.cat([center, size, heading(code[:, 6:7], code[:, 7:8]), code[:, 8:]], 1)
