"""Occupancy labels: read from MiniDrive as from Occ3D, and refused where they are damaged."""

import numpy as np
import pytest

from helpers.dataset import occupancy, open_dataset
from helpers.errors import BadInput


def arrays(**changes):
    semantics = np.full(occupancy.SHAPE, occupancy.FREE, np.uint8)
    masks = {name: np.ones(occupancy.SHAPE, np.uint8) for name in occupancy.ARRAYS[1:]}
    return {"semantics": semantics} | masks | changes


def test_labels_of_minidrive_fit_the_annotated_boxes(minidrive):
    frame = open_dataset(minidrive)[1]
    label = occupancy.read(minidrive, frame)
    assert label.mask_camera.dtype == bool and 0.05 < label.mask_camera.mean() < 0.5
    inside = label.semantics[label.mask_camera]
    assert {occupancy.CLASSES[k] for k in np.unique(inside)} >= {"driveable_surface", "sidewalk", "manmade", "free"}
    hit = 0
    for name, center in zip(frame.boxes.names, frame.boxes.centers, strict=True):
        ego = frame.lidar2ego[:3, :3] @ center + frame.lidar2ego[:3, 3]
        cell = np.floor((ego - occupancy.LOW) / occupancy.VOXEL).astype(int)
        near = tuple(slice(max(c - 2, 0), c + 3) for c in cell)
        if ((cell >= 0) & (cell < occupancy.SHAPE)).all():
            hit += occupancy.CLASSES.index(name) in label.semantics[near]
            continue
        hit += 1
    assert hit == len(frame.boxes)


def test_the_layer_of_the_ground_is_filled_and_what_is_below_is_never_seen(minidrive):
    label = occupancy.read(minidrive, open_dataset(minidrive)[0])
    assert (label.semantics[:, :, 2] != occupancy.FREE).all()
    assert not label.mask_camera[:, :, :2].any() and not label.mask_lidar[:, :, :2].any()
    assert label.mask_lidar.any() and label.mask_camera[100:, 100].any()


def test_a_public_file_is_read_alike(tmp_path):
    np.savez_compressed(tmp_path / "labels.npz", **arrays())
    label = occupancy.read_file(tmp_path / "labels.npz")
    assert (label.semantics == occupancy.FREE).all() and label.mask_lidar.all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"semantics": np.zeros((200, 200), np.uint8)}, r"semantics\n.*\[200, 200\]"),
        ({"mask_camera": np.zeros(occupancy.SHAPE, np.int64)}, "mask_camera\n.*int64"),
        ({"semantics": np.full(occupancy.SHAPE, 18, np.uint8)}, "18 at"),
        ({"mask_lidar": np.full(occupancy.SHAPE, 2, np.uint8)}, "values 0..1"),
        ({"mask_camera": np.zeros(occupancy.SHAPE, np.uint8)}, "mask_camera\n.*not one voxel"),
    ],
)
def test_what_is_no_label_is_named(tmp_path, changes, said):
    np.savez(tmp_path / "labels.npz", **arrays(**changes))
    with pytest.raises(BadInput, match=said):
        occupancy.read_file(tmp_path / "labels.npz")


def test_a_missing_file_a_missing_array_and_a_damaged_file(tmp_path, minidrive):
    with pytest.raises(BadInput, match=r"gts.*labels\.npz\n(.*\n)*.*Occ3D"):
        occupancy.read(tmp_path, open_dataset(minidrive)[0])
    path = tmp_path / "labels.npz"
    np.savez(path, semantics=arrays()["semantics"])
    with pytest.raises(BadInput, match="no array 'mask_lidar'"):
        occupancy.read_file(path)
    np.savez(path, semantics=np.array([None], object), mask_lidar=0, mask_camera=0)
    with pytest.raises(BadInput, match="'semantics'"):
        occupancy.read_file(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadInput, match=r"labels\.npz\n"):
        occupancy.read_file(path)
