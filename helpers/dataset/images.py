"""From camera pictures to network inputs: decoding, pre-processing, and the previous-frame rules of BEVFormer.

Needs no torch.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from helpers.errors import BadInput

MEAN = (123.675, 116.28, 103.53)  # RGB, pixel scale 0..255
STD = (58.395, 57.12, 57.375)
READ_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_image(path, reduce=1):
    """Decode one picture to uint8 [H,W,3] RGB, at 1/`reduce` of its size (1, 2, 4 or 8)."""
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise missing_image(path) from None
    picture = cv2.imdecode(data, READ_FLAGS[reduce]) if data.size else None
    if picture is None:
        found = f"{data.size} bytes that are no whole picture"
        raise BadInput(path, found, "a JPEG or PNG image", "copy the original file again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def preprocess(images, scale, size, mean=MEAN, std=STD):
    """Pictures -> network input, float32 [N,3,H,W].

    images: uint8 [N,h,w,3] RGB (or a list of [h,w,3]). Equal to: normalise, resize bilinearly by `scale` to
    (int(h scale), int(w scale)), pad with zeros at the bottom and right to `size` (H, W). The resize runs first, in
    float32: bilinear weights sum to one, so the order makes no difference and the smaller picture is cheaper to
    normalise. Raises BadInput if the resized picture exceeds `size`.
    """
    out = np.zeros((len(images), 3, *size), np.float32)
    in_threads(lambda pair: _normalise_into(pair[0], pair[1], scale, mean, std), zip(out, images, strict=True))
    return out


def _normalise_into(out, image, scale, mean, std):
    height, width = (int(extent * scale) for extent in image.shape[:2])
    if height > out.shape[1] or width > out.shape[2] or not height or not width:
        raise BadInput(
            "config.image_size",
            f"{tuple(out.shape[1:])} for pictures of {height}x{width} after scaling by {scale}",
            "the resized picture fits, with zeros below and to the right",
            f"use an image_size of at least ({height}, {width})",
        )
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    small = (small - np.float32(mean)) * np.float32(1 / np.float64(std))
    out[:, :height, :width] = small.transpose(2, 0, 1)


def inputs(frame, previous, config):
    """Network inputs of one frame, float32, all but prev_bev, which the caller carries.

    Args:
        previous: the frame before, or None; a frame of another scene counts as None.
        config: has `image_scale` and `image_size` (H, W), as the model configurations do.
    Returns:
        image [1,6,3,H,W]; use_prev_bev [1], 1 with history; can_bus [18] with position (m) and yaw (degrees) relative
        to the previous frame, zero without history; lidar2img [1,6,4,4] into pixels of the scaled picture.
    """
    scale, size = _image_settings(config)
    history = previous is not None and previous.scene == frame.scene
    can_bus = frame.can_bus.copy()
    can_bus[:3] = can_bus[:3] - previous.can_bus[:3] if history else 0
    can_bus[17] = can_bus[17] - previous.can_bus[17] if history else 0
    return {
        "image": preprocess(frame.images(), scale, size)[None],
        "use_prev_bev": np.float32([history]),
        "can_bus": can_bus.astype(np.float32),
        "lidar2img": (np.diag([scale, scale, 1, 1]) @ frame.lidar2img).astype(np.float32)[None],
    }


def stream(dataset, config):
    """Yield (frame, inputs) in order; the first frame of each scene has no history."""
    previous = None
    for frame in dataset:
        yield frame, inputs(frame, previous, config)
        previous = frame


def _image_settings(config):
    scale, size = getattr(config, "image_scale", None), getattr(config, "image_size", None)
    number = isinstance(scale, (int, float)) and 0 < scale <= 1
    pair = isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
    if not (number and pair):
        raise BadInput(
            "config",
            f"image_scale={scale!r}, image_size={size!r}",
            "image_scale in (0, 1] and image_size (height, width) in pixels",
            'pass a model configuration, e.g. helpers.systems.bevformer.config.CONFIGS["mini"]',
        )
    return scale, tuple(size)


def in_threads(function, items):
    """[function(item) for item in items], on all cores; OpenCV and numpy release the interpreter while they work."""
    items = list(items)
    with ThreadPoolExecutor(min(len(items), os.cpu_count() or 1) or 1) as pool:
        return list(pool.map(function, items))


def missing_image(path):
    expected = "the camera image that the sample_data table names"
    return BadInput(path, "no file", expected, "restore it, or make MiniDrive anew: data_scripts/make_minidrive.py")
