"""The summary of a proof as a record of results."""

import re
import subprocess
from pathlib import Path
from typing import Any

from helpers import records
from plugins.check import profiler

NAME, SANITIZED, LIMITS = "operators-pytorch", "operators-sanitizer", "operators-profiler"
TIMES = ("kernel_us", "reference_us", "straightforward_us", "kernel_called_us", "reference_called_us",
         "kernel_gb_per_s", "share_of_copy", "times_written")  # fmt: skip


def metrics(found: dict[str, Any]) -> dict[str, float | int | str]:
    """The cases of a summary, the copy rate, and each of `TIMES` of each call, such as tiny_sca_fp32_kernel_us."""
    about = {key: found["library"][key] for key in ("abi", "cuda", "arch")}
    flat: dict[str, float | int | str] = {
        "cases": found["right"] + found["wrong"],
        "right": found["right"],
        "wrong": found["wrong"],
        "library": " ".join(f"{key}={value}" for key, value in about.items()),
        "copy_gb_per_s": round(found["times"][0]["copy_gb_per_s"], 1),
    }
    for row in found["times"]:
        call = _slug(f"{row['call']} {row['form']}")
        flat |= {f"{call}_{time}": round(row[time], 3) for time in TIMES}
    return flat


def write(found: dict[str, Any], command: str, library: Path, folder: Path) -> Path:
    """Write the record of a summary with times into `folder`; returns its path."""
    return _write(NAME, metrics(found), found, command, library, folder)


def write_step(found: dict[str, Any], command: str, library: Path, folder: Path) -> list[Path]:
    """Write the records of a summary of `plugins.check.step` into `folder`; returns their paths."""
    return [_write(*one, found, command, library, folder) for one in found["records"].items()]


def sanitized(found: dict[str, Any]) -> dict[str, float | int | str]:
    """Errors, cases and seconds of each tool and operator, as memcheck/rotate_errors; text where a run did not end."""
    flat: dict[str, float | int | str] = {}
    for row in found["tools"]:
        name = f"{row['tool']}/{row['operator']}"
        flat |= {f"{name}_errors": row["ended"] if "ended" in row else row["errors"]}
        flat |= {f"{name}_{key}": row[key] for key in ("cases", "wrong") if key in row}
        flat[f"{name}_seconds"] = round(row["seconds"], 1)
    return flat


def write_sanitized(found: dict[str, Any], command: str, library: Path, folder: Path) -> Path:
    """Write the record of what compute-sanitizer found into `folder`; returns its path."""
    return _write(SANITIZED, sanitized(found), found, command, library, folder)


def limits(found: dict[str, Any]) -> dict[str, float | int | str]:
    """Percent of each peak of each call, such as fb_occ_history_fp32_l2_cache_percent, and what limits it in words."""
    flat: dict[str, float | int | str] = {}
    for row in found["limits"]:
        name = _slug(row["call"])
        flat[f"{name}_limit"] = profiler.limits(row)
        if "ended" not in row:
            flat |= {f"{name}_{_slug(share)}_percent": round(row[share], 1) for share in (*profiler.SHARES, "warps")}
    return flat


def write_limits(found: dict[str, Any], command: str, library: Path, folder: Path) -> Path:
    """Write the record of what a profiler says into `folder`; returns its path."""
    return _write(LIMITS, limits(found), found, command, library, folder)


def _slug(text):
    return re.sub(r"\W+", "_", text).lower()


def _write(name, figures, found, command, library, folder):
    device = ", driver ".join(filter(None, (found["device"], driver())))
    versions = {key: found[key] for key in ("python", "torch")} | {"cuda": found["library"]["cuda"]}
    made = records.record(name, figures, command, [library], device=device, versions=versions)
    return records.write(made, folder)


def driver() -> str:
    """Version of the GPU's driver; "" where nvidia-smi does not tell it."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        words = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return words[0] if words else ""
