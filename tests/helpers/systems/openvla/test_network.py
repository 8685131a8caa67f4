"""The network's tensors are those of the public checkpoints, and pictures enter where training put them."""

import pytest
import torch

from helpers import models
from tests.helpers.systems.openvla.tiny import FUSED, SINGLE


@pytest.mark.parametrize(
    ("config", "parameters", "parts"),
    [
        ("published", 7_541_237_184, {"vision_backbone.featurizer.": (343, 303_230_976),
                                      "vision_backbone.fused_featurizer.": (342, 427_680_704),
                                      "projector.": (6, 71_385_600)}),
        ("siglip", 7_188_124_608, {"vision_backbone.featurizer.": (342, 427_680_704),
                                   "projector.": (4, 21_504_000)}),
    ],
)  # fmt: skip
def test_tensors_are_those_of_the_public_checkpoints(config, parameters, parts):
    state = models.skeleton("openvla", config).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    for prefix, expected in parts.items():
        found = [tensor.numel() for name, tensor in state.items() if name.startswith(prefix)]
        assert (len(found), sum(found)) == expected
    left = [name for name in state if not name.startswith((*parts, "language_model."))]
    assert left == []


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("vision_backbone.featurizer.reg_token", (1, 4, 1024)),
        ("vision_backbone.featurizer.pos_embed", (1, 256, 1024)),
        ("vision_backbone.featurizer.blocks.23.ls2.scale_factor", (1024,)),
        ("vision_backbone.featurizer.blocks.0.attn.qkv.bias", (3072,)),
        ("vision_backbone.fused_featurizer.patch_embed.proj.weight", (1152, 3, 14, 14)),
        ("vision_backbone.fused_featurizer.blocks.26.mlp.fc1.weight", (4304, 1152)),
        ("vision_backbone.fused_featurizer.attn_pool.kv.weight", (2304, 1152)),
        ("projector.fc1.weight", (8704, 2176)),
        ("projector.fc2.weight", (4096, 8704)),
        ("language_model.model.embed_tokens.weight", (32064, 4096)),
        ("language_model.model.layers.31.mlp.down_proj.weight", (4096, 11008)),
        ("language_model.lm_head.weight", (32064, 4096)),
    ],
)
def test_names_and_shapes_are_the_published_ones(name, shape):
    assert tuple(models.skeleton("openvla").state_dict()[name].shape) == shape


@torch.no_grad()
@pytest.mark.parametrize("config", [FUSED, SINGLE], ids=lambda config: config.name)
def test_the_picture_stands_behind_the_first_token(config):
    model = models.create("openvla", config)
    pictures = torch.randn(2, *config.input_shapes()["pixel_values"][1:], generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 5, 9], [1, 7, 9]])
    (patches,) = model(pictures)
    assert tuple(patches.shape[1:]) == config.output_shapes()["projected_patches"][1:]
    spliced, words = model.embeddings(patches, ids), model.language_model.model.embed_tokens(ids)
    assert torch.equal(spliced[:, 0], words[:, 0]) and torch.equal(spliced[:, 5:], words[:, 1:])
    assert torch.equal(spliced[:, 1:5], patches)
    logits = model.logits(pictures, ids)
    assert logits.shape == (2, 7, config.language["vocab_size"])
    other = model.logits(-pictures, ids)
    assert torch.allclose(logits[:, 0], other[:, 0]) and not torch.allclose(logits[:, -1], other[:, -1], atol=1e-3)


@torch.no_grad()
def test_each_tower_sees_its_own_channels():
    model = models.create("openvla", FUSED)
    picture = torch.randn(1, 6, 28, 28, generator=torch.Generator().manual_seed(0))
    features, width = model.vision_backbone(picture), FUSED.towers[0].width
    picture[:, 3:] += 1
    changed = model.vision_backbone(picture)
    assert torch.equal(features[..., :width], changed[..., :width])
    assert not torch.allclose(features[..., width:], changed[..., width:], atol=1e-3)
