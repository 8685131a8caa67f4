"""The table as its camera sees it."""

import numpy as np
from PIL import Image, ImageDraw

from data_scripts.tabletop.world import BASE, HEIGHT, State

WIDTH, TALL = 128, 96  # pixels of a picture
FINER = 3  # drawn so much larger, then averaged
FOCAL = 150.0  # pixels
EYE, LOOK = np.array([0.0, -0.62, 0.72]), np.array([0.0, 0.02, 0.03])
RIGHT, FORWARD = np.array([1.0, 0.0, 0.0]), (LOOK - EYE) / np.linalg.norm(LOOK - EYE)
AXES = np.stack([RIGHT, np.cross(FORWARD, RIGHT), FORWARD])  # of the camera: right, down, into the picture
PAINT = {
    "red": (214, 40, 40),
    "green": (46, 150, 62),
    "blue": (38, 84, 196),
    "yellow": (240, 205, 50),
    "purple": (130, 60, 160),
    "orange": (240, 130, 30),
}
HALF = HEIGHT / 2
ROUND = np.linspace(0, 2 * np.pi, 24, endpoint=False)


def project(points: np.ndarray) -> np.ndarray:
    """Points [N, 3] in m -> pixels [N, 2], x right and y down, of a picture of `WIDTH` times `TALL`."""
    local = (np.atleast_2d(points) - EYE) @ AXES.T
    return FOCAL * local[:, :2] / local[:, 2:] + (WIDTH / 2, TALL / 2)


def render(state: State, seed: int = 0) -> np.ndarray:
    """uint8 [TALL, WIDTH, 3] RGB; light and grain of the table follow from `seed`."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH * FINER, TALL * FINER), (150, 156, 164))
    draw = ImageDraw.Draw(picture)
    _polygon(draw, [(-0.33, -0.26, 0), (0.33, -0.26, 0), (0.33, 0.33, 0), (-0.33, 0.33, 0)], (196, 172, 140))
    _polygon(draw, _disk(*state.tip[:2], 0.001, 0.022), (120, 102, 84))
    arm = [(*BASE, 0.0), (*(0.5 * (BASE + state.tip[:2])), 0.3), tuple(state.tip + np.array([0, 0, 0.05]))]
    for thing in sorted(state.things, key=lambda thing: -thing.y):
        _thing(draw, thing)
    _lines(draw, arm, (70, 74, 82), 6)
    _circle(draw, project(state.tip + np.array([0, 0, 0.04]))[0] * FINER, 4 * FINER, (0, 200, 215))
    spread = 0.008 if state.closed else 0.018
    for side in (-spread, spread):
        finger = state.tip + np.array([[side, 0, 0.05], [side, 0, 0]])
        _lines(draw, finger, (0, 200, 215), 3)
    small = np.asarray(picture.reduce(FINER), np.float32)
    light = random.uniform(0.88, 1.1) * small + random.normal(0, 2.5, small.shape)
    return light.clip(0, 255).astype(np.uint8)


def _thing(draw, thing):
    color, x, y = np.array(PAINT[thing.color]), thing.x, thing.y
    light, dark = (tuple(int(value) for value in (color * factor).clip(0, 255)) for factor in (1.15, 0.7))
    if thing.kind == "ball":
        center, edge = project(np.array([[x, y, HALF], [x + HALF, y, HALF]])) * FINER
        _circle(draw, center, abs(edge[0] - center[0]), tuple(color))
        _circle(draw, center - abs(edge[0] - center[0]) * 0.3, abs(edge[0] - center[0]) * 0.35, light)
        return
    around = _disk(x, y, 0.0, HALF) if thing.kind == "can" else _square(x, y, HALF)
    above = [(px, py, HEIGHT) for px, py, _ in around]
    if thing.kind == "can":
        _polygon(draw, around, dark)
    front = [(x - HALF, around[0][1], 0), (x + HALF, around[0][1], 0)]
    if thing.kind == "can":
        front = [(x - HALF, y, 0), (x + HALF, y, 0)]
    _polygon(draw, [*front, (x + HALF, front[1][1], HEIGHT), (x - HALF, front[0][1], HEIGHT)], dark)
    _polygon(draw, above, light if thing.kind == "can" else tuple(color))


def _square(x, y, half):
    return [(x - half, y - half, 0), (x + half, y - half, 0), (x + half, y + half, 0), (x - half, y + half, 0)]


def _disk(x, y, z, radius):
    return [(x + radius * np.cos(a), y + radius * np.sin(a), z) for a in ROUND]


def _polygon(draw, points, color):
    draw.polygon([tuple(point) for point in project(np.array(points)) * FINER], tuple(map(int, color)))


def _lines(draw, points, color, width):
    draw.line([tuple(point) for point in project(np.array(points)) * FINER], color, width * FINER, joint="curve")


def _circle(draw, center, radius, color):
    draw.ellipse([*(center - radius), *(center + radius)], tuple(map(int, color)))
