"""JPEG files in memory, whole and otherwise."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.dataset import images, jpeg
from helpers.errors import BadInput

SIZE = (96, 160)


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
    assert jpeg.header(data, "x") == (21, 33, 3, "progressive" in options)
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
    assert jpeg.header(data[:2] + b"\xff\xff\xff" + data[3:] + b"\0\0", "x") == (21, 33, 3, False)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.98])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_a_picture_with_lost_data_is_none_though_it_has_an_end(kept, options):
    """libjpeg-turbo fills what is lacking with gray, and says so to nobody who could ask."""
    data = picture(size=SIZE, **options)
    lost = data[: int(kept * len(data))] + jpeg.END
    for decode in (
        lambda: jpeg.decode(lost, np.zeros((*SIZE, 3), np.uint8), "CAM_BACK"),
        *(lambda one=one: images.decode_image(np.frombuffer(lost, np.uint8), "CAM_BACK", one) for one in (1, 4)),
    ):
        with pytest.raises(BadInput, match=r"with some lost within the picture|libjpeg-turbo refuses|no whole picture"):
            decode()


def test_a_packet_that_is_lost_in_the_middle_is_noticed():
    data = picture(size=SIZE)
    with pytest.raises(BadInput, match="with some lost within the picture"):
        jpeg.decode(data[:3000] + data[4400:], np.zeros((*SIZE, 3), np.uint8), "CAM_BACK")


@pytest.mark.parametrize("reduce", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{"quality": 30}, {"subsampling": 0}, {"progressive": True}])
def test_a_whole_picture_may_end_in_gray(options, reduce):
    out = io.BytesIO()
    pixels = np.full((*SIZE, 3), 128, np.uint8)
    pixels[:40, :60] = 10
    Image.fromarray(pixels).save(out, "JPEG", **options)
    found = images.decode_image(np.frombuffer(out.getvalue(), np.uint8), "x", reduce)
    assert (found[-1, -1] == jpeg.GRAY).all() and found[0, 0, 0] < 20
    jpeg.decode(out.getvalue(), np.zeros((*SIZE, 3), np.uint8), "x")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_lie_as_they_are_stored_however_the_camera_was_held(orientation, tmp_path):
    held = Image.Exif()
    held[0x0112] = orientation
    data, out = picture(exif=held), np.zeros((21, 33, 3), np.uint8)
    jpeg.decode(data, out, "x")
    (tmp_path / "x.jpg").write_bytes(data)
    np.testing.assert_array_equal(images.read_image(tmp_path / "x.jpg"), out)
    assert images.read_image(tmp_path / "x.jpg", 2).shape == (11, 17, 3) and images.size_of(tmp_path / "x.jpg") == (
        21,
        33,
    )


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
