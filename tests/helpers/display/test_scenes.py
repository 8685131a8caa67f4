"""Boxes in the pictures of the cameras and from above."""

import types

import numpy as np
import pytest

from helpers import display
from helpers.boxes import Boxes
from helpers.dataset import CAMERAS, CLASSES
from helpers.display import mosaic
from helpers.display.style import CLASS_COLORS, LINE_COLORS, PALETTE, class_color
from helpers.errors import BadInput
from tests.helpers.display.pictures import near, pixels

AZIMUTHS = {"FRONT": 90, "FRONT_RIGHT": 35, "FRONT_LEFT": 145, "BACK": -90, "BACK_LEFT": 200, "BACK_RIGHT": -20}


def boxes(*centers, label="car", score=1.0, size=(2.0, 4.0, 1.6), yaw=0.0, frame="lidar", classes=CLASSES):
    n = len(centers)
    each = np.ones(n)
    return Boxes(
        centers,
        np.outer(each, size),
        yaw * each,
        np.zeros((n, 2)),
        [classes.index(label)] * n,
        score * each,
        frame,
        classes,
    )


@pytest.fixture
def frame():
    """Six pinhole cameras at the lidar's origin (x right, y forward), gray pictures."""

    def lidar2img(azimuth):
        sin, cos = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
        view, intrinsics = np.eye(4), np.eye(4)
        view[:3, :3] = [[sin, -cos, 0], [0, 0, -1], [cos, sin, 0]]
        intrinsics[:3, :3] = [[1266, 0, 800], [0, 1266, 450], [0, 0, 1]]
        return intrinsics @ view

    lidar2ego = np.eye(4)
    lidar2ego[:2] = [[0, 1, 0, 0.9], [-1, 0, 0, 0]]
    return types.SimpleNamespace(
        image_paths=dict.fromkeys(CAMERAS),
        images=lambda reduce=1: np.full((6, 900 // reduce, 1600 // reduce, 3), 90, np.uint8),
        lidar2img=np.stack([lidar2img(AZIMUTHS[name.removeprefix("CAM_")]) for name in CAMERAS]),
        lidar2ego=lidar2ego,
        scene="scene-0103",
        index=3,
    )


class TestScenes:
    def test_a_box_ahead_is_in_the_front_tile_only(self, frame):
        image = display.cameras(frame, boxes((0, 20, 0)))
        hit = np.argwhere(near(image, CLASS_COLORS["car"])[:600])
        assert pixels(image).shape == (636, 1600, 3)
        assert hit[:, 1].min() > 534 + 200 and hit[:, 1].max() < 534 + 330
        assert hit[:, 0].max() < 300 and hit[:, 0].max() == pytest.approx(150 + 0.8 * 1266 / 3 / 19, abs=4)

    def test_a_box_through_the_camera_plane_is_cut_and_not_mirrored(self, frame):
        image = near(display.cameras(frame, boxes((-3, 1, -1), yaw=np.pi / 2, size=(1, 8, 1))), CLASS_COLORS["car"])
        front = image[:300, 534:1066]
        assert front[:, :266].any() and not front[40:, 266:].any()

    def test_detections_below_the_threshold_are_left_out(self, frame):
        faint, clear = boxes((0, 20, 0), score=0.2), boxes((0, 20, 0), score=0.7)
        assert not near(display.cameras(frame, detections=faint), CLASS_COLORS["car"]).any()
        assert near(display.cameras(frame, detections=clear), CLASS_COLORS["car"]).any()

    def test_lines_lie_on_the_ground_that_a_camera_sees(self, frame):
        """Ego is turned by a quarter against the lidar: ahead of ego is ahead of the camera, y is to the left."""
        given = {
            "path": [[(10, 0, -2), (60, 0, -2)]],
            "lane": [[(-60, 3, -2), (60, 3, -2)], [(20, 9, -2), (21, 9, -2)]],
        }
        image = display.cameras(frame, lines=given)
        path, lane = (near(image, color)[:600] for color in LINE_COLORS[:2])
        at = np.argwhere(path)
        assert ((at[:, 1] > 534 + 250) & (at[:, 1] < 534 + 282) & (at[:, 0] > 150) & (at[:, 0] < 300)).all()
        assert lane[:300, 534 : 534 + 250].any() and lane[302:, 534:1066].any()  # it passes the vehicle on its left
        assert near(image, LINE_COLORS[1])[600:].any() and "lines on the ground: 1 path, 2 lane" in image.alt

    def test_from_above_lines_have_names_and_the_first_is_on_top(self, frame):
        lines = {"planned": [[(0, 0), (30, 0)]], "lane": [[(0, 0, 0), (30, 0, 0)], [(0, -20, 0), (30, -20, 0)]]}
        image = display.bev(frame, path=lines)
        assert all(near(image, color, 10).any() for color in LINE_COLORS[:2]) and "1 planned, 2 lane" in image.alt
        left, right = np.split(near(image, LINE_COLORS[1], 10)[:, : int(pixels(image).shape[1] * 0.78)], [400], 1)
        assert right.any() and left[:360].sum() < 40  # of the lane under the path nearly nothing is seen

    def test_from_above_right_is_right_and_ahead_is_up(self, frame):
        image = display.bev(frame, detections=boxes((30, 20, 0), label="bus", size=(4, 4, 2)))
        mask = near(image, CLASS_COLORS["bus"], 5)
        height, width = mask.shape
        mask[:, int(width * 0.78) :] = False
        row, column = np.argwhere(mask).mean(axis=0)
        assert column / width == pytest.approx(0.08 + 0.70 * (30 + 51.2) / 102.4, abs=0.01)
        assert 1 - row / height == pytest.approx(0.08 + 0.88 * (20 + 51.2) / 102.4, abs=0.01)

    @pytest.mark.parametrize(("yaw", "wide"), [(0.0, True), (np.pi / 2, False)])
    def test_a_box_lies_along_its_heading(self, frame, yaw, wide):
        image = display.bev(frame, detections=boxes((20, 20, 0), label="bus", size=(2, 12, 3), yaw=yaw))
        mask = near(image, CLASS_COLORS["bus"], 5)
        mask[:, int(mask.shape[1] * 0.78) :] = False
        rows, columns = np.ptp(np.argwhere(mask), axis=0)
        assert columns > 3 * rows if wide else rows > 3 * columns

    def test_the_path_of_the_ego_frame_runs_ahead(self, frame):
        image = display.bev(frame, path=[[0.0, 0.0], [30.0, 0.0], [40.0, 10.0]])
        mask = near(image, PALETTE[3], 10)
        mask[:, int(mask.shape[1] * 0.78) :] = False
        end = np.argwhere(mask)[0]  # topmost: 40 m ahead, 10 m to the left
        assert 1 - end[0] / mask.shape[0] == pytest.approx(0.08 + 0.88 * (39.1 + 51.2) / 102.4, abs=0.02)
        assert end[1] / mask.shape[1] == pytest.approx(0.08 + 0.70 * (-10 + 51.2) / 102.4, abs=0.02)

    def test_ground_truth_and_empty_detections(self, frame):
        truth = boxes((10, 10, 0), label="pedestrian")
        assert near(display.bev(frame, truth), CLASS_COLORS["pedestrian"], 5).any()
        assert "1 true (1 pedestrian), 0 detected" in display.bev(frame, truth, Boxes.empty()).alt
        assert len(display.cameras(frame, truth, Boxes.empty()).data) < 500_000

    def test_other_classes_take_the_palette_in_their_order(self, frame):
        kinds = tuple(f"kind {k}" for k in range(17))
        image = display.bev(frame, detections=boxes((20, 20, 0), label="kind 2", size=(4, 4, 2), classes=kinds))
        mask = near(image, PALETTE[2], 3)
        assert mask[:, : int(mask.shape[1] * 0.78)].any() and mask[:, int(mask.shape[1] * 0.78) :].any()  # and its key
        assert class_color("kind 9", kinds) == PALETTE[9 - len(PALETTE)]
        assert class_color("car", ("tram", "car")) == CLASS_COLORS["car"]

    def test_cameras_are_the_frames_own(self, frame):
        """Four cameras of other names: in their own order, the place of the missing ones white."""
        frame.image_paths = dict.fromkeys(["left", "CAM_FRONT", "right", "rear"])
        frame.images = lambda reduce=1: np.full((4, 900 // reduce, 1600 // reduce, 3), 90, np.uint8)
        frame.lidar2img = frame.lidar2img[[2, 0, 1, 3]]
        drawn = display.cameras(frame, boxes((0, 20, 0)))
        hit = np.argwhere(near(drawn, CLASS_COLORS["car"])[:600])
        assert hit[:, 1].max() < 532 and hit[:, 0].max() < 300  # CAM_FRONT leads, by the layout of nuScenes
        gray = pixels(drawn)[450, ::200]
        assert (gray[:2] < 120).all() and (gray[6:] > 250).all() and "4 cameras" in drawn.alt

    def test_boxes_of_another_frame_are_refused(self, frame):
        for draw in (display.bev, display.cameras):
            with pytest.raises(BadInput, match="global frame"):
                draw(frame, boxes((0, 0, 0), frame="global"))

    def test_clip_keeps_what_is_in_front(self):
        a, b = np.array([1.0, 1.0, -1.0]), np.array([3.0, 3.0, 2.0])
        kept = mosaic._clip(a, b)
        np.testing.assert_allclose(kept, [[2.0, 2.0, 0.5], b])
        np.testing.assert_allclose(mosaic._clip(b, a), kept[::-1])
        assert mosaic._clip(a, a) is None

    def test_side_by_side(self):
        image = display.side_by_side([np.zeros((20, 40, 3), np.uint8), np.eye(20)], ["one", "two"])
        assert "one, values 0 to 0; two, values 0 to 1" in image.alt
        with pytest.raises(BadInput, match="2 images, 1 titles"):
            display.side_by_side([np.eye(2), np.eye(2)], ["one"])

    def test_a_row_shows_what_each_version_detects(self, frame):
        truth = boxes((0, 20, 0))
        versions = {"FP32": boxes((0, 20, 0), score=0.9), "INT8": boxes((0, 20, 0), score=0.2)}
        image = display.bev_row(frame, versions, truth, threshold=0.3)
        seen = np.flatnonzero(near(image, CLASS_COLORS["car"]).any(axis=0))
        assert len(seen) and seen[-1] < pixels(image).shape[1] / 2
        assert image.alt == (
            "Bird's-eye views of scene-0103, frame 3: 1 true (1 car); FP32 detects 1 (1 car); INT8 detects 0"
        )
        with pytest.raises(BadInput, match="at least one"):
            display.bev_row(frame, {}, truth)
