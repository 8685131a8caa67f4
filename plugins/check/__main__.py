"""`python -m plugins.check`: prints what was tried and the times.

Ends with 0 if all is right, with 1 if something is wrong, with 2 on bad input.
"""

import argparse
import dataclasses
import json
import math
import platform
import shlex
import sys
import time
from pathlib import Path

import torch

from helpers import processes
from helpers.cli.parser import positive
from helpers.errors import BadInput
from helpers.files import atomic, check_target
from helpers.ops import library
from plugins import check
from plugins.check import profiler, record, sanitizer, step, times
from plugins.check.common import Check

EVERY = 20  # seconds between two words of how far a proof is


def summary(
    path: Path,
    device: str,
    straightforward: Path | None,
    sanitize: bool,
    checks: tuple[Check, ...],
    out: Path | None = None,
) -> dict:
    """What was tried, on what, and the times on a GPU beside the `straightforward` kernels.

    Args:
        sanitize: only the small calls of the kernels themselves, which a sanitizer gets through.
        checks: of the operators that are tried.
        out: where what is known is kept after every `EVERY` seconds, as `unfinished`: a proof may be cut off.
    """
    tried = check.small_rows if sanitize else check.rows
    rows, known, due = [], about(path, device), time.monotonic() + EVERY
    for row in tried(path, device, checks):
        error = row.error if math.isfinite(row.error) else None  # JSON has no infinity
        rows.append(dataclasses.asdict(row) | {"right": row.right, "error": error})
        if time.monotonic() >= due or (sanitize and len(rows) % 100 == 0):  # each takes long there
            print(f"{len(rows)} tried, the last {row.what}, {row.form}", flush=True)
            keep(known | counted(rows) | {"unfinished": True}, out)
            due = time.monotonic() + EVERY
    found = known | counted(rows) | {"times": []}
    if straightforward:
        keep(found | {"unfinished": True}, out)
        found["times"] = times.rows(checks, path, straightforward)
    return found


def counted(rows: list[dict]) -> dict:
    """The rows that were tried, and how many are right and wrong."""
    right = sum(row["right"] for row in rows)
    return {"right": right, "wrong": len(rows) - right, "rows": rows}


def about(path: Path, device: str) -> dict:
    """The machine, the packages and the library."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "gpus": torch.cuda.device_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "library": library.info(library.load(path)) | library.identity([path])[0],
    }


def show(found: dict) -> None:
    print(found["device"], "| torch", found["torch"], "|", *(f"{k}={v}" for k, v in found["library"].items()))
    for row in found["rows"]:
        if not row["right"]:
            print(f"WRONG: {row['what']}, {row['form']}: error {row['error']}, limit {row['limit']:.0e}")
    print(f"{found['right']} of {found['right'] + found['wrong']} right")
    if found["times"]:
        times.show(found["times"])


def time_step(arguments: argparse.Namespace, path: Path, command: str) -> int:
    found = step.summary(path, arguments.step)
    step.show(found)
    keep(found, arguments.json)
    if arguments.record:
        record.write_step(found, command, path, arguments.record)
    return 0


def sanitize(arguments: argparse.Namespace, path: Path, command: str) -> int:
    """Each operator under each of the sanitizer's tools; 1 if one finds something or does not end."""
    given = arguments.sanitizer, arguments.tools, arguments.operators, arguments.limit, arguments.device, arguments.jobs
    found = about(path, arguments.device) | {"tools": sanitizer.rows(path, *given)}
    keep(found, arguments.json)
    if arguments.record:
        record.write_sanitized(found, command, path, arguments.record)
    return 0 if all(map(sanitizer.clean, found["tools"])) else 1


def profile(arguments: argparse.Namespace, path: Path, command: str) -> int:
    """What limits every published call; 1 if an operator's counters are not there."""
    found = about(path, arguments.device)
    found["limits"] = profiler.rows(path, arguments.profiler, arguments.operators, arguments.limit)
    keep(found, arguments.json)
    if arguments.record:
        record.write_limits(found, command, path, arguments.record)
    return 1 if any("ended" in row for row in found["limits"]) else 0


def keep(found: dict | list, path: Path | None) -> None:
    if path:
        with atomic(path) as part:
            part.write_text(json.dumps(found, indent=1))


def check_device(device: str) -> None:
    """BadInput if a GPU is asked for and PyTorch has none."""
    if device == "cuda" and not torch.cuda.is_available():
        fix = "prove the kernels in host form, without times: --device cpu"
        raise BadInput("--device cuda", "no GPU that PyTorch can use", "an NVIDIA GPU and its driver", fix)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m plugins.check", description="Prove the kernels of the operators.")
    parser.add_argument("library", nargs="?", type=Path, help="default: the kernels in plugins/build, made if stale")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument(
        "--sanitize", action="store_true", help="only what a sanitizer gets through: small calls, no times"
    )
    names = [one.name for one in check.CHECKS]
    parser.add_argument("--operators", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the summary there, as far as it is known")
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", help="write a record of the times there, if all is right"
    )
    parser.add_argument(
        "--step", choices=step.SIZES, help="instead of a proof the times of a language model's decode step of this size"
    )
    parser.add_argument("--tools", nargs="+", choices=sanitizer.TOOLS, metavar="TOOL", default=[],
                        help=f"the small calls under compute-sanitizer: {', '.join(sanitizer.TOOLS)}")  # fmt: skip
    parser.add_argument(
        "--limit", type=positive, default=600, metavar="SECONDS", help="for an operator under a tool (600)"
    )
    parser.add_argument("--jobs", type=int, choices=range(1, 33), default=1, metavar="N",
                        help="so many of these processes at once, 1 to 32 (1)")  # fmt: skip
    parser.add_argument("--sanitizer", default="compute-sanitizer", metavar="PROGRAM", help="another compute-sanitizer")
    parser.add_argument("--profile", action="store_true", help="what limits the published calls, by Nsight Compute")
    parser.add_argument("--profiler", default="ncu", metavar="PROGRAM", help="another ncu")
    parser.add_argument("--published", action="store_true", help="only run the published calls, for a profiler")
    arguments = parser.parse_args(argv)
    chosen = {name: getattr(arguments, name) for name in ("tools", "profile", "published", "step", "sanitize")}
    if len(modes := [f"--{name}" for name, given in chosen.items() if given]) > 1:
        parser.error(f"{' and '.join(modes)}: give one of them")
    timed = arguments.device == "cuda" and not arguments.sanitize
    if arguments.record and not (arguments.tools or arguments.profile) and arguments.operators != names:
        parser.error("--record: a record holds every operator; leave --operators out")
    if arguments.record and not timed:
        parser.error("--record: only a proof on a GPU, without --sanitize, measures times")
    if (arguments.step or arguments.profile or arguments.published) and not timed:
        parser.error(f"{modes[0]}: only a GPU has these calls")
    checks = tuple(one for one in check.CHECKS if one.name in arguments.operators)
    if arguments.json:
        check_target(arguments.json)
    if arguments.record:
        check_target(arguments.record / "record.json")
    check_device(arguments.device)
    path = arguments.library or library.build("kernels" if arguments.device == "cuda" else "host")
    command = shlex.join(["python", "-m", "plugins.check", *argv])
    if arguments.step:
        return time_step(arguments, path, command)
    if arguments.tools:
        return sanitize(arguments, path, command)
    if arguments.profile:
        return profile(arguments, path, command)
    if arguments.published:
        keep(profiler.run_published(path, checks), arguments.json)
        return 0
    straightforward = library.build("straightforward") if timed else None
    found = summary(path, arguments.device, straightforward, arguments.sanitize, checks, arguments.json)
    show(found)
    keep(found, arguments.json)
    if arguments.record and not found["wrong"]:
        record.write(found, command, path, arguments.record)
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(processes.program(lambda: main(sys.argv[1:])))
