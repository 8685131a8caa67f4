"""FB-OCC: names and shapes of the public checkpoint, states, independent checks of its pieces."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data_scripts.train.fbocc.frames import collate
from helpers import models
from helpers.errors import BadInput
from helpers.systems.fbocc.backward import DepthLookup
from helpers.systems.fbocc.config import CONFIGS
from helpers.systems.fbocc.decode import decode
from tests.helpers.systems.fbocc.tiny import TINY, feeds, network, states, tensors


@torch.no_grad()
def run(model, arrays):
    return model(**tensors(arrays))


def test_published_tensors_are_the_public_checkpoints():
    model = models.skeleton("fbocc", "published")
    state = model.state_dict()
    assert len(state) == 653 and models.parameter_count(model) == 68_457_727
    assert sum(tensor.numel() for tensor in state.values() if tensor.dtype == torch.float32) == 68_533_461 - sum(
        tensor.dtype == torch.int64 for tensor in state.values()
    )
    layer = "backward_projection.transformer.encoder.layers.0."
    expected = {
        "img_backbone.layer4.2.conv3.weight": (2048, 512, 1, 1),
        "img_neck.lateral_convs.1.conv.weight": (256, 2048, 1, 1),
        "img_neck.fpn_convs.0.conv.bias": (256,),
        "depth_net.reduce_conv.0.weight": (512, 256, 3, 3),
        "depth_net.bn.running_var": (27,),
        "depth_net.context_mlp.fc1.weight": (512, 27),
        "depth_net.depth_se.conv_expand.bias": (512,),
        "depth_net.depth_conv.2.bn2.weight": (512,),
        "depth_net.depth_conv.3.aspp4.atrous_conv.weight": (512, 512, 3, 3),
        "depth_net.depth_conv.3.global_avg_pool.2.running_mean": (512,),
        "depth_net.depth_conv.3.conv1.weight": (512, 2560, 1, 1),
        "depth_net.depth_conv.4.weight": (80, 512, 1, 1),
        "forward_projection.nx": (3,),
        "backward_projection.bev_embedding.weight": (10000, 80),
        "backward_projection.positional_encoding.row_embed.weight": (100, 40),
        "backward_projection.transformer.cams_embeds": (6, 80),
        layer + "attentions.0.sampling_offsets.weight": (64, 80),
        layer + "attentions.1.deformable_attention.attention_weights.bias": (64,),
        layer + "attentions.1.output_proj.weight": (80, 80),
        layer + "ffns.0.layers.0.0.weight": (320, 80),
        layer + "norms.2.bias": (80,),
        "history_keyframe_time_conv.0.weight": (80, 81, 1, 1, 1),
        "history_keyframe_cat_conv.0.weight": (80, 1360, 1, 1, 1),
        "img_bev_encoder_backbone.input_proj.0.weight": (64, 80, 1, 1, 1),
        "img_bev_encoder_backbone.layers.2.0.downsample.0.bias": (256,),
        "img_bev_encoder_neck.lateral_convs.2.0.conv.weight": (256, 256, 1, 1, 1),
        "img_bev_encoder_neck.fpn_convs.0.0.bn.bias": (256,),
        "occupancy_head.occ_convs.1.0.weight": (128, 256, 3, 3, 3),
        "occupancy_head.deblock.0.weight": (256, 128, 2, 2, 2),
        "occupancy_head.voxel_soft_weights.3.weight": (4, 64, 1, 1, 1),
        "occupancy_head.occ_pred_conv.3.weight": (19, 64, 1, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected


def test_the_published_interface_is_that_of_the_deployment_graph():
    config = CONFIGS["published"]
    shapes, types, free = config.input_shapes(), config.input_types(), config.free_axes()
    assert len(shapes) == 20 and list(shapes)[2:7] == [
        *("ranks_depth", "ranks_feat", "ranks_bev", "interval_starts", "interval_lengths")
    ]
    assert shapes["imgs"] == (1, 6, 3, 256, 704) and shapes["history_bev"] == (1, 1280, 8, 100, 100)
    assert shapes["per_cam_mask_list"] == (6, 1, 10000, 4) and types["per_cam_mask_list"] == np.bool_
    assert types["indexes"] == np.int64 and types["ranks_bev"] == types["history_sweep_time"] == np.int32
    assert {name: [(axis, *dim) for axis, dim in axes.items()] for name, axes in free.items()}["indexes"] == [
        (2, "queries", 1000, 4000)
    ]
    assert config.output_shapes()["pred_occupancy"] == (1, 19, 200, 200, 16) and len(config.output_shapes()) == 4


def test_outputs_have_the_shapes_that_are_stated():
    outputs = run(network(), feeds() | states())
    assert [tuple(tensor.shape) for tensor in outputs] == list(TINY.output_shapes().values())
    assert all(torch.isfinite(tensor).all() for tensor in outputs) and outputs[3].dtype == torch.int32


def test_a_start_forgets_everything_and_repeats_this_frame():
    model, arrays = network(), feeds(first=True, motion=np.eye(4))
    poisoned = {"history_bev": states()["history_bev"] * np.nan, "history_sweep_time": states()["history_sweep_time"]}
    first = run(model, arrays | states())
    for a, b in zip(first, run(model, arrays | poisoned), strict=True):
        assert torch.equal(a, b)
    now, repeated = first[1].chunk(TINY.history, 1)
    torch.testing.assert_close(repeated, now, atol=1e-4, rtol=1e-4)
    assert first[3].tolist() == [[0, 0]] and first[2].tolist() == [7]


def test_history_is_shifted_by_the_motion_and_ages_by_one():
    motion = np.eye(4)
    motion[0, 3] = 80 / 12  # one cell along x
    history = states()
    arrays = feeds(motion=motion) | history
    _, volumes, _, times = run(network(), arrays)
    assert times.tolist() == [[0, history["history_sweep_time"][0, 0] + 1]]
    before = torch.from_numpy(history["history_bev"])[:, : TINY.channels]
    warped = volumes[:, TINY.channels :]
    torch.testing.assert_close(warped[..., :-1], before[..., 1:], atol=1e-3, rtol=1e-3)
    assert warped[..., -1].abs().max() < 1e-3  # zeros come in from outside


def test_the_age_reaches_the_network_as_its_last_input_channel():
    model = network()
    conv, norm, relu = model.history_keyframe_time_conv
    volumes, times = torch.randn(1, 3 * 8, 8, 10, 12), torch.tensor([[0, 1, 4]], dtype=torch.int32)
    ages = (times[0] * 0.5).view(3, 1, 1, 1, 1).expand(-1, -1, 8, 10, 12)
    with torch.no_grad():
        told = relu(norm(conv(torch.cat([volumes.view(3, 8, 8, 10, 12), ages], 1)))).reshape(1, -1, 8, 10, 12)
        expected = model.history_keyframe_cat_conv(told).permute(0, 1, 3, 4, 2)
        torch.testing.assert_close(model.fuse(volumes, times), expected, atol=1e-4, rtol=1e-4)


def test_logits_are_those_of_volumes_that_are_mixed_first():
    head, sizes = network().occupancy_head, ((10, 12, 8), (5, 6, 4), (3, 3, 2))
    levels = [torch.randn(1, 8, *size, generator=torch.Generator().manual_seed(i)) for i, size in enumerate(sizes)]
    with torch.no_grad():
        fine = head.deblock(levels[0])
        each = [fine, *(conv(level) for conv, level in zip(head.occ_convs, levels, strict=True))]
        enlarged = [F.interpolate(one, fine.shape[2:], mode="trilinear", align_corners=False) for one in each]
        shares = head.voxel_soft_weights(fine).softmax(1).unbind(1)
        mixed = sum(one * share[:, None] for one, share in zip(enlarged, shares, strict=True))
        torch.testing.assert_close(head(levels), head.occ_pred_conv(mixed), atol=1e-4, rtol=1e-4)
        head.train()(levels)
    assert head.occ_pred_conv[1].num_batches_tracked == 1, "in training the normalization sees what it normalizes"


def test_as_published_the_host_counts_and_the_first_cell_never_asks():
    ours, published = network(), network(dataclasses.replace(TINY, as_published=True))
    for model in (ours, published):
        torch.nn.init.zeros_(model.depth_net.depth_conv[4].weight)  # every depth is as likely
        torch.nn.init.zeros_(model.depth_net.depth_conv[4].bias)
    arrays = feeds()
    assert arrays["per_cam_mask_list"][:, 0, 0].any()
    history = states()
    counted = history | {"history_sweep_time": history["history_sweep_time"] + 1}
    a, b = run(ours, arrays | history), run(published, arrays | counted)
    assert torch.equal(a[3], b[3])
    cells = (a[1] - b[1])[:, : TINY.channels].abs().amax((0, 1, 2)).flatten()
    assert cells[0] > 1e-3 and cells[1:].max() < 1e-5


def test_each_cell_takes_the_mean_of_the_cameras_that_see_it():
    model = network()
    cross = model.backward_projection.transformer.encoder["layers"][0].attentions[1]
    kept = {}
    cross.output_proj.register_forward_hook(lambda module, inputs, output: kept.update(mean=inputs[0]))
    answers = []
    attend = cross.deformable_attention.attend_by_depth
    cross.deformable_attention.attend_by_depth = lambda *a: answers.append(attend(*a)) or answers[-1]
    arrays = feeds()
    run(model, arrays | states())
    seen = arrays["per_cam_mask_list"][:, 0].any(-1)
    for cell in range(seen.shape[1]):
        rows = [answers[0][c, list(arrays["indexes"][0, c]).index(cell)] for c in np.flatnonzero(seen[:, cell])]
        expected = torch.stack(rows).mean(0) if rows else torch.zeros(TINY.channels)
        torch.testing.assert_close(kept["mean"][0, cell], expected, atol=1e-5, rtol=1e-5)
    assert {0, 1, 2} <= set(seen.sum(0))


def test_depth_is_looked_up_bilinearly_in_the_bin_of_an_anchor():
    depth = torch.rand(2, 5, 4, 6).softmax(1)
    lookup = DepthLookup((2.0, 12.0, 2.0))
    references = torch.rand(2, 9, 4, 2) * 1.4 - 0.2
    references[0, 0, 0] = torch.tensor([-3e7, 4e6])  # behind a camera
    meters = torch.rand(2, 9, 4, 1) * 20 - 4
    weight, log_weight = lookup(depth, references, meters)
    maps = torch.nn.functional.grid_sample(depth, references * 2 - 1, align_corners=False)
    bins = ((meters[..., 0] - 2) / 2).floor().clamp(0, 4).long()
    torch.testing.assert_close(weight, maps.gather(1, bins[:, None])[:, 0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(log_weight, weight.clamp(min=1e-6).log())


def test_depth_weights_multiply_after_the_softmax():
    model = network()
    attention = model.backward_projection.transformer.encoder["layers"][0].attentions[1].deformable_attention
    query, value = torch.randn(3, 7, 8), torch.randn(3, 4 * 8, 8)
    references, weight = torch.rand(3, 7, 4, 2), torch.rand(3, 7, 4)
    weight[0, 0] = 0
    with torch.no_grad():
        found = attention.attend_by_depth(query, value, references, (weight, weight.clamp(min=1e-6).log()), (4, 8))
        heads = attention.heads
        shares = (
            attention.attention_weights(query).view(3, 7, heads, -1).softmax(-1) * weight.repeat(1, 1, 2)[:, :, None]
        )
        offsets = attention.sampling_offsets(query).view(3, 7, heads, -1, 2) / torch.tensor([8.0, 4.0])
        places = (references.repeat(1, 1, 2, 1)[:, :, None] + offsets) * 2 - 1
        maps = attention.value_proj(value).view(3, 4, 8, heads, 4).permute(0, 3, 4, 1, 2)
        for head in range(heads):
            sampled = torch.nn.functional.grid_sample(maps[:, head], places[:, :, head], align_corners=False)
            expected = (sampled * shares[:, None, :, head]).sum(-1).transpose(1, 2)
            torch.testing.assert_close(found.view(3, 7, heads, 4)[:, :, head], expected, atol=1e-5, rtol=1e-4)
    assert found[0, 0].abs().max() < 1e-5


def test_streams_of_a_batch_do_not_mix():
    model, history = network(), [states(seed=seed) for seed in (1, 2)]
    frames = [feeds(seed=0), feeds(seed=3, first=True, motion=np.eye(4))]
    frames[1]["indexes"] = frames[1]["indexes"].copy()
    batch = collate([tensors(frame) for frame in frames], torch.tensor([False, True]), TINY, jitter=0)
    past = {name: torch.cat([torch.from_numpy(each[name]) for each in history]) for name in history[0]}
    with torch.no_grad():
        together = model(**batch, **past)
    for b, (frame, before) in enumerate(zip(frames, history, strict=True)):
        for output, expected in zip(together[:2], run(model, frame | before)[:2], strict=True):
            assert (output[b : b + 1] - expected).abs().max() < 1e-3 * expected.abs().max()


def test_everything_that_can_learn_gets_a_gradient():
    model = network().train()
    outputs = model(**tensors(feeds() | states()))
    (outputs[0].square().mean() + outputs[1].square().mean()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    fixed = {f"forward_projection.{name}" for name in ("dx", "bx", "nx")}
    assert without == fixed | {"backward_projection.transformer.cams_embeds"}


def test_the_public_checkpoints_prefixes_are_dropped(tmp_path):
    model = network()
    state = {f"module.teacher.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "meta": {"epoch": 20}}, tmp_path / "public.pth")
    other = models.load_checkpoint(network(seed=5), tmp_path / "public.pth")
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


@pytest.mark.parametrize("shape", [(1, 19, 100, 100, 16), (1, 19, 200, 200, 16)])
def test_decode_interpolates_as_torch_and_turns_rows_to_x(shape):
    logits = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    full = torch.nn.functional.interpolate(torch.from_numpy(logits), (200, 200, 16), mode="trilinear")
    expected = full[0, 1:].argmax(0).transpose(0, 1).numpy()
    labels = TINY.decode({"pred_occupancy": logits})
    assert labels.dtype == np.uint8 and (labels == expected).all()


@pytest.mark.parametrize(("name", "change"), [("dx", 2.0), ("bx", 0.9), ("nx", 1.28)])
def test_a_checkpoint_of_another_volume_is_refused(tmp_path, name, change):
    """Its weights have the same shapes, and the network reads none of the three: they say what it was trained on."""
    model, key = network(), f"forward_projection.{name}"
    for factor, fits in ((1 + 1e-6, True), (change, False)):
        torch.save(model.state_dict() | {key: model.state_dict()[key] * factor}, tmp_path / "other.pth")
        if fits:
            models.load_checkpoint(network(), tmp_path / "other.pth")
            continue
        with pytest.raises(BadInput, match=rf"{key}\n.*\n.*as the configuration of the model has it"):
            models.load_checkpoint(network(), tmp_path / "other.pth")


@pytest.mark.parametrize("kind", [bool, complex, "U1"])
def test_decode_takes_numbers_alone(kind):
    with pytest.raises(BadInput, match=r"pred_occupancy\n  found:    .*shape \(1, 19, 100, 100, 16\)"):
        decode(np.zeros((1, 19, 100, 100, 16), kind))
    with pytest.raises(BadInput, match="pred_occupancy"):
        decode([[1, 2], [3]])
