"""The lessons in reading order: the numbered ones, then those of the systems, in the order of the table of systems.

This is the one place that knows the order: the rules, the book and the launcher derive previous and next from it.
"""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

from helpers.files import ROOT

FOLDER = ROOT / "notebooks"
TABLE = ROOT / "helpers/models/__init__.py"


@dataclass(frozen=True)
class Lesson:
    name: str  # its path below the folder of lessons, such as "systems/bevformer.ipynb"
    path: Path

    @cached_property
    def notebook(self):
        return nbformat.read(self.path, as_version=nbformat.NO_CONVERT)

    @property
    def title(self):
        """Its first heading; its name if it has none."""
        texts = (cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        found = (re.match(r"# +(.+)", text.strip()) for text in texts)
        return next((heading[1].strip() for heading in found if heading), self.name)


def systems(table=TABLE):
    """The systems in the order of the table `SYSTEMS`, which is read as text: CI stands on a lower floor than it."""
    for node in ast.parse(table.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "SYSTEMS":
            return [key.value for key in node.value.keys]
    raise LookupError(f"{table} has no table SYSTEMS")


def lessons(folder=FOLDER):
    """The lessons that are there, in reading order."""
    names = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.ipynb")]
    names = [name for name in names if ".ipynb_checkpoints" not in name and "/." not in f"/{name}"]
    known = systems()

    def place(name):
        system = Path(name).stem
        if not name.startswith("systems/"):
            number = re.match(r"\d+", name)
            return 0, int(number[0]) if number else 10_000, name
        return 1, known.index(system) if system in known else len(known), name

    return [Lesson(name, Path(folder) / name) for name in sorted(names, key=place)]


def neighbors(name, of):
    """(previous, next) of a lesson among those of `of`, each None at an end."""
    at = [lesson.name for lesson in of].index(name)
    return of[at - 1] if at else None, of[at + 1] if at + 1 < len(of) else None
