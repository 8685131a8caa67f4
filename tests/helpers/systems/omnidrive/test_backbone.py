"""EVA-02 as the sheet of its formulas has it, computed slowly: rotation, windows and their filling, positions."""

import numpy as np
import torch
import torch.nn.functional as F

from helpers.systems.omnidrive.backbone import Block, RotaryPositions
from tests.helpers.systems.omnidrive.tiny import TINY, network


def test_pairs_of_channels_are_rotated_by_row_then_by_column():
    length, channels = 5, 16
    x = torch.randn(length * length, channels, generator=torch.Generator().manual_seed(0)).double()
    found = RotaryPositions(channels, length).double()(x).numpy()
    for token in range(length * length):
        for pair in range(channels // 2):
            axis, k = divmod(pair, channels // 4)
            place = divmod(token, length)[axis] / length * 16
            angle = place * 10000 ** (-2 * k / (channels // 2))
            turned = complex(*x[token, 2 * pair : 2 * pair + 2]) * np.exp(1j * angle)
            np.testing.assert_allclose(found[token, 2 * pair : 2 * pair + 2], [turned.real, turned.imag], atol=1e-5)


@torch.no_grad()
def test_what_fills_a_window_is_attended_to():
    """5 x 4 patches in windows of 3: the fill has a logit of zero for every query, and the value's bias as value."""
    width, heads, size, rows, columns = 16, 2, 3, 5, 4
    generator = torch.Generator().manual_seed(1)
    block = Block(width, heads, 32, size, RotaryPositions(width // heads, size)).eval()
    for parameter in block.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    x = torch.randn(1, rows, columns, width, generator=generator)
    normed, attn = block.norm1(x), block.attn
    expected = torch.zeros_like(x)
    for top in range(0, rows, size):
        for left in range(0, columns, size):
            cells = [(top + i, left + j) for i in range(size) for j in range(size)]
            inside = [n for n, (i, j) in enumerate(cells) if i < rows and j < columns]
            window = torch.zeros(size * size, width)
            window[inside] = torch.stack([normed[0][cells[n]] for n in inside])
            q, v = (F.linear(window, p.weight, b) for p, b in ((attn.q_proj, attn.q_bias), (attn.v_proj, attn.v_bias)))
            k, mixed = F.linear(window, attn.k_proj.weight), []
            for head in range(heads):
                part = slice(head * width // heads, (head + 1) * width // heads)
                logits = attn.rope(q[:, part]) @ attn.rope(k[:, part]).T / np.sqrt(width / heads)
                outside = [n for n in range(size * size) if n not in inside]
                assert not logits[:, outside].any() and (v[outside] == attn.v_bias).all()
                mixed.append(logits.softmax(-1) @ v[:, part])
            answers = attn.proj(torch.cat(mixed, 1))
            for n in inside:
                expected[0][cells[n]] = answers[n]
    expected = x + expected
    mlp, hidden = block.mlp, block.norm2(expected)
    gated = F.silu(mlp.w1(hidden)) * mlp.w2(hidden)
    expected = expected + mlp.w3(F.layer_norm(gated, gated.shape[-1:], mlp.ffn_ln.weight, mlp.ffn_ln.bias, 1e-6))
    assert torch.allclose(block(x), expected, atol=2e-5)


@torch.no_grad()
def test_whole_pictures_are_attended_over_where_the_configuration_says_so():
    backbone = network().img_backbone
    assert [block.window for block in backbone.blocks] == [TINY.window, 0]
    pictures = torch.randn(1, 6, 3, *TINY.image_size, generator=torch.Generator().manual_seed(2))
    changed = pictures.clone()
    changed[0, 2, :, :16, :16] += 1  # one patch of one camera
    moved = (backbone(pictures) - backbone(changed)).abs().amax((0, 2)).view(6, -1)
    assert (moved[2] > 0).all() and not moved[[0, 1, 3, 4, 5]].any()


def test_positions_are_stretched_without_the_class_token():
    backbone = network().img_backbone
    table = backbone.pos_embed.detach().clone()
    before = backbone._positions()
    smaller = table[:, 1:].unflatten(1, (14, 14)).permute(0, 3, 1, 2)
    expected = F.interpolate(smaller, TINY.feature_size, mode="bicubic", align_corners=False)
    assert torch.allclose(before, expected.permute(0, 2, 3, 1), atol=1e-6)
    with torch.no_grad():
        backbone.pos_embed[:, 0] += 100
        assert torch.equal(before, backbone._positions())
        backbone.pos_embed.copy_(table * 0 + torch.arange(197.0).view(1, -1, 1))
        values = backbone._positions()[0, :, :, 0]
    assert (values.diff(dim=0) > 0).all() and (values.diff(dim=1) > 0).all()
