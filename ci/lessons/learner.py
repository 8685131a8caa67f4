"""Writes the learner's copies of the lessons: the same notebooks, with the solutions of the exercises cleared.

A copy that the learner has changed is kept; `--force` replaces it.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat

from helpers.errors import BadInput
from helpers.files import ROOT, atomic

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CLEARED = ("# your code here", "...")


def clear(source, where="cell"):
    """The cell's source with every solution between the markers replaced by a comment and `...`.

    Raises BadInput where the markers do not pair up.
    """
    lines, inside = [], False
    for line in source.split("\n"):
        marker = line.strip()
        if marker in (BEGIN, END) and (marker == BEGIN) == inside:
            raise BadInput(where, f"'{marker}' out of order", f"'{BEGIN}' and '{END}' in pairs", "mend the markers")
        if marker == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + text for text in CLEARED]
            inside = True
        elif marker == END:
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise BadInput(where, f"'{BEGIN}' without '{END}'", "markers in pairs", "add the missing marker")
    return "\n".join(lines)


def is_exercise(cell):
    return cell.cell_type == "code" and "exercise" in cell.metadata.get("tags", [])


def exercises(notebook, where=""):
    """The notebook's exercises as a list of (index of the exercise cell, index of its check cell, title).

    The check is the next code cell and carries the tag `check`. The title is the last heading above the exercise.
    Raises BadInput for an exercise without markers or without a check, and for markers outside an exercise cell.
    """
    found, title = [], ""
    for index, cell in enumerate(notebook.cells):
        place = f"{where} cell {index + 1}".strip()
        headings = re.findall(r"^#+\s+(.*)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else []
        title = headings[-1] if headings else title
        marked = clear(cell.source, place) != cell.source if cell.cell_type == "code" else False
        if marked != is_exercise(cell):
            has = "markers but no tag" if marked else "the tag but no markers"
            raise BadInput(place, has, f"the tag 'exercise' and '{BEGIN}' together", "add what is missing")
        if marked:
            following = (i for i in range(index + 1, len(notebook.cells)) if notebook.cells[i].cell_type == "code")
            check = next(following, None)
            if check is None or "check" not in notebook.cells[check].metadata.get("tags", []):
                raise BadInput(place, "no check after the exercise", "a code cell tagged 'check' next", "add the check")
            found.append((index, check, title))
    return found


def learner_copy(notebook):
    """The notebook with its solutions cleared and its outputs removed; the argument is changed in place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = clear(cell.source)
    return notebook


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_copies(source, out, force=False):
    """Write a learner's copy of every notebook under `source` to `out`; the list of (path, what was done)."""
    manifest_path = out / ".manifest.json"
    manifest = json.loads(manifest_path.read_text()) if manifest_path.exists() else {}
    done = []
    for path in sorted(p for p in source.rglob("*") if p.is_file() and ".ipynb_checkpoints" not in p.parts):
        name, target = str(path.relative_to(source)), out / path.relative_to(source)
        if target.exists() and not force and digest(target) != manifest.get(name):
            done.append((target, "kept: you have changed it"))
            continue
        with atomic(target) as part:
            if path.suffix == ".ipynb":
                notebook = nbformat.read(path, as_version=4)
                exercises(notebook, name)
                nbformat.write(learner_copy(notebook), part)
            else:
                shutil.copyfile(path, part)
        manifest[name] = digest(target)
        done.append((target, "written"))
    with atomic(manifest_path) as part:
        part.write_text(json.dumps(manifest, indent=1))
    return done


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.learner", description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT / "notebooks", help="folder of the lessons")
    parser.add_argument("--out", type=Path, default=ROOT / "build/learner/notebooks", help="folder of the copies")
    parser.add_argument("--force", action="store_true", help="replace copies that have been changed too")
    arguments = parser.parse_args(argv)
    try:
        done = write_copies(arguments.source, arguments.out, arguments.force)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    for path, what in done:
        print(f"{what:<26} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
