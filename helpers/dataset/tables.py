"""The door of nuScenes tables: every row is checked when its table is read, so that what is no place, rotation or box
is refused with its table, row and field. nuscenes-devkit reads through it.

Source: nuscenes-devkit, docs/schema_nuscenes.md.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from nuscenes.nuscenes import NuScenes

from helpers.errors import BadInput, foreign
from helpers.files import as_path, read_json


class Kind(NamedTuple):
    """What a field may hold."""

    words: str
    fits: Callable[[Any], bool]


def _numbers(value, length):
    if not isinstance(value, list) or len(value) != length:
        return False
    return all(type(one) in (int, float) and abs(one) < 1e15 for one in value)  # NaN is not below


def _is_intrinsic(value):
    return value == [] or (isinstance(value, list) and len(value) == 3 and all(_numbers(row, 3) for row in value))


def _is_rotation(value):
    return _numbers(value, 4) and abs(math.hypot(*value) - 1) < 0.01


COUNT = Kind("a whole number from 0", lambda value: type(value) is int and 0 <= value < 1 << 62)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
INTRINSIC = Kind("a 3 x 3 matrix, or [] for no camera", _is_intrinsic)
LINK = Kind("a token, or nothing", lambda value: isinstance(value, str))
PLACE = Kind("three finite numbers", lambda value: _numbers(value, 3))
ROTATION = Kind("a quaternion (w, x, y, z) of length 1", _is_rotation)
SIZE = Kind("three numbers above 0", lambda value: _numbers(value, 3) and min(value) > 0)
TEXT = Kind("a text that is not empty", lambda value: isinstance(value, str) and bool(value))
TOKEN = Kind("a token", TEXT.fits)
TOKENS = Kind("a list of tokens", lambda value: isinstance(value, list) and all(map(TEXT.fits, value)))

POSE = {"translation": PLACE, "rotation": ROTATION}
FIELDS: dict[str, dict[str, Kind]] = {
    "attribute": {"name": TEXT},
    "calibrated_sensor": {"sensor_token": TOKEN, **POSE, "camera_intrinsic": INTRINSIC},
    "category": {"name": TEXT},
    "ego_pose": {"timestamp": COUNT, **POSE},
    "instance": {"category_token": TOKEN, "first_annotation_token": TOKEN, "last_annotation_token": TOKEN},
    "log": {"location": TEXT},
    "map": {"log_tokens": TOKENS, "filename": TEXT},
    "sample": {"timestamp": COUNT, "scene_token": TOKEN, "prev": LINK, "next": LINK},
    "sample_annotation": {
        **{"sample_token": TOKEN, "instance_token": TOKEN, "attribute_tokens": TOKENS},
        **{"translation": PLACE, "size": SIZE, "rotation": ROTATION, "prev": LINK, "next": LINK},
        **{"num_lidar_pts": COUNT, "num_radar_pts": COUNT},
    },
    "sample_data": {
        **{"sample_token": TOKEN, "ego_pose_token": TOKEN, "calibrated_sensor_token": TOKEN, "timestamp": COUNT},
        **{"filename": TEXT, "is_key_frame": FLAG, "prev": LINK, "next": LINK},
    },
    "scene": {"name": TEXT, "log_token": TOKEN, "first_sample_token": TOKEN, "last_sample_token": TOKEN},
    "sensor": {"channel": TEXT, "modality": TEXT},
    "visibility": {},
}
MOST = 4 << 30  # bytes of a table: the largest of nuScenes has 1.3 GB
MOTION = {
    "utime": COUNT,
    "orientation": ROTATION,
    "accel": PLACE,
    "rotation_rate": PLACE,
    "vel": PLACE,
}  # a CAN bus pose


def read_rows(path: Path, fields: dict[str, Kind], expected: str, fix: str) -> list[dict[str, Any]]:
    """The rows of a JSON table; BadInput naming the file, the row and the field that is not what it has to be."""
    if not as_path(path, expected, fix).is_file():  # the path comes from the data set: the reader cannot correct it
        raise BadInput(path, "no file", expected, fix)
    return check_rows(read_json(path, expected, fix, MOST), fields, path, expected, fix)


def check_rows(rows: Any, fields: dict[str, Kind], where: object, expected: str, fix: str) -> list[dict[str, Any]]:
    """`rows`, if they are what `read_rows` gives."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(where, "JSON that is no list of objects", expected, fix)
    for number, row in enumerate(rows):
        for name, kind in fields.items():
            if name not in row or not kind.fits(row[name]):
                found = f"{name} = {row[name]!r:.80}" if name in row else f"no {name}"
                which = f"row {number}, token {row.get('token')!s:.40}" if "token" in fields else f"row {number}"
                raise BadInput(f"{where}: {which}", found, f"{name}: {kind.words}", fix)
    return rows


class Tables(NuScenes):
    """nuscenes-devkit's tables, all of whose rows are checked.

    Raises:
        BadInput: a table that is no table, a field that holds something else, a token given twice, or a token that the
            other tables do not have.
    """

    def __init__(self, version: str, dataroot: Path, fix: str) -> None:
        self.fix = fix
        with foreign(dataroot / version, "nuScenes tables whose rows name each other", fix):
            super().__init__(version, str(dataroot), verbose=False)

    def __load_table__(self, table_name):
        path = Path(self.table_root) / f"{table_name}.json"
        fields = {"token": TOKEN, **FIELDS.get(table_name, {})}
        rows = read_rows(path, fields, f"the rows of {table_name}", self.fix)
        if len({row["token"] for row in rows}) < len(rows):
            raise BadInput(path, "a token that stands in two rows", "every token once", self.fix)
        return rows
