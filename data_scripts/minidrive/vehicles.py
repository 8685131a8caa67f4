"""Cars, trucks, buses, trailers and excavators. `size` is (width, length, height) in m; the body fills its box."""

import numpy as np

from .mesh import Builder, between, rectangle, regular

GLASS, TYRE, HUB, CHROME = (70, 58, 45), (34, 32, 32), (150, 150, 150), (120, 120, 125)
HEADLIGHT, TAIL, AMBER, PLATE = (225, 250, 255), (40, 30, 215), (30, 150, 250), (235, 235, 235)


def shade(color, factor):
    """A color made darker or lighter."""
    return tuple(min(255.0, c * factor) for c in color)


def _disc(x, y, z, r):
    """A disc [14,3] across y that does not reach below the ground."""
    ring = regular(14) * r + (x, z)
    return np.stack([ring[:, 0], np.full(14, y), np.maximum(ring[:, 1], 0.0)], -1)


def add_wheels(b, xs, radius, width, half, floor):
    """Wheels at every x: round faces as decals on the last solid, and the treads below the floor."""
    arch = [(radius * 1.2, (22, 22, 24)), (radius, TYRE), (radius * 0.6, HUB), (radius * 0.2, (60, 60, 60))]
    for y in (-half, half):
        for x in xs:
            for r, color in arch:
                b.decal(_disc(x, y, radius, r), color)
    for x in xs:
        for side in (-1, 1):
            y0, y1 = sorted((side * half, side * (half - width)))
            b.box((x - radius * 0.75, y0, 0.0), (x + radius * 0.75, y1, floor), TYRE)


def add_lights(b, x, half, z, height, color, glow, width=0.3):
    """A pair of lights on the front or rear face at x."""
    for y0, y1 in ((-half + 0.06, -half + 0.06 + width), (half - 0.06 - width, half - 0.06)):
        b.decal([(x, y0, z), (x, y1, z), (x, y1, z + height), (x, y0, z + height)], color, glow)


def patch(b, x, y0, y1, z0, z1, color, glow=0.0):
    """A rectangle across the vehicle at x."""
    b.decal([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], color, glow)


def side_patch(b, half, x0, x1, z0, z1, color, glow=0.0):
    """The same rectangle on both sides of the vehicle."""
    for y in (-half, half):
        b.decal([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], color, glow)


def car(size, color, braking=False, wagon=False):
    """A saloon, hatchback or sport utility car (`wagon`)."""
    w, l, h = size  # noqa: E741
    b, half, tail, nose = Builder(), w / 2, -l / 2, l / 2
    floor, belt, bonnet = 0.24, 0.56 * h, 0.50 * h
    profile = [(tail + 0.04, floor), (tail, 0.45), (tail + 0.05, belt), (nose - 0.26 * l, belt), (nose - 0.06, bonnet)]
    profile += [(nose, 0.42), (nose - 0.03, floor)]
    b.extrude(profile, -half, half, color)
    for y in (-half, half):
        b.decal(
            [(tail + 0.05, y, floor), (nose - 0.04, y, floor), (nose - 0.02, y, 0.36), (tail + 0.02, y, 0.36)],
            shade(color, 0.55),
        )
    for x in (-0.16 * l, 0.1 * l):
        side_patch(b, half, x - 0.012, x + 0.012, 0.36, belt, shade(color, 0.6))
    side_patch(b, half, -0.13 * l, -0.09 * l, belt - 0.16, belt - 0.11, shade(color, 0.5))
    front = np.array([(nose - 0.06, bonnet), (nose, 0.42)])
    slope = lambda z: np.interp(z, front[::-1, 1], front[::-1, 0]) + 0.004  # noqa: E731
    for side in (-1, 1):
        y0, y1 = side * half * 0.95, side * half * 0.52
        b.decal([(slope(z), y, z) for y, z in ((y0, 0.56), (y1, 0.56), (y1, 0.72), (y0, 0.74))], HEADLIGHT, 0.75)
    b.decal(
        [
            (slope(z), y, z)
            for y, z in ((-0.45 * half, 0.5), (0.45 * half, 0.5), (0.45 * half, 0.7), (-0.45 * half, 0.7))
        ],
        (35, 35, 35),
    )
    patch(b, nose + 0.002, -0.26, 0.26, 0.40, 0.52, PLATE)
    add_lights(b, tail - 0.002 + 0.02, half, 0.68, 0.17, TAIL, 0.9 if braking else 0.55, 0.36)
    patch(b, tail + 0.01, -0.26, 0.26, 0.62, 0.76, PLATE)
    patch(b, tail + 0.005, -half * 0.96, half * 0.96, 0.3, 0.46, shade(color, 0.5))
    radius = 0.33 if not wagon else 0.38
    add_wheels(b, (-0.31 * l, 0.31 * l), radius, 0.24, half, floor)
    rear = 0.47 if wagon else 0.43
    bottom = rectangle(-rear * l, 0.24 * l, -half * 0.94, half * 0.94)
    top = rectangle(-(rear - 0.04) * l if wagon else -0.30 * l, 0.07 * l, -half * 0.76, half * 0.76)
    b.loft(bottom, top, belt, h, color)
    low, high = np.insert(bottom, 2, belt, axis=1), np.insert(top, 2, h, axis=1)
    face = lambda i, j: np.stack([low[i], low[j], high[j], high[i]])  # noqa: E731
    b.decal(between(face(2, 3), 0.05, 0.95, 0.1, 0.93), GLASS)
    b.decal(between(face(0, 1), 0.08, 0.92, 0.22, 0.9), GLASS)
    for i, j in ((1, 2), (0, 3)):
        b.decal(between(face(i, j), 0.06, 0.47, 0.14, 0.9), GLASS)
        b.decal(between(face(i, j), 0.51, 0.92, 0.14, 0.9), GLASS)
    for side in (-1, 1):
        y0, y1 = sorted((side * half * 0.95, side * half))
        b.box((0.19 * l, y0, belt), (0.22 * l, y1, belt + 0.16), shade(color, 0.8))
    return b.mesh()


def truck(size, color, box_color, braking=False):
    """A lorry: cab in front, cargo box behind."""
    w, l, h = size  # noqa: E741
    b, half, tail, nose = Builder(), w / 2, -l / 2, l / 2
    floor, cab, cab_top = 0.5, nose - 0.29 * l, 0.86 * h
    b.box((tail + 0.15, -half * 0.7, floor), (cab, half * 0.7, 0.95), (60, 60, 62))
    b.box((tail, -half, 0.95), (cab - 0.12, half, h), box_color)
    for k in range(1, 5):
        x = tail + k * (cab - tail) / 5
        side_patch(b, half, x - 0.02, x + 0.02, 1.0, h - 0.06, shade(box_color, 0.8))
    side_patch(b, half, tail + 0.1, cab - 0.25, 1.45, 1.75, color)
    patch(b, tail - 0.002, -0.03, 0.03, 1.0, h - 0.08, shade(box_color, 0.55))
    patch(b, tail - 0.002, -half, half, 0.95, 1.08, (40, 40, 160))
    add_lights(b, tail - 0.004, half, 1.0, 0.26, TAIL, 0.9 if braking else 0.6, 0.3)
    profile = [(cab, 0.45), (cab, cab_top), (nose - 0.25, cab_top), (nose - 0.02, 1.35), (nose, 0.9), (nose, 0.45)]
    b.extrude(profile, -half * 0.97, half * 0.97, color)
    lean = lambda z: np.interp(z, [1.35, cab_top], [nose - 0.02, nose - 0.25]) + 0.004  # noqa: E731
    z0, z1, y = 1.4, cab_top - 0.15, half * 0.86
    b.decal([(lean(z0), -y, z0), (lean(z0), y, z0), (lean(z1), y, z1), (lean(z1), -y, z1)], GLASS)
    patch(b, nose + 0.003, -half * 0.55, half * 0.55, 0.7, 1.1, (45, 45, 45))
    add_lights(b, nose + 0.003, half * 0.97, 0.62, 0.24, HEADLIGHT, 0.75, 0.34)
    side_patch(b, half * 0.97, cab + 0.35 * (nose - cab), nose - 0.3, 1.4, cab_top - 0.2, GLASS)
    add_wheels(b, (nose - 0.15 * l, tail + 0.2 * l, tail + 0.36 * l), 0.48, 0.32, half * 0.97, 0.45)
    return b.mesh()


def bus(size, color, accent, braking=False):
    """A city bus: one tall body, a band of windows, doors on the right, a lit destination sign."""
    w, l, h = size  # noqa: E741
    b, half, tail, nose = Builder(), w / 2, -l / 2, l / 2
    b.extrude([(tail, 0.32), (tail, h), (nose - 0.12, h), (nose, 1.1), (nose, 0.32)], -half, half, color)
    side_patch(b, half, tail + 0.02, nose - 0.05, 0.36, 0.82, accent)
    side_patch(b, half, tail + 0.3, nose - 0.3, 1.35, h - 0.65, GLASS)
    for x in np.linspace(tail + 0.3, nose - 0.3, max(6, round(l / 1.5)))[1:-1]:
        side_patch(b, half + 0.001, x - 0.05, x + 0.05, 1.35, h - 0.65, shade(color, 0.75))
    for x in (nose - 1.5, -0.05 * l):
        y = -half - 0.002
        for x0, x1 in ((x, x + 0.55), (x + 0.6, x + 1.15)):
            b.decal([(x0, y, 0.4), (x1, y, 0.4), (x1, y, h - 0.7), (x0, y, h - 0.7)], shade(GLASS, 0.75))
    lean = lambda z: np.interp(z, [1.1, h], [nose, nose - 0.12]) + 0.004  # noqa: E731
    quad = lambda y0, y1, z0, z1: [(lean(z0), y0, z0), (lean(z0), y1, z0), (lean(z1), y1, z1), (lean(z1), y0, z1)]  # noqa: E731
    b.decal(quad(-half * 0.92, half * 0.92, 1.15, h - 0.6), GLASS)
    b.decal(quad(-half * 0.7, half * 0.7, h - 0.5, h - 0.14), (20, 20, 22))
    for k in range(5):
        y = half * (0.5 - 0.24 * k)
        b.decal(quad(y - 0.09 * half, y + 0.09 * half, h - 0.44, h - 0.2), (40, 190, 255), 0.9)
    add_lights(b, nose + 0.003, half, 0.55, 0.26, HEADLIGHT, 0.75, 0.4)
    patch(b, nose + 0.002, -0.26, 0.26, 0.4, 0.52, PLATE)
    patch(b, tail - 0.002, -half * 0.8, half * 0.8, 1.6, h - 0.7, GLASS)
    patch(b, tail - 0.002, -half * 0.7, half * 0.7, 0.6, 1.3, shade(color, 0.55))
    add_lights(b, tail - 0.003, half, 0.8, 0.6, TAIL, 0.9 if braking else 0.6, 0.24)
    add_wheels(b, (nose - 0.24 * l, tail + 0.24 * l), 0.5, 0.3, half, 0.32)
    return b.mesh()


def trailer(size, color, curtain):
    """A semi-trailer without its tractor: long box, wheels at the rear, landing gear in front."""
    w, l, h = size  # noqa: E741
    b, half, tail, nose = Builder(), w / 2, -l / 2, l / 2
    b.box((tail + 0.2, -half * 0.5, 0.7), (nose - 0.3, half * 0.5, 1.15), (50, 50, 55))
    b.box((tail, -half, 1.15), (nose, half, h), color)
    side_patch(b, half, tail + 0.06, nose - 0.06, 1.4, h - 0.12, curtain)
    for x in np.arange(tail + 0.6, nose - 0.2, 0.8):
        side_patch(b, half + 0.001, x - 0.03, x + 0.03, 1.4, h - 0.12, shade(curtain, 0.8))
    side_patch(b, half + 0.001, tail + 0.1, nose - 0.1, 1.16, 1.32, (50, 50, 60))
    for x in np.arange(tail + 0.5, nose - 0.3, 1.5):
        side_patch(b, half + 0.002, x, x + 0.25, 1.2, 1.28, AMBER, 0.6)
    patch(b, tail - 0.002, -0.03, 0.03, 1.3, h - 0.05, shade(color, 0.5))
    for y in (-0.55, -0.3, 0.3, 0.55):
        patch(b, tail - 0.002, y * half - 0.025, y * half + 0.025, 1.3, h - 0.1, CHROME)
    patch(b, tail - 0.003, -half, half, 1.15, 1.3, (40, 40, 170))
    patch(b, nose + 0.002, -half * 0.85, half * 0.85, 1.6, h - 0.5, shade(color, 0.85))
    b.box((tail, -half * 0.95, 0.55), (tail + 0.12, half * 0.95, 0.78), (50, 50, 52))
    add_lights(b, tail - 0.003, half * 0.95, 0.58, 0.18, TAIL, 0.6, 0.4)
    b.box((tail + 0.4, -half * 0.94, 0.3), (tail + 3.9, half * 0.94, 0.69), (42, 42, 44))
    add_wheels(b, (tail + 0.9, tail + 2.1, tail + 3.3), 0.48, 0.36, half * 0.97, 0.3)
    for side in (-1, 1):
        y0, y1 = sorted((side * half * 0.55, side * (half * 0.55 + 0.16)))
        b.box((nose - 2.4, y0, 0.0), (nose - 2.2, y1, 1.14), CHROME)
    return b.mesh()


def excavator(size, color):
    """A construction vehicle: tracks, turning body with counterweight, cabin, boom, stick and bucket in front."""
    w, l, h = size  # noqa: E741
    b, half, tail = Builder(), w / 2, -l / 2
    track = [(tail + 0.25, 0.25), (tail, 0.55), (tail + 0.2, 0.85), (0.05 * l, 0.85), (0.09 * l, 0.55), (0.05 * l, 0.1)]
    track += [(0.02 * l, 0.0), (tail + 0.4, 0.0)]
    for side in (-1, 1):
        y0, y1 = sorted((side * half, side * (half - 0.6)))
        b.extrude(track, y0, y1, (48, 48, 50))
        for x in np.linspace(tail + 0.45, 0.0, 5):
            ring = regular(10) * 0.2
            b.decal(np.stack([ring[:, 0] + x, np.full(10, side * half), ring[:, 1] + 0.42], -1), (95, 95, 98))
    b.box((tail + 0.5, -half + 0.62, 0.3), (0.02 * l, half - 0.62, 0.88), (70, 70, 70))
    deck = 0.92
    b.box((tail + 0.05, -half * 0.92, deck), (0.06 * l, half * 0.92, 0.55 * h), color)
    for k in range(4):
        x = tail + 0.35 + 0.3 * k
        side_patch(b, half * 0.92, x, x + 0.16, deck + 0.25, 0.5 * h, shade(color, 0.55))
    patch(b, tail + 0.05 - 0.002, -half * 0.9, half * 0.9, deck + 0.05, deck + 0.35, (40, 40, 40))
    for k in range(4):
        y = half * (-0.8 + 0.42 * k)
        patch(b, tail + 0.05 - 0.003, y, y + 0.2, deck + 0.08, deck + 0.32, (30, 190, 245))
    cabin = rectangle(-0.16 * l, 0.06 * l, half * 0.1, half * 0.92)
    b.loft(cabin, cabin * (0.96, 0.98), 0.55 * h + 0.005, h, color)
    x0, x1, y0, y1 = -0.16 * l, 0.06 * l, half * 0.1, half * 0.92
    z0, z1 = 0.58 * h, h - 0.12
    for y in (y0 - 0.01, y1 + 0.01):
        b.decal([(x0 + 0.15, y, z0), (x1 - 0.1, y, z0), (x1 - 0.1, y, z1), (x0 + 0.15, y, z1)], GLASS)
    patch(b, x1 + 0.005, y0 + 0.1, y1 - 0.08, z0, z1, GLASS)
    patch(b, x0 - 0.005, y0 + 0.15, y1 - 0.15, z0 + 0.2, z1, GLASS)
    y0, y1 = -half * 0.45, half * 0.02
    knee, tip, end = (0.27 * l, 0.93 * h), (0.47 * l, 0.5 * h), l / 2
    b.extrude([(0.07 * l, 0.42 * h), (0.07 * l, 0.58 * h), (knee[0] - 0.1, h - 0.03), knee], y0, y1, color)
    b.extrude(
        [knee, (knee[0] + 0.25, h - 0.1), (tip[0] + 0.1, tip[1]), (tip[0] - 0.1, tip[1] - 0.05)],
        y0,
        y1,
        shade(color, 0.9),
    )
    bucket = [
        (0.36 * l, 0.1),
        (0.33 * l, 0.4),
        (0.4 * l, 0.44 * h),
        (end - 0.02, 0.44 * h),
        (end, 0.3 * h),
        (0.44 * l, 0.05),
    ]
    b.extrude(bucket, -half * 0.62, half * 0.2, (66, 64, 62))
    return b.mesh()
