"""MiniDrive and nuScenes through one path: nuscenes-devkit in, frames out. Needs no torch."""

import os
from functools import cached_property
from pathlib import Path

import numpy as np
from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.eval.common.utils import quaternion_yaw
from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.geometry_utils import transform_matrix
from nuscenes.utils.splits import create_splits_scenes
from pyquaternion import Quaternion

from helpers.arguments import typed
from helpers.boxes import Boxes, transform
from helpers.dataset import layout, objects, plausible, roadmap
from helpers.dataset.canbus import can_bus_vector, pose_vector
from helpers.dataset.frame import CAMERAS, CLASSES, Frame
from helpers.dataset.images import missing_image
from helpers.dataset.tables import MOTION, Tables, read_rows
from helpers.errors import BadInput, foreign

FUTURE = 6  # key frames of the planning horizon: 3 s at 2 Hz


@typed
def open_dataset(dataroot: str | Path, version: str = "v1.0-mini", split: str | list[str] = "mini_val") -> "Dataset":
    """Open MiniDrive or nuScenes.

    Args:
        dataroot: the folder that holds `samples`, `can_bus` and the version folder.
        version: the table folder, e.g. "v1.0-mini", "v1.0-trainval".
        split: a split of nuscenes-devkit ("mini_train", "val", ...), "all", or a list of scene names.
    Raises:
        BadInput: not a nuScenes root, a damaged table or one of what no drive is (`helpers.dataset.plausible`), no CAN
            bus data, a missing image, a split with no scene here.
    """
    layout.check(dataroot := Path(dataroot), version)
    return Dataset(Tables(version, dataroot, layout.remake(dataroot)), split)


class Dataset:
    """The key frames of a split, scene by scene, in time order. `len`, indexing and iteration give `Frame`s.

    Frames are read from the tables when first asked for and kept; images are read by `Frame.images()`.
    """

    def __init__(self, nusc: NuScenes, split: str | list[str]) -> None:
        self.nusc, self.dataroot, self.version, self.split = nusc, Path(nusc.dataroot), nusc.version, split
        self.scenes = _scenes_of(nusc, split)
        self._can = NuScenesCanBus(dataroot=str(self.dataroot))
        self._poses = {scene["name"]: self._read_poses(scene["name"]) for scene in self.scenes}
        self._frames, self._maps = {}, {}
        with self._located("sample.json"):
            self._places = [
                (scene["name"], i, token) for scene in self.scenes for i, token in enumerate(self._tokens(scene))
            ]
            self._check_images()
            plausible.check(nusc, self.scene_tokens, self._poses)
            objects.check(nusc, self.tokens)

    def _located(self, place):
        """What the devkit raises of tables that do not name each other's rows becomes a BadInput."""
        where = self.dataroot / self.version / place
        return foreign(where, "rows that the other tables name", layout.remake(self.dataroot))

    @cached_property
    def frames(self) -> list[Frame]:
        """list[Frame] of the whole split."""
        return [self[i] for i in range(len(self))]

    @property
    def tokens(self) -> list[str]:
        """Sample tokens in order, without reading the frames."""
        return [token for _, _, token in self._places]

    @property
    def scene_tokens(self) -> dict[str, list[str]]:
        """Scene -> its sample tokens, all in order, without reading the frames."""
        scenes = dict.fromkeys(scene for scene, _, _ in self._places)
        return {name: [token for scene, _, token in self._places if scene == name] for name in scenes}

    def __len__(self):
        return len(self._places)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        if i not in self._frames:
            with self._located(f"sample.json: sample {self.tokens[i]}"):
                self._frames[i] = self._read(*self._places[i])
        return self._frames[i]

    def _tokens(self, scene):
        token, seen = scene["first_sample_token"], set()
        while token:
            if token in seen:
                found = f"sample {token} comes again: `next` goes in a circle"
                raise BadInput(
                    self.dataroot / self.version / "sample.json", found, "an end", layout.remake(self.dataroot)
                )
            seen.add(token)
            yield token
            token = self.nusc.get("sample", token)["next"]

    def _check_images(self):
        for token in self.tokens:
            data = self.nusc.get("sample", token)["data"]
            for channel in (*CAMERAS, "LIDAR_TOP"):
                if channel not in data:
                    where, fix = f"{self.dataroot / self.version}: sample {token}", layout.remake(self.dataroot)
                    raise BadInput(where, f"no {channel}", "six cameras and LIDAR_TOP", fix)
            for camera in CAMERAS:
                path = self.nusc.get_sample_data_path(data[camera])
                folder = Path(path).parent.name
                if not os.path.isfile(path) or (folder in CAMERAS and folder != camera):
                    raise self._missing(data[camera], path)

    def _missing(self, token, path):
        """The BadInput for a picture that is not there: the table names no picture at all, or one that is absent."""
        name = self.nusc.get("sample_data", token)["filename"]
        if Path(name).parts[:-2] == ("samples",) and not os.path.isfile(path):
            return missing_image(path)
        where, fix = f"{self.dataroot / self.version}/sample_data.json: row {token}", layout.remake(self.dataroot)
        return BadInput(where, f"filename = {name!r:.80}", "a picture, as samples/CAMERA/NAME", fix)

    def _read_poses(self, scene):
        """CAN bus pose messages of a scene; none for the scenes that nuScenes lists as having no CAN bus data."""
        if scene[-4:].isdecimal() and int(scene[-4:]) in self._can.can_blacklist:
            return []
        path = self.dataroot / "can_bus" / f"{scene}_pose.json"
        fix = layout.remake(self.dataroot, *layout.CAN_BUS)
        return sorted(read_rows(path, MOTION, "the pose messages of the scene", fix), key=lambda pose: pose["utime"])

    def _sensor(self, token):
        """sample_data token -> (record, sensor2ego, ego2global, intrinsic)."""
        record = self.nusc.get("sample_data", token)
        calibration = self.nusc.get("calibrated_sensor", record["calibrated_sensor_token"])
        pose = self.nusc.get("ego_pose", record["ego_pose_token"])
        return record, _pose_matrix(calibration), _pose_matrix(pose), calibration["camera_intrinsic"]

    def _read(self, scene, index, token):
        sample = self.nusc.get("sample", token)
        lidar, lidar2ego, ego2global, _ = self._sensor(sample["data"]["LIDAR_TOP"])
        lidar2global = ego2global @ lidar2ego
        paths, intrinsics = {}, np.zeros((6, 3, 3))
        lidar2cam, camera_ego2global = np.zeros((2, 6, 4, 4))
        for i, camera in enumerate(CAMERAS):
            _, camera2ego, camera_ego2global[i], intrinsics[i] = self._sensor(sample["data"][camera])
            lidar2cam[i] = np.linalg.inv(camera_ego2global[i] @ camera2ego) @ lidar2global
            paths[camera] = Path(self.nusc.get_sample_data_path(sample["data"][camera]))
        viewpads = np.tile(np.eye(4), (6, 1, 1))
        viewpads[:, :3, :3] = intrinsics
        ego_pose = self.nusc.get("ego_pose", lidar["ego_pose_token"])
        boxes, points = self._annotations(sample, np.linalg.inv(lidar2global))
        return Frame(
            token=token,
            scene=scene,
            index=index,
            timestamp=sample["timestamp"],
            image_paths=paths,
            intrinsics=intrinsics,
            lidar2cam=lidar2cam,
            lidar2img=viewpads @ lidar2cam,
            lidar2ego=lidar2ego,
            ego2global=ego2global,
            camera_ego2global=camera_ego2global,
            can_bus=can_bus_vector(self._poses[scene], sample["timestamp"], ego_pose),
            can_bus_pose=pose_vector(self._poses[scene], sample["timestamp"]),
            boxes=boxes,
            num_lidar_pts=points,
            future_path=self._future_path(sample, np.linalg.inv(ego2global)),
            location=self._location(sample),
        )

    def _location(self, sample):
        scene = self.nusc.get("scene", sample["scene_token"])
        return self.nusc.get("log", scene["log_token"])["location"]

    def roadmap(self, frame: Frame) -> roadmap.Roadmap:
        """The map that a frame lies in, read when first asked for; raises as `helpers.dataset.roadmap.read`."""
        path = roadmap.path_of(self.dataroot, frame)
        if path not in self._maps:
            self._maps[path] = roadmap.read(path, layout.remake(self.dataroot, "maps/expansion/", roadmap.EXPANSION))
        return self._maps[path]

    def _annotations(self, sample, global2lidar):
        records = [self.nusc.get("sample_annotation", token) for token in sample["anns"]]
        records = [r for r in records if category_to_detection_name(r["category_name"])]
        if not records:
            return Boxes.empty(classes=CLASSES), np.zeros(0, np.int64)
        boxes = Boxes(
            np.array([r["translation"] for r in records], np.float64),
            np.array([r["size"] for r in records], np.float64),
            np.array([quaternion_yaw(Quaternion(r["rotation"])) for r in records]),
            np.nan_to_num([self.nusc.box_velocity(r["token"])[:2] for r in records]),
            np.array([CLASSES.index(category_to_detection_name(r["category_name"])) for r in records]),
            np.ones(len(records)),
            "global",
            CLASSES,
        )
        return transform(boxes, global2lidar, "lidar"), np.array([r["num_lidar_pts"] for r in records], np.int64)

    def _future_path(self, sample, global2ego):
        path = []
        while sample["next"] and len(path) < FUTURE:
            sample = self.nusc.get("sample", sample["next"])
            lidar = self.nusc.get("sample_data", sample["data"]["LIDAR_TOP"])
            path.append(self.nusc.get("ego_pose", lidar["ego_pose_token"])["translation"])
        return np.array(path, np.float64).reshape(-1, 3) @ global2ego[:2, :3].T + global2ego[:2, 3]


def _pose_matrix(record):
    return transform_matrix(record["translation"], Quaternion(record["rotation"]))


def _scenes_of(nusc, split):
    here = {scene["name"]: scene for scene in nusc.scene}
    predefined = create_splits_scenes()
    usable = [name for name, scenes in predefined.items() if any(scene in here for scene in scenes)]
    expected = f"pass one of {[*usable, 'all']}, or a list of scene names"
    if not isinstance(split, str):
        absent = [name for name in split if name not in here]
        if absent or not split:
            raise BadInput(
                "split", f"{absent or 'no scene'}, not in {nusc.dataroot}", f"names out of {[*here]}", expected
            )
        return [scene for name, scene in here.items() if name in set(split)]
    if split != "all" and split not in usable:
        raise BadInput(
            "split", f"{split!r}, no scene of which is in {nusc.dataroot}", "a split with scenes here", expected
        )
    return [scene for name, scene in here.items() if split == "all" or name in predefined[split]]
