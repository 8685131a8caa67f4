"""A picture and an instruction to what the network takes. Needs no torch."""

from typing import Any

import numpy as np
from PIL import Image

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.systems.base import VICUNA

QUESTION = "What action should the robot take to"


@typed
def prompt(instruction: str, config: Any) -> str:
    """The text around an instruction. OpenVLA's is in lower case and nothing is stripped.

    Raises:
        BadInput: an instruction that is such a text already.
    """
    if QUESTION.lower() in instruction.lower():
        raise BadInput("instruction", repr(instruction)[:80], "what is to be done, in plain words",
                       "leave the text of the prompt out")  # fmt: skip
    if config.prompt == "vicuna":
        return f"{VICUNA} USER: {QUESTION} {instruction.lower()}? ASSISTANT:"
    return f"In: {QUESTION} {instruction.lower()}?\nOut:"


@typed
def pixels(image: np.ndarray, config: Any) -> np.ndarray:
    """uint8 [H, W, 3] RGB -> float32 [1, 3 * towers, height, width], normalized for each tower.

    The picture is fitted in bytes, with Pillow's bicubic filter, before it is divided by 255.

    Raises:
        BadInput: another type or shape, or a picture so narrow that one side would vanish.
    """
    parts = [normalized(fitted(image, config, tower), tower) for tower in config.towers]
    return np.concatenate(parts)[None]


def fitted(image: np.ndarray, config: Any, tower: Any) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [height, width, 3]: the whole picture, its sides' ratio changed, or letterboxed."""
    picture = Image.fromarray(checked(image))
    if config.resize == "letterbox":
        return np.asarray(_letterboxed(picture, config.image_size, tuple(int(255 * value) for value in tower.mean)))
    return np.asarray(picture.resize(config.image_size[::-1], Image.Resampling.BICUBIC))


def normalized(image: np.ndarray, tower: Any) -> np.ndarray:
    """uint8 [height, width, 3] -> float32 [3, height, width] with the mean and deviation of a tower."""
    values = np.asarray(image, np.float32) / np.float32(255)
    mean, std = np.array(tower.mean, np.float32), np.array(tower.std, np.float32)
    return ((values - mean) / std).transpose(2, 0, 1)


def checked(image: np.ndarray) -> np.ndarray:
    """The picture itself; BadInput if it is none."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise BadInput("image", f"{array.dtype} {list(array.shape)}", "uint8 [H, W, 3] in RGB", "convert it first")
    return array


def _letterboxed(picture, size, fill):
    """Padded to a square, the short side resized, the middle cut out, as Prismatic does it."""
    most, (height, width) = max(picture.size), size
    left, top = (int((most - extent) / 2) for extent in picture.size)
    padded = Image.new("RGB", (picture.width + 2 * left, picture.height + 2 * top), fill)
    padded.paste(picture, (left, top))
    short = min(padded.size)
    resized = padded.resize(
        tuple(height if extent == short else int(height * extent / short) for extent in padded.size),
        Image.Resampling.BICUBIC,
    )
    x, y = round((resized.width - width) / 2), round((resized.height - height) / 2)
    return resized.crop((x, y, x + width, y + height))
