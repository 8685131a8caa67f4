"""What a nuScenes or MiniDrive root has to hold, and what to do where it does not."""

from pathlib import Path

from helpers.errors import BadInput

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)
MAKE_MINIDRIVE = "python -m data_scripts.make_minidrive --out data/minidrive, and open that folder"
CAN_BUS_FIX = "unpack the nuScenes CAN bus expansion (nuscenes.org/download) into the root, or make MiniDrive anew"


def remake(dataroot: Path) -> str:
    """What cures a damaged root: MiniDrive is made anew, another data set is unpacked again."""
    if (dataroot / "minidrive.json").is_file():
        return MAKE_MINIDRIVE
    return f"unpack the metadata archive of nuScenes into {dataroot} again"


def check(dataroot: Path, version: str) -> None:
    """BadInput, with the cure, for what is not there: tables, maps, CAN bus messages."""
    tables = dataroot / version
    if not dataroot.is_dir():
        raise BadInput(dataroot, "no folder", "a nuScenes or MiniDrive root", MAKE_MINIDRIVE)
    if not tables.is_dir():
        versions = sorted(path.name for path in dataroot.glob("v1.0*") if path.is_dir())
        fix = f"pass version={versions[0]!r}" if versions else MAKE_MINIDRIVE
        raise BadInput(tables, f"no folder; versions here: {versions or 'none'}", "the 13 nuScenes tables", fix)
    missing = [name for name in TABLES if not (tables / f"{name}.json").is_file()]
    if missing:
        raise BadInput(tables, f"no {', '.join(f'{name}.json' for name in missing)}", "13 tables", remake(dataroot))
    if not (dataroot / "maps").is_dir():
        fix = "unpack maps/, which is part of nuScenes' metadata archive, into the root, or make MiniDrive anew"
        raise BadInput(dataroot / "maps", "no folder", "the pictures that the table `map` names", fix)
    if not (dataroot / "can_bus").is_dir():
        raise BadInput(dataroot / "can_bus", "no folder", "CAN bus messages, one file per scene and type", CAN_BUS_FIX)
