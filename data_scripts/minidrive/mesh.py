"""Solids made of flat polygons, lines with a thickness and balls: what every object in the world is made of."""

import numpy as np

POLYGON, LINE, LOOP, BALL = range(4)


class Mesh:
    """An object as flat arrays. Local frame: x forward, y left, z up, origin on the ground under the box center.

    Attributes:
        vertices [V,3] m: corners of all primitives one after another.
        starts [P+1]: the corners of primitive p are vertices[starts[p]:starts[p+1]].
        kinds [P]: POLYGON, LINE, LOOP or BALL.
        normals [P,3]: outward unit normal of a polygon, zero for the others.
        colors [P,3] BGR 0..255.
        glow [P]: 0 takes the light of the scene, 1 shines by itself.
        sizes [P] m: thickness of a line, radius of a ball, extent of a polygon.
        solids [P]: index of the solid that primitive p belongs to.
        bounds [S,2,3] m: axis-aligned bounds of every solid.
    """

    def __init__(self, builder):
        self.vertices = np.concatenate(builder.points)
        self.starts = np.cumsum([0] + [len(p) for p in builder.points])
        self.kinds, self.solids = np.array(builder.kinds), np.array(builder.solids)
        self.colors, self.glow = np.array(builder.colors, float), np.array(builder.glow, float)
        self.bounds = np.array(builder.bounds)
        self._polygons(np.array(builder.centers), np.array(builder.sizes, float))

    def _polygons(self, centers, sizes):
        flat, first = self.kinds == POLYGON, self.starts[:-1]
        low, high = (f.reduceat(self.vertices, first) for f in (np.minimum, np.maximum))
        self.sizes = np.where(flat, (high - low).max(1), sizes)
        a, b, c = (self.vertices[np.minimum(first + k, len(self.vertices) - 1)] for k in range(3))
        normal = np.cross(b - a, c - a) * flat[:, None]
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        middle = np.add.reduceat(self.vertices, first) / np.diff(self.starts)[:, None]
        outward = ((middle - centers) * normal).sum(1, keepdims=True)
        self.normals = np.where(outward < 0, -normal, normal)


class Builder:
    """Collects primitives. A decal (window, light, plate) lies on the solid that was added last."""

    def __init__(self):
        self.points, self.kinds, self.colors, self.glow = [], [], [], []
        self.sizes, self.centers, self.solids, self.bounds = [], [], [], []
        self.center = np.zeros(3)

    def mesh(self):
        """The finished Mesh."""
        return Mesh(self)

    def _add(self, kind, points, color, glow=0.0, size=0.0):
        self.points.append(np.asarray(points, float))
        self.kinds.append(kind)
        self.colors.append(color)
        self.glow.append(glow)
        self.sizes.append(size)
        self.centers.append(self.center)
        self.solids.append(len(self.bounds) - 1)

    def _open(self, points, margin=0.0):
        self.bounds.append((points.min(0) - margin, points.max(0) + margin))
        self.center = points.mean(0)

    def decal(self, points, color, glow=0.0):
        """A convex polygon [k,3] on the last solid, facing away from that solid's center."""
        self._add(POLYGON, points, color, glow)

    def solid(self, faces, color, glow=0.0):
        """A convex solid from its faces, each [k,3]. `color` is one color, or a list with one for each face."""
        faces = [np.asarray(f, float) for f in faces]
        self._open(np.concatenate(faces))
        colors = color if isinstance(color, list) else [color] * len(faces)
        for face, face_color in zip(faces, colors, strict=True):
            self.decal(face, face_color, glow)

    def line(self, points, thickness, color, closed=False, glow=0.0):
        """A polyline [k,3] of the given thickness in m, a solid of its own."""
        points = np.asarray(points, float)
        self._open(points, thickness / 2)
        self._add(LOOP if closed else LINE, points, color, glow, thickness)

    def ball(self, center, radius, color):
        """A ball, a solid of its own."""
        center = np.asarray(center, float)[None]
        self._open(center, radius)
        self._add(BALL, center, color, 0.0, radius)

    def extrude(self, profile, y0, y1, color):
        """A convex side profile [k,2] of (x, z) drawn out from y0 to y1; faces: right cap, left cap, then the rim."""
        profile = np.asarray(profile, float)
        right, left = (np.insert(profile, 1, y, axis=1) for y in (y0, y1))
        rim = [np.stack([right[i], right[i - 1], left[i - 1], left[i]]) for i in range(len(profile))]
        self.solid([right, left, *rim], color)

    def loft(self, bottom, top, z0, z1, color, close=True):
        """Bottom polygon [k,2] of (x, y) at height z0 joined to the top polygon [k,2] at z1."""
        lower = np.insert(np.asarray(bottom, float), 2, z0, axis=1)
        upper = np.insert(np.asarray(top, float), 2, z1, axis=1)
        rim = [np.stack([lower[i - 1], lower[i], upper[i], upper[i - 1]]) for i in range(len(lower))]
        self.solid([upper, *rim] if close else rim, color)

    def box(self, low, high, color):
        """An axis-aligned box."""
        self.loft(
            rectangle(low[0], high[0], low[1], high[1]),
            rectangle(low[0], high[0], low[1], high[1]),
            low[2],
            high[2],
            color,
        )

    def pillar(self, x, y, z0, z1, r0, r1, color, sides=8):
        """An upright, tapering prism."""
        ring = regular(sides)
        self.loft(ring * r0 + (x, y), ring * r1 + (x, y), z0, z1, color)


def rectangle(x0, x1, y0, y1):
    """Corners [4,2] in order: rear right, rear left, front left, front right."""
    return np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0)], float)


def regular(sides, phase=0.0):
    """Unit regular polygon [sides,2]."""
    angle = phase + np.arange(sides) * 2 * np.pi / sides
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def between(quad, u0, u1, v0, v1):
    """Part [4,3] of a quad [4,3] (a,b,c,d): u runs from side a-b's a to b, v from a to d, both in 0..1."""
    a, b, c, d = np.asarray(quad, float)
    point = lambda u, v: (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v  # noqa: E731
    return np.stack([point(u0, v0), point(u1, v0), point(u1, v1), point(u0, v1)])
