"""Where a lesson writes: a folder of its own for each run, so that two at once do not destroy each other."""

import fcntl
from pathlib import Path
from typing import IO

from helpers import disk
from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.files import ROOT

FOLDER = Path("build/lessons")
MOST = 20  # runs of one lesson at the same time
_held: dict[Path, IO] = {}  # a lock is held for as long as its file is open


@typed
def work_folder(lesson: str) -> Path:
    """The folder that this process alone writes to in `lesson` ("00_start_here"), relative to the repository's root.

    The first run gets build/lessons/LESSON. One that starts while another is running gets LESSON-2, and so on, and says
    so. A folder is free again when its process has ended, however it ended. Asked twice, a process gets the same one.

    Raises:
        BadInput: twenty runs of the lesson are under way, `lesson` leads out of the folder, or it cannot be written to.
    """
    if not (ROOT / FOLDER / lesson).resolve().is_relative_to((ROOT / FOLDER).resolve()) or not lesson.strip("./"):
        raise BadInput(
            "lesson", repr(lesson), "a name such as 00_start_here", "pass the notebook's name without .ipynb"
        )
    for number in range(1, MOST + 1):
        folder = FOLDER / (lesson if number == 1 else f"{lesson}-{number}")
        if folder in _held or _take(folder):
            if number > 1:
                print(f"This lesson is running elsewhere in this checkout, so this run writes to {folder}.")
            return folder
    raise BadInput(
        FOLDER / lesson, f"{MOST} runs at once", "a free folder", "end some of the kernels that run the lesson"
    )


def _take(folder):
    """Whether the folder is now ours; BadInput where nothing can be written."""
    with disk.errors(ROOT / folder, every=True):
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        lock = (ROOT / folder / ".lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    _held[folder] = lock
    return True
