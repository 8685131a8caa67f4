"""The cameras of a frame side by side, with boxes drawn in."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from helpers.boxes import Boxes, corners, require_frame
from helpers.display.pictures import Picture, tally
from helpers.display.scenes import above, colors_of
from helpers.display.style import INK, class_color, ink_on, line_colors, photo
from helpers.display.told import told

LAYOUT = ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT")
COLUMNS = 3
TILE = (532, 300)  # pixels, width and height of one camera in the mosaic
GAP = 2
NAME, KEY, LABEL = 26, 18, 14  # pixels, height of the letters; a page shows them at half of it or less
NEAR = 0.5  # m; edges are cut where they pass this depth
FRONT = (0, 1, 2, 3)  # corners of the face that looks ahead
EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))


@told
def cameras(
    frame: Any,
    boxes: Boxes | None = None,
    detections: Boxes | None = None,
    threshold: float = 0.3,
    lines: Mapping[str, Iterable[ArrayLike]] | None = None,
) -> Picture:
    """The camera images of `frame` as a mosaic of three columns about 1600 pixels wide, boxes drawn in.

    Args:
        frame: `helpers.dataset.Frame`.
        boxes: ground truth, `Boxes` in the lidar frame: colored by class, or thin and white beneath `detections`.
        detections: `Boxes` in the lidar frame, colored by class and labeled with their score.
        threshold: detections that score less are left out.
        lines: what they are -> lines [n, 3] in m in the ego frame, such as lanes and a planned path.

    The shaded face of a box is its front. Returns a `Picture` (JPEG).
    """
    plain = detections is not None
    groups = [] if boxes is None else [(boxes, plain)]
    groups += [] if detections is None else [(above(detections, threshold), False)]
    for group, _ in groups:
        require_frame(group, "lidar")
    views = zip(frame.image_paths, frame.images(reduce=2), frame.lidar2img, strict=True)
    ground = {name: [np.asarray(line, np.float64) for line in each] for name, each in (lines or {}).items()}
    from_ego, ink = np.linalg.inv(frame.lidar2ego), line_colors(ground)
    drawn = [(_homogeneous(line) @ from_ego.T, ink[name]) for name in reversed(ground) for line in ground[name]]
    tiles = {camera: _tile(image, lidar2img, camera, groups, drawn) for camera, image, lidar2img in views}
    order = sorted(tiles, key=lambda camera: LAYOUT.index(camera) if camera in LAYOUT else len(LAYOUT))
    rows = [_row([tiles[camera] for camera in order[k : k + COLUMNS]]) for k in range(0, len(order), COLUMNS)]
    strip = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    shown = [group for group, is_plain in groups if not is_plain]
    key = _key(colors_of(*shown) | ink, strip.shape[1], plain and boxes is not None)
    parts = [part for row in rows for part in (row, strip)]
    mosaic = np.concatenate([*parts[:-1], key])
    told = [f"{len(group.labels)} boxes drawn in{tally(group.names)}" for group in shown]
    told += [f"ground truth in white: {len(boxes.labels)} boxes"] if plain and boxes is not None else []
    told += [f"lines on the ground: {', '.join(f'{len(each)} {name}' for name, each in ground.items())}"] * bool(ground)
    what = f"Pictures of {len(tiles)} cameras of {frame.scene}, frame {frame.index}"
    return photo(mosaic, "; ".join([what, *told]))


def _tile(image, lidar2img, camera, groups, lines):
    """One camera, from half its size shrunk to `TILE`, with its lines, boxes, labels and name."""
    import cv2
    from PIL import Image, ImageDraw

    scale = np.diag([TILE[0] / image.shape[1] / 2, TILE[1] / image.shape[0] / 2, 1.0, 1.0])
    tile = cv2.resize(image, TILE, interpolation=cv2.INTER_AREA)
    for points, color in lines:
        _draw_line(tile, points @ (scale @ lidar2img).T, color)
    labels = []
    for boxes, plain in groups:
        labels += _draw_boxes(tile, boxes, scale @ lidar2img, plain)
    drawn = Image.fromarray(tile)
    pen = ImageDraw.Draw(drawn)
    taken = [_write(pen, camera.removeprefix("CAM_").replace("_", " ").lower(), (0, 0), "#222222", [], NAME)]
    for text, at, color in reversed(labels):
        taken.append(_write(pen, text, at, color, taken))
    return np.asarray(drawn)


def _draw_boxes(tile, boxes, lidar2img, plain):
    """Draw boxes into `tile`, far ones first; return the labels to write in that order: (text, (u, v), color)."""
    import cv2

    homogeneous = _homogeneous(corners(boxes)) @ lidar2img.T
    labels = []
    for k in np.argsort(-homogeneous[:, :, 2].mean(axis=1)):
        name = boxes.names[k]
        color = "#FFFFFF" if plain else class_color(name, boxes.classes)
        rgb = _rgb(color)
        face = homogeneous[k, FRONT, :3]
        if not plain and (face[:, 2] > NEAR).all():
            _shade(tile, _pixels(face), rgb)
        ends = [_clip(*homogeneous[k, edge, :3]) for edge in map(list, EDGES)]
        ends = [_pixels(end) for end in ends if end is not None]
        for a, b in ends:
            seen, a, b = cv2.clipLine((0, 0, *TILE), tuple(map(int, a)), tuple(map(int, b)))
            if seen:
                cv2.line(tile, a, b, rgb, 1 if plain else 2, cv2.LINE_AA)
        if ends and not plain:
            label = _label(name, boxes.scores[k], np.concatenate(ends), color)
            labels += [label] if label else []
    return labels


def _draw_line(tile, points, color):
    """Draw a line of points [n, 4], (u·depth, v·depth, depth, 1), into `tile`."""
    import cv2

    for a, b in itertools.pairwise(points[:, :3]):
        if (ends := _clip(a, b)) is not None:
            (u, v), (x, y) = np.rint(_pixels(ends)).astype(int).tolist()
            seen, start, end = cv2.clipLine((0, 0, *TILE), (u, v), (x, y))
            if seen:
                cv2.line(tile, start, end, _rgb(color), 3, cv2.LINE_AA)


def _homogeneous(points):
    """Points [..., 3] with a one behind each."""
    return np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1)


def _rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def _clip(a, b):
    """The part of the segment a-b (u·depth, v·depth, depth) deeper than `NEAR`, or None."""
    if max(a[2], b[2]) <= NEAR:
        return None
    if a[2] <= NEAR:
        a = a + (b - a) * (NEAR - a[2]) / (b[2] - a[2])
    elif b[2] <= NEAR:
        b = b + (a - b) * (NEAR - b[2]) / (a[2] - b[2])
    return np.stack([a, b])


def _pixels(points):
    return np.clip(points[:, :2] / points[:, 2:], -20000, 20000)


def _shade(tile, polygon, rgb, strength=0.35):
    import cv2

    low = np.clip(np.floor(polygon.min(axis=0)), 0, TILE).astype(int)
    high = np.clip(np.ceil(polygon.max(axis=0)) + 1, 0, TILE).astype(int)
    if (high > low).all():
        part = tile[low[1] : high[1], low[0] : high[0]]
        filled = cv2.fillConvexPoly(part.copy(), cv2.convexHull((polygon - low).astype(np.int32)), rgb)
        part[:] = cv2.addWeighted(part, 1 - strength, filled, strength, 0)


def _label(name, score, points, color, smallest=16):
    """(text, place, color) above a box that is in the picture and at least `smallest` pixels high."""
    low, high = points.min(axis=0), points.max(axis=0)
    inside = (low < TILE).all() and (high > 0).all()
    if not inside or high[1] - low[1] < smallest:
        return None
    text = name.replace("_", " ") + ("" if score >= 1 else f" {score:.2f}")
    return text, (max(low[0], 0), max(low[1] - LABEL - 4, 0)), color


def _write(pen, text, at, color, taken, size=LABEL):
    """Write `text` on a patch of `color` unless it would cover a patch in `taken`; returns its patch (or None)."""
    from PIL import ImageFont

    font = ImageFont.load_default(size=size)
    width = pen.textlength(text, font=font) + 6
    x = min(at[0], TILE[0] - width)
    patch = (x, at[1], x + width, at[1] + size + 4)
    if any(p and patch[0] < p[2] and p[0] < patch[2] and patch[1] < p[3] and p[1] < patch[3] for p in taken):
        return None
    pen.rectangle(patch, fill=color)
    pen.text((x + 3, at[1] + 1), text, font=font, fill=ink_on(color))
    return patch


def _row(tiles):
    """Up to three tiles side by side, white where one is missing."""
    row = np.full((TILE[1], TILE[0] * COLUMNS + GAP * (COLUMNS - 1), 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        row[:, k * (TILE[0] + GAP) :][:, : TILE[0]] = tile
    return row


def _key(colors, width, plain):
    """The colors' names in a strip below the mosaic."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, 34), "white")
    pen, font, x = ImageDraw.Draw(strip), ImageFont.load_default(size=KEY), 8
    entries = [(name.replace("_", " "), color) for name, color in colors.items()]
    for text, color in entries + ([("ground truth", "#FFFFFF")] if plain else []):
        pen.rectangle((x, 8, x + 22, 8 + KEY), fill=color, outline="#666666")
        pen.text((x + 28, 6), text, font=font, fill=INK)
        x += 48 + int(pen.textlength(text, font=font))
    return np.asarray(strip)
