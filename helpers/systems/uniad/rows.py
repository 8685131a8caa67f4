"""Rows of tracks and of objects, as many as there are: how a graph tells them, and how such a graph is run.

The network has room for so many, and whole numbers say which rows are full (`Config.rows`, `Config.carried`). The
public graph takes the fresh rows and the tracks that live, and gives as many as live and as were seen. No torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from helpers.errors import BadInput
from helpers.systems.base import Run

IDS, OWNERS, PATHS = "prev_track_intances3", "ins_seg_out", ("traj_preds", "traj_log_scores")
OBJECTS = ("bboxes_dict_bboxes", "bboxes_dict_scores", "bboxes_dict_labels", "bboxes_dict_bbox_index", "obj_idxes")
NONE = {"bboxes_dict_bbox_index": -1, "obj_idxes": -1}  # of a row without an object; of the others 0


def full(body: Any, inside: Mapping[str, str], config: Any) -> dict[str, str]:
    """`Config.full`: the fresh rows and the living tracks, the objects that were seen, and behind their paths the
    vehicle's own. Numbers of owners follow the objects.
    """
    own = body.constant(np.arange(config.rows) <= config.num_query)
    zero, ends = body.constant(np.array(0, np.int32)), body.whole(0)
    living = body.Or(own, body.GreaterOrEqual(inside[f"{IDS}_out"], zero))
    seen = body.GreaterOrEqual(inside["obj_idxes"], zero)
    tracks, objects = (body.Squeeze(body.NonZero(mask), ends) for mask in (living, seen))
    agents = body.Concat(objects, body.whole(config.carried), axis=0)
    numbers = body.CumSum(body.Cast(seen, to=6), body.constant(np.array(0, np.int64)))  # 6: int32
    numbers = body.Concat(body.constant(np.zeros(1, np.int32)), numbers, axis=0)
    body.Gather(numbers, inside[OWNERS], axis=0, output=OWNERS)
    groups = (
        ("tracks_out", tracks, [f"{name}_out" for name in config.empty]),
        ("objects", objects, OBJECTS),
        ("objects_and_vehicle", agents, PATHS),
    )
    for _, rows, names in groups:
        for name in names:
            body.Gather(inside[name], rows, axis=0, output=name)
    return {name: dimension for dimension, _, names in groups for name in names} | {OWNERS: ""}


class Bounded:
    """Runs a graph that takes and gives as many rows as there are, in the place of one that has room for all."""

    def __init__(self, run: Run, config: Any) -> None:
        self.run, self.config = run, config

    def __call__(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Feeds with all rows -> outputs with all rows, those without a track or an object last."""
        carried = (feeds[IDS] >= 0) & (feeds["use_prev_bev"] > 0)
        living = (np.arange(self.config.rows) <= self.config.num_query) | carried
        given = {name: array[living] if name in self.config.empty else array for name, array in feeds.items()}
        return self._filled(dict(self.run(given)))

    def _filled(self, outputs):
        shapes, empty = self.config.output_shapes(), self.config.empty
        values = {f"{name}_out": empty[name].value for name in empty} | dict.fromkeys(OBJECTS, 0) | NONE
        fresh = {f"{name}_out": self.config.num_query + 1 for name in empty}  # rows that are always there
        found = {name: _with_rows(name, array, shapes[name][0], values[name], fresh.get(name, 0))
                 if name in values else array for name, array in outputs.items()}  # fmt: skip
        for name in PATHS:
            objects = _with_rows(name, outputs[name][:-1], self.config.carried, 0)
            found[name] = np.concatenate([objects, outputs[name][-1:]])
        return found


def _with_rows(name, array, count, value, least=0):
    if not least <= len(array) <= count:
        fix = "pass a graph of this configuration"
        raise BadInput(f"output {name}", f"{len(array)} rows", f"from {least} to {count}", fix)
    rest = np.full((count - len(array), *array.shape[1:]), value, array.dtype)
    return np.concatenate([array, rest])
