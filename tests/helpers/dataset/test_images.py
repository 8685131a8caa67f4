"""Pre-processing against the published order of its steps, and by hand."""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from helpers.dataset import images, preprocess
from helpers.dataset.images import read_image
from helpers.errors import BadInput

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def pictures(scale, size):
    """The part of a configuration that `preprocess` reads."""
    return SimpleNamespace(image_scale=scale, image_size=size, image_mean=MEAN, image_std=STD)


def published_order(image, scale, size):
    """Normalize at full size, then resize, then pad."""
    normal = (image.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    small = cv2.resize(normal, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return np.pad(small, ((0, size[0] - small.shape[0]), (0, size[1] - small.shape[1]), (0, 0))).transpose(2, 0, 1)


@pytest.mark.parametrize(("scale", "size"), [(0.5, (480, 800)), (0.25, (256, 416))])
def test_preprocess_equals_the_published_order(scale, size):
    images = np.random.default_rng(0).integers(0, 256, (2, 900, 1600, 3), np.uint8)
    out = preprocess(images, pictures(scale, size))
    assert out.shape == (2, 3, *size) and out.dtype == np.float32
    np.testing.assert_allclose(out, np.stack([published_order(image, scale, size) for image in images]), atol=1e-5)
    height, width = int(900 * scale), int(1600 * scale)
    assert not out[:, :, height:].any() and not out[:, :, :, width:].any()


def test_preprocess_by_hand():
    """At a quarter, bilinear samples lie between the second and third pixel of each four."""
    image = np.random.default_rng(1).integers(0, 256, (8, 16, 3), np.uint8)
    out = preprocess([image], pictures(0.25, (4, 4)))[0]
    mean_of_four = image[1:3, 5:7].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(out[:, 0, 1], (mean_of_four - MEAN) / STD, atol=1e-5)
    assert out[:, 2:].max() == out[:, 2:].min() == 0


@pytest.mark.parametrize("kind", [".jpg", ".png"])
@pytest.mark.parametrize("reduce", [1, 2, 4, 8])
def test_red_comes_first(kind, reduce):
    blue_green_red = np.full((16, 16, 3), (10, 60, 200), np.uint8)
    found = images.decode_image(cv2.imencode(kind, blue_green_red)[1], "x", reduce)
    assert found.shape == (16 // reduce, 16 // reduce, 3) and np.abs(found - np.array([200, 60, 10])).max() <= 2


def test_preprocess_refuses_a_size_that_cuts_the_picture():
    with pytest.raises(BadInput, match=r"at least \(225, 400\)"):
        preprocess(np.zeros((1, 900, 1600, 3), np.uint8), pictures(0.25, (224, 416)))


@pytest.mark.parametrize("name", ["absent.png", "a\0b.png", "a" * 300, "."])
def test_what_is_no_picture_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        read_image(name)
    assert caught.value.where == name and "correct the path" in caught.value.fix


def large(kind):
    """A picture of a few bytes whose header claims 2^32 pixels."""
    if kind == ".png":
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1 << 16, 1 << 16)
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_picture_without_memory_for_it_is_not_decoded(tmp_path, monkeypatch, kind):
    (path := tmp_path / f"large{kind}").write_bytes(large(kind))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BadInput, match=r"large.*\n  found:    6553[56] x 6553[56] pixels"):
        read_image(path)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_picture_of_the_largest_size_is_decoded(tmp_path, monkeypatch, kind):
    cv2.imwrite(path := str(tmp_path / f"small{kind}"), np.zeros((3, 5, 3), np.uint8))
    monkeypatch.setattr(images, "MOST_PIXELS", 15)
    assert read_image(path).shape == (3, 5, 3)
    monkeypatch.setattr(images, "MOST_PIXELS", 14)
    with pytest.raises(BadInput, match="3 x 5 pixels"):
        read_image(path)


BMP = cv2.imencode(".bmp", np.zeros((2, 2, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", BMP])
def test_what_is_neither_jpeg_nor_png_is_refused(tmp_path, data):
    (path := tmp_path / "other").write_bytes(data)
    with pytest.raises(BadInput, match="bytes that are no whole picture\n  expected: a JPEG or PNG image"):
        read_image(path)
