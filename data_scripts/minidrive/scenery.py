"""Buildings, trees, hedges and lamp posts: what stands beside the road and is not annotated."""

import numpy as np

from .mesh import Builder, rectangle
from .vehicles import shade

FACADES = [(150, 165, 180), (120, 140, 175), (165, 170, 172), (110, 125, 150), (175, 185, 195), (140, 150, 150)]
FACADES += [(95, 105, 140), (150, 140, 130)]
SHOPS = [(120, 80, 40), (50, 60, 140), (60, 110, 60), (60, 60, 66), (40, 120, 170)]


def building(width, depth, height, lit, seed):
    """A house with rows of windows and a shop front; `lit` is the share of windows with light on."""
    rng = np.random.default_rng(seed)
    color = np.array(FACADES[rng.integers(len(FACADES))]) * rng.uniform(0.85, 1.1)
    b, hw, hd = Builder(), width / 2, depth / 2
    b.box((-hw, -hd, 0.0), (hw, hd, height), tuple(color))
    floors = max(1, int((height - 3.6) / 3.1))
    shop = SHOPS[rng.integers(len(SHOPS))]
    glass = np.array((105, 92, 78)) * rng.uniform(0.8, 1.2)
    tall, share = rng.uniform(1.4, 1.9), rng.uniform(0.45, 0.65)
    for axis, half, run in ((1, hd, hw), (0, hw, hd)):
        for side in (-1, 1):
            at = side * (half + 0.01)

            def face(u0, u1, z0, z1, axis=axis, at=at):
                corners = [(u0, z0), (u1, z0), (u1, z1), (u0, z1)]
                return [(u, at, z) if axis == 1 else (at, u, z) for u, z in corners]

            b.decal(face(-run, run, 0.0, 0.5), tuple(color * 0.6))
            b.decal(face(-run + 0.5, run - 0.5, 0.6, 2.7), tuple(glass * 0.8), 0.75 if rng.random() < lit else 0.0)
            b.decal(face(-run + 0.3, run - 0.3, 2.75, 3.35), shop)
            b.decal(face(-run, run, height - 0.5, height), tuple(color * 0.75))
            columns = max(1, int(run * 2 / 2.6))
            pitch = run * 2 / columns
            for floor in range(floors):
                z = 3.9 + floor * 3.1
                for column in range(columns):
                    u = -run + (column + 0.5) * pitch
                    on = rng.random() < lit
                    pane = (110, 190, 235) if on else tuple(glass * rng.uniform(0.85, 1.2))
                    b.decal(face(u - pitch * share / 2, u + pitch * share / 2, z, z + tall), pane, 0.8 if on else 0.0)
    return b.mesh()


def tree(h, seed):
    """A tree: a trunk and a crown of overlapping balls, lighter towards the top."""
    rng = np.random.default_rng(seed)
    b = Builder()
    crown, green = h * 0.27, np.array((45, 105, 70)) * rng.uniform(0.75, 1.15) + (0, 0, rng.uniform(-12, 30))
    b.pillar(0.0, 0.0, 0.0, h * 0.55, 0.16, 0.11, (48, 66, 86), 7)
    for k in range(7):
        angle, lift = k * 2.4 + rng.uniform(0, 0.6), k / 7
        reach = crown * 0.55 * (1 - lift * 0.7)
        center = (reach * np.cos(angle), reach * np.sin(angle), h * 0.56 + lift * h * 0.28)
        b.ball(center, crown * (0.8 - 0.3 * lift), tuple(green * (0.78 + 0.45 * lift)))
    return b.mesh()


def hedge(length, h):
    """A clipped hedge."""
    b, green = Builder(), (48.0, 91.0, 62.0)
    low, top = (
        rectangle(-length / 2, length / 2, -0.45, 0.45),
        rectangle(-length / 2 + 0.1, length / 2 - 0.1, -0.36, 0.36),
    )
    b.loft(low, top, 0.0, h, green)
    return b.mesh()


def lamp(lit):
    """A street lamp whose arm points to +x."""
    b, gray = Builder(), (95, 95, 92)
    b.pillar(0.0, 0.0, 0.0, 7.0, 0.09, 0.05, gray, 6)
    b.line([(0.0, 0.0, 7.0), (0.5, 0.0, 7.35), (1.6, 0.0, 7.4)], 0.08, gray)
    b.box((1.4, -0.12, 7.3), (1.95, 0.12, 7.42), gray)
    b.decal(
        np.array([(1.42, -0.1, 7.295), (1.93, -0.1, 7.295), (1.93, 0.1, 7.295), (1.42, 0.1, 7.295)]),
        (150, 220, 255),
        1.0 if lit else 0.2,
    )
    return b.mesh()


def sign(kind):
    """A road sign on a pole, facing -x."""
    b = Builder()
    b.pillar(0.0, 0.0, 0.0, 2.2, 0.035, 0.035, (130, 130, 130), 5)
    ring = np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)])
    outer, inner = [((40, 40, 200), (240, 240, 240)), ((190, 110, 30), (200, 120, 40))][kind]
    disc = lambda r, x: np.stack([np.full(12, x), ring[:, 0] * r, ring[:, 1] * r + 2.5], -1)  # noqa: E731
    b.loft(
        rectangle(-0.02, 0.02, -0.3, 0.3),
        rectangle(-0.02, 0.02, -0.3, 0.3),
        2.2,
        2.8,
        shade((120, 120, 120), 1.0),
        close=False,
    )
    b.decal(disc(0.33, -0.025), outer)
    b.decal(disc(0.25, -0.026), inner)
    return b.mesh()
