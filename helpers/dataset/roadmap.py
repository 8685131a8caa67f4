"""Center lines, areas and what is painted on the road, from the nuScenes map expansion; MiniDrive has a map a scene.

A file maps/expansion/LOCATION.json (of MiniDrive: maps/expansion/SCENE.json) holds lanes and lane connectors; their
center lines are arcs: a start pose, three segments to the left, straight on or to the right, and one radius.
Source: nuscenes-devkit, map expansion 1.3. Needs no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.dataset import layout
from helpers.dataset.frame import Frame
from helpers.dataset.tables import TEXT, TOKEN, TOKENS, Kind, check_rows
from helpers.errors import BadInput
from helpers.files import as_path, read_json

EXPANSION = "the map expansion"
EXPECTED = "a map of the nuScenes map expansion, version 1.3 or later"
LANES = ("lane", "lane_connector")
TURNS = {"L": 1.0, "S": 0.0, "R": -1.0}
RESOLUTION = 0.5  # m between points of a center line, at most
MOST = 1 << 30  # bytes of a map: Boston's has 50 MB


@dataclass(frozen=True, eq=False)
class Lane:
    """token. connector: whether it lies within a crossing. points [n,3] float64: x, y in m and direction in rad,
    global, in the direction of travel. outgoing: tokens of the lanes that it leads into.
    """

    token: str
    connector: bool
    points: np.ndarray
    outgoing: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Roadmap:
    """lanes, and drivable: areas, each a list of rings [n,2] float64, m, global: the outline, then the holes.

    Areas too: crossings, of pedestrians, and roads, segments of a road and its lanes. dividers: lines [n,2] between
    directions and between lanes. A map may lack these three.
    """

    lanes: list[Lane]
    drivable: list[list[np.ndarray]]
    dividers: Sequence[np.ndarray] = ()
    crossings: Sequence[list[np.ndarray]] = ()
    roads: Sequence[list[np.ndarray]] = ()


def _number(value):
    return type(value) in (int, float) and abs(value) < 1e9


def _numbers(value, length):
    return isinstance(value, list) and len(value) == length and all(map(_number, value))


COORDINATE = Kind("a finite number", _number)
HOLES = Kind(
    'a list of {"node_tokens": tokens}',
    lambda value: (
        isinstance(value, list)
        and all(isinstance(hole, dict) and TOKENS.fits(hole.get("node_tokens")) for hole in value)
    ),
)
FIELDS = {
    "node": {"token": TOKEN, "x": COORDINATE, "y": COORDINATE},
    "polygon": {"token": TOKEN, "exterior_node_tokens": TOKENS, "holes": HOLES},
    "drivable_area": {"token": TOKEN, "polygon_tokens": TOKENS},
    "lane": {"token": TOKEN},
    "lane_connector": {"token": TOKEN},
}
AREA, LINE = {"token": TOKEN, "polygon_token": TOKEN}, {"token": TOKEN, "line_token": TOKEN}
MARKS = {
    "line": {"token": TOKEN, "node_tokens": TOKENS},
    "road_divider": LINE,
    "lane_divider": LINE,
    "ped_crossing": AREA,
    "road_segment": AREA,
}
ARC = {
    "start_pose": Kind("x, y and direction", lambda value: _numbers(value, 3)),
    "shape": Kind(
        "three letters of L, S and R", lambda value: TEXT.fits(value) and len(value) == 3 and set(value) <= set(TURNS)
    ),
    "radius": Kind("a number above 0", lambda value: _number(value) and value > 0),
    "segment_length": Kind(
        "three lengths in m, from 0 to 10,000",
        lambda value: _numbers(value, 3) and 0 <= min(value) <= max(value) <= 1e4,
    ),
}


def path_of(dataroot: str | Path, frame: Frame) -> Path:
    """The map file of a frame: of its scene if the data root is a MiniDrive, else of its location."""
    root = Path(dataroot)
    name = frame.scene if layout.is_minidrive(root) else frame.location
    return root / "maps" / "expansion" / f"{name}.json"


def read(path: str | Path, fix: str = f"unpack {EXPANSION} of nuScenes again") -> Roadmap:
    """The map in a file.

    Raises:
        BadInput: no file, no JSON, a layer that is missing, a record whose field holds something else, a token that no
            other layer has, or an older version.
    """
    path = as_path(path)
    if not path.is_file():
        raise BadInput(path, "no file", EXPECTED, fix)
    content = read_json(path, EXPECTED, fix, MOST)
    if not isinstance(content, dict):
        raise BadInput(path, f"a JSON {type(content).__name__}", EXPECTED, fix)
    if not isinstance(version := content.get("version"), str) or version < "1.3":
        raise BadInput(path, f"version = {version!r:.40}", EXPECTED, fix)
    layers = {name: _layer(content, name, path, fix) for name in FIELDS}
    nodes = {row["token"]: (row["x"], row["y"]) for row in layers["node"]}
    polygons = {row["token"]: row for row in layers["polygon"]}
    tokens = [token for row in layers["drivable_area"] for token in row["polygon_tokens"]]
    areas = [_rings(_known(polygons, token, "polygon", path, fix), nodes, path, fix) for token in tokens]
    return Roadmap(_lanes(content, layers, path, fix), areas, *_marks(content, nodes, polygons, path, fix))


def center_lines(roadmap: Roadmap, frame: Frame, reach: tuple[float, float] = (51.2, 51.2)) -> list[np.ndarray]:
    """The pieces of center lines within |x| and |y| of `reach` m, each [n,3] float64: x, y, z in m of ego, n >= 2.

    In the direction of travel, `RESOLUTION` m apart at most; z is that of the ground under the vehicle, 0.
    """
    global2ego, found = np.linalg.inv(frame.ego2global), []
    for lane in roadmap.lanes:
        ground = np.insert(lane.points[:, :2], 2, frame.ego2global[2, 3], axis=1)
        points = ground @ global2ego[:3, :3].T + global2ego[:3, 3]
        inside = (np.abs(points[:, :2]) <= reach).all(1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
        pieces = [points[first:last] * (1, 1, 0) for first, last in edges.reshape(-1, 2)]
        found += [piece for piece in pieces if len(piece) > 1]
    return found


def _layer(content, name, path, fix):
    return check_rows(content.get(name), FIELDS[name], f"{path}: {name}", f"the records of {name}", fix)


def _known(records, token, layer, path, fix):
    if token not in records:
        raise BadInput(f"{path}: {layer}", f"no record {token!r:.60}", "every record that another one names", fix)
    return records[token]


def _rings(polygon, nodes, path, fix):
    rings = [polygon["exterior_node_tokens"], *(hole["node_tokens"] for hole in polygon["holes"])]
    return [np.array([_known(nodes, token, "node", path, fix) for token in ring], np.float64) for ring in rings if ring]


def _marks(content, nodes, polygons, path, fix):
    """(dividers, crossings, roads), each empty where the map has no such layer."""
    rows = {
        name: check_rows(content.get(name, []), fields, f"{path}: {name}", f"the records of {name}", fix)
        for name, fields in MARKS.items()
    }
    lines = {row["token"]: row["node_tokens"] for row in rows["line"]}
    named = [row["line_token"] for name in ("road_divider", "lane_divider") for row in rows[name]]
    ways = [_known(lines, token, "line", path, fix) for token in named]
    dividers = [np.array([_known(nodes, node, "node", path, fix) for node in way], np.float64) for way in ways if way]
    lanes = [row for row in content["lane"] if TOKEN.fits(row.get("polygon_token"))]
    crossings, roads = (
        [_rings(_known(polygons, row["polygon_token"], "polygon", path, fix), nodes, path, fix) for row in areas]
        for areas in (rows["ped_crossing"], rows["road_segment"] + lanes)
    )
    return dividers, crossings, roads


def _lanes(content, layers, path, fix):
    arcs, connections = (content.get(name) for name in ("arcline_path_3", "connectivity"))
    for name, layer in (("arcline_path_3", arcs), ("connectivity", connections)):
        if not isinstance(layer, dict):
            raise BadInput(f"{path}: {name}", f"a {type(layer).__name__}", "an object with a token for each lane", fix)
    found = []
    for name in LANES:
        for token in (row["token"] for row in layers[name]):
            where = f"{path}: arcline_path_3[{token}]"
            pieces = check_rows(arcs.get(token, []), ARC, where, "the arcs of a lane", fix)
            ends = connections.get(token, {"outgoing": []})
            outgoing = ends.get("outgoing") if isinstance(ends, dict) else None
            if not isinstance(outgoing, list) or not all(isinstance(end, str) for end in outgoing):
                raise BadInput(f"{path}: connectivity[{token}]", f"{ends!r:.80}", 'an object with "outgoing"', fix)
            if pieces:  # a few lanes of nuScenes have none
                found.append(Lane(token, name != "lane", _line(pieces), tuple(outgoing)))
    return found


def _line(pieces: list[dict[str, Any]]) -> np.ndarray:
    """Points [n,3] along arcs, where each begins and every `RESOLUTION` m or less, and where the last one ends."""
    found = []
    for piece in pieces:
        pose = np.array(piece["start_pose"], np.float64)
        for turn, length in zip(piece["shape"], piece["segment_length"], strict=True):
            if length > 0:
                steps = np.arange(np.ceil(length / RESOLUTION) + 1)
                line = _moved(pose, TURNS[turn] / piece["radius"], length * steps / steps[-1])
                found.append(line[:-1])
                pose = line[-1]
    return np.concatenate([*found, pose[None]])


def _moved(pose, curvature, length):
    """Poses [n,3] at `length` [n] m along a line of one curvature."""
    turn = curvature * length
    middle, chord = pose[2] + turn / 2, length * np.sinc(turn / (2 * np.pi))
    return np.stack([pose[0] + chord * np.cos(middle), pose[1] + chord * np.sin(middle), pose[2] + turn], -1)
