"""The host's geometry against loops over single points."""

import dataclasses

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.systems.fbocc import geometry
from helpers.systems.fbocc.config import CONFIGS
from tests.helpers.systems.fbocc.tiny import TINY, rig

TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]]) @ np.diag([1.0, -1, 1])


def tilted():
    """The rig with its pictures turned a little, so that rows and columns mix."""
    cameras = rig(bda=TURNED)
    turn = np.array([[0.995, -0.0998, 0], [0.0998, 0.995, 0], [0, 0, 1]])
    return dataclasses.replace(cameras, post_rotations=turn @ cameras.post_rotations)


def to_ego(cameras, camera, u, v, depth):
    u, v, _ = np.linalg.inv(cameras.post_rotations[camera]) @ ((u, v, 1) - cameras.post_translations[camera])
    ray = np.linalg.inv(cameras.intrinsics[camera]) @ (u * depth, v * depth, depth)
    return cameras.bda @ (cameras.rotations[camera] @ ray + cameras.translations[camera])


@pytest.mark.parametrize("cameras", [rig(), tilted()], ids=["rig", "tilted"])
def test_pooling_point_by_point(cameras):
    found = geometry.pooling(cameras, TINY)
    (height, width), bins = TINY.feature_size, TINY.depth_bins
    us, vs, (z_size, y_size, x_size) = np.linspace(0, 127, width), np.linspace(0, 63, height), TINY.volume
    expected, below = [], 0
    for camera, d, row, column in np.ndindex(6, bins, height, width):
        point = to_ego(cameras, camera, us[column], vs[row], 2 + 4 * d)
        place = (point - TINY.pc_range[:3]) / TINY.voxel_size
        x, y, z = np.trunc(place).astype(int)
        if 0 <= x < x_size and 0 <= y < y_size and 0 <= z < z_size:
            below += (place < 0).any()
            rank = ((camera * bins + d) * height + row) * width + column
            expected.append(((z * y_size + y) * x_size + x, rank, (camera * height + row) * width + column))
    expected.sort()
    names = ("ranks_bev", "ranks_depth", "ranks_feat")
    assert [tuple(row) for row in zip(*(found[name].tolist() for name in names), strict=True)] == expected
    assert below > 0  # truncated towards zero: up to one voxel below the volume stays in


def test_intervals_are_the_runs_of_equal_voxels():
    found = geometry.pooling(rig(), TINY)
    voxels, first, counts = np.unique(found["ranks_bev"], return_index=True, return_counts=True)
    assert (found["interval_starts"] == first).all() and (found["interval_lengths"] == counts).all()
    assert (found["ranks_bev"][found["interval_starts"]] == voxels).all()
    assert {array.dtype for array in found.values()} == {np.dtype(np.int32)}


def test_cameras_that_see_nothing_give_empty_ranks_and_one_query():
    cameras = dataclasses.replace(rig(), translations=np.full((6, 3), 1e4))
    found = geometry.pooling(cameras, TINY)
    assert [len(array) for array in found.values()] == [0] * 5
    mask = geometry.projection(cameras, TINY)["per_cam_mask_list"]
    assert not mask.any() and geometry.gathering(mask, TINY)["indexes"].tolist() == [[[0]] * 6]


@pytest.mark.parametrize("cameras", [rig(), tilted()], ids=["rig", "tilted"])
def test_projection_point_by_point(cameras):
    found = geometry.projection(cameras, TINY)
    rows, columns = TINY.bev_size
    for camera, cell, anchor in np.ndindex(6, rows * columns, 4):
        y, x = divmod(cell, columns)
        place = np.array([-40 + (x + 0.5) * 80 / columns, -40 + (y + 0.5) * 80 / rows, -0.2 + 1.6 * anchor])
        place = np.linalg.inv(cameras.bda) @ place - cameras.translations[camera]
        u, v, depth = cameras.intrinsics[camera] @ cameras.rotations[camera].T @ place
        u, v = u / max(depth, 1e-5), v / max(depth, 1e-5)
        u, v, _ = cameras.post_rotations[camera] @ (u, v, 1) + cameras.post_translations[camera]
        inside = depth > 1e-5 and 1e-5 < u / 128 < 1 - 1e-5 and 1e-5 < v / 64 < 1 - 1e-5
        assert found["per_cam_mask_list"][camera, 0, cell, anchor] == inside
        assert found["bev_query_depth"][camera, 0, cell, anchor, 0] == pytest.approx(depth, abs=1e-4)
        if depth > 0.1:
            reference = found["reference_points_cam"][camera, 0, cell, anchor]
            np.testing.assert_allclose(reference, (u / 128, v / 64), rtol=1e-4, atol=1e-4)
    assert 0.05 < found["per_cam_mask_list"].mean() < 0.5


def test_gathering_lists_the_seen_cells_in_order_and_pads_with_zeros():
    mask = np.zeros((6, 1, 120, 4), bool)
    mask[0, 0, [0, 5, 9], 2] = True
    mask[3, 0, [7, 119]] = True
    found = geometry.gathering(mask, TINY)
    assert found["indexes"].tolist() == [[[0, 5, 9], [0] * 3, [0] * 3, [7, 119, 0], [0] * 3, [0] * 3]]
    shapes = {name: array.shape for name, array in found.items() if name != "indexes"}
    assert set(shapes.values()) == {(1, 6, 3, 8), (1, 6, 3, 4, 2), (1, 6, 3, 4, 1)}
    assert not any(found[name].any() for name in shapes)


def test_the_grid_names_the_place_of_a_voxel_one_frame_ago():
    motion = np.eye(4)
    motion[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    motion[:3, 3] = 3.0, -2.0, 0.4
    grid = geometry.history_grid(motion, TINY, TURNED, TURNED)
    size, low = TINY.voxel_size, np.array(TINY.pc_range[:3])
    y, x, z = 3, 7, 5
    before = TURNED @ (motion[:3, :3] @ np.linalg.inv(TURNED) @ ((x, y, z) * size + low) + motion[:3, 3])
    expected = (before - low) / size / (11, 9, 7) * 2 - 1
    np.testing.assert_allclose(grid[0, y, x, z], expected, atol=1e-5)
    still = geometry.history_grid(np.eye(4), TINY)
    np.testing.assert_allclose(still[0, 9, 11, 7], 1, atol=1e-6)
    np.testing.assert_allclose(still[0, 0, 0, 0], -1, atol=1e-6)


def test_what_the_depth_network_is_told():
    cameras = tilted()
    row = geometry.mlp_input(cameras)[0, 2]
    assert row.shape == (27,) and row[:4].tolist() == [1266, 1266, 800, 450]
    post, shift = cameras.post_rotations[2], cameras.post_translations[2]
    np.testing.assert_allclose(row[4:10], [*post[0, :2], shift[0], *post[1, :2], shift[1]], atol=1e-6)
    np.testing.assert_allclose(row[10:15], [*TURNED[0, :2], *TURNED[1, :2], TURNED[2, 2]], atol=1e-6)
    pose = np.column_stack([cameras.rotations[2], cameras.translations[2]])
    np.testing.assert_allclose(row[15:], pose.ravel(), atol=1e-6)


def test_the_published_sizes_lie_within_their_ranges():
    config = CONFIGS["published"]
    found = geometry.pooling(rig(config), config)
    least, _, most = config.points
    assert least < len(found["ranks_bev"]) < most
    least, _, most = config.intervals
    assert least < len(found["interval_starts"]) < most
    indexes = geometry.gathering(geometry.projection(rig(config), config)["per_cam_mask_list"], config)["indexes"]
    assert config.queries[0] < indexes.shape[2] < config.queries[2]


@pytest.mark.parametrize("change", [lambda r: 3 * r, lambda r: -r, lambda r: r * [1, 1, 1.1]])
def test_matrices_that_turn_and_do_more_are_refused(change):
    """They would put every point somewhere, and nothing behind would notice."""
    cameras, motion = rig(), np.eye(4)
    with pytest.raises(BadInput, match=r"rotations of cameras\n.*stretches or mirrors"):
        dataclasses.replace(cameras, rotations=change(cameras.rotations))
    motion[:3, :3] = change(np.eye(3))
    with pytest.raises(BadInput, match=r"motion\n.*stretches or mirrors"):
        geometry.history_grid(motion, TINY)
    with pytest.raises(BadInput, match="last row"):
        geometry.history_grid(np.diag([1, 1, 1, 2.0]), TINY)


def test_what_is_of_no_camera_or_of_another_configuration_is_refused():
    none = {name: np.zeros((0, *value.shape[1:])) for name, value in vars(rig()).items() if name != "bda"}
    with pytest.raises(BadInput, match=r"cameras\n.*none"):
        geometry.Cameras(**none)
    cells = TINY.bev_size[0] * TINY.bev_size[1]
    for shape in ((0, 1, cells, TINY.pillar_points), (6, 1, cells - 1, TINY.pillar_points), (6, 1, cells, 7)):
        with pytest.raises(BadInput, match="mask"):
            geometry.gathering(np.ones(shape, bool), TINY)
    for call in (geometry.pooling, geometry.projection):
        with pytest.raises(BadInput, match="config"):
            call(rig(), None)
