"""compute-sanitizer over the small calls of the kernels, a process for each tool and operator.

One that does not end in its time, or that crashes, says so and leaves the others.
"""

import itertools
import json
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from plugins.check.tool import ended, there

TOOLS = ("memcheck", "racecheck", "initcheck")
FOUND = 9  # exit code of the sanitizer if it found something
SUMMARY = re.compile(r"^=+ .*SUMMARY: (\d+) (?:error|hazard)", re.MULTILINE)


def rows(
    path: Path, program: str, tools: list[str], names: list[str], limit: float, device: str, jobs: int = 1
) -> list[dict]:
    """What the tools find while the operators' small calls run.

    Args:
        path: the library of kernels.
        program: compute-sanitizer, as a shell finds it.
        limit: seconds for one operator under one tool.
        jobs: how many of these processes at once.

    Returns:
        dicts of tool, operator, seconds, and either cases, wrong and errors or why there are none: ended.
    """
    there(program, "compute-sanitizer, which comes with CUDA", "--sanitizer PROGRAM")

    def tried(tool, name):
        row = {"tool": tool, "operator": name} | _run(path, program, tool, name, limit, device)
        print(f"{tool}, {name}: {verdict(row)}, {row['seconds']:.0f} s", flush=True)
        return row

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda pair: tried(*pair), itertools.product(tools, names)))


def verdict(row: dict[str, Any]) -> str:
    """A row in words."""
    if "ended" in row:
        return row["ended"]
    wrong = f", {row['wrong']} of them wrong" if row["wrong"] else ""
    return f"{row['errors']} errors in {row['cases']} cases{wrong}"


def clean(row: dict[str, Any]) -> bool:
    """Whether all calls ran, gave right numbers, and nothing was found."""
    return "ended" not in row and not row["errors"] and not row["wrong"]


def _run(path, program, tool, name, limit, device):
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "summary.json", Path(folder) / "said.txt"
        command = [program, "--tool", tool, "--error-exitcode", FOUND, sys.executable, "-m", "plugins.check", path,
                   "--device", device, "--sanitize", "--operators", name, "--json", out]  # fmt: skip
        code = ended(command, said, limit)
        seconds = {"seconds": time.monotonic() - started}
        if code is None:
            return {"ended": f"not ended after {limit:g} s"} | seconds
        text = said.read_text(errors="replace")
        errors = SUMMARY.findall(text)
        tried = json.loads(out.read_text()) if out.is_file() else {"unfinished": True}
        if not errors or "unfinished" in tried:
            print(text, file=sys.stderr)
            return {"ended": f"ended with exit code {code} and no summary"} | seconds
    found = max(int(errors[-1]), int(code == FOUND))
    return {"cases": tried["right"] + tried["wrong"], "wrong": tried["wrong"], "errors": found} | seconds
