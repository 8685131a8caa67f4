"""BEVFormer: names and shapes of the public checkpoint, recurrent state, independent checks of its pieces."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from helpers import models
from helpers.errors import BadInput
from helpers.layers.bev import Projection
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.motion import ego_shift
from helpers.systems.bevformer.network import BEVFormer

CAMERA_YAWS = (0, -55, 55, 180, 110, -110)  # degrees from straight ahead, in the models' camera order
TINY = dataclasses.replace(
    CONFIGS["mini"],
    name="tiny",
    image_scale=0.05,
    image_size=(64, 96),
    depths=(1, 1),
    base_channels=4,
    embed_dims=16,
    num_heads=2,
    ffn_dims=32,
    num_query=20,
    bev_h=8,
    bev_w=10,
    rotate_center=(5.0, 4.0),
)


def cameras(size):
    """lidar2img [1, 6, 4, 4] of six cameras around the vehicle, 1.5 m up, about 65 degrees wide; size (H, W)."""
    height, width = size
    focal = width / 1.27
    intrinsics = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    matrices = []
    for degrees in CAMERA_YAWS:
        yaw = math.radians(degrees)
        ahead, right = (-math.sin(yaw), math.cos(yaw), 0), (math.cos(yaw), math.sin(yaw), 0)
        pose = np.eye(4)
        pose[:3, :3] = [right, (0, 0, -1), ahead]
        pose[:3, 3] = -pose[:3, :3] @ (0.5 * np.array(ahead) + (0, 0, -0.3))
        matrices.append(intrinsics @ pose)
    return torch.tensor(np.stack(matrices)[None], dtype=torch.float32)


def network(seed=0):
    """The tiny configuration with every weight random, so that nothing is hidden by a zero."""
    model = models.create("bevformer", TINY)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.dim() > 1 else 0.1))
    return model


def frame(seed=0, use=1.0, dx=0.8, dy=-0.5, degrees=3.0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: list(shape) for name, shape in TINY.input_shapes().items()}
    can_bus = torch.randn(18, generator=generator)
    can_bus[:2], can_bus[16], can_bus[17] = torch.tensor([dx, dy]), 0.7, degrees
    return {
        "image": torch.randn(shapes["image"], generator=generator),
        "prev_bev": torch.randn(shapes["prev_bev"], generator=generator),
        "use_prev_bev": torch.tensor([use]),
        "can_bus": can_bus,
        "lidar2img": cameras(TINY.image_size),
    }


@torch.no_grad()
def run(model, inputs):
    return model(**inputs)


# ---------------------------------------------------------------------------------------------- names, shapes, sizes


def test_published_tensors_are_the_public_checkpoints():
    with torch.device("meta"):
        model = BEVFormer(CONFIGS["published"])
    state = model.state_dict()
    assert models.parameter_count(model) == 33_521_157
    assert len(state) == 643
    assert sum(tensor.dtype == torch.int64 and tensor.dim() == 0 for tensor in state.values()) == 53
    assert sum(tensor.numel() for tensor in state.values()) == 33_574_330
    parts = [sum(name.startswith(part) for name in state) for part in ("pts_bbox_head.", "img_backbone.", "img_neck.")]
    assert parts == [321, 318, 4]
    head, transformer = "pts_bbox_head.", "pts_bbox_head.transformer."
    layer, decoder = transformer + "encoder.layers.2.", transformer + "decoder.layers.5."
    expected = {
        head + "code_weights": (10,),
        head + "bev_embedding.weight": (2500, 256),
        head + "query_embedding.weight": (900, 512),
        head + "positional_encoding.row_embed.weight": (50, 128),
        head + "cls_branches.5.4.weight": (256,),
        head + "cls_branches.5.6.weight": (10, 256),
        head + "reg_branches.5.4.bias": (10,),
        transformer + "level_embeds": (4, 256),
        transformer + "cams_embeds": (6, 256),
        transformer + "can_bus_mlp.0.weight": (128, 18),
        transformer + "can_bus_mlp.norm.bias": (256,),
        transformer + "reference_points.weight": (3, 256),
        layer + "attentions.0.sampling_offsets.weight": (128, 512),
        layer + "attentions.0.attention_weights.bias": (64,),
        layer + "attentions.1.deformable_attention.sampling_offsets.weight": (128, 256),
        layer + "attentions.1.output_proj.weight": (256, 256),
        layer + "ffns.0.layers.0.0.weight": (512, 256),
        layer + "norms.2.bias": (256,),
        decoder + "attentions.0.attn.in_proj_weight": (768, 256),
        decoder + "attentions.0.attn.out_proj.bias": (256,),
        decoder + "attentions.1.attention_weights.weight": (32, 256),
        decoder + "ffns.0.layers.1.weight": (256, 512),
        "img_backbone.conv1.weight": (64, 3, 7, 7),
        "img_backbone.layer4.0.downsample.1.running_var": (2048,),
        "img_backbone.layer3.5.conv2.weight": (256, 256, 3, 3),
        "img_neck.lateral_convs.0.conv.weight": (256, 2048, 1, 1),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected
    assert layer + "attentions.1.deformable_attention.output_proj.weight" not in state
    assert next(iter(state)) == "pts_bbox_head.code_weights"


def test_published_interface():
    config = CONFIGS["published"]
    assert config.feature_size == (15, 25)
    assert list(config.input_shapes().items()) == [
        ("image", (1, 6, 3, 480, 800)),
        ("prev_bev", (2500, 1, 256)),
        ("use_prev_bev", (1,)),
        ("can_bus", (18,)),
        ("lidar2img", (1, 6, 4, 4)),
    ]
    assert list(config.output_shapes().items()) == [
        ("bev_embed", (2500, 1, 256)),
        ("outputs_classes", (6, 1, 900, 10)),
        ("outputs_coords", (6, 1, 900, 10)),
    ]


def test_mini_runs_with_the_shapes_it_states():
    model = models.create("bevformer", "mini")
    config = model.config
    assert config.feature_size == (16, 26)
    inputs = {name: torch.zeros(shape) for name, shape in config.input_shapes().items()}
    outputs = run(model, inputs)
    assert [tuple(tensor.shape) for tensor in outputs] == list(config.output_shapes().values())
    assert all(torch.isfinite(tensor).all() for tensor in outputs)


# -------------------------------------------------------------------------------------------------- recurrent state


def test_a_first_frame_ignores_the_previous_map_and_the_motion():
    model = network()
    first = frame(use=0.0)
    other = first | {"prev_bev": torch.randn(80, 1, 16) * 100}
    for a, b in zip(run(model, first), run(model, other), strict=True):
        assert torch.equal(a, b)


def test_history_matters_and_is_turned_and_shifted():
    model = network()
    base = run(model, frame())[0]
    changed = {
        "no history": frame(use=0.0),
        "another map": frame() | {"prev_bev": -frame()["prev_bev"]},
        "turned": frame(degrees=40.0),
        "moved": frame(dx=-6.0),
    }
    for name, inputs in changed.items():
        assert (run(model, inputs)[0] - base).abs().max() > 1e-3, name


def test_the_map_shift_moves_the_history_entry_only():
    model = network()
    seen = []
    layer = model.pts_bbox_head.transformer.encoder.layers[0].attentions[0]
    hook = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[2:4]))
    inputs = frame(degrees=0.0)
    run(model, inputs)
    run(model, inputs | {"use_prev_bev": torch.zeros(1)})
    hook.remove()
    (history, references), (present, unmoved) = seen
    shift = ego_shift(inputs["can_bus"][None], (102.4 / 8, 102.4 / 10), (8, 10))
    assert shift.abs().max() > 1e-3
    torch.testing.assert_close(references[0, 0, :, 0] - unmoved[0, 0, :, 0], shift.expand(80, 2), atol=1e-6, rtol=0)
    assert torch.equal(references[0, 1], unmoved[0, 1])
    assert torch.equal(unmoved[0, 0], unmoved[0, 1])
    torch.testing.assert_close(history[0, 0], inputs["prev_bev"][:, 0])  # yaw 0: the map is not turned
    assert torch.equal(present[0, 0], present[0, 1])
    assert torch.equal(history[0, 1], present[0, 1])  # entry 1 is the encoder's first query


def test_later_layers_keep_the_first_query_as_the_present_entry():
    model = network()
    seen = []
    for layer in model.pts_bbox_head.transformer.encoder.layers:
        layer.register_forward_pre_hook(lambda _, arguments: seen.append((arguments[0], arguments[2])))
    run(model, frame())
    (_, first), (query, second) = seen
    assert torch.equal(first, second)
    seen.clear()
    run(model, frame(use=0.0))
    (_, first), (query, second) = seen
    torch.testing.assert_close(second, torch.stack([query, query], 1))
    assert not torch.equal(first, second)


def test_streams_of_a_batch_do_not_mix():
    model = network()
    frames = [frame(seed, use, degrees=degrees) for seed, use, degrees in ((0, 1.0, 3.0), (1, 0.0, -20.0))]
    joined = {name: torch.cat([f[name] for f in frames], 1 if name == "prev_bev" else 0) for name in frames[0]}
    together = run(model, joined)
    for index, single in enumerate(frames):
        for output, expected in zip(together, run(model, single), strict=True):
            torch.testing.assert_close(output[:, index : index + 1], expected, atol=2e-5, rtol=1e-4)


# ----------------------------------------------------------------------------------------------- pieces, independently


@pytest.mark.parametrize(
    ("dx", "dy", "heading"),
    [
        (1.0, 0.5, math.atan2(0.5, 1.0)),
        (-1.0, 0.5, math.atan2(0.5, -1.0)),
        (-1.0, -0.5, math.atan2(-0.5, -1.0)),
        (1.0, -0.5, math.atan2(-0.5, 1.0)),
        (0.0, 0.0, 0.0),
        (0.0, 2.0, math.pi),  # the deployment graph's own value, not atan2's
        (0.0, -2.0, -math.pi),
        (-2.0, 0.0, 0.0),
    ],
)
def test_shift_by_quadrant(dx, dy, heading):
    can_bus = torch.zeros(1, 18)
    can_bus[0, 0], can_bus[0, 1], can_bus[0, 16] = dx, dy, 0.7
    length, angle = math.hypot(dx, dy), 0.7 - heading
    expected = [length * math.sin(angle) / 0.5 / 200, length * math.cos(angle) / 2 / 50]
    found = ego_shift(can_bus, (2.0, 0.5), (50, 200))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-7)


def project_by_loops(config, lidar2img):
    """Visible cameras per cell and pillar, and image coordinates, one point at a time in float64."""
    matrices = lidar2img[0].double().numpy()
    cells = config.bev_h * config.bev_w
    uv = np.zeros((6, cells, config.pillar_points, 2))
    seen = np.zeros((6, cells), bool)
    for camera, cell, k in np.ndindex(6, cells, config.pillar_points):
        row, column = divmod(cell, config.bev_w)
        x = (column + 0.5) / config.bev_w * 102.4 - 51.2
        y = (row + 0.5) / config.bev_h * 102.4 - 51.2
        z = -5 + 0.5 + k * 7 / (config.pillar_points - 1)
        u, v, depth, _ = matrices[camera] @ (x, y, z, 1)
        u, v = (u / max(depth, 1e-5) / config.image_size[1], v / max(depth, 1e-5) / config.image_size[0])
        uv[camera, cell, k] = u, v
        seen[camera, cell] |= depth > 1e-5 and 0 < u < 1 and 0 < v < 1
    return uv, seen


def test_projection_and_mask():
    lidar2img = cameras(TINY.image_size)
    pitch = torch.eye(4)
    pitch[1, 2] = 0.45 * TINY.image_size[0]
    lidar2img[:, 1::2] = pitch @ lidar2img[:, 1::2]  # half of the cameras look up, so that pillars are seen in part
    references, mask = Projection(TINY)(lidar2img)
    uv, seen = project_by_loops(TINY, lidar2img)
    assert references.shape == (6, 80, 1, 8)
    found, near = references.view(6, 80, 4, 2).numpy(), np.abs(uv) < 100
    np.testing.assert_allclose(found[near], uv[near], rtol=1e-4, atol=1e-5)
    assert (np.abs(found[~near]) > 99).all() and (~near).sum() > near.sum()  # behind a camera: floored depth
    counts = seen.sum(0)
    assert {0, 1, 2} >= set(counts) and 1 in counts and 2 in counts
    np.testing.assert_allclose(mask[0, :, :, 0].numpy(), seen / np.maximum(counts, 1), atol=1e-6)


def test_a_point_behind_the_camera_is_not_seen():
    lidar2img = torch.zeros(1, 6, 4, 4)
    lidar2img[0, :, :3, 3] = torch.tensor([4e-4, 3e-4, -1.0])  # with the depth floored at 1e-5: the pixel (40, 30)
    references, mask = Projection(TINY)(lidar2img)
    torch.testing.assert_close(references[0, 0, 0, :2], torch.tensor([40 / 96, 30 / 64]))
    assert not mask.any()


def test_boxes_refine_the_reference_points_layer_by_layer():
    model = network()
    head = model.pts_bbox_head
    seen = []
    hook = head.transformer.decoder.register_forward_hook(lambda _, __, results: seen.extend(results))
    _, classes, coords = run(model, frame())
    hook.remove()
    reference = torch.sigmoid(head.transformer.reference_points(head.query_embedding.weight[:, :16]))
    for level, (query, start, _) in enumerate(seen):
        torch.testing.assert_close(start[0], reference, atol=1e-5, rtol=1e-5)
        delta = head.reg_branches[level](query[0])
        logit = torch.log(reference / (1 - reference))
        moved = torch.sigmoid(delta[:, [0, 1, 4]] + logit)
        meters = moved * torch.tensor([102.4, 102.4, 8.0]) + torch.tensor([-51.2, -51.2, -5.0])
        torch.testing.assert_close(coords[level, 0][:, [0, 1, 4]], meters, atol=1e-3, rtol=1e-4)
        raw = [2, 3, 5, 6, 7, 8, 9]
        torch.testing.assert_close(coords[level, 0][:, raw], delta[:, raw], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(classes[level], head.cls_branches[level](query))
        reference = moved


def test_the_map_position_runs_over_columns_first():
    encoding = network().pts_bbox_head.positional_encoding
    position = encoding()
    rows, columns = encoding.row_embed.weight, encoding.col_embed.weight
    assert position.shape == (1, 80, 16)
    assert torch.equal(position[0, 3 * 10 + 7], torch.cat([columns[7], rows[3]]))


def test_offsets_start_as_rays_and_scores_at_one_percent():
    model = models.create("bevformer", TINY)
    encoder = model.pts_bbox_head.transformer.encoder.layers[0]
    temporal = encoder.attentions[0].sampling_offsets.bias.view(2, 2, 4, 2)  # head, queue, point, xy
    assert torch.allclose(temporal[0, 1, :, 0], torch.tensor([1.0, 2, 3, 4]))
    assert torch.allclose(temporal[1, 0, :, 0], -torch.tensor([1.0, 2, 3, 4]))
    assert temporal[..., 1].abs().max() < 1e-5
    bias = model.pts_bbox_head.cls_branches[0][-1].bias
    torch.testing.assert_close(bias.sigmoid(), torch.full((10,), 0.01))


def test_everything_that_can_learn_gets_a_gradient():
    model = network().train()
    outputs = model(**frame())
    sum(output.square().mean() for output in outputs).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert without == {"pts_bbox_head.code_weights"}


def test_bfloat16_autocast_keeps_boxes_and_geometry_in_float32():
    model = network()
    seen = []
    projection = model.pts_bbox_head.transformer.encoder.projection
    projection.register_forward_hook(lambda _, __, results: seen.append(results))
    exact = run(model, frame())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = run(model, frame())
    assert mixed[2].dtype == torch.float32
    assert torch.equal(seen[0][0], seen[1][0])
    assert 0 < (mixed[0] - exact[0]).abs().mean() < 0.05 * exact[0].abs().mean()


def test_the_projection_as_an_operator_computes_the_same():
    """In PyTorch with and without the kernel's library; the published form is the choice where none is made."""
    published, operator = network(), models.create("bevformer", TINY.with_projection("operator"))
    operator.load_state_dict(published.state_dict())
    assert TINY.projection == "published" and operator.config.input_shapes() == TINY.input_shapes()
    for found, expected in zip(run(operator, frame()), run(published, frame()), strict=True):
        assert torch.equal(found, expected)
    with pytest.raises(BadInput, match=r"projection='host'\n.*published, operator, inputs"):
        TINY.with_projection("host")


def test_another_number_of_cameras_is_another_network(tmp_path):
    """As docs/data.md has it: the sizes are fields, and the weights know their cameras."""
    config = dataclasses.replace(TINY, num_cameras=4, image_size=(32, 64))
    given = {name: torch.zeros(shape) for name, shape in config.input_shapes().items()}
    given["lidar2img"] = cameras(config.image_size)[:, :4]
    outputs = run(models.create("bevformer", config), given)
    assert given["image"].shape == (1, 4, 3, 32, 64)
    assert [output.shape for output in outputs] == list(map(torch.Size, config.output_shapes().values()))
    torch.save(network().state_dict(), tmp_path / "six.pth")
    with pytest.raises(BadInput, match=r"cams_embeds \[6,16\] instead of \[4,16\]"):
        models.load_checkpoint(models.create("bevformer", config), tmp_path / "six.pth")


def test_a_network_made_on_another_device_lies_there_whole_and_runs():
    """As operations are counted: on the meta device, without memory."""
    with torch.device("meta"):
        model = BEVFormer(TINY).eval()
        given = {name: torch.empty(shape) for name, shape in TINY.input_shapes().items()}
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    assert [output.shape for output in model(**given)] == list(map(torch.Size, TINY.output_shapes().values()))
