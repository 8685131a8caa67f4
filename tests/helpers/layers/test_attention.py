"""Attention layers against their definitions, one sample at a time."""

import torch

from helpers.layers.attention import SelfAttention, SpatialCrossAttention, TemporalSelfAttention
from helpers.layers.bev import Projection
from tests.helpers.systems.bevformer.test_network import TINY, cameras


def test_temporal_attention_by_definition():
    torch.manual_seed(0)
    layer = TemporalSelfAttention(16, 2, 4)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    query, position, history = torch.randn(80, 16), torch.randn(80, 16), torch.randn(2, 80, 16)
    references = torch.rand(2, 80, 2)
    feature = torch.cat([history[0], query + position], -1)
    offsets = layer.sampling_offsets(feature).view(80, 2, 2, 4, 2)  # head, queue, point, xy
    weights = layer.attention_weights(feature).view(80, 2, 2, 4).softmax(-1)
    attended = torch.zeros(2, 80, 16)
    for entry in range(2):
        value = layer.value_proj(history[entry]).view(80, 2, 8)
        for head in range(2):
            locations = references[entry, :, None] + offsets[:, head, entry] / torch.tensor([10, 8])
            image = value[:, head].T.reshape(1, 8, 8, 10)
            samples = torch.nn.functional.grid_sample(image, 2 * locations[None] - 1, align_corners=False)[0]
            attended[entry, :, 8 * head : 8 * head + 8] = (samples * weights[:, head, entry]).sum(-1).T
    expected = layer.output_proj((attended[0] + attended[1]) / 2) + query
    found = layer(query[None], position[None], history[None], references[None, :, :, None], (8, 10))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=0)


def test_spatial_attention_equals_the_gather_of_visible_queries():
    torch.manual_seed(0)
    layer = SpatialCrossAttention(16, 2, 8)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    references, mask = Projection(TINY)(cameras(TINY.image_size))
    query, tokens = torch.randn(1, 80, 16), torch.randn(6, 8 * 12, 16)
    slots, inner = torch.zeros(80, 16), layer.deformable_attention
    for camera in range(6):
        index = mask[0, camera, :, 0].nonzero().flatten()
        picked = inner.attend(
            query[:, index], tokens[camera : camera + 1], references[camera : camera + 1, index], (8, 12)
        )
        slots[index] += picked[0]
    slots /= (mask[0, :, :, 0] > 0).sum(0).clamp(min=1)[:, None]
    expected = layer.output_proj(slots) + query[0]
    torch.testing.assert_close(layer(query, tokens, references, mask, (8, 12))[0], expected, atol=1e-5, rtol=0)


def test_self_attention_is_torchs():
    torch.manual_seed(0)
    layer = SelfAttention(16, 2)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    reference = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    reference.load_state_dict(layer.attn.state_dict())
    query, position = torch.randn(2, 20, 16), torch.randn(1, 20, 16)
    key = query + position
    expected = query + reference(key, key, query, need_weights=False)[0]
    torch.testing.assert_close(layer(query, position), expected, atol=1e-5, rtol=1e-5)
