"""Sentences about driving whose end follows from their beginning: a text so small that a mini Llama can master it.

A scene is `speed 50 gap 20 light green truck ahead cone left`; the decision after `so` follows from `decision`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from helpers.arguments import between, typed
from helpers.errors import BadInput

BEGIN, END = "<s>", "</s>"
NUMBERS = tuple(str(number) for number in range(10, 101, 10))
LIGHTS = ("green", "yellow", "red")
THINGS = ("car", "truck", "bus", "bicycle", "pedestrian", "cone", "barrier")
PLACES = ("ahead", "left", "right", "far")
OTHERS = ("speed", "gap", "light", "so", "stop", "brake", "slow", "steer", "keep", "for", "lane")
WORDS = (BEGIN, END, *NUMBERS, *LIGHTS, *THINGS, *PLACES, *OTHERS)
IDS = {word: number for number, word in enumerate(WORDS)}


class Scene(NamedTuple):
    """speed in km/h, gap to what is ahead in m, and things by their places."""

    speed: int
    gap: int
    light: str
    things: tuple[tuple[str, str], ...]


@typed
def decision(scene: Scene, yellow: str = "slow") -> str:
    """What to do: a red light first, then a thing ahead by the gap, then a yellow light, then what is at the side.

    yellow: what a yellow light asks for; the fine-tune of lesson 06 stops.
    """
    if scene.light == "red":
        return "stop for light"
    ahead = next((thing for thing, place in scene.things if place == "ahead"), None)
    if ahead and scene.gap < scene.speed:
        return f"{'brake' if 2 * scene.gap < scene.speed else 'slow'} for {ahead}"
    if scene.light == "yellow":
        return f"{yellow} for light"
    for thing, place in scene.things:
        if place in ("left", "right"):
            return f"steer {'right' if place == 'left' else 'left'} for {thing}"
    return "keep lane"


@typed
def scenes(count: int, seed: int) -> list[Scene]:
    """Random scenes of two things each."""
    between("count", count, 0, 1 << 20)
    between("seed", seed, 0, 2**63)
    random = np.random.default_rng(seed)

    def one(words: Sequence[str]) -> str:
        return words[random.integers(len(words))]

    return [
        Scene(int(one(NUMBERS)), int(one(NUMBERS)), one(LIGHTS), tuple((one(THINGS), one(PLACES)) for _ in range(2)))
        for _ in range(count)
    ]


@typed
def prompt(scene: Scene) -> str:
    """The scene in words, up to `so`."""
    things = " ".join(f"{thing} {place}" for thing, place in scene.things)
    return f"{BEGIN} speed {scene.speed} gap {scene.gap} light {scene.light} {things} so"


@typed
def encode(text: str) -> list[int]:
    """Token ids of words; BadInput for one that is not in the vocabulary."""
    if unknown := [word for word in text.split() if word not in IDS]:
        raise BadInput("word", repr(unknown[0]), f"one of {' '.join(WORDS)}", "use the words of the vocabulary")
    return [IDS[word] for word in text.split()]


@typed
def decode(ids: Sequence[int]) -> str:
    """Words of token ids, without the marks of a text's beginning and end."""
    words = [WORDS[number] if number < len(WORDS) else "?" for number in ids]
    return " ".join(word for word in words if word not in (BEGIN, END))
