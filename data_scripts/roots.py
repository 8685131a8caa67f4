"""What every made data set has: parameters that can be repeated, and a marker with the digest of what was written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.errors import BadInput
from helpers.files import sha256


def whole_number(name: str, value: Any, least: int) -> int:
    """`value`, a whole number of at least `least`; raises BadInput that names the option."""
    if type(value) is not int or value < least:
        raise BadInput(name, value, f"a whole number, at least {least}", f"pass --{name} {least} or more")
    return value


def version(room: str | Path, script: str | Path) -> str:
    """Digest of a generator's source, a room's and its script's: a data set of another version is made anew."""
    return sha256(*sorted(Path(room).glob("*.py")), Path(script))[:16]


def digest(root: str | Path, marker: str) -> str:
    """Hex digest over the names and the content of all files under a data root but its marker."""
    root, total = Path(root), hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p != root / marker):
        total.update(f"{path.relative_to(root).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def mark(root: str | Path, marker: str, parameters: Mapping[str, Any]) -> None:
    """Write the marker of a data root whose other files are all written."""
    about = dict(parameters) | {"digest": digest(root, marker)}
    (Path(root) / marker).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def is_whole(root: str | Path, marker: str) -> bool:
    """Whether every file of a data root is as it was written."""
    return json.loads((Path(root) / marker).read_text(encoding="utf-8")).get("digest") == digest(root, marker)


def present(out: str | Path, marker: str, kind: str, parameters: Mapping[str, Any]) -> bool:
    """Whether `out` is a data root made with these parameters, and whole.

    Raises:
        BadInput: it holds something else than a data root of this kind.
    """
    out = Path(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / marker).is_file():
        expected = f"a new folder, or one with {marker}"
        raise BadInput(out, f"a folder or file that is not a {kind}", expected, "pass another --out")
    try:
        same = parameters.items() <= json.loads((out / marker).read_text(encoding="utf-8")).items()
        return same and is_whole(out, marker)
    except (OSError, ValueError, RecursionError, AttributeError):
        return False
