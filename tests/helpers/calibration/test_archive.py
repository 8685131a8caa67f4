"""Room on the disk for a calibration set: asked before work, given back while it is packed."""

from types import SimpleNamespace

import numpy as np
import pytest

from helpers.calibration import archive
from helpers.errors import BadInput

SPECS = archive.specs_of({"image": (1, 6), "step": (1, 2)})  # 24 and 8 bytes a sample
SAMPLE = {"image": np.ones((1, 6), np.float32), "step": np.zeros((1, 2), np.float32)}
NEEDED = 3 * (24 + 8) + 3 * 24  # while the larger array is packed, it is there twice


@pytest.fixture
def disk(monkeypatch):
    """Says how many bytes are free."""
    room = SimpleNamespace(free=0)
    monkeypatch.setattr("helpers.disk.free", lambda path: room.free)
    return room


def test_three_samples_need_all_arrays_and_the_larger_one_twice(disk, tmp_path):
    disk.free = NEEDED
    with archive.writer(tmp_path / "a.npz", SPECS, 3) as append:
        for _ in range(3):
            append(SAMPLE)
    disk.free = NEEDED - 1
    with pytest.raises(BadInput, match="MiB free"), archive.writer(tmp_path / "b.npz", SPECS, 3):
        pytest.fail("the work was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_one_frame_many_times_is_no_set(tmp_path):
    """Its ranges would be those of a single frame, whatever the number of samples says."""
    shapes = {name: spec.shape for name, spec in SPECS.items()}
    for changed, good in ((None, False), ("step", True)):
        with archive.writer(tmp_path / "set.npz", SPECS, 3) as append:
            for number in range(3):
                append(SAMPLE | ({changed: np.full((1, 2), number, np.float32)} if changed else {}))
        if good:
            assert archive.check_calibration(tmp_path / "set.npz", shapes) == 3
        else:
            with pytest.raises(BadInput, match=r"set\.npz\n  found: +3 times the same sample"):
                archive.check_calibration(tmp_path / "set.npz", shapes)


def test_an_unknown_number_of_samples_asks_for_no_room(disk, tmp_path):
    with archive.writer(tmp_path / "a.npz", SPECS, None) as append:
        append(SAMPLE)
    assert np.load(tmp_path / "a.npz")["image"].shape == (1, 6)


def test_what_has_been_packed_takes_no_room_twice(monkeypatch, tmp_path):
    sizes, pack = [], archive._pack

    def measured(made, name, stream, *rest):
        pack(made, name, stream, *rest)
        stream.flush()
        sizes.append((name, stream.seek(0, 2)))

    monkeypatch.setattr(archive, "_pack", measured)
    with archive.writer(tmp_path / "a.npz", SPECS, 1) as append:
        append(SAMPLE)
    assert sizes == [("image", 0), ("step", 0)]
