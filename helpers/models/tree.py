"""The modules of a network as a tree: what each holds, for people."""

from collections.abc import Mapping
from typing import Any

from helpers.arguments import between, typed
from helpers.models.layered import Entry

ROOT = "(all)"


@typed
def modules(entries: Mapping, depth: int = 1) -> list[dict[str, Any]]:
    """Rows of `module`, `depth`, `tensors`, `numbers` and `bytes`: of all, and of every module down to a depth.

    Args:
        entries: name -> Entry, of `layered.index`. depth: 0 for the sum alone, at most 50.

    Rows stand in the order of the checkpoint, each module before what is in it.
    """
    between("depth", depth, 0, 50)
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, entry in entries.items():
        path = tuple(name.split(".")[:-1])
        for level in range(min(depth, len(path)) + 1):
            _add(rows, path[:level], entry)
    return [rows[path] for path in _nested(rows)]


def _add(rows: dict, path: tuple[str, ...], entry: Entry) -> None:
    empty = {"module": ".".join(path) or ROOT, "depth": len(path), "tensors": 0, "numbers": 0, "bytes": 0}
    row = rows.setdefault(path, empty)
    for key, value in (("tensors", 1), ("numbers", entry.elements), ("bytes", entry.nbytes)):
        row[key] += value


def _nested(paths):
    """The paths, each before what is in it, also where a checkpoint names parts of one module in several places."""
    places = {path: place for place, path in enumerate(paths)}
    return sorted(paths, key=lambda path: [places[path[: level + 1]] for level in range(len(path))])


def text(rows: list[dict[str, Any]]) -> str:
    """The rows of `modules` as a tree of lines."""
    lines = []
    for k, row in enumerate(rows):
        stem = "".join("   " if _is_last(rows, k, level) else "│  " for level in range(1, row["depth"]))
        branch = ("└─ " if _is_last(rows, k, row["depth"]) else "├─ ") if row["depth"] else ""
        name = row["module"].rpartition(".")[2] if row["depth"] else row["module"]
        lines.append(f"{stem + branch + name:<40}{row['tensors']:>7}{row['numbers']:>15,}{row['bytes']:>16,}")
    return "\n".join([f"{'module':<40}{'tensors':>7}{'numbers':>15}{'bytes':>16}", *lines])


def _is_last(rows, k, level):
    """Whether no other module of that level follows row `k` in the same module."""
    following = (row["depth"] for row in rows[k + 1 :] if row["depth"] <= level)
    return next(following, 0) < level
