"""Pedestrians, bicycles, motorcycles, cones and barriers. `size` is (width, length, height) in m."""

from itertools import pairwise

import numpy as np

from .mesh import Builder, rectangle, regular
from .vehicles import AMBER, HEADLIGHT, TAIL, TYRE, shade


def _limb(b, a, c, radius, color):
    """A box-like limb from point a (upper) to point c (lower), (x, y, z) each."""
    (x0, y0, z0), (x1, y1, z1) = a, c
    square = regular(4, np.pi / 4) * radius
    b.loft(square + np.array((x1, y1)), square + np.array((x0, y0)), z1, z0, color)


def _head(b, x, z, radius, skin, hair, helmet=False):
    b.ball((x, 0.0, z), radius, skin)
    if helmet:
        b.ball((x - 0.02, 0.0, z + radius * 0.35), radius * 1.12, hair)
    else:
        b.ball((x - radius * 0.35, 0.0, z + radius * 0.3), radius * 0.95, hair)


def pedestrian(size, look, stride=0.0, vest=False):
    """A person. `look` holds the colors shirt, trousers, skin and hair; `stride` in -1..1 opens the legs."""
    h = size[2]
    b, hip, shoulder = Builder(), 0.48 * h, 0.82 * h
    step, r = 0.12 * h * stride, 0.05 * h
    for side, swing in ((-1, step), (1, -step)):
        y = side * 0.06 * h
        _limb(b, (0.0, y, hip), (swing, y, 0.05 * h), r * 1.15, look["trousers"])
        b.box((swing - 0.05, y - 0.05, 0.0), (swing + 0.16, y + 0.05, 0.05 * h), (35, 35, 40))
    torso = rectangle(-0.075 * h, 0.075 * h, -0.105 * h, 0.105 * h)
    b.loft(torso * 0.9, torso * (1.0, 1.15), hip, shoulder, look["shirt"])
    if vest:
        for z in (0.56, 0.68):
            for x in (-0.075 * h, 0.075 * h):
                y = 0.11 * h
                b.decal(
                    [(x, -y, z * h), (x, y, z * h), (x, y, (z + 0.04) * h), (x, -y, (z + 0.04) * h)],
                    (235, 235, 235),
                    0.3,
                )
    for side, swing in ((-1, -step), (1, step)):
        y = side * 0.155 * h
        _limb(
            b,
            (0.0, y * 0.95, shoulder - 0.01),
            (swing * 0.8 + 0.03, y, 0.44 * h),
            0.036 * h,
            shade(look["shirt"], 0.85),
        )
        b.ball((swing * 0.8 + 0.03, y, 0.43 * h), 0.03 * h, look["skin"])
    b.pillar(0.0, 0.0, shoulder + 0.001, 0.87 * h, 0.035 * h, 0.035 * h, look["skin"], 6)
    _head(b, 0.01, 0.925 * h, 0.068 * h, look["skin"], look["hair"], helmet=vest)
    return b.mesh()


def _rider(b, seat, lean, look, bars, pegs, scale):
    """A person on two wheels: seat (x, z), lean of the torso in m, handlebar (x, z), foot pegs (x, z)."""
    x, z = seat
    for side in (-1, 1):
        y = side * 0.12
        b.line(
            [(x, y, z), ((x + pegs[0]) / 2 + 0.22, y * 1.3, (z + pegs[1]) / 2 + 0.08), (pegs[0], y, pegs[1])],
            0.14 * scale,
            look["trousers"],
        )
    top = z + 0.55 * scale
    torso = rectangle(-0.12, 0.12, -0.19, 0.19) * scale
    b.loft(torso + np.array((x, 0)), torso * (0.9, 1.05) + np.array((x + lean, 0)), z, top, look["shirt"])
    for side in (-1, 1):
        y = side * 0.24 * scale
        b.line(
            [(x + lean, y, top - 0.06), (x + lean + 0.18, y * 1.15, top - 0.3), (bars[0], y, bars[1])],
            0.095 * scale,
            shade(look["shirt"], 0.85),
        )
    _head(b, x + lean + 0.05, top + 0.17 * scale, 0.125 * scale, look["skin"], look["helmet"], helmet=True)


def _wheel(b, x, radius, thickness, color):
    ring = regular(18) * radius
    b.line(
        np.stack([ring[:, 0] + x, np.zeros(18), ring[:, 1] + radius + thickness / 2], -1), thickness, color, closed=True
    )


def bicycle(size, color, look=None):
    """A bicycle, with a rider if `look` is given."""
    l = size[1]  # noqa: E741
    b, r = Builder(), 0.335
    back, front = -l / 2 + r + 0.03, l / 2 - r - 0.03
    for x in (back, front):
        _wheel(b, x, r, 0.045, TYRE)
        for angle in np.arange(3) * np.pi / 3:
            dx, dz = r * np.cos(angle), r * np.sin(angle)
            b.line([(x - dx, 0, r - dz + 0.02), (x + dx, 0, r + dz + 0.02)], 0.012, (165, 165, 165))
    crank, saddle, neck = (back + 0.42, 0.30), (back + 0.26, 0.90), (front - 0.12, 0.86)
    at = lambda p: (p[0], 0.0, p[1])  # noqa: E731
    for path in (
        [(back, r), crank, neck, (saddle[0] + 0.03, 0.8), (back, r)],
        [crank, saddle],
        [(front, r), neck, (front - 0.15, 1.02)],
    ):
        b.line([at(p) for p in path], 0.045, color)
    b.line([(front - 0.17, -0.27, 1.03), (front - 0.15, 0.0, 1.02), (front - 0.17, 0.27, 1.03)], 0.035, (40, 40, 40))
    b.box((saddle[0] - 0.15, -0.07, 0.9), (saddle[0] + 0.13, 0.07, 0.96), (30, 30, 32))
    b.box((back - 0.36, -0.04, 0.62), (back - 0.3, 0.04, 0.7), TAIL)
    b.box((front - 0.1, -0.04, 0.82), (front - 0.04, 0.04, 0.9), HEADLIGHT)
    if look:
        _rider(b, saddle, 0.3, look, (front - 0.16, 1.04), (crank[0], 0.2), (size[2] - 1.0) / 0.86)
    return b.mesh()


def motorcycle(size, color, look=None):
    """A motorcycle, with a rider if `look` is given."""
    w, l = size[:2]  # noqa: E741
    b, r = Builder(), 0.31
    back, front = -l / 2 + r + 0.05, l / 2 - r - 0.05
    ring = regular(14)
    for x in (back, front):
        b.extrude(np.stack([ring[:, 0] * r + x, ring[:, 1] * r + r], -1), -0.07, 0.07, TYRE)
        for y in (-0.071, 0.071):
            b.decal(
                np.stack([ring[:, 0] * r * 0.55 + x, np.full(14, y), ring[:, 1] * r * 0.55 + r], -1), (140, 140, 145)
            )
    b.extrude(
        [(back + 0.3, 0.25), (back + 0.25, 0.62), (front - 0.38, 0.62), (front - 0.42, 0.3)], -0.17, 0.17, (70, 70, 74)
    )
    b.extrude([(-0.1, 0.625), (-0.05, 0.88), (0.25, 0.92), (front - 0.3, 0.66)], -0.16, 0.16, color)
    b.extrude(
        [(back - 0.2, 0.7), (back - 0.28, 0.86), (-0.12, 0.82), (-0.1, 0.64), (back + 0.2, 0.63)],
        -0.14,
        0.14,
        (36, 36, 40),
    )
    b.box((back - 0.34, -0.1, 0.7), (back - 0.27, 0.1, 0.82), TAIL)
    b.line([(front, 0.0, r), (front - 0.22, 0.0, 0.95)], 0.14, (120, 120, 122))
    b.box((front - 0.18, -0.13, 0.72), (front + 0.02, 0.13, 1.0), color)
    b.decal(
        [
            (front + 0.025, -0.1, 0.78),
            (front + 0.025, 0.1, 0.78),
            (front + 0.025, 0.1, 0.95),
            (front + 0.025, -0.1, 0.95),
        ],
        HEADLIGHT,
        0.8,
    )
    b.line(
        [(front - 0.3, -w / 2 + 0.03, 1.05), (front - 0.2, 0.0, 1.02), (front - 0.3, w / 2 - 0.03, 1.05)],
        0.05,
        (40, 40, 44),
    )
    b.line([(front - 0.2, 0.0, 1.05), (front - 0.24, 0.0, 1.17)], 0.1, (150, 130, 110))
    for side in (-1, 1):
        b.box((back - 0.3, side * 0.2 - 0.03, 0.74), (back - 0.25, side * 0.2 + 0.03, 0.8), AMBER)
    if look:
        _rider(b, (-0.25, 0.84), 0.16, look, (front - 0.3, 1.05), (-0.02, 0.3), (size[2] - 0.9) / 0.86)
    return b.mesh()


def cone(size):
    """A traffic cone: black foot, orange body, two white bands."""
    w, l, h = size  # noqa: E741
    b, half = Builder(), min(w, l) / 2
    square = rectangle(-l / 2, l / 2, -w / 2, w / 2)
    b.loft(square, square * 0.96, 0.0, 0.05, (30, 60, 190))
    radius = lambda z: np.interp(z, [0.05, h], [half * 0.8, half * 0.16])  # noqa: E731
    levels = [0.051, 0.38 * h, 0.55 * h, 0.68 * h, 0.82 * h, h]
    for k, (z0, z1) in enumerate(pairwise(levels)):
        b.pillar(0.0, 0.0, z0, z1, radius(z0), radius(z1), (10, 95, 250) if k % 2 == 0 else (240, 240, 240), 10)
    return b.mesh()


def barrier(size, first, second):
    """A barrier of two striped boards on posts; it is wide across its heading."""
    w, l, h = size  # noqa: E741
    b, half, deep = Builder(), w / 2, l / 2
    for side in (-1, 1):
        y = side * (half - 0.2)
        b.loft(
            rectangle(-deep, deep, y - 0.18, y + 0.18),
            rectangle(-0.06, 0.06, y - 0.05, y + 0.05),
            0.0,
            0.32,
            (70, 70, 74),
        )
        b.box((-0.05, y - 0.04, 0.321), (0.05, y + 0.04, h - 0.02), (110, 110, 112))
    for z0, z1 in ((0.34 * h, 0.62 * h), (0.68 * h, h)):
        b.box((-0.09, -half, z0), (0.09, half, z1), first)
        tilt = (z1 - z0) * 0.7
        for y in np.arange(-half + 0.05, half - 0.25 - tilt, 0.5):
            for x in (-0.092, 0.092):
                b.decal([(x, y, z0), (x, y + 0.25, z0), (x, y + 0.25 + tilt, z1), (x, y + tilt, z1)], second)
    return b.mesh()
