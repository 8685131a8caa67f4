"""The map of a scene in the form of the nuScenes map expansion, version 1.3: lanes with center lines, drivable area.

Geometry is that of the world, which the cameras see. The center lines are those of the driving lanes; where the side
street crosses the road, lane connectors lead straight on. The cars that wait in the side street keep to the left, and
so do its lanes. nuscenes-devkit's NuScenesMap reads the file under one of the four names that it knows.

Source: nuscenes-devkit, docs of the map expansion (lane, lane_connector, arcline_path_3, connectivity).
"""

from itertools import pairwise

import numpy as np

from .geometry import rotation_z
from .streets import LANE, road_bounds

VERSION, STRAIGHT = "1.3", 999.999  # m, the radius that stands in an arc without one
PIECE = 2.0  # m of one arc at most; within it the curvature of the road changes little
CHAIN, REACH = ("lane", "lane_connector", "lane"), 60.0  # m to each side, as far as the side street leads
EMPTY = ("road_block", "carpark_area", "traffic_light")


class Roadmap:
    """Collects the layers; every record has a token that depends on the scene's name, the seed and its place."""

    def __init__(self, world, make):
        self.world, self.streets, self.make = world, world.streets, lambda *names: make("roadmap", world.name, *names)
        names = ("polygon", "line", "node", "drivable_area", "road_segment", "lane", "lane_connector", "ped_crossing")
        names += ("walkway", "stop_line", "road_divider", "lane_divider", *EMPTY)
        self.layers = {name: [] for name in names} | {"arcline_path_3": {}, "connectivity": {}}

    def add(self, layer, **fields):
        """A record of a layer; returns its token."""
        token = self.make(layer, len(self.layers[layer]))
        self.layers[layer].append({"token": token} | fields)
        return token

    def nodes(self, points):
        """Tokens of nodes at points [n,2+]."""
        return [self.add("node", x=round(float(x), 4), y=round(float(y), 4)) for x, y in points[:, :2]]

    def polygon(self, points):
        """Token of a polygon without holes."""
        return self.add("polygon", exterior_node_tokens=self.nodes(points), holes=[])

    def lane(self, layer, outline, arcs):
        """A lane or a lane connector with its arcs, so far connected to nothing."""
        fields = {"polygon_token": self.polygon(outline)}
        if layer == "lane":
            fields |= {"lane_type": "CAR", "from_edge_line_token": "", "to_edge_line_token": ""}
            fields |= {"left_lane_divider_segments": [], "right_lane_divider_segments": []}
        token = self.add(layer, **fields)
        self.layers["arcline_path_3"][token] = arcs
        self.layers["connectivity"][token] = {"incoming": [], "outgoing": []}
        return token

    def connect(self, tokens):
        """Each of these leads into the next."""
        for before, after in pairwise(tokens):
            self.layers["connectivity"][before]["outgoing"].append(after)
            self.layers["connectivity"][after]["incoming"].append(before)

    def areas(self):
        """Drivable area, the road in three segments, the zebra crossing with its stop lines, and the sidewalks."""
        route, st = self.world.route, self.streets
        area = self.add("drivable_area", polygon_tokens=[self.polygon(ring) for ring in st.drivable()])
        for s0, s1 in self.parts():
            ring = route.band(s0, s1, -st.curb, st.curb)
            crossed = s0 < st.street < s1
            self.add(
                "road_segment", polygon_token=self.polygon(ring), is_intersection=crossed, drivable_area_token=area
            )
        zebra = route.band(st.crossing - 1.8, st.crossing + 1.8, -st.curb, st.curb)
        zebra = self.add("ped_crossing", polygon_token=self.polygon(zebra), road_segment_token="")
        for side in (-1, 1):
            walk = route.band(0.0, route.length, *sorted((side * (st.curb + 0.25), side * st.back)))
            self.add("walkway", polygon_token=self.polygon(walk))
            s, across = st.crossing - side * 3.4, sorted((-side * 0.4, -side * st.edge))
            line = {"stop_line_type": "PED_CROSSING", "ped_crossing_tokens": [zebra], "traffic_light_tokens": []}
            ring = route.band(s - 0.2, s + 0.2, *across)
            self.add("stop_line", polygon_token=self.polygon(ring), road_block_token="", **line)

    def dividers(self):
        """The lines between the directions and between the lanes of one direction."""
        for s0, s1 in self.parts()[::2]:
            s = np.append(np.arange(s0, s1, PIECE), s1)
            line = lambda d, s=s: self.nodes(np.stack(self.world.route.at(s, d)[:2], -1))  # noqa: E731
            middle = self.add("line", node_tokens=line(0.0))
            self.add("road_divider", line_token=middle, road_segment_token="")
            for d in (side * k * LANE for side in (-1, 1) for k in range(1, self.streets.lanes)):
                tokens = line(d)
                parts = [{"node_token": token, "segment_type": "DOUBLE_DASHED_WHITE"} for token in tokens]
                self.add("lane_divider", line_token=self.add("line", node_tokens=tokens), lane_divider_segments=parts)

    def lanes(self):
        """The driving lanes of the road with their lane connectors."""
        st, route = self.streets, self.world.route
        for d in (side * (k + 0.5) * LANE for side in (-1, 1) for k in range(st.lanes)):
            ahead = d < 0
            chain = [
                self.lane(layer, route.band(s0, s1, d - LANE / 2, d + LANE / 2), arcs(route, s0, s1, d, ahead))
                for layer, (s0, s1) in zip(CHAIN, self.parts(), strict=True)
            ]
            self.connect(chain if ahead else chain[::-1])

    def side_lanes(self):
        """The two lanes of the side street, each with its lane connector; u along the road, v to its left."""
        st, half = self.streets, self.streets.side / 2
        x, y, yaw = (float(value) for value in self.world.route.at(st.street))
        turn = rotation_z(yaw)[:2, :2].T
        for u, heading in ((-half, np.pi / 2), (half, -np.pi / 2)):
            chain = []
            for layer, (v0, v1) in zip(CHAIN, pairwise((-REACH, -st.curb, st.curb, REACH)), strict=True):
                ring = np.array([(u - half, v0), (u + half, v0), (u + half, v1), (u - half, v1)]) @ turn + (x, y)
                start = (u, v0 if heading > 0 else v1) @ turn + (x, y)
                chain.append(self.lane(layer, ring, [arc((*start, yaw + heading), 0.0, v1 - v0)]))
            self.connect(chain if heading > 0 else chain[::-1])

    def parts(self):
        """(first, last) arc length of the road before the side street, beside it and behind it."""
        st = self.streets
        return [*pairwise((0.0, st.street - st.side, st.street + st.side, self.world.route.length))]


def arc(pose, curvature, length):
    """One record of arcline_path_3 from pose (x, y, yaw): an arc to the left or right, or a straight line."""
    straight = abs(curvature) < 1e-6
    yaw, bent = pose[2], pose[2] + curvature * length
    if straight:
        end = (pose[0] + length * np.cos(yaw), pose[1] + length * np.sin(yaw), yaw)
    else:
        end = (
            pose[0] + (np.sin(bent) - np.sin(yaw)) / curvature,
            pose[1] - (np.cos(bent) - np.cos(yaw)) / curvature,
            bent,
        )
    return {
        "start_pose": _pose(pose),
        "end_pose": _pose(end),
        "shape": "RSR" if curvature < 0 else "LSL",
        "radius": STRAIGHT if straight else round(float(1 / abs(curvature)), 6),
        "segment_length": [0.0, round(float(length), 6), 0.0] if straight else [round(float(length), 6), 0.0, 0.0],
    }


def arcs(route, s0, s1, d, ahead):
    """Arcs of at most PIECE m along offset d between arc lengths s0 < s1, in the direction of travel."""
    count = int(np.ceil((s1 - s0) / PIECE))
    s = np.linspace(s0, s1, count + 1)
    found = []
    for a, b in pairwise(s):
        bend = float(np.interp((a + b) / 2, route.s, route.curvature))
        x, y, yaw = (float(v) for v in route.at(a if ahead else b, d))
        stretch = 1.0 - d * bend  # of the lane against the road
        pose = (x, y, yaw if ahead else yaw + np.pi)
        found.append(arc(pose, bend / stretch * (1 if ahead else -1), (b - a) * stretch))
    return found if ahead else found[::-1]


def _pose(pose):
    return [
        round(float(pose[0]), 6),
        round(float(pose[1]), 6),
        round(float((pose[2] + np.pi) % (2 * np.pi) - np.pi), 9),
    ]


def expansion(world, make):
    """The content of the map file of a scene; `make(*names)` gives tokens."""
    found = Roadmap(world, make)
    found.areas()
    found.dividers()
    found.lanes()
    found.side_lanes()
    return {"version": VERSION, "canvas_edge": [float(v) for v in road_bounds(world.route)]} | found.layers
