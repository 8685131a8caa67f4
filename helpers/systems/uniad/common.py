"""What both forms of UniAD share, PyTorch's and the network definition's: numbers, and what parts hand on. No torch.

A tensor is of the form's own kind.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Tensor = Any

NONE, VEHICLE = -1, -2  # identities of no track and of the vehicle itself
RANGE = (61.2, 61.2, 10.0)  # m from the sensor, beyond which an object is not handed on
WAIT = 3  # frames between two that are saved
MAP_EPSILON = 1e-6  # by which a position falls short of the public map's end
MASK_EPSILON = 1e-6  # of the LayerNorms of the masks
LEAST_SEEN = 0.3  # a vehicle is looked at where its own mask is at least this sure
LEAST_SURE = 0.1  # of being occupied
ABOUT_PI = 3.1415953  # as the public code has it


class Tracks(NamedTuple):
    """N rows.

    query [N, 2C], position and content; points [N, 3], logits of the place in the range; ids [N] int32; targets [N]
    int32, of training; missed [N] int32, frames without the object; overlap [N], of training; score [N], of training;
    boxes [N, 10], box codes; memory [N, S, C], the newest last; empty [N, S] int32, 1 where a slot is; wait [N], frames
    until the next is saved.
    """

    query: Tensor
    points: Tensor
    ids: Tensor
    targets: Tensor
    missed: Tensor
    overlap: Tensor
    score: Tensor
    boxes: Tensor
    memory: Tensor
    empty: Tensor
    wait: Tensor

    def taken(self, rows: Tensor) -> "Tracks":
        """These rows [M], whole numbers, in their order."""
        return Tracks(*(each[rows] for each in self))

    def then(self, more: "Tracks", cat: Callable[[tuple, int], Tensor]) -> "Tracks":
        """These rows, then `more`; `cat` is the form's own."""
        return Tracks(*(cat(pair, 0) for pair in zip(self, more, strict=True)))


class Place(NamedTuple):
    """When and where the vehicle is: time [1] s, rotation R [1, 3, 3], translation t [1, 3] m; x_global = x @ R + t."""

    time: Tensor
    rotation: Tensor
    translation: Tensor


class Agents(NamedTuple):
    """A objects, the vehicle last: query [A, C]; center [A, 2] m and yaw [A] rad (box code); group [A], a whole number,
    of their class; valid [A], truths.
    """  # fmt: skip

    query: Tensor
    center: Tensor
    yaw: Tensor
    group: Tensor
    valid: Tensor


class Futures(NamedTuple):
    """Of A objects in P modes: paths [A, P, T, 5], x and y in m from the center along LiDAR's axes, deviations in x and
    y, correlation; log_scores [A, P]; query [A, P, C]; position [A, C] of the objects.
    """  # fmt: skip

    paths: Tensor
    log_scores: Tensor
    query: Tensor
    position: Tensor
