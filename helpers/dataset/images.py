"""From camera pictures to the image input of a network: decoding and pre-processing. Needs no torch."""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from helpers import cores
from helpers.arguments import typed
from helpers.dataset import jpeg
from helpers.dataset.jpeg import AGAIN
from helpers.dataset.layout import remake
from helpers.dataset.preparation import Preparation
from helpers.errors import BadInput
from helpers.files import read_file

PNG = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 1 << 27  # of a picture: 16 times as many as a camera of 8 megapixels has
READ_FLAGS = {  # the order of colors by a flag of its own: OpenCV 5 takes no two orders at once
    1: jpeg.RGB,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | jpeg.RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | jpeg.RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | jpeg.RGB,
}


@typed
def read_image(path: str | os.PathLike, reduce: int = 1) -> np.ndarray:
    """Decode one picture to uint8 [H,W,3] RGB, at 1/`reduce` of its size (1, 2, 4 or 8).

    Pixels lie as they are stored, whatever the file says of how it was held: a camera's matrices are of those.
    """
    return decode_image(np.frombuffer(_bytes_of(path), np.uint8), path, reduce)


def size_of(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) of a picture by its header; raises as `read_image`."""
    if not all(size := _size(data := _bytes_of(path), path)):
        raise BadInput(path, f"{len(data)} bytes that are no picture", "a JPEG or PNG image", AGAIN)
    return size


def _bytes_of(path):
    try:
        return read_file(path, "a JPEG or PNG image", "correct the path")
    except FileNotFoundError:
        raise missing_image(path) from None
    except OSError as error:
        fix = "correct the path, or the permissions of the file"
        raise BadInput(path, error.strerror or error, "a JPEG or PNG image", fix) from error


def decode_image(data: np.ndarray, where: object, reduce: int = 1) -> np.ndarray:
    """Decode the bytes of one picture, uint8 [N], as `read_image` does; `where` names it in the message.

    What its header claims is looked at before there is memory for it.
    """
    if reduce not in READ_FLAGS:
        raise BadInput("reduce", reduce, f"one of {', '.join(map(str, READ_FLAGS))}", "choose one of them")
    content = data.tobytes()
    height, width = _size(content, where)
    if height * width > MOST_PIXELS:
        expected = f"a picture of at most {MOST_PIXELS:,} pixels"
        raise BadInput(where, f"{height} x {width} pixels, by its header", expected, AGAIN)
    picture = cv2.imdecode(data, READ_FLAGS[reduce]) if height * width else None
    if picture is None:
        raise BadInput(where, f"{data.size} bytes that are no whole picture", "a JPEG or PNG image", AGAIN)
    if content.startswith(jpeg.START):
        jpeg.check_complete(content, picture, where, READ_FLAGS[reduce])
    return picture


def _size(data, where):
    """(height, width) by the header of a JPEG or PNG file; (0, 0) for what is neither."""
    if data.startswith(jpeg.START):
        return jpeg.header(data, where)[:2]
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    return 0, 0


@typed
def preprocess(images: np.ndarray | Sequence[np.ndarray], config: Any) -> np.ndarray:
    """Pictures -> network input, float32 [N,3,H,W].

    images: uint8 [N,h,w,3] RGB (or a list of [h,w,3]). config: of a system, with `image_scale`, `image_size` (H, W) and
    `image_mean`, `image_std` (RGB, of pixel values 0..255). What is done to a picture is a `Preparation`. Raises
    BadInput if the resized picture exceeds the size.
    """
    prepare = Preparation.of(config).apply
    for number, image in enumerate(images):
        found = np.asarray(image)
        if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or not found.size:
            where, expected = f"picture {number}", "uint8 [h, w, 3], RGB"
            raise BadInput(where, f"{found.dtype} {list(found.shape)}", expected, "read it with read_image")
    out = np.zeros((len(images), 3, *config.image_size), np.float32)
    in_threads(lambda pair: prepare(*pair), zip(images, out, strict=True))
    return out


def in_threads(function: Callable, items: Iterable) -> list:
    """[function(item) for item in items], a thread for each core that `helpers.cores` allows.

    OpenCV and numpy release the interpreter while they work.
    """
    items = list(items)
    with ThreadPoolExecutor(min(len(items), cores.count()) or 1) as pool:
        return list(pool.map(function, items))


def missing_image(path: str | os.PathLike) -> BadInput:
    """What says how a picture that is not there is brought back: within a data root from the archive of pictures."""
    if Path(path).parts[-3:-2] != ("samples",):
        return BadInput(path, "no file", "a JPEG or PNG image", "correct the path")
    folder, name = Path(path).parents[2], "/".join(Path(path).parts[-3:])
    fix = remake(folder, name, "the archive of pictures")
    return BadInput(path, "no file", "the camera image that the sample_data table names", fix)
