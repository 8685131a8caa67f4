"""JPEG files in memory, whole and otherwise."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.dataset import jpeg
from helpers.errors import BadInput


def picture(mode="RGB", size=(21, 33), **options):
    """Bytes of a JPEG file of noise; size (height, width)."""
    random = np.random.default_rng(0)
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    array = random.integers(0, 256, (*size, *channels), np.uint8)
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"optimize": True}, {"exif": b"a" * 99}]
)
def test_pixels_and_header(options):
    data = picture(**options)
    assert jpeg.header(data, "x") == (21, 33, 3)
    out = np.zeros((21, 33, 3), np.uint8)
    jpeg.decode(data, out, "x")
    np.testing.assert_array_equal(out[..., ::-1], cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("case", ["in place", "no file in memory", "rows apart", "the last row looks as before"])
def test_pixels_are_right_with_and_without_memory_of_their_own(case, monkeypatch):
    data = picture()
    right = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    out = np.zeros((21, 66, 3), np.uint8)[:, ::2] if case == "rows apart" else np.zeros((21, 33, 3), np.uint8)
    if case == "in place":
        monkeypatch.delattr(cv2, "imdecode")
    if case == "no file in memory":
        monkeypatch.delattr(jpeg.os, "memfd_create")
    if case == "the last row looks as before":
        out[-1] = ~right[-1]
    for _ in range(2):  # the second time the same pixels are there already
        jpeg.decode(data, out, "x")
        np.testing.assert_array_equal(out, right)


def test_bytes_between_the_parts_and_after_the_end_do_no_harm():
    data = picture()
    assert jpeg.header(data[:2] + b"\xff\xff\xff" + data[3:] + b"\0\0", "x") == (21, 33, 3)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes that begin with nothing"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "begin with 89 50 4e 47"),
        (picture()[:100], "without a whole header"),
        (picture()[:-40], "end within the picture"),
        (picture(exif=b"a thumbnail\xff\xd9")[:-40], "end within the picture"),
        (picture("L"), "a gray picture"),
        (picture("CMYK"), "four colors"),
        (picture(size=(33, 21)), "a picture of 33x21(.|\n)*21x33 as for the network"),
        (picture()[:-2].replace(b"\xff\xc4", b"\xff\xc4\xff", 1) + b"\xff\xd9", "libjpeg-turbo refuses"),
    ],
)
def test_what_is_no_whole_color_picture_of_the_size_is_named(data, said):
    with pytest.raises(BadInput, match=said) as caught:
        jpeg.decode(data, np.zeros((21, 33, 3), np.uint8), "CAM_BACK")
    assert caught.value.where == "CAM_BACK" and caught.value.fix
