"""Makes the book: the executed lessons, the documentation, results and what ran, as pages that need no network.

Reads `<out>/report.json` and the executed notebooks of ci.lessons.run, the records that the lessons wrote to
`<out>/records/`, those in `results/`, and `docs/`. Writes `<out>/book/`.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

from ci.book.build import build
from helpers import processes
from helpers.files import ROOT


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.book", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the run (build/)")
    parser.add_argument(
        "--strict", action="store_true", help="fail where Sphinx warns, as of a link that leads nowhere"
    )
    arguments = parser.parse_args(argv)
    if importlib.util.find_spec("myst_nb") is None:
        print("the tools of the book are not installed; fix: make tools", file=sys.stderr)
        return 2
    home, code = build(arguments.out.resolve(), arguments.strict)
    print(f"\nThe book             {home}")
    print(f"Executed notebooks   {arguments.out.resolve() / 'notebooks'}")
    return code


if __name__ == "__main__":
    sys.exit(processes.program(main))
