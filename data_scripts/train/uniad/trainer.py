"""UniAD, its moving average and optimizer, one step at a time."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_scripts.train import recipe
from data_scripts.train.omnidrive.stream import Store, Walks
from data_scripts.train.uniad import losses
from helpers import models
from helpers.systems.uniad.tracks import NONE as NOBODY
from helpers.systems.uniad.tracks import VEHICLE, Place, Tracks

WARM_UP = 300  # steps
STAGES = {"tracks": ("boxes", "map"), "all": ("boxes", "map", "motion", "cells", "plan")}
WEIGHTS = {"boxes": 1.0, "map": 0.5, "motion": 0.2, "cells": 1.0, "plan": 1.0}
LOST = 0.1  # of the carried tracks of a frame, which then have to be found anew
JITTER = 0.2  # of contrast and light
GRADIENT = 35.0  # norm that is cut at
STILL = (0, 1, 2, 17)  # of the CAN bus: motion since the frame before


class Trainer(recipe.Resumable):
    """Streams that walk through scenes, each with its own tracks and map, one after the other: UniAD takes one frame.

    A track is a row whose identity is the number of an annotated object: it is learned for as long as that is there.
    """

    def __init__(self, config: Any, store: Store, batch: int, lr: float, seed: int, stage: str = "all") -> None:
        torch.manual_seed(seed)
        self.config, self.lr, self.step, self.store, self.device = config, lr, 0, store, store.device
        self.learned = STAGES[stage]
        self.model = models.create("uniad", config, seed).to(self.device).train()
        self.average = models.create("uniad", config, seed).to(self.device)
        trained = [each for each in self.model.parameters() if each.requires_grad]
        groups = [{"params": [each for each in trained if (each.ndim > 1) is wide], "weight_decay": decay}
                  for wide, decay in ((True, 0.01), (False, 0.0))]  # fmt: skip
        self.parameters = trained
        self.optimizer = torch.optim.AdamW(groups, lr=lr, fused=self.device.type == "cuda")
        self.walks = Walks(store, batch, seed)
        self.states: list[tuple[Tracks, Place, Tensor] | None] = [None] * batch
        weights = self.model.pts_bbox_head.code_weights
        self.weights, self.own = weights.detach(), config.num_query

    def train_step(self, progress: float) -> dict[str, Tensor]:
        """One step on the next frame of every stream; returns the parts of the loss. progress: 0..1 of the schedule."""
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.lr, self.step, progress, WARM_UP)
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

    def frame(
        self, rows: dict[str, Tensor], past: tuple[Tracks, Place, Tensor] | None
    ) -> tuple[dict[str, Tensor], tuple[Tracks, Place, Tensor]]:
        """(the parts of the loss of one frame, what the next one begins with)."""
        model, config = self.model, self.config
        feeds = feeds_of(rows, past is None, config, JITTER)
        now = Place(feeds["timestamp"], feeds["l2g_r_mat"], feeds["l2g_t"])
        use = feeds["use_prev_bev"]
        before, place, bev = past or self._nothing(now)
        bev, position = model.pts_bbox_head.encode(
            model.features(feeds["img"]), bev, use, feeds["img_metas_can_bus"][None], feeds["img_metas_lidar2img"]
        )
        tracks = model.asked(before, (place, now), use)
        lost = torch.rand(len(tracks.ids), device=self.device) < LOST
        tracks = tracks._replace(ids=torch.where(lost & (tracks.ids >= 0), NOBODY, tracks.ids))
        holds = model._holds(tracks)
        levels = model.pts_bbox_head.levels(bev, tracks.query, tracks.points, holds)
        parts, chosen = self._boxes(levels, tracks.ids, holds, rows)
        parts["map"], query, lane_position = losses.map_loss(model.seg_head, bev, rows)
        tracks = self._followed(tracks, levels[-1], chosen, rows)
        scores = torch.where(holds, levels[-1].logits.sigmoid().amax(1), 0)
        if len(self.learned) > 2:
            parts |= self._ahead(bev, position, (query, lane_position), (tracks, levels[-1], scores), feeds, rows)
        kept = model.remembered(tracks, levels[-1].output, scores)
        state = Tracks(*(each.detach() for each in kept))
        return {name: parts[name] for name in self.learned}, (state, now, bev.detach().transpose(0, 1))

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
        agents, (_, kept, labels, _, ids) = self.model.handed_on(tracks, last, sure)
        futures = self.model.motion_head(bev, agents, lanes)
        match = (ids[:, None] == rows["numbers"]) & (ids[:, None] >= 0)
        there, which = match.any(1), match.int().argmax(1)
        paths = torch.where(there[:, None, None], rows["paths"][which], torch.nan)
        own = rows["way"].new_full((1, *paths.shape[1:]), torch.nan)
        own[0, : len(rows["way"])] = rows["way"]
        parts = {"motion": losses.path_loss(futures.paths, futures.log_scores, torch.cat([paths, own]))}
        moving = there & self.model.vehicle[labels]
        vehicles = futures.query[:-1], agents.query[:-1], futures.position[:-1]
        cells = self.model.occ_head(bev, vehicles, kept, moving).logits
        masks = rows["owner"][None] == ids[:, None, None, None]
        learned = moving & rows["future"]
        parts["cells"] = losses.cell_loss(cells[learned], masks[learned])
        plan = self.model.planning_head(bev, position, futures.query[-1], agents.query[-1], feeds["command"])
        return parts | {"plan": losses.plan_loss(plan[0], rows["way"])}


def feeds_of(rows: dict[str, Tensor], first: bool, config: Any, jitter: float = 0.0) -> dict[str, Tensor]:
    """The network's inputs without the states, of one frame's rows of a store."""
    names = ("timestamp", "l2g_r_mat", "l2g_t", "img_metas_lidar2img", "command")
    feeds = {name: rows[name] for name in names}
    motion = rows["img_metas_can_bus"].clone()
    if first:
        motion[list(STILL)] = 0
    pictures = normalized(rows["picture"], config)
    use = torch.full((1,), float(not first), device=motion.device)
    return feeds | {
        "img": recipe.varied(pictures[None], jitter) if jitter else pictures[None],
        "img_metas_can_bus": motion,
        "use_prev_bev": use,
    }


def normalized(pictures: Tensor, config: Any) -> Tensor:
    """uint8 [6, h, w, 3] -> float32 [6, 3, H, W] with zeros below and to the right."""
    mean, std = (torch.tensor(each, device=pictures.device) for each in (config.image_mean, config.image_std))
    small = ((pictures.float() - mean) / std).permute(0, 3, 1, 2)
    height, width = config.image_size
    return F.pad(small, (0, width - small.shape[3], 0, height - small.shape[2]))
