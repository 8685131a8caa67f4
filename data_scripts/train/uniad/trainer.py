"""UniAD, its moving average and optimizer, one step at a time."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.train import recipe
from data_scripts.train.omnidrive.stream import Store, Walks
from data_scripts.train.uniad import losses
from helpers import models
from helpers.systems.uniad.common import NONE as NOBODY
from helpers.systems.uniad.common import VEHICLE, Agents, Place, Tracks

WARM_UP = 300  # steps
GENTLE = 0.25  # of the learning rate, for what a detector has learned already
DETECTOR = (
    "pts_bbox_head.transformer.",
    "pts_bbox_head.cls",
    "pts_bbox_head.reg",
    "query_embedding",
    "reference_points",
)
FOUND, HEADS = ("boxes", "map"), {"motion": "motion_head.", "cells": "occ_head.", "plan": "planning_head."}
STAGES = {"tracks": FOUND, "ahead": (*HEADS,), "plan": ("plan",), "all": (*FOUND, *HEADS)}
WEIGHTS = {"boxes": 1.0, "map": 0.5, "motion": 0.2, "cells": 1.0, "plan": 1.0}
LOST = 0.1  # of the carried tracks of a frame, which then have to be found anew
JITTER = 0.2  # of contrast and light
GRADIENT = 35.0  # norm that is cut at
STILL = (0, 1, 2, 17)  # of the CAN bus: motion since the frame before


class Past(NamedTuple):
    """What a frame leaves for the next: its rows with their objects, output [N, C] and scores [N] of the decoder, where
    it was, and its map [cells, 1, C].

    What the next frame asks with is made of them there, so that it learns from what is found with it.
    """  # fmt: skip

    tracks: Tracks
    output: Tensor
    scores: Tensor
    place: Place
    bev: Tensor

    def carried(self, model: Any) -> tuple[Tracks, Place, Tensor]:
        """The rows that begin the next frame, and where and what the map was."""
        return model.remembered(self.tracks, self.output, self.scores), self.place, self.bev


class Trainer(recipe.Resumable):
    """Streams that walk through scenes, each with its own tracks and map, one after the other: UniAD takes one frame.

    A track is a row whose identity is the number of an annotated object: it is learned for as long as that is there.
    """

    def __init__(
        self,
        config: Any,
        store: Store,
        batch: int,
        lr: float,
        seed: int,
        stage: str = "all",
        fixed: tuple[str, ...] = (),
        warm_up: int = WARM_UP,
    ) -> None:
        torch.manual_seed(seed)
        self.config, self.lr, self.step, self.store, self.device = config, lr, 0, store, store.device
        self.learned, self.warm_up = STAGES[stage], warm_up
        self.model = models.create("uniad", config, seed).to(self.device).train()
        self.average = models.create("uniad", config, seed).to(self.device)
        learns = ("",) if "boxes" in self.learned else tuple(HEADS[name] for name in self.learned)
        for name, each in self.model.named_parameters():
            each.requires_grad_(each.requires_grad and name.startswith(learns) and not name.startswith(fixed))
        trained = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        groups: dict[tuple[bool, bool], list[Tensor]] = {}
        for name, each in trained.items():
            groups.setdefault((each.ndim > 1, bool(fixed) and name.startswith(DETECTOR)), []).append(each)
        self.parameters = list(trained.values())
        self.optimizer = torch.optim.AdamW([
            {"params": some, "weight_decay": 0.01 * wide, "share": GENTLE if gentle else 1.0}
            for (wide, gentle), some in groups.items()
        ], lr=lr, fused=True)  # fmt: skip
        self.walks = Walks(store, batch, seed)
        self.states: list[Past | None] = [None] * batch
        weights = self.model.pts_bbox_head.code_weights
        self.weights, self.own = weights.detach(), config.num_query

    def train_step(self, progress: float) -> dict[str, Tensor]:
        """One step on the next frame of every stream; returns the parts of the loss. progress: 0..1 of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * recipe.learning_rate(self.lr, self.step, progress, self.warm_up)
        rows, first = self.walks.next()
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for stream, begins in enumerate(first):
            own = {name: array[stream] for name, array in rows.items()}
            parts, self.states[stream] = self.frame(own, None if begins else self.states[stream])
            loss = sum(WEIGHTS[name] * part for name, part in parts.items()) / len(first)
            loss.backward()
            for name, part in (parts | {"loss": loss * len(first)}).items():
                sums[name] = sums.get(name, 0) + part.detach() / len(first)
        nn.utils.clip_grad_norm_(self.parameters, GRADIENT)
        self.optimizer.step()
        recipe.update_average(self.average, self.model, min(0.9995, (self.step + 1) / (self.step + 10)))
        self.step += 1
        return sums

    def frame(self, rows: dict[str, Tensor], past: Past | None) -> tuple[dict[str, Tensor], Past]:
        """(the parts of the loss of one frame, what the next one begins with)."""
        model, config = self.model, self.config
        feeds = feeds_of(rows, past is None, config, JITTER)
        now = Place(feeds["timestamp"], feeds["l2g_r_mat"], feeds["l2g_t"])
        before, place, bev = past.carried(model) if past else self._nothing(now)
        if "bev" in rows:
            bev, position = rows["bev"].float()[None], model.pts_bbox_head.positional_encoding()
        else:
            bev, position = encoded(model, feeds, bev)
        learns = "boxes" in self.learned
        with torch.set_grad_enabled(learns):
            tracks = model.asked(before, (place, now), feeds["use_prev_bev"])
            lost = torch.rand(len(tracks.ids), device=self.device) < LOST
            tracks = tracks._replace(ids=torch.where(lost & (tracks.ids >= 0), NOBODY, tracks.ids))
            holds = model._holds(tracks)
            levels = model.pts_bbox_head.levels(bev, tracks.query, tracks.points, holds)
            parts, chosen = self._boxes(levels, tracks.ids, holds, rows)
            lanes = losses.lanes_of(model.seg_head, bev)
            if learns:
                parts["map"] = losses.map_loss(model.seg_head, lanes, rows)
        last, scores = levels[-1], torch.where(holds, levels[-1].logits.sigmoid().amax(1), 0)
        tracks = self._followed(tracks, last, chosen, rows)
        if "plan" in self.learned:
            parts |= self._ahead(bev, position, lanes, (tracks, last, scores), feeds, rows)
        left = Past(Tracks(*(each.detach() for each in tracks)), last.output.detach(), scores.detach(), now,
                    bev.detach().transpose(0, 1))  # fmt: skip
        return {name: parts[name] for name in self.learned}, left

    def _nothing(self, now):
        """What a scene begins with."""
        given = self.config.initial_states()
        names = [name for name in given if name in self.config.empty]
        tracks = Tracks(*(torch.from_numpy(given[name]).to(self.device) for name in names))
        return tracks, now, torch.from_numpy(given["prev_bev"]).to(self.device)

    def _boxes(self, levels, ids, holds, rows):
        """({"boxes": the loss of all layers}, which object is each row's by the last of them)."""
        loss = 0
        for found in levels:
            chosen = losses.assigned(found, ids, rows, self.weights, self.own)
            loss = loss + losses.track_loss(found, chosen, holds, rows, self.weights, self.own)
        return {"boxes": loss / len(levels)}, chosen

    def _followed(self, tracks, found, chosen, rows):
        """The rows with the numbers of their objects as identities."""
        numbers = torch.where(chosen >= 0, rows["numbers"][chosen.clamp(min=0)], NOBODY).to(tracks.ids.dtype)
        numbers[self.own] = VEHICLE
        return tracks._replace(ids=numbers, points=found.points.detach(), boxes=found.boxes.detach())

    def _ahead(self, bev, position, lanes, found, feeds, rows):
        """Motion of the objects that are learned, cells of the vehicles among them, and the plan."""
        tracks, last, scores = found
        sure = torch.where(tracks.ids >= 0, scores.clamp(min=self.config.alive_score), scores).detach()
        agents, objects = self.model.handed_on(tracks, last, sure)
        valid = agents.valid  # the rows without an object cost as much as the others
        agents = Agents(*(each[valid] for each in agents))
        _, kept, labels, _, ids = (each[valid[:-1]] for each in objects)
        with torch.set_grad_enabled("motion" in self.learned):
            futures = self.model.motion_head(bev, agents, lanes.asked)
        match = (ids[:, None] == rows["numbers"]) & (ids[:, None] >= 0)
        there, which = match.any(1), match.int().argmax(1)
        paths = torch.where(there[:, None, None], rows["paths"][which], torch.nan)
        own = rows["way"].new_full((1, *paths.shape[1:]), torch.nan)
        own[0, : len(rows["way"])] = rows["way"]
        parts = {"motion": losses.path_loss(futures.paths, futures.log_scores, torch.cat([paths, own]))}
        moving = there & self.model.vehicle[labels]
        parts["cells"] = bev.new_zeros(())
        if "cells" in self.learned and rows["future"] and moving.any():
            vehicles = (each[:-1][moving] for each in (futures.query, agents.query, futures.position))
            cells = self.model.occ_head(bev, tuple(vehicles), kept[moving], moving[moving]).logits
            parts["cells"] = losses.cell_loss(cells, rows["owner"][None] == ids[moving, None, None, None])
        plan = self.model.planning_head(bev, position, futures.query[-1], agents.query[-1], feeds["command"])
        return parts | {"plan": losses.plan_loss(plan[0], rows["way"])}


def feeds_of(rows: dict[str, Tensor], first: bool, config: Any, jitter: float = 0.0) -> dict[str, Tensor]:
    """The network's inputs without the states, of one frame's rows of a store, which may have no pictures."""
    names = ("timestamp", "l2g_r_mat", "l2g_t", "img_metas_lidar2img", "command")
    feeds = {name: rows[name] for name in names}
    motion = rows["img_metas_can_bus"].clone()
    if first:
        motion[list(STILL)] = 0
    feeds |= {"img_metas_can_bus": motion, "use_prev_bev": torch.full((1,), float(not first), device=motion.device)}
    if "picture" in rows:
        pictures = normalized(rows["picture"], config)[None]
        feeds["img"] = recipe.varied(pictures, jitter) if jitter else pictures
    return feeds


def encoded(network: Any, feeds: dict[str, Tensor], bev: Tensor) -> tuple[Tensor, Tensor]:
    """The map of a frame and its position, each [1, cells, C], of its feeds and the map before, [cells, 1, C]."""
    return network.pts_bbox_head.encode(
        network.features(feeds["img"]), bev, feeds["use_prev_bev"],
        feeds["img_metas_can_bus"][None], feeds["img_metas_lidar2img"],
    )  # fmt: skip


def normalized(pictures: Tensor, config: Any) -> Tensor:
    """uint8 [6, h, w, 3] -> float32 [6, 3, H, W] with zeros below and to the right."""
    mean, std = (torch.tensor(each, device=pictures.device) for each in (config.image_mean, config.image_std))
    small = ((pictures.float() - mean) / std).permute(0, 3, 1, 2)
    height, width = config.image_size
    return F.pad(small, (0, width - small.shape[3], 0, height - small.shape[2]))
