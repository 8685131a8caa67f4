"""A frame to the inputs of FB-OCC. Needs no torch."""

import zlib
from typing import Any

import numpy as np
from PIL import Image

from helpers.arguments import typed
from helpers.dataset import CAMERAS, Frame
from helpers.dataset.frame import earlier
from helpers.dataset.images import in_threads
from helpers.errors import BadInput, check_config
from helpers.systems.fbocc import geometry

ORDER = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")


@typed
def inputs(frame: Frame, previous: Frame | None, config: Any) -> dict[str, np.ndarray]:
    """Network inputs of one frame, all but the states history_bev and history_sweep_time.

    Args:
        frame: `helpers.dataset.Frame`.
        previous: the frame before, or None; a frame of another scene counts as None.

    Raises BadInput for a `previous` that is not the key frame before: the network counts frames, not seconds.
    """
    check_config(config, "image_scale", "key_sensor", "bev_size")
    before, motion = earlier(frame, previous), np.eye(4)
    if before is not None:
        if before.index != frame.index - 1:
            where, told = f"frame before key frame {frame.index} of {frame.scene}", f"{before.index}, {before.token}"
            fix = "pass every key frame, or None where a sequence begins anew"
            raise BadInput(where, f"key frame {told}", f"key frame {frame.index - 1}", fix)
        motion = np.linalg.inv(before.ego2global) @ frame.ego2global
    cameras = cameras_of(frame, config)
    seen = geometry.projection(cameras, config)
    found = {
        "imgs": preprocess(frame, config),
        "mlp_input": geometry.mlp_input(cameras),
        **geometry.pooling(cameras, config),
        "ref_2d": geometry.map_references(*config.bev_size),
        **seen,
        **geometry.gathering(seen["per_cam_mask_list"], config),
        "start_of_sequence": np.array([before is None]),
        "grid": geometry.history_grid(motion, config),
        "history_seq_ids": np.array([sequence_id(frame)], np.int32),
    }
    return {name: found[name] for name in config.input_shapes() if name in found}


def sequence_id(frame: Frame) -> int:
    """A number of 31 bits for the scene that a frame belongs to."""
    return zlib.crc32(frame.scene.encode()) & 0x7FFFFFFF


@typed
def cameras_of(frame: Frame, config: Any) -> geometry.Cameras:
    """The six cameras in FB-OCC's order, to the vehicle at the time stamp of `config.key_sensor`."""
    order = [CAMERAS.index(name) for name in ORDER]
    to_ego = frame.cam2ego(config.key_sensor)[order]
    scale = np.diag([config.image_scale, config.image_scale, 1.0])
    return geometry.Cameras(
        rotations=to_ego[:, :3, :3],
        translations=to_ego[:, :3, 3],
        intrinsics=frame.intrinsics[order],
        post_rotations=np.tile(scale, (6, 1, 1)),
        post_translations=np.tile([0.0, -config.image_crop, 0.0], (6, 1)),
    )


@typed
def preprocess(frame: Frame, config: Any) -> np.ndarray:
    """The pictures in FB-OCC's order, scaled by Pillow's bicubic filter and cropped, float32 [1,6,3,H,W], B, G, R.

    Raises BadInput if the scaled picture without its top rows has another size than `image_size`.
    """
    pictures = dict(zip(CAMERAS, frame.images(), strict=True))
    mean, std = (np.array(values, np.float32)[::-1] for values in (config.image_mean, config.image_std))

    def prepare(name):
        picture = Image.fromarray(pictures[name])
        width, height = (int(extent * config.image_scale) for extent in picture.size)
        if (height - config.image_crop, width) != tuple(config.image_size):
            found = f"{height - config.image_crop} x {width} from {picture.size[1]} x {picture.size[0]}"
            fix = "take pictures of 900 x 1600, or mend image_scale and image_crop"
            raise BadInput("config.image_size", f"{tuple(config.image_size)}; the pictures give {found}", "equal", fix)
        small = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC), np.float32)
        return ((small[config.image_crop :, :, ::-1] - mean) / std).transpose(2, 0, 1)

    return np.stack(in_threads(prepare, ORDER))[None]
