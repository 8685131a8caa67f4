"""MiniDrive against nuscenes-devkit, unmodified, and against its own promises."""

import json

import cv2
import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import BoxVisibility, points_in_box, view_points
from nuscenes.utils.splits import mini_train, mini_val
from pyquaternion import Quaternion

from data_scripts import make_minidrive, roots
from data_scripts.minidrive import geometry, produce, rig, tables, world
from helpers.errors import BadInput

ANNOTATIONS, SUMS = 513, (186015.2041, -31.5189)
COLORS = (76.624, 58.276, 44.799, 68.779, 40.522, 49.473)  # mean of the pictures of one sample
CAMERAS = [camera.channel for camera in rig.CAMERAS]


@pytest.fixture(scope="module")
def nusc(minidrive):
    return NuScenes("v1.0-mini", str(minidrive), verbose=False)


def tiny(out, seed=0, workers=1, names=("scene-9000",)):
    return make_minidrive.make(out, frames=2, seed=seed, workers=workers, names=names)


def detections(nusc, change=None):
    """Ground truth as submission entries; `change` alters each."""
    results = {s["token"]: [] for s in nusc.sample}
    for a in nusc.sample_annotation:
        name = category_to_detection_name(a["category_name"])
        attributes = [nusc.get("attribute", t)["name"] for t in a["attribute_tokens"]]
        entry = {
            "sample_token": a["sample_token"],
            "translation": a["translation"],
            "size": a["size"],
            "rotation": a["rotation"],
            "velocity": nusc.box_velocity(a["token"])[:2].tolist(),
            "detection_name": name,
            "detection_score": 0.9,
            "attribute_name": attributes[0] if attributes else "",
        }
        results[a["sample_token"]].append(change(entry) if change else entry)
    return results


def score(nusc, results, folder):
    meta = dict.fromkeys(("use_camera", "use_lidar", "use_radar", "use_map", "use_external"), False)
    (folder / "results.json").write_text(json.dumps({"meta": meta, "results": results}))
    config = config_factory("detection_cvpr_2019")
    evaluation = DetectionEval(nusc, config, str(folder / "results.json"), "mini_val", str(folder), verbose=False)
    return evaluation.evaluate()[0].serialize()


def test_devkit_reads_every_table_and_file(nusc, minidrive):
    assert sorted(make_minidrive.scene_names(10)) == sorted(mini_train + mini_val)
    assert [s["name"] for s in nusc.scene] == ["scene-0103", "scene-0916"]
    assert all((minidrive / d["filename"]).is_file() for d in nusc.sample_data)
    for sample in nusc.sample:
        assert set(sample["data"]) == {*CAMERAS, "LIDAR_TOP"}
    sweeps = [d for d in nusc.sample_data if not d["is_key_frame"]]
    assert len(sweeps) == 2 * 3 and all(d["filename"].startswith("sweeps/LIDAR_TOP") for d in sweeps)
    image = cv2.imread(str(minidrive / nusc.get("sample_data", nusc.sample[0]["data"]["CAM_FRONT"])["filename"]))
    assert image.shape == (900, 1600, 3)


def test_records_are_linked(nusc):
    for table in ("sample", "sample_data", "sample_annotation"):
        for record in getattr(nusc, table):
            if record["next"]:
                after = nusc.get(table, record["next"])
                assert after["prev"] == record["token"]
                if table == "sample_annotation":
                    assert after["instance_token"] == record["instance_token"]
                else:
                    assert after["timestamp"] > record["timestamp"]
    for d in nusc.sample_data:
        pose = nusc.get("ego_pose", d["ego_pose_token"])
        assert pose["timestamp"] == d["timestamp"]
        if d["is_key_frame"]:
            assert abs(d["timestamp"] - nusc.get("sample", d["sample_token"])["timestamp"]) < 50_000


def test_devkit_renders(nusc, tmp_path):
    sample = nusc.sample[1]
    nusc.render_sample_data(sample["data"]["CAM_FRONT"], out_path=str(tmp_path / "camera.png"), verbose=False)
    nusc.render_sample_data(sample["data"]["LIDAR_TOP"], nsweeps=2, out_path=str(tmp_path / "lidar.png"), verbose=False)
    matplotlib.pyplot.close("all")
    for name in ("camera.png", "lidar.png"):
        assert np.ptp(cv2.imread(str(tmp_path / name)).astype(int)) > 200


def test_can_bus_agrees_with_ego_poses(nusc, minidrive):
    can = NuScenesCanBus(str(minidrive))
    for scene in nusc.scene:
        assert can.get_messages(scene["name"], "steeranglefeedback") and can.get_messages(scene["name"], "meta")["pose"]
        route, _ = can.get_pose_and_route(scene["name"], print_warnings=False)
        poses = can.get_messages(scene["name"], "pose")
        times = np.array([p["utime"] for p in poses])
        for d in nusc.sample_data:
            if nusc.get("sample", d["sample_token"])["scene_token"] != scene["token"]:
                continue
            ego = nusc.get("ego_pose", d["ego_pose_token"])
            position = [np.interp(d["timestamp"], times, [p["pos"][k] for p in poses]) for k in range(3)]
            assert np.allclose(position, ego["translation"], atol=0.01)
            assert np.linalg.norm(route - position[:2], axis=1).min() < 1.0
        x, v = np.array([p["pos"][:2] for p in poses]), np.array([p["vel"][0] for p in poses])
        yaw = np.unwrap([Quaternion(p["orientation"]).yaw_pitch_roll[0] for p in poses])
        assert np.allclose(np.linalg.norm(x[2:] - x[:-2], axis=1) / 0.04, v[1:-1], atol=0.15)
        assert np.allclose((yaw[2:] - yaw[:-2]) / 0.04, [p["rotation_rate"][2] for p in poses[1:-1]], atol=0.02)


def test_ground_truth_scores_one_and_random_boxes_nothing(nusc, tmp_path):
    perfect = score(nusc, detections(nusc), tmp_path)
    assert perfect["mean_ap"] == pytest.approx(1.0) and perfect["nd_score"] >= 0.99
    rng = np.random.default_rng(0)

    def scatter(entry):
        spot = np.array(entry["translation"]) + np.append(rng.uniform(-40, 40, 2), 0)
        return entry | {"translation": spot.tolist(), "detection_score": float(rng.random())}

    assert score(nusc, detections(nusc, scatter), tmp_path)["mean_ap"] < 0.05


def test_velocity_and_attribute_follow_the_motion(nusc):
    speeds = {}
    for a in nusc.sample_annotation:
        velocity = nusc.box_velocity(a["token"])[:2]
        attribute = nusc.get("attribute", a["attribute_tokens"][0])["name"] if a["attribute_tokens"] else ""
        if np.isfinite(velocity).all():
            speeds.setdefault(attribute, []).append(np.linalg.norm(velocity))
            if attribute == "vehicle.moving":
                heading = Quaternion(a["rotation"]).rotation_matrix[:2, 0]
                assert velocity @ heading > 0.99 * np.linalg.norm(velocity) > 0
    assert max(speeds["vehicle.parked"]) == 0 and max(speeds["pedestrian.standing"]) <= 0.4
    assert 3 < np.mean(speeds["vehicle.moving"]) < 15 and 0.5 < np.mean(speeds["pedestrian.moving"]) < 2


def test_every_class_is_near_in_every_scene(nusc):
    for scene in nusc.scene:
        counts = {}
        for a in nusc.sample_annotation:
            sample = nusc.get("sample", a["sample_token"])
            ego = nusc.get("ego_pose", nusc.get("sample_data", sample["data"]["LIDAR_TOP"])["ego_pose_token"])
            close = np.hypot(*np.subtract(a["translation"], ego["translation"])[:2]) < 30
            if sample["scene_token"] == scene["token"] and close and a["num_lidar_pts"] > 0:
                counts.setdefault(category_to_detection_name(a["category_name"]), set()).add(a["instance_token"])
        assert len(counts) == 10 and min(map(len, counts.values())) >= 1
        assert sum(map(len, counts.values())) > 40


def test_lidar_counts_equal_the_devkits(nusc, minidrive):
    for sample in nusc.sample[::3]:
        path, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"])
        points = LidarPointCloud.from_file(path).points
        assert 5000 < points.shape[1] <= 32 * 540
        for box in boxes:
            expected = nusc.get("sample_annotation", box.token)["num_lidar_pts"]
            assert abs(int(points_in_box(box, points[:3]).sum()) - expected) <= 1


def cone_pixels(nusc, shift):
    """Share of orange among the pixels of cones that stand free, looked up `shift` px beside where they should be."""
    hits = []
    for sample in nusc.sample:
        for channel in CAMERAS:
            path, boxes, intrinsic = nusc.get_sample_data(sample["data"][channel], BoxVisibility.ALL)
            image = cv2.imread(path)
            for box in boxes:
                annotation = nusc.get("sample_annotation", box.token)
                free = annotation["visibility_token"] == "4" and np.linalg.norm(box.center) < 25
                if box.name == "movable_object.trafficcone" and free:
                    spot = box.center + np.array((0, 0.22 * box.wlh[2], 0))  # camera y is down: the lower orange part
                    u, v, _ = view_points(spot[:, None], intrinsic, normalize=True)[:, 0]
                    blue, green, red = image[int(v), int(u) + shift if u + shift < 1600 else int(u) - shift].astype(int)
                    hits.append(red > 1.6 * green and red > 2 * blue)
    return np.mean(hits), len(hits)


def test_boxes_project_onto_what_is_drawn(nusc):
    share, count = cone_pixels(nusc, 0)
    assert count >= 10 and share > 0.9
    assert cone_pixels(nusc, 60)[0] < 0.3


def test_what_is_drawn_fills_its_box(nusc):
    """Every drawn solid, moving ones included, lies in the box that the devkit reads, and fills it."""
    scene = nusc.scene[0]
    w = world.World(scene["name"], 4, 0)
    for sample_index in (1, 3):
        t = float(w.times[sample_index])
        drawn = produce.render.Scene(w, t)
        sample = [s for s in nusc.sample if s["scene_token"] == scene["token"]][sample_index]
        _, boxes, _ = nusc.get_sample_data(sample["data"]["LIDAR_TOP"], use_flat_vehicle_coordinates=False)
        tokens = {box.token for box in boxes}
        agents = [i for i in w.in_range(t) if tables.token(0, "annotation", w.name, i, sample_index) in tokens]
        assert len(boxes) == len(agents) > 20
        for i in agents:
            token = tables.token(0, "annotation", w.name, i, sample_index)
            box = nusc.get_box(token)
            corners = drawn.meshes[i].vertices @ drawn.matrices[i][:3, :3].T + drawn.matrices[i][:3, 3]
            local = (corners - box.center) @ box.rotation_matrix
            assert abs(local[:, 2].min() + box.wlh[2] / 2) < 0.03  # half the thickness of a tyre
            span, size = np.abs(local).max(0), box.wlh[[1, 0, 2]] / 2
            assert (span <= size + 0.12).all() and span[0] > 0.4 * size[0] and span[2] > 0.9 * size[2]


def test_visibility_has_all_levels(nusc):
    levels = [a["visibility_token"] for a in nusc.sample_annotation]
    assert all(levels.count(v) > 20 for v in "1234")


def test_same_seed_same_bytes(tmp_path):
    one = roots.digest(tiny(tmp_path / "a", workers=1), make_minidrive.MARKER)
    assert one == roots.digest(tiny(tmp_path / "b", workers=2), make_minidrive.MARKER)
    other = tiny(tmp_path / "c", seed=1)
    assert one != roots.digest(other, make_minidrive.MARKER)
    picture = lambda folder: sorted((tmp_path / folder).rglob("CAM_FRONT/*.jpg"))[0].read_bytes()  # noqa: E731
    assert picture("a") == picture("b") != picture("c")


def test_the_world_is_the_one_that_the_checkpoints_were_trained_on(nusc, minidrive):
    """Sums over what seed 0 makes: numbers change in their last places between processors, and no more than that."""
    numbers = [pose["translation"] for pose in nusc.ego_pose]
    numbers += [row["translation"] + row["size"] + row["rotation"] for row in nusc.sample_annotation]
    flat = np.concatenate([np.ravel(row) for row in numbers])
    assert len(nusc.sample_annotation) == ANNOTATIONS
    np.testing.assert_allclose([flat.sum(), (flat * np.cos(np.arange(len(flat)))).sum()], SUMS, rtol=1e-6)
    paths = [minidrive / nusc.get("sample_data", token)["filename"] for token in nusc.sample[5]["data"].values()]
    colors = [cv2.imread(str(path)).mean() for path in paths if path.suffix == ".jpg"]
    np.testing.assert_allclose(colors, COLORS, atol=0.02)


def test_equal_parameters_are_not_made_twice(tmp_path, monkeypatch):
    out = tiny(tmp_path / "set")

    def fail(*_):
        raise RuntimeError("made again")

    monkeypatch.setattr(make_minidrive, "_produce", fail)
    assert tiny(out) == out
    with pytest.raises(RuntimeError):
        tiny(out, seed=5)
    assert (out / "minidrive.json").is_file() and json.loads((out / "minidrive.json").read_text())["seed"] == 0


def test_a_damaged_one_is_made_again(tmp_path, monkeypatch):
    out, made = tiny(tmp_path / "set"), []
    monkeypatch.setattr(make_minidrive, "_produce", lambda *_: made.append(1) or [[{}, {}]])
    whole = {path: path.read_bytes() for path in (*out.rglob("ego_pose.json"), *sorted(out.rglob("*.jpg"))[:1])}
    for path, content in whole.items():
        for damage in (path.unlink, lambda: path.write_bytes(content[:-1] + b"x")):  # noqa: B023
            damage()
            assert not roots.is_whole(out, make_minidrive.MARKER)
            path.write_bytes(content)
    assert roots.is_whole(out, make_minidrive.MARKER)
    path.unlink()
    tiny(out)
    assert made == [1]


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupted(*piece):
        calls.append(piece)
        raise KeyboardInterrupt

    monkeypatch.setattr(produce, "frames", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path / "set")
    assert calls and list(tmp_path.iterdir()) == []


def test_refuses_a_folder_that_is_not_a_minidrive(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="not a MiniDrive"):
        tiny(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "bad",
    [{"scenes": 0}, {"frames": 1}, {"workers": -1}, {"seed": -1}, {"names": ["street"]}, {"names": ["scene-0001"] * 2}],
)
def test_bad_arguments(tmp_path, bad):
    with pytest.raises(BadInput):
        make_minidrive.make(tmp_path / "set", **bad)
    assert not (tmp_path / "set").exists()


def test_command_line_reports_bad_input(tmp_path):
    with pytest.raises(BadInput, match="--frames"):
        make_minidrive.main(["--out", str(tmp_path / "set"), "--frames", "1"])


def test_quaternion_inverts_rotation():
    for sensor in rig.SENSORS:
        q = geometry.quaternion(sensor.sensor2ego[:3, :3])
        assert np.allclose(Quaternion(q).rotation_matrix, sensor.sensor2ego[:3, :3], atol=1e-12)


def test_paint_order_puts_the_nearer_box_last():
    boxes = geometry.footprint([0.0, 6.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [10.0, 1.0, 1.0], [2.0, 2.0, 1.0])
    eye = np.array([7.5, -8.0])
    order = geometry.paint_order(geometry.in_front(boxes, eye), np.linalg.norm(boxes.mean(1) - eye, axis=1))
    assert order.index(2) < order.index(0)
    assert not geometry.overlaps(boxes[0], boxes[1:], 0.0) and geometry.overlaps(boxes[0], boxes[1:], 1.0)
