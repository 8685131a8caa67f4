"""JPEG files in memory: what they are by their header, and their pixels. Needs no torch."""

import os
import struct
from typing import NamedTuple

import cv2
import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput

START, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame header, of all kinds of coding
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
AGAIN = "copy the original file again"
RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
GRAY, MORE = 128, bytes(range(1, 100)) * 9  # a pixel that no data were left for; data that would change it
COLORS = {1: "a gray picture", 4: "a picture of four colors (CMYK)"}


class Header(NamedTuple):
    """Size and number of colors of a JPEG file; `progressive`: all of it lies there several times, ever finer."""

    height: int
    width: int
    colors: int
    progressive: bool


@typed
def header(data: bytes, where: object) -> Header:
    """What the frame header of a JPEG file says; BadInput for what is none, or was cut off.

    Args:
        where: the file or the camera, for the message.
    """
    if data[:2] != START:
        raise BadInput(where, f"{len(data)} bytes that begin with {data[:4].hex(' ') or 'nothing'}",
                       "a JPEG file, which begins with ff d8", "pass the bytes of a JPEG file")  # fmt: skip
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in FRAMES:
            height, width, colors = struct.unpack(">HHB", data[position + 5 : position + 10])
            break
        position += 1 if marker == 0xFF else 2 + max(2, length)
    else:
        raise BadInput(where, f"{len(data)} bytes without a whole header", "a whole JPEG file", AGAIN)
    end = data.rfind(END)
    if end < 0 or data.find(SCAN, end) >= 0:
        raise BadInput(where, f"{len(data)} bytes that end within the picture", "a whole JPEG file", AGAIN)
    return Header(height, width, colors, marker in PROGRESSIVE)


def check(data: bytes, size: tuple[int, int], where: object) -> None:
    """BadInput unless this is a whole JPEG file of a color picture of this (height, width)."""
    found = header(data, where)
    if found.colors != 3:
        raise BadInput(where, COLORS.get(found.colors, f"{found.colors} colors"), "a color picture",
                       "take the camera's own picture, or convert this one to RGB")  # fmt: skip
    if (found.height, found.width) != tuple(size):
        raise BadInput(where, f"a picture of {found.height}x{found.width}", f"{size[0]}x{size[1]} as for the network",
                       "take the camera's own picture, or export the graph for this size")  # fmt: skip


@typed
def decode(data: bytes, out: np.ndarray, where: object) -> None:
    """Write the pixels of a JPEG file to `out`, uint8 [h,w,3] RGB, by libjpeg-turbo; `check` says what is refused."""
    check(data, (out.shape[0], out.shape[1]), where)
    if not _decoded_in_place(data, out):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), RGB)
        if picture is None:
            raise BadInput(where, f"{len(data)} bytes that libjpeg-turbo refuses", "a whole JPEG file", AGAIN)
        out[...] = picture
    check_complete(data, out, where)


def check_complete(data: bytes, picture: np.ndarray, where: object, flags: int = RGB) -> None:
    """BadInput for a JPEG file whose data ended before its `picture`, as where a part of them was lost on the way.

    libjpeg-turbo fills the rest with gray. So where the last pixel is gray, or the file progressive, it is decoded once
    more, with more data before its end: only what is complete stays as it is.
    """
    if (picture[-1, -1] != GRAY).any() and not header(data, where).progressive:
        return
    end = data.rfind(END)
    longer = cv2.imdecode(np.frombuffer(data[:end] + MORE + data[end:], np.uint8), flags)
    if not np.array_equal(longer, picture):
        raise BadInput(where, f"{len(data)} bytes, with some lost within the picture", "a whole JPEG file", AGAIN)


def _decoded_in_place(data, out):
    """Decode without fresh memory for the picture, whose page faults take longer than decoding; whether that worked.

    OpenCV writes to an array that is there already from a file alone, so the bytes go through a file in memory. It does
    not tell whether it has written: the last row would be as it was.
    """
    if not (hasattr(os, "memfd_create") and out.flags.c_contiguous):
        return False
    marked = out[-1] = ~out[-1]
    with open(os.memfd_create("picture"), "wb") as file:
        file.write(data)
        file.flush()
        cv2.imread(f"/proc/self/fd/{file.fileno()}", out, RGB)
    return not np.array_equal(out[-1], marked)
