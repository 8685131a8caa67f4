"""Times of the published calls on a GPU, beside what bounds them and what one would use instead.

Calls are captured in a CUDA graph, many of one after the other on the same tensors: what fits into the GPU's cache is
read from there. So the share of the copy bandwidth says what memory allows only where a call moves much more than that.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from helpers.ops import library
from plugins.check.common import Call, Check, called_microseconds, captured_microseconds

COPIED = 1 << 30  # bytes: far more than any cache


def copy_gb_per_s() -> float:
    """Bytes read and written per second by a copy on the device, in GB/s.

    The faster of the driver's copy and of a kernel that reads and writes each element once: on an H200 the driver's
    reaches two thirds of the kernel's.
    """
    source, target = (torch.zeros(COPIED // 4, device="cuda") for _ in range(2))
    copies = (lambda: target.copy_(source), lambda: torch.neg(source, out=target))
    return 2 * COPIED / min(captured_microseconds(copy, launches=5, rounds=20) for copy in copies) / 1e3


def rows(checks: tuple[Check, ...], path: Path, straightforward: Path) -> list[dict[str, Any]]:
    """One row per published call: microseconds of each form, bytes, shares and ratios."""
    bandwidth = copy_gb_per_s()
    return [_row(check, call, path, straightforward, bandwidth) for check in checks for call in check.published("cuda")]


def _row(check: Check, call: Call, path: Path, straightforward: Path, bandwidth: float) -> dict[str, Any]:
    work, row = partial(check.operator, *call.arguments), {"operator": check.name, "call": call.what, "form": call.form}
    with torch.no_grad():
        for name, chosen, packed in (("kernel", path, call.packed), ("straightforward", straightforward, False)):
            with library.use(chosen, packed):
                row |= {f"{name}_us": captured_microseconds(work), f"{name}_called_us": called_microseconds(work)}
        composition = partial(check.composition, *call.arguments)
        row |= {
            "reference_us": captured_microseconds(composition),
            "reference_called_us": called_microseconds(composition),
        }
        output = composition()
        row["written_us"] = captured_microseconds(output.zero_)
    row |= {"bytes": call.traffic, "kernel_gb_per_s": call.traffic / row["kernel_us"] / 1e3, "copy_gb_per_s": bandwidth}
    return row | {
        "share_of_copy": row["kernel_gb_per_s"] / bandwidth,
        "times_written": row["kernel_us"] / row["written_us"],
        "reference_ratio": row["reference_us"] / row["kernel_us"],
        "straightforward_ratio": row["straightforward_us"] / row["kernel_us"],
    }


def show(measured: list[dict[str, Any]]) -> None:
    print(f"\ncopy on the device {measured[0]['copy_gb_per_s']:.0f} GB/s, read and written; times in microseconds")
    print(f"{'call':<15} {'form':<19} {'kernel':>8} {'MB':>7} {'GB/s':>6} {'of copy':>8} {'x written':>9} "
          f"{'PyTorch':>9} {'ratio':>6} {'straight':>9} {'ratio':>6}   called: kernel, PyTorch")  # fmt: skip
    for row in measured:
        print(f"{row['call']:<15} {row['form']:<19} {row['kernel_us']:8.1f} {row['bytes'] / 1e6:7.2f} "
              f"{row['kernel_gb_per_s']:6.0f} {row['share_of_copy']:8.0%} {row['times_written']:9.2f} "
              f"{row['reference_us']:9.1f} {row['reference_ratio']:6.2f} {row['straightforward_us']:9.1f} "
              f"{row['straightforward_ratio']:6.2f}   {row['kernel_called_us']:.1f}, "
              f"{row['reference_called_us']:.1f}")  # fmt: skip
