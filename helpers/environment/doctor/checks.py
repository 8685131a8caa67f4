"""The doctor's checks of Python, tools, folders, memory, disk, data and weights."""

import dataclasses
import locale
from pathlib import Path
from typing import Any

from helpers.environment.doctor.report import FAIL, OK, WARN, Check, counted
from helpers.environment.machine import Machine
from helpers.errors import BadInput
from helpers.files import read_json, sha256
from helpers.repository import is_lfs_pointer

PYTHON = "3.11"
TOOLS = ("git", "make", "gcc", "g++")
TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a lesson needs: memory and new disk space in GiB, and whether MiniDrive."""

    memory: float
    disk: float
    data: bool = True


# Memory: lesson 04 peaked at 2.8 GB on the CPU tier, the others below that. Disk: what runs left in build/lessons, the
# largest without FAST (uniad 0.30, 04 0.26, bevformer 0.19). All are stated with a margin.
LESSONS = {
    "00_start_here": Needs(3.0, 0.05),
    "01_environment_patching": Needs(2.0, 0.05, data=False),
    "02_onnx_export_and_inspection": Needs(3.0, 0.15),
    "03_mixed_precision_marking": Needs(3.5, 0.15),
    "04_modelopt_ptq": Needs(3.5, 0.35),
    "05_plugin_compilation": Needs(2.0, 0.05, data=False),
    "06_llm_conversion": Needs(3.5, 0.15),
    "07_engine_benchmarking": Needs(3.5, 0.15),
    "08_action_server": Needs(3.5, 0.05),
    "09_profiling_and_roofline": Needs(3.5, 0.05),
    "bevformer": Needs(3.5, 0.25),
    "fbocc": Needs(3.5, 0.25),
    "omnidrive": Needs(3.5, 0.25),
    "openvla": Needs(3.5, 0.05),
    "uniad": Needs(3.5, 0.4),
}
OTHERS = Needs(3.5, 0.4)
SHARED = "exports and engines"  # of all lessons, in build/cache and build/engines
VENV, MINIDRIVE, KEPT = 2.7, 0.3, 0.3  # GiB; the last of what is shared


def python(machine: Machine, needs: dict[str, Any] | None = None) -> Check:
    """The interpreter's version, against the one that the tier's lock is made for."""
    found, wanted = machine.python_version, (needs or {}).get("python", PYTHON)
    if found.startswith(f"{wanted}."):
        return Check("Python", OK, found)
    cure = f"sudo apt-get install -y python{wanted} python{wanted}-venv && make setup PYTHON=python{wanted}"
    return Check("Python", FAIL, f"{found}; the lock is made for {wanted}", cure)


def tools(machine: Machine) -> Check:
    """What sets up, patches and compiles: `TOOLS`."""
    missing = [tool for tool in TOOLS if machine.which(tool) is None]
    if missing:
        return Check(
            "tools", FAIL, f"not on PATH: {', '.join(missing)}", f"sudo apt-get install -y {' '.join(missing)}"
        )
    return Check("tools", OK, ", ".join(TOOLS))


def folders(machine: Machine) -> Check:
    """UTF-8, a folder for temporary files, a repository that can be written."""
    encoding = locale.getpreferredencoding(False)
    try:
        temporary = machine.temporary_folder()
    except OSError as error:
        cure = "export TMPDIR=$HOME/tmp && mkdir -p $TMPDIR"
        return Check("folders", FAIL, f"no folder for temporary files: {error}", cure)
    if encoding.lower().replace("-", "") != "utf8":
        return Check("folders", WARN, f"text is read as {encoding}, not UTF-8", "export LANG=C.UTF-8 PYTHONUTF8=1")
    return Check("folders", OK, f"UTF-8; {temporary} can be written")


def memory(machine: Machine, lessons: list[str]) -> Check:
    """Memory for each lesson."""
    found = machine.memory()
    if found is None:
        return Check(
            "memory", WARN, "unknown: /proc/meminfo cannot be read", f"see that {OTHERS.memory:g} GiB are there"
        )
    total, free = found
    text = f"{total:.1f} GiB, {free:.1f} GiB free"
    never = [name for name in lessons if LESSONS.get(name, OTHERS).memory > total]
    now = [name for name in lessons if total >= LESSONS.get(name, OTHERS).memory > free]
    needed = "\n".join(f"{name}: {LESSONS.get(name, OTHERS).memory:g} GiB" for name in lessons)
    if never:
        cure = "give the machine, the container (docker run --memory=8g) or WSL2 (.wslconfig: memory=8GB) more"
        return Check("memory", FAIL, f"{text}: too little for {', '.join(never)}", cure, needed)
    if now:
        cure = "ps aux --sort=-rss | head   # and close what is not needed, old notebook kernels first"
        return Check("memory", WARN, f"{text}: too little is free for {', '.join(now)}", cure, needed)
    return Check("memory", OK, text, details=needed)


def disk(machine: Machine, lessons: list[str]) -> Check:
    """Disk space for each lesson, and for .venv and MiniDrive where they are still to be made."""
    needs = {".venv": 0 if (machine.root / ".venv").exists() else VENV}
    needs["MiniDrive"] = 0 if (machine.root / "data/minidrive").exists() else MINIDRIVE
    needs |= {name: LESSONS.get(name, OTHERS).disk for name in lessons} | {SHARED: KEPT}
    free, needed = machine.disk_free(machine.root) / 2**30, sum(needs.values())
    details = "\n".join(f"{name}: {amount:g} GiB" for name, amount in needs.items() if amount)
    text = f"{free:.1f} GiB free, {needed:.1f} GiB needed at most"
    if free >= needed:
        return Check("disk", OK, text, details=details)
    status = FAIL if free < max(needs.values()) else WARN
    return Check(
        "disk", status, text, "make clean && df -h .   # removes what was built, keeps .venv and the data", details
    )


def data(machine: Machine, lessons: list[str], quick: bool = False) -> Check:
    """MiniDrive: there, whole (unless quick), and made by this version of its generator."""
    if not any(LESSONS.get(name, OTHERS).data for name in lessons):
        return Check("MiniDrive", OK, "not needed")
    folder, anew = machine.root / "data/minidrive", "rm -r data/minidrive && make data"
    if not (folder / "minidrive.json").is_file():
        there = folder.exists()  # and make_minidrive takes no folder for its own without the marker
        found = "incomplete: no minidrive.json" if there else "not made yet"
        return Check("MiniDrive", FAIL, found, anew if there else "make data")
    if tables := [name for name in TABLES if not (folder / f"v1.0-mini/{name}.json").is_file()]:
        return Check("MiniDrive", FAIL, f"tables missing: {', '.join(tables)}", anew)
    try:
        marker = _content(folder / "minidrive.json", dict)
        rows = [] if quick else _content(folder / "v1.0-mini/sample_data.json", list)
        missing = [row["filename"] for row in rows if not Path(folder, row["filename"]).is_file()]
    except (BadInput, TypeError, KeyError) as error:
        name = Path(error.where).name if isinstance(error, BadInput) else "sample_data.json"
        return Check("MiniDrive", FAIL, f"{name} is damaged", anew)
    if missing:
        return Check("MiniDrive", FAIL, f"{counted(len(missing), 'file')} missing, such as {missing[0]}", anew)
    if marker.get("generator") != _generator(machine.root):
        return Check("MiniDrive", WARN, "made by another version of the generator", "make data")
    found = f"{counted(len(marker.get('names', [])), 'scene')} of {counted(marker.get('frames', 0), 'frame')}"
    return Check("MiniDrive", OK, found)


def _content(path, kind):
    content = read_json(path, f"a JSON {kind.__name__}", "make data")
    if not isinstance(content, kind):
        raise BadInput(path, f"a {type(content).__name__}", f"a {kind.__name__}", "make data")
    return content


def checkpoints(machine: Machine, lessons: list[str]) -> Check:
    """The weights that the lessons load: there, and not the pointers that a clone without git-lfs leaves."""
    if not any(LESSONS.get(name, OTHERS).data for name in lessons):
        return Check("checkpoints", OK, "not needed")
    folder = machine.root / "checkpoints"
    found = sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".pth", ".pt"))
    if not found:
        return Check("checkpoints", FAIL, "no weights in checkpoints/", "git restore checkpoints")
    pointers = [path.name for path in found if is_lfs_pointer(path)]
    if pointers:
        said = f"{', '.join(pointers)}: not weights but a git-lfs pointer, a text that stands for them"
        return Check("checkpoints", FAIL, said, "git lfs pull   # without git-lfs: sudo apt-get install -y git-lfs")
    return Check("checkpoints", OK, ", ".join(path.name for path in found))


def _generator(root):
    """Digest of the generator's source, as data_scripts/make_minidrive.py takes it."""
    scripts = root / "data_scripts"
    return sha256(*sorted((scripts / "minidrive").glob("*.py")), scripts / "make_minidrive.py")[:16]
