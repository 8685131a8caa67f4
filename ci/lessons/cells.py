"""Which cells of a lesson have run, by the executed copy and not by the end of its kernel."""

import itertools

TIMED = "timed"  # the tag of a cell that measures time
MADE = {"injected-parameters", "papermill-error-cell-tag"}  # papermill's own cells


def tags(cell):
    return set(cell.metadata.get("tags", []))


def own(notebook):
    """The lesson's cells as (number, cell), without those that papermill has put between them."""
    return list(enumerate((cell for cell in notebook.cells if not tags(cell) & MADE), 1))


def to_run(notebook):
    """The code cells that hold code, as (number, cell)."""
    return [(number, cell) for number, cell in own(notebook) if cell.cell_type == "code" and cell.source.strip()]


def shortfall(lesson, executed):
    """What speaks against the executed copy of a lesson, as text; empty if each of its code cells ran without an error.

    A cell without code need not run. A lesson needs one with code beside its parameters.
    """
    wanted, found = to_run(lesson), to_run(executed)
    if [(number, cell.source) for number, cell in wanted] != [(number, cell.source) for number, cell in found]:
        return "the executed copy does not hold the cells of the lesson"
    if all("parameters" in tags(cell) for _, cell in wanted):
        return "no code cell of its own ran"
    counts = {number: cell.execution_count for number, cell in found}
    missing = [number for number, count in counts.items() if count is None]
    ran = [number for number in counts if number not in missing]
    back = [after for before, after in itertools.pairwise(ran) if counts[after] <= counts[before]]
    errors = [number for number, cell in found if any(o.output_type == "error" for o in cell.outputs)]
    wrong = [f"{named(errors)} ended in an error"] * bool(errors)
    wrong += [f"{named(missing)} did not run"] * bool(missing)
    wrong += [f"{named(back)} ran out of order"] * bool(back)
    return "; ".join(wrong)


def named(numbers):
    return f"cell{'s' * (len(numbers) > 1)} " + ", ".join(map(str, numbers))
