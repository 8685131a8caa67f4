"""Pictures are fitted and normalized, and prompts built, as in training."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from helpers.errors import BadInput
from helpers.systems.openvla.config import CONFIGS, DINO
from helpers.systems.openvla.inputs import fitted, pixels, prompt
from tests.helpers.systems.openvla.tiny import FUSED, SINGLE


def picture(height, width, seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height)))


def test_a_picture_is_squeezed_into_bytes_and_normalized_for_each_tower():
    image, config = picture(60, 100), CONFIGS["published"]
    found = pixels(image, config)
    squeezed = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    for channels, mean, std in ((found[0, :3], config.towers[0].mean, config.towers[0].std), (found[0, 3:], 0.5, 0.5)):
        values = channels.transpose(1, 2, 0) * np.array(std) + mean
        assert np.abs(values * 255 - squeezed).max() < 1e-3
    assert found.shape == (1, 6, 224, 224) and found.dtype == np.float32


@pytest.mark.parametrize(("height", "width", "edge"), [(297, 410, "rows"), (410, 297, "columns")])
def test_a_letterbox_keeps_the_ratio_of_the_sides(height, width, edge):
    """An odd difference of the sides leaves the padded picture one pixel off square."""
    image = picture(height, width)
    found = fitted(image, CONFIGS["siglip"], CONFIGS["siglip"].towers[0])
    assert found.shape == (224, 224, 3)
    padded = np.full((409, 410, 3) if edge == "rows" else (410, 409, 3), 127, np.uint8)
    where = (slice(56, 56 + height), slice(0, width)) if edge == "rows" else (slice(0, height), slice(56, 56 + width))
    padded[where] = image
    resized = Image.fromarray(padded).resize((224, 224), Image.Resampling.BICUBIC)
    assert np.abs(found.astype(int) - np.asarray(resized)).max() <= 1
    border = found[:25] if edge == "rows" else found[:, :25]
    assert (border == 127).all()


def test_the_padding_of_a_letterbox_is_the_mean_of_its_tower():
    config = dataclasses.replace(SINGLE, towers=(dataclasses.replace(DINO, width=24, heads=2),))
    found = fitted(picture(10, 100), config, config.towers[0])
    assert found[0, 0].tolist() == [123, 116, 103]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\[4, 4\]"),
        (np.zeros((4, 0, 3), np.uint8), r"\[4, 0, 3\]"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\]"),
    ],
)
def test_what_is_no_picture_is_named(image, said):
    with pytest.raises(BadInput, match=said):
        pixels(image, FUSED)


def test_prompts_are_those_of_training():
    assert prompt("Pick up the Cup.", FUSED) == "In: What action should the robot take to pick up the cup.?\nOut:"
    vicuna = prompt("Pick up", SINGLE)
    assert vicuna.startswith(
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives"
    )
    assert vicuna.endswith("questions. USER: What action should the robot take to pick up? ASSISTANT:")
    with pytest.raises(BadInput, match="plain words"):
        prompt(vicuna, SINGLE)


def test_only_what_is_known_makes_a_configuration():
    wrong = (({"resize": "crop"}, "resize 'crop'"), ({"prompt": "x"}, "prompt 'x'"), ({"towers": ()}, "0, 28"),
             ({"image_size": (30, 28)}, "patches of 14"), ({"towers": 3 * (DINO,)}, "3 towers"))  # fmt: skip
    for changes, said in wrong:
        with pytest.raises(BadInput, match=said):
            dataclasses.replace(FUSED, **changes)
    with pytest.raises(BadInput, match="observation of a tabletop"):
        FUSED.inputs(object())
