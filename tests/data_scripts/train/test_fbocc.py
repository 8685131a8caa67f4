"""Training of the mini FB-OCC: its losses by hand, its targets, and a few steps."""

import numpy as np
import pytest
import torch

from data_scripts.train.fbocc import frames, loss
from data_scripts.train.fbocc.trainer import Trainer
from helpers.dataset import open_dataset
from tests.helpers.systems.fbocc.tiny import TINY


def test_lovasz_is_one_minus_the_iou_of_hard_predictions():
    target = torch.tensor([1, 1, 1, 2, 2, 5])
    found = torch.tensor([1, 1, 2, 2, 2, 1])
    hard = torch.nn.functional.one_hot(found, 19).float()
    # class 1: 2 of 4, class 2: 2 of 3, class 5: 0 of 1
    expected = (1 - 2 / 4 + 1 - 2 / 3 + 1 - 0) / 3
    assert loss.lovasz_softmax(hard, target).item() == pytest.approx(expected)
    perfect = torch.nn.functional.one_hot(target, 19).float()
    assert loss.lovasz_softmax(perfect, target).item() == pytest.approx(0)


def test_only_what_cameras_see_is_in_the_loss():
    logits = torch.zeros(1, 19, 4, 4, 2)
    labels = torch.full((1, 4, 4, 2), frames.UNSEEN, dtype=torch.uint8)
    labels[0, 3, 1, 0] = 4  # x, y, z
    logits[0, 5, 1, 3, 0] = 50.0  # class 4 at y, x, z
    weights = torch.ones(19)
    assert loss.occupancy_loss(logits, labels, weights).item() == pytest.approx(0, abs=1e-5)
    logits[0, 5, 1, 3, 0], logits[0, 5, 3, 1, 0] = 0, 50.0
    assert loss.occupancy_loss(logits, labels, weights).item() > 1


def test_depth_loss_is_the_likelihood_of_the_bin_where_the_lidar_saw_something():
    depth = torch.tensor([0.2, 0.3, 0.5]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    bins = torch.tensor([[[2, -1]]])
    assert loss.depth_loss(depth, bins).item() == pytest.approx(-np.log(0.5))


def test_depth_bins_are_of_the_nearest_point_in_a_cell(minidrive):
    frame = open_dataset(minidrive)[0]
    camera = np.linalg.inv(frame.lidar2cam[0])
    points = np.stack([camera @ (0, 0, depth, 1) for depth in (30.0, 11.0, 1.0, 90.0)])[:, :3]  # ahead of CAM_FRONT
    found = frames.depth_bins(points, frame, TINY)
    assert found.shape == (6, *TINY.feature_size) and (found[[0, 3, 4, 5]] == -1).all()
    assert found[1].max() == 2 and (found[1] >= 0).sum() == 1  # 11 m, in the third bin of 4 m from 2 m on


def test_a_few_steps_lower_the_loss(minidrive):
    scenes = frames.load_scenes(minidrive, TINY, 1)
    assert [len(scene) for scene in scenes] == [4, 4] and scenes[0][0]["labels"].shape == (200, 200, 16)
    trainer = Trainer(TINY, scenes, 2, 3e-3, 0, torch.device("cpu"))
    losses = [trainer.train_step(0.0).sum().item() for _ in range(8)]
    assert np.isfinite(losses).all() and np.mean(losses[-3:]) < np.mean(losses[:3])
    assert trainer.states["history_bev"].shape[0] == 2 and trainer.states["history_sweep_time"].max() > 0
