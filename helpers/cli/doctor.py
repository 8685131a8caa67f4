"""`python -m helpers doctor`: check this machine for the lessons; every fault comes with its cure."""

import dataclasses
import json
import sys
import time
from pathlib import Path

from helpers.cli.parser import Parser
from helpers.environment import doctor
from helpers.environment.doctor.report import FAIL, OK, WARN
from helpers.environment.tiers import TIERS


def main(argv: list[str]) -> int:
    """Returns 0 if nothing fails, 1 if something does, 2 for bad arguments."""
    parser = Parser(
        prog="python -m helpers doctor",
        description="Check this machine for the lessons; every fault comes with its cure.",
    )
    parser.add_argument("lessons", nargs="*", help="names such as 04_modelopt_ptq (default: all)")
    parser.add_argument("--tier", choices=TIERS, help="default: gpu if an NVIDIA driver is found, else cpu")
    parser.add_argument(
        "--plugin", type=Path, metavar="FILE", help="plugin library (default: the one in plugins/build)"
    )
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="lock to compare with (default: the tier's in requirements/)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the details")
    options = parser.parse_args(argv)
    started = time.monotonic()
    report = doctor.examine(options.lessons or None, tier=options.tier, plugin=options.plugin, lock=options.lock)
    seconds = time.monotonic() - started
    if options.json:
        counts = {status: report.count(status) for status in (OK, WARN, FAIL)}
        checks = [dataclasses.asdict(check) for check in report]
        json.dump({"counts": counts, "seconds": round(seconds, 2), "checks": checks}, sys.stdout, indent=2)
        print()
    else:
        print(doctor.text(report, seconds))
    return 1 if report.count(FAIL) else 0
