"""What the table of annotations says, held against what objects on a road can be. Needs no torch."""

from collections.abc import Iterable

from nuscenes.eval.detection.utils import category_to_detection_name
from nuscenes.nuscenes import NuScenes

from helpers.dataset.plausible import TURNS, UPRIGHT, upward, wrong

LONGEST = 50.0  # m: a side of an object
FEW = 10  # vehicles, of which nothing is said
LONG = ("car", "truck", "bus", "trailer", "motorcycle", "bicycle")
UNSCORED = {
    *("animal", "human.pedestrian.personal_mobility", "human.pedestrian.stroller", "human.pedestrian.wheelchair"),
    *("movable_object.debris", "movable_object.pushable_pullable", "static_object.bicycle_rack"),
    *("vehicle.emergency.ambulance", "vehicle.emergency.police"),
}  # categories of nuScenes of which detection has no class


def check(nusc: NuScenes, tokens: Iterable[str]) -> None:
    """BadInput, naming the row, for what is annotated in these samples and is no object.

    Objects have a category of nuScenes, stand upright, are once in a sample and linked to themselves; their sides are
    in meters, and those of vehicles in the order width, length, height.
    """
    sizes = []
    for token in tokens:
        rows = [nusc.get("sample_annotation", name) for name in nusc.get("sample", token)["anns"]]
        _check_once(nusc, token, rows)
        for row, up in zip(rows, upward([row["rotation"] for row in rows]), strict=True):
            if found := _found(nusc, row, up):
                raise wrong(nusc, "sample_annotation", f"row {row['token']}", *found)
            if category_to_detection_name(row["category_name"]) in LONG:
                sizes.append(row["size"])
    wide = sum(width > length for width, length, _ in sizes)
    if len(sizes) >= FEW and wide > len(sizes) / 2:
        found, expected = f"{wide} of {len(sizes)} vehicles wider than long", "(width, length, height)"
        raise wrong(nusc, "sample_annotation", "size", found, expected, "write sizes in this order")


def _check_once(nusc, token, rows):
    instances = [row["instance_token"] for row in rows]
    if len(set(instances)) < len(instances):
        found = f"instance {max(instances, key=instances.count)} twice"
        fix = "leave one of the two out"
        raise wrong(nusc, "sample_annotation", f"sample {token}", found, "every object once", fix)


def _found(nusc, row, up):
    """(what is there, what is expected, the fix), or nothing."""
    category = row["category_name"]
    if category not in UNSCORED and category_to_detection_name(category) is None:
        expected = "a category of nuScenes, such as vehicle.car: objects of others would be left out of every score"
        return f"category {category!r:.80}", expected, "name that which it is, or animal, which is never scored"
    if up < UPRIGHT:
        return "a box that does not stand upright", "one that does", TURNS
    if max(row["size"]) > LONGEST:
        return f"size = {row['size']}", f"at most {LONGEST:.0f} m", "write sizes in meters"
    for link, sign in (("prev", -1), ("next", 1)):
        other = nusc.get("sample_annotation", row[link]) if row[link] else None
        if other and other["instance_token"] != row["instance_token"]:
            return f"{link} = {row[link]}, of another instance", "a row of its own", "link the rows of one object"
        if other and sign * (_time(nusc, other) - _time(nusc, row)) <= 0:
            return (
                f"{link} = {row[link]}, of another time",
                f"a row that is {link} in time",
                "link rows in order of time",
            )
    return None


def _time(nusc, row):
    return nusc.get("sample", row["sample_token"])["timestamp"]
