"""MiniDrive in memory as training streams: the network's inputs and labels of every frame, walks, batches."""

import numpy as np
import torch
import torch.nn.functional as F

from data_scripts.train import recipe
from helpers import dataset
from helpers.dataset import occupancy
from helpers.systems.fbocc import geometry
from helpers.systems.fbocc.inputs import cameras_of

UNSEEN = 255
SKIPPED = {"ref_2d", "start_of_sequence", "history_seq_ids", "queries_rebatch", "reference_points_rebatch"}
SKIPPED |= {"bev_query_depth_rebatch"}  # what every frame has alike, or a batch makes anew


def load_frame(frame, previous, lidar, config):
    """The inputs of one frame (pictures float16, without what all frames share), its scene, labels and depth.

    labels uint8 [200,200,16]: Occ3D's class, 255 where no camera sees; depth int64 [6,h,w]: bin of the nearest LiDAR
    point in a cell of the feature map, -1 where there is none.
    """
    inputs = {name: array for name, array in config.inputs(frame, previous).items() if name not in SKIPPED}
    label = occupancy.read(lidar.parents[2], frame)
    return inputs | {
        "imgs": inputs["imgs"].astype(np.float16),
        "scene": frame.scene,
        "labels": np.where(label.mask_camera, label.semantics, np.uint8(UNSEEN)),
        "depth": depth_bins(np.fromfile(lidar, np.float32).reshape(-1, 5)[:, :3], frame, config),
    }


def depth_bins(points, frame, config):
    """LiDAR points [N,3] -> depth bin of the nearest in every cell of each camera's feature map, int64 [6,h,w]."""
    cameras, (height, width) = cameras_of(frame, config), config.feature_size
    ego = points @ frame.lidar2ego[:3, :3].T + frame.lidar2ego[:3, 3]
    low, _, step = config.depth_range
    found = np.full((len(cameras.intrinsics), height * width), np.inf)
    for camera, out in enumerate(found):
        local = (ego - cameras.translations[camera]) @ cameras.rotations[camera] @ cameras.intrinsics[camera].T
        local = local[local[:, 2] > low]
        pixels = local[:, :2] / local[:, 2:] @ cameras.post_rotations[camera, :2, :2].T
        cells = np.floor((pixels + cameras.post_translations[camera, :2]) / config.stride).astype(int)
        inside = ((cells >= 0) & (cells < (width, height))).all(1)
        np.minimum.at(out, cells[inside] @ (1, width), local[inside, 2])
    bins = np.floor((found - low) / step)
    return np.where(bins < config.depth_bins, bins, -1).astype(np.int64).reshape(-1, height, width)


def load_scenes(dataroot, config, workers):
    """Every scene of a data set as a list of frames (see `load_frame`), in time order."""
    data = dataset.open_dataset(dataroot, split="all")
    jobs, previous = [], None
    for frame in data:
        sample = data.nusc.get("sample", frame.token)
        lidar = data.dataroot / data.nusc.get("sample_data", sample["data"]["LIDAR_TOP"])["filename"]
        jobs.append((frame, previous, lidar, config))
        previous = frame
    return recipe.in_processes(load_frame, jobs, workers)


class Streams:
    """`batch` independent walks through the scenes, all on the device; `next()` gives the next frame of each walk."""

    def __init__(self, scenes, batch, device, seed):
        self.device, self.random = device, np.random.default_rng(seed)
        self.scenes = [[{k: torch.from_numpy(v).to(device) for k, v in f.items()} for f in scene] for scene in scenes]
        self.walks = [self._start(anywhere=True) for _ in range(batch)]

    def _start(self, anywhere=False):
        scene = int(self.random.integers(len(self.scenes)))
        return [scene, int(self.random.integers(len(self.scenes[scene]))) if anywhere else 0, True]

    def next(self):
        """The frames, and whether a sequence starts at each: bool [batch]."""
        items, fresh = [], []
        for i, walk in enumerate(self.walks):
            if walk[1] >= len(self.scenes[walk[0]]):
                self.walks[i] = walk = self._start()
            items.append(self.scenes[walk[0]][walk[1]])
            fresh.append(walk[2] or walk[1] == 0 or self.random.random() < 0.03)
            walk[1:] = walk[1] + 1, False
        return items, torch.tensor(fresh, device=self.device)


def collate(items, fresh, config, jitter=0.2):
    """Frames of B streams -> the inputs of `FBOCC.forward` without the states."""
    device, streams, cells = fresh.device, len(items), int(np.prod(config.volume))
    pixels = config.num_cameras * config.feature_size[0] * config.feature_size[1]
    sizes = {"ranks_depth": pixels * config.depth_bins, "ranks_feat": pixels, "ranks_bev": cells}
    out = {name: torch.cat([item[name] + b * size for b, item in enumerate(items)]) for name, size in sizes.items()}
    before = np.cumsum([0] + [len(item["ranks_bev"]) for item in items])
    out["interval_starts"] = torch.cat(
        [item["interval_starts"] + int(n) for item, n in zip(items, before, strict=False)]
    )
    out["interval_lengths"] = torch.cat([item["interval_lengths"] for item in items])
    for name in ("bev_query_depth", "reference_points_cam", "per_cam_mask_list"):
        out[name] = torch.cat([item[name] for item in items], 1)
    most, (cameras, anchors) = (
        max(item["indexes"].shape[2] for item in items),
        (config.num_cameras, config.pillar_points),
    )
    out["indexes"] = torch.cat([F.pad(item["indexes"], (0, most - item["indexes"].shape[2])) for item in items])
    for name, shape in (
        ("queries", (config.channels,)),
        ("reference_points", (anchors, 2)),
        ("bev_query_depth", (anchors, 1)),
    ):
        out[f"{name}_rebatch"] = torch.zeros(streams, cameras, most, *shape, device=device)
    still = torch.from_numpy(geometry.history_grid(np.eye(4), config)).to(device)
    grids = torch.cat([item["grid"] for item in items])
    references = torch.from_numpy(geometry.map_references(*config.bev_size)).to(device)
    return out | {
        "imgs": recipe.varied(torch.cat([item["imgs"] for item in items]).float(), jitter),
        "mlp_input": torch.cat([item["mlp_input"] for item in items]),
        "ref_2d": references.expand(streams, -1, -1, -1),
        "grid": torch.where(fresh.view(-1, 1, 1, 1, 1), still, grids),
        "start_of_sequence": fresh,
        "history_seq_ids": torch.zeros(streams, dtype=torch.int32, device=device),
    }
