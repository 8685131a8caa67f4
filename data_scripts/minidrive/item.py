"""One thing of a scene: how it looks, where it stands at each time, and what nuScenes calls it."""

from dataclasses import dataclass, field

import numpy as np

PERIOD = 0.5  # seconds between key frames


@dataclass
class Item:
    """Something that stands or moves in the world.

    Attributes:
        makers: functions that make its Mesh, one for each phase of its walk, or just one.
        size (w, l, h) in m: of the annotated box, or of the footprint used for ordering and LiDAR.
        pose: function of the time t in s to (x, y, yaw) of the box center in the global frame.
        category: nuScenes category name, or None for scenery.
        kind: "moving", "parked" or "rider", which with the speed decides the attribute.
        stride: meters of travel in a cycle of the walk; 0 when there is just one mesh.
        traveled: function of t to the meters walked, for the phase.
        made: meshes that were made so far.
    """

    makers: list
    size: tuple
    pose: object
    category: str | None = None
    kind: str = "parked"
    static: bool = True
    stride: float = 0.0
    traveled: object = None
    made: dict = field(default_factory=dict)

    def mesh(self, t):
        """The mesh at time t."""
        phase = 0
        if self.stride:
            phase = int(self.traveled(t) / self.stride * len(self.makers)) % len(self.makers)
        if phase not in self.made:
            self.made[phase] = self.makers[phase]()
        return self.made[phase]

    def speed(self, t):
        """Speed in m/s at time t by central difference over the neighboring key frames, as the devkit takes it."""
        if self.static:
            return 0.0
        (x0, y0, _), (x1, y1, _) = self.pose(t - PERIOD), self.pose(t + PERIOD)
        return float(np.hypot(x1 - x0, y1 - y0) / (2 * PERIOD))

    def attribute(self, t):
        """nuScenes attribute name at time t, or None."""
        if self.category is None or self.category.startswith("movable_object"):
            return None
        moving = self.speed(t) > 0.2
        if self.category.startswith("human"):
            return "pedestrian.moving" if moving else "pedestrian.standing"
        if self.category in ("vehicle.bicycle", "vehicle.motorcycle"):
            return "cycle.with_rider" if self.kind == "rider" else "cycle.without_rider"
        return "vehicle.moving" if moving else "vehicle.parked" if self.static else "vehicle.stopped"
