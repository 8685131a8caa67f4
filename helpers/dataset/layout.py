"""What a nuScenes or MiniDrive root has to hold, and what to do where it does not."""

import shlex
from pathlib import Path

from helpers.errors import BadInput
from helpers.files import as_path

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)
MAKE = "python -m data_scripts.make_minidrive --out"
METADATA = "the metadata archive"
CAN_BUS = ("can_bus/", "the CAN bus expansion")
MARKER = "minidrive.json"  # what its generator leaves in a MiniDrive


def is_minidrive(dataroot: Path) -> bool:
    """Whether a data root was made by the generator, and is not nuScenes."""
    return (dataroot / MARKER).is_file()


def remake(dataroot: Path, part: str = "the tables", archive: str = METADATA) -> str:
    """What cures a damaged root: a MiniDrive is made again in its place, of nuScenes an archive is unpacked again."""
    if is_minidrive(dataroot):
        return f"{MAKE} {shlex.quote(str(dataroot))}   # brings {part} again"
    return f"unpack {archive} of nuScenes (nuscenes.org/download), which holds {part}, into {dataroot} again"


def check(dataroot: Path, version: str) -> None:
    """BadInput, with the cure, for what is not there: tables, maps, CAN bus messages."""
    tables = as_path(dataroot / version)
    if not dataroot.is_dir():
        fix = f"correct the path, or make MiniDrive there: {MAKE} {shlex.quote(str(dataroot))}"
        raise BadInput(dataroot, "no folder", "a nuScenes or MiniDrive root", fix)
    if not tables.is_dir():
        versions = _versions(dataroot)
        raise BadInput(
            tables, f"no folder; versions here: {versions or 'none'}", "the 13 nuScenes tables", _elsewhere(dataroot)
        )
    missing = [name for name in TABLES if not (tables / f"{name}.json").is_file()]
    if missing:
        raise BadInput(tables, f"no {', '.join(f'{name}.json' for name in missing)}", "13 tables", remake(dataroot))
    if not (dataroot / "maps").is_dir():
        fix = remake(dataroot, "maps/")
        raise BadInput(dataroot / "maps", "no folder", "the pictures that the table `map` names", fix)
    if not (dataroot / "can_bus").is_dir():
        fix = remake(dataroot, *CAN_BUS)
        raise BadInput(dataroot / "can_bus", "no folder", "CAN bus messages, one file per scene and type", fix)


def _versions(dataroot):
    return sorted(path.name for path in dataroot.glob("v1.0*") if path.is_dir())


def _elsewhere(dataroot):
    """Where the tables are that `dataroot` lacks: under another version, one folder deeper, or not unpacked."""
    if versions := _versions(dataroot):
        return f"pass version={versions[0]!r}"
    if deeper := sorted(path.parent for path in dataroot.glob("*/v1.0*") if path.is_dir()):
        return f"open {deeper[0]}, which has them"
    if is_minidrive(dataroot) or (dataroot / "samples").is_dir():
        return remake(dataroot)
    return f"open the folder that has them, or make MiniDrive: {MAKE} data/minidrive, and open that"
