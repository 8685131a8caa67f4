"""Nodes of an exported graph carry the paths of their modules."""

import torch
from torch import nn

from helpers import graph


def test_nodes_are_named_after_modules(mini):
    model, path = mini
    names = [node.name for node in graph.load(path).graph.node]
    assert len(set(names)) == len(names)
    modules = {name for name, _ in model.named_modules()}
    assert {name.strip("/").rpartition("/")[0].replace("/", ".") for name in names} <= modules
    assert "/img_backbone/layer1.0/conv2/Conv" in names
    assert "/pts_bbox_head/transformer/encoder/layers.0/attentions.0/sampling_offsets/MatMul" in names
    assert any(name.startswith("/pts_bbox_head/transformer/encoder/projection/") for name in names)


def test_blocks_add_up(mini):
    """Convolutions of the backbone by hand: parameters with the folded biases, and 2 FLOPs per multiply-accumulate."""
    model, path = mini
    blocks = {row["block"]: row for row in graph.cost_by_block(path, depth=1)}
    convolutions = [module for module in model.img_backbone.modules() if isinstance(module, nn.Conv2d)]
    assert blocks["img_backbone"]["parameters"] == sum(c.weight.numel() + c.out_channels for c in convolutions)
    flops, hooks = [], []
    for module in convolutions:
        hooks.append(module.register_forward_hook(lambda m, _, y: flops.append(2 * y.numel() * m.weight[0].numel())))
    with torch.no_grad():
        model.img_backbone(torch.zeros(6, 3, *model.config.image_size))
    for hook in hooks:
        hook.remove()
    assert blocks["img_backbone"]["flops"] == sum(flops)
