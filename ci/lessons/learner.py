"""A lesson as the learner gets it: solutions cleared, reasons of the answers left out (files: ci.lessons.copies)."""

import re

from helpers.errors import BadInput

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


def learner_copy(notebook, note=""):
    """The notebook without solutions, answers and outputs; the argument is changed in place.

    `note` is a line that the first cell ends with.
    """
    notebook.cells = [cell for cell in notebook.cells if "answer" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = clear(cell.source)
    return plain_copy(notebook, note)


def plain_copy(notebook, note=""):
    """The notebook without outputs and author's metadata, the solutions left in; changed in place like the other."""
    notebook.metadata.pop("onramp", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if note and notebook.cells and notebook.cells[0].cell_type == "markdown":
        notebook.cells[0].source += f"\n\n{note}"
    return notebook
