"""`python -m plugins.check`: prints what was tried and the times; 0 if all is right, 1 if something is wrong."""

import argparse
import dataclasses
import json
import math
import platform
import sys
from functools import partial
from pathlib import Path

import torch

from helpers.files import atomic
from helpers.ops import library
from plugins import check
from plugins.check.common import called_microseconds, captured_microseconds


def times(path: Path) -> list[dict]:
    """Microseconds of the published calls: through `helpers.ops` with the library and without, captured and called."""
    measured = []
    for one in check.CHECKS:
        for call in one.published("cuda"):
            row = {"operator": one.name, "call": call.what, "form": call.form}
            for chosen, name in ((path, "kernel"), (None, "reference")):
                with library.use(chosen), torch.no_grad():
                    work = partial(one.operator, *call.arguments)
                    row |= {f"{name}_us": captured_microseconds(work), f"{name}_called_us": called_microseconds(work)}
            measured.append(row | {"kernel_gb_per_s": call.traffic / row["kernel_us"] / 1e3})
    return measured


def summary(path: Path, device: str) -> dict:
    """What was tried, on what, and the times on a GPU."""
    rows = [dataclasses.asdict(row) | {"right": row.right} for row in check.rows(path, device)]
    for row in rows:
        row["error"] = row["error"] if math.isfinite(row["error"]) else None  # JSON has no infinity
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "gpus": torch.cuda.device_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "library": library.info(library.load(path)) | library.identity([path])[0],
        "right": sum(row["right"] for row in rows),
        "wrong": sum(not row["right"] for row in rows),
        "rows": rows,
        "times": times(path) if device == "cuda" else [],
    }


def show(found: dict) -> None:
    print(found["device"], "| torch", found["torch"], "|", *(f"{k}={v}" for k, v in found["library"].items()))
    for row in found["rows"]:
        if not row["right"]:
            print(f"WRONG: {row['what']}, {row['form']}: error {row['error']}, limit {row['limit']:.0e}")
    print(f"{found['right']} of {found['right'] + found['wrong']} right")
    if found["times"]:
        print(f"\n{'call':<14} {'form':<11} {'kernel us':>10} {'GB/s':>6} {'reference us':>13}   called from Python")
    for row in found["times"]:
        called = f"{row['kernel_called_us']:8.1f} {row['reference_called_us']:8.1f}"
        print(f"{row['call']:<14} {row['form']:<11} {row['kernel_us']:10.1f} {row['kernel_gb_per_s']:6.0f} "
              f"{row['reference_us']:13.1f}   {called}")  # fmt: skip


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m plugins.check", description="Prove the kernels of the operators.")
    parser.add_argument("library", nargs="?", type=Path, help="default: the kernels in plugins/build, made if stale")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    arguments = parser.parse_args(argv)
    path = arguments.library or library.build("kernels" if arguments.device == "cuda" else "host")
    found = summary(path, arguments.device)
    show(found)
    if arguments.json:
        with atomic(arguments.json) as part:
            part.write_text(json.dumps(found, indent=1))
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
