"""Vision transformers: names as in timm, which block's features leave, and what each option is for."""

import dataclasses

import torch

from helpers.layers.vit import VisionTransformer, ViTConfig

TINY = ViTConfig(width=32, depth=3, heads=2, hidden=48, grid=(2, 3), patch=4, registers=2, layer_scale=True)


def tower(config=TINY):
    torch.manual_seed(0)
    model = VisionTransformer(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def picture(seed=1):
    return torch.randn(1, 3, 8, 12, generator=torch.Generator().manual_seed(seed))


def changed(model, name):
    """How much the output moves when one tensor does."""
    with torch.no_grad():
        before = model(picture())
        parameter = model.get_parameter(name)
        parameter.add_(0.5)
        after = model(picture())
        parameter.sub_(0.5)
    return (after - before).abs().max().item()


def test_every_tensor_counts_but_those_behind_the_second_to_last_block():
    model = tower(dataclasses.replace(TINY, pool=True))
    for name, _ in model.named_parameters():
        idle = name.startswith(("blocks.2.", "norm.", "attn_pool."))
        assert (changed(model, name) == 0) == (idle or name.endswith(".qkv.bias_k")), name


@torch.no_grad()
def test_a_patch_is_told_where_it_lies_and_the_class_token_is_not():
    model = tower()
    features = model(picture())
    assert features.shape == (1, 6, 32)
    shifted = picture().roll(4, -1)  # by one patch: the same patches at other places
    model.pos_embed.zero_()
    assert torch.allclose(model(shifted).view(2, 3, 32), model(picture()).view(2, 3, 32).roll(1, 1), atol=1e-5)
    assert not torch.allclose(model(picture()), features, atol=1e-2)


def test_options_are_tensors_of_their_own():
    plain = VisionTransformer(dataclasses.replace(TINY, registers=None, layer_scale=False)).state_dict()
    full = VisionTransformer(dataclasses.replace(TINY, pool=True)).state_dict()
    added = {name for name in full if name not in plain}
    assert {name for name in added if "attn_pool" not in name and "scale_factor" not in name} == {
        "cls_token",
        "reg_token",
    }
    assert sum("scale_factor" in name for name in added) == 2 * TINY.depth
    assert sum("attn_pool" in name for name in added) == 13
