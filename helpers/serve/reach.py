"""A policy without weights: a proportional controller that sees colored blocks and moves the gripper to one of them.

It is what a learned policy is compared with, and it runs everywhere in a millisecond. The picture is taken from above;
the gripper is the white disk. `picture` draws such a scene.
"""

import re
import time
from collections.abc import Mapping

import numpy as np

from helpers.arguments import array, between, typed
from helpers.errors import BadInput

COLORS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 200), "yellow": (220, 200, 40)}
TABLE, GRIPPER = (150, 140, 130), (255, 255, 255)
NEAR = 60  # distance of a pixel from a color, in RGB, at most
GAIN, STEP, CLOSE = 0.5, 0.1, 0.05  # of the way to the block; the longest step; where the gripper closes
BINS, LAST = 256, 31999  # of OpenVLA's action tokens, and the id of the lowest


class Reach:
    """Moves by `GAIN` times the way to the block that the instruction names, at most `STEP`; closes when it is there.

    Lengths are in pictures: 1 is from one border to the other.

    Args:
        pause: seconds that each prediction takes longer, as a larger model would.
    """

    @typed
    def __init__(self, pause: float = 0.0) -> None:
        between("pause", pause, 0, 3600)
        self.pause = pause

    @typed
    def predict(
        self, image: np.ndarray, instruction: str, unnorm_key: str | None = None
    ) -> tuple[np.ndarray, np.ndarray, str]:
        """(action float64 [7], ids int32 [7], text): dx to the right, dy down, dz, three angles, gripper (1 is open).

        Raises:
            BadInput: an instruction without one of the colors, a picture without the gripper or the block, or an
                `unnorm_key`: the action is in pictures always.
        """
        time.sleep(self.pause)
        if unnorm_key is not None:
            raise BadInput("unnorm_key", repr(unnorm_key), "none: this policy has no statistics", "leave it out")
        names = [word for word in re.findall("[a-z]+", instruction.lower()) if word in COLORS]
        if not names:
            raise BadInput("instruction", repr(instruction[:60]), f"one of {', '.join(COLORS)}", "name a block")
        block, gripper = _center(image, COLORS[names[0]], f"{names[0]} block"), _center(image, GRIPPER, "white gripper")
        way = block - gripper
        distance = float(np.hypot(*way))
        closed = distance < CLOSE
        step = np.zeros(2) if closed else GAIN * way * min(1.0, STEP / (GAIN * distance))
        action = np.array([*step, -STEP if closed else 0.0, 0.0, 0.0, 0.0, 0.0 if closed else 1.0])
        return action, _ids(action), _text(instruction, names[0], block, gripper, closed)


def _center(image, color, name):
    """(x, y) of the middle of the pixels of a color, in pictures."""
    rows, columns = np.nonzero(np.abs(image - np.array(color, np.int16)).sum(2, dtype=np.int16) < NEAR)
    if not rows.size:
        raise BadInput("image", f"no {name}", f"a picture from above with a {name}", "look at the picture")
    return np.array([columns.mean() / image.shape[1], rows.mean() / image.shape[0]])


def _ids(action):
    """OpenVLA's tokens of an action whose steps fill -1 to 1; the gripper is scaled likewise."""
    scaled = np.clip([*action[:6] / STEP, 2 * action[6] - 1], -1, 1)
    return (LAST + 1 - np.digitize(scaled, np.linspace(-1, 1, BINS))).astype(np.int32)


def _text(instruction, name, block, gripper, closed):
    across, down = block - gripper
    move = f"{abs(across):.2f} {'right' if across > 0 else 'left'}, {abs(down):.2f} {'down' if down > 0 else 'up'}"
    spots = f"{name} block ({block[0]:.2f}, {block[1]:.2f}), gripper ({gripper[0]:.2f}, {gripper[1]:.2f})"
    done = "lower the gripper and close it" if closed else f"move toward the block: it lies {move}"
    return f"TASK: {instruction} VISIBLE OBJECTS: {spots} MOVE: {done}"


@typed
def picture(blocks: Mapping[str, tuple[float, float]], gripper: tuple[float, float], size: int = 224) -> np.ndarray:
    """uint8 [size, size, 3] RGB: blocks by the names of their colors and the gripper, at (x, y) in pictures."""
    between("size", size, 1, 1 << 13)
    if unknown := sorted(set(blocks) - COLORS.keys()):
        raise BadInput("blocks", unknown[0], f"some of {', '.join(COLORS)}", "name a color that there is")
    array("places of blocks and gripper", [*blocks.values(), gripper], (None, 2))
    image = np.full((size, size, 3), TABLE, np.uint8)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    for name, (across, down) in blocks.items():
        image[(abs(x - across) < 0.05) & (abs(y - down) < 0.05)] = COLORS[name]
    image[(x - gripper[0]) ** 2 + (y - gripper[1]) ** 2 < 0.03**2] = GRIPPER
    return image
