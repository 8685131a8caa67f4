"""Training pieces of BEVFormer that have to agree with what is deployed."""

import numpy as np
import pytest
import torch

from data_scripts.train.bevformer import frames, loss
from data_scripts.train.bevformer.gathered_attention import GatheredCrossAttention, gather_visible
from helpers.layers.attention import SpatialCrossAttention
from helpers.models import create
from helpers.systems.bevformer.config import CONFIGS

CONFIG = CONFIGS["mini"]


def attention_inputs(seen):
    """Two streams, three cameras, 60 queries of which a camera sees `seen`."""
    generator = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    mask = torch.zeros(2, 3, 60, 1)
    for camera in range(3):
        mask[:, camera, 10 * camera : 10 * camera + seen] = 0.5
    return random(2, 60, 32), random(6, 20, 32), random(6, 60, 1, 8), mask, (4, 5)


@pytest.fixture(scope="module")
def attention():
    torch.manual_seed(0)
    module = SpatialCrossAttention(32, 2, 8).eval()
    torch.nn.init.normal_(module.deformable_attention.sampling_offsets.weight, std=0.1)
    torch.nn.init.normal_(module.deformable_attention.attention_weights.weight, std=0.1)
    return module


@pytest.mark.parametrize(("seen", "equal"), [(20, True), (24, False)])
def test_gathered_attention_equals_masked_while_no_camera_sees_more_than_it_keeps(attention, monkeypatch, seen, equal):
    monkeypatch.setattr(GatheredCrossAttention, "keep", 20)
    inputs = attention_inputs(seen)
    expected = attention(*inputs)
    monkeypatch.setattr(attention, "__class__", GatheredCrossAttention)
    gathered = attention(*inputs)
    assert torch.allclose(gathered, expected, atol=1e-6) is equal


def test_gather_visible_switches_every_encoder_layer():
    model = gather_visible(create("bevformer", "mini"))
    assert sum(isinstance(module, GatheredCrossAttention) for module in model.modules()) == CONFIG.encoder_layers


def item(centers, labels):
    boxes = np.zeros((len(labels), 10), np.float32)
    boxes[:, :2] = centers
    return {"boxes": boxes, "labels": np.array(labels, np.int64)}


def test_heatmap_peaks_at_the_cell_of_the_target_in_rows_of_y():
    heat = loss.heatmap_target([item([(1.1, 21.6)], [3]), item([(-51.0, -51.0)], [0])], CONFIG, torch.device("cpu"))
    assert heat.shape == (2, 10, 50, 50)
    assert np.unravel_index(heat[0, 3].argmax(), (50, 50)) == (35, 25)
    assert np.unravel_index(heat[1, 0].argmax(), (50, 50)) == (0, 0)
    assert heat[0, [c for c in range(10) if c != 3]].max() == 0


def test_loss_prefers_the_right_box_and_class_and_ignores_which_query_holds_it():
    targets = [item([(10.0, 5.0), (-20.0, 8.0)], [0, 8])]
    logits, boxes = torch.full((1, 1, 6, 10), -4.0), torch.full((1, 1, 6, 10), 30.0)
    for query, row in ((4, 0), (1, 1)):
        logits[0, 0, query, targets[0]["labels"][row]] = 4.0
        boxes[0, 0, query] = torch.from_numpy(targets[0]["boxes"][row])
    right = loss.detection_loss(logits, boxes, targets, map_pool())
    permuted = loss.detection_loss(
        logits[:, :, [1, 0, 3, 2, 5, 4]], boxes[:, :, [1, 0, 3, 2, 5, 4]], targets, map_pool()
    )
    wrong = loss.detection_loss(logits, boxes + 2.0, targets, map_pool())
    assert right < 0.1
    assert torch.isclose(right, permuted)
    assert torch.isclose(wrong - right, torch.tensor(0.25 * (8 * 2.0 + 2 * 0.4)), atol=1e-4)


class map_pool:
    """Stands in for the thread pool: maps in the calling thread."""

    @staticmethod
    def map(function, values):
        return map(function, values)


def test_a_walk_without_history_gets_no_motion():
    items = [{"can_bus": np.arange(1, 19, dtype=np.float32)} for _ in range(2)]
    vectors = frames.can_bus_batch(items, torch.tensor([True, False])).view(2, 18)
    assert vectors[0, [0, 1, 2, 17]].abs().max() == 0
    assert torch.equal(vectors[0, 3:17], torch.arange(4.0, 18.0))
    assert torch.equal(vectors[1], torch.arange(1.0, 19.0))


def test_padding_stays_zero_when_the_light_varies():
    torch.manual_seed(0)
    images = torch.ones(1, 6, 3, 225, 400, dtype=torch.float16)
    padded = frames.prepare_images(images, CONFIG)
    assert padded.shape == (1, 6, 3, 256, 416)
    assert padded[..., 225:, :].abs().max() == 0
    assert padded[..., 400:].abs().max() == 0
    assert padded[..., :225, :400].amax() == padded[..., :225, :400].amin() != 0
