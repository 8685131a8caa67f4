"""What limits the kernels at their published sizes: Nsight Compute's counters, a process for each operator.

Clocks and caches are left as they are. A call is known by the kernel of PyTorch that waits before it.
"""

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from helpers.ops import library
from plugins.check.common import Check
from plugins.check.tool import ended, there

MARKER, OURS = "spin_kernel", "onramp"  # in the names of kernels: PyTorch's that waits, and this project's
BOUND = 60.0  # percent of its peak from which on Nsight Compute takes something for the bottleneck
TIME, WARPS = "gpu__time_duration.sum", "sm__warps_active.avg.pct_of_peak_sustained_active"
SHARES = {
    "memory": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "L2 cache": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "L1 cache": "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "multiprocessors": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
}


def run_published(path: Path, checks: tuple[Check, ...]) -> list[str]:
    """Each published call once, for a profiler to see; returns what they are called, in order."""
    loaded, names = library.load(path), []
    for check in checks:
        for call in check.published("cuda"):
            check.launched(loaded, call.arguments, call.packed)
            torch.cuda.synchronize()
            torch.cuda.profiler.start()
            torch.cuda._sleep(1)
            check.launched(loaded, call.arguments, call.packed)
            torch.cuda.synchronize()
            torch.cuda.profiler.stop()
            names.append(f"{call.what} {call.form}")
    return names


def rows(path: Path, program: str, names: list[str], limit: float) -> list[dict[str, Any]]:
    """Percent of the peak of each of `SHARES`, and of the warps that fit, of every published call of the operators.

    Of a call of several kernels the longest counts. An operator whose process gives no counters is a row that says so.
    """
    there(program, "ncu, Nsight Compute, which comes with CUDA", "--profiler PROGRAM")
    found = []
    for name in names:
        print(f"{name} ...", end=" ", flush=True)
        mine = _run(path, program, name, limit)
        print("; ".join(f"{row['call']}: {limits(row)}" for row in mine), flush=True)
        found += mine
    return found


def limits(row: dict[str, Any]) -> str:
    """What a row says in words."""
    if "ended" in row:
        return row["ended"]
    most = max(SHARES, key=lambda share: row[share])
    return f"{most}, {row[most]:.0f} %" if row[most] >= BOUND else f"waiting: {most} at {row[most]:.0f} % is the most"


def _run(path, program, name, limit):
    with tempfile.TemporaryDirectory() as folder:
        out, said, table = (Path(folder) / file for file in ("names.json", "said.txt", "counters.csv"))
        command = [program, "--csv", "--page", "raw", "--log-file", table, "--metrics",
                   ",".join([TIME, WARPS, *SHARES.values()]), "--profile-from-start", "off", "--clock-control", "none",
                   "--cache-control", "none", sys.executable, "-m", "plugins.check", path, "--published",
                   "--operators", name, "--json", out]  # fmt: skip
        code = ended(command, said, limit)
        calls = json.loads(out.read_text()) if out.is_file() else []
        counted = counters(table.read_text(errors="replace")) if table.is_file() else []
        if code or not calls or len(counted) != len(calls):
            print(said.read_text(errors="replace"), file=sys.stderr)
            why = f"not ended after {limit:g} s" if code is None else f"exit code {code}, {len(counted)} calls counted"
            return [{"operator": name, "call": name, "ended": why}]
    return [{"operator": name, "call": call, **row} for call, row in zip(calls, counted, strict=True)]


def counters(text: str) -> list[dict[str, float]]:
    """The counters of each call from Nsight Compute's raw page as CSV: of its longest kernel among ours."""
    lines = text.splitlines()
    begin = next((index for index, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    calls: list[list[dict[str, str]]] = []
    for row in csv.DictReader(lines[begin:]):
        if MARKER in row["Kernel Name"]:
            calls.append([])
        elif OURS in row["Kernel Name"] and calls:
            calls[-1].append(row)
    longest = [max(call, key=lambda row: _number(row[TIME])) for call in calls if call]
    return [{"warps": _number(row[WARPS])} | {share: _number(row[metric]) for share, metric in SHARES.items()}
            for row in longest]  # fmt: skip


def _number(text):
    return float(text.replace(",", ""))
