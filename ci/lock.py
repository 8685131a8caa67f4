"""Makes a lock from a list of requirements: what pip would install for it on this Python and system, every pin exact.

    python ci/lock.py                                   # requirements/cpu.in -> requirements/cpu.txt
    python ci/lock.py --constraint requirements/cpu.txt # keep the present pins, add or drop what cpu.in changed

Further arguments go to pip: outside this project's CI, `--extra-index-url https://download.pytorch.org/whl/cpu` finds
the CPU build of torch.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import canonicalize_name

from helpers.files import ROOT, atomic


def resolve(source, pip_arguments):
    """Sorted `name==version` lines of everything pip would install for the requirements in `source`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", report, "-r", source, *pip_arguments], check=True)
        packages = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    pins = sorted((canonicalize_name(package["name"]), package["version"]) for package in packages)
    return [f"{name}=={version}" for name, version in pins]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT / "requirements/cpu.in")
    parser.add_argument("--out", type=Path, default=ROOT / "requirements/cpu.txt")
    parser.add_argument("--constraint", type=Path, help="pins to keep where they fit")
    arguments, pip_arguments = parser.parse_known_args(argv)
    if arguments.constraint:
        pip_arguments += ["--constraint", str(arguments.constraint)]
    try:
        pins = resolve(arguments.source, pip_arguments)
    except subprocess.CalledProcessError as error:
        print(f"pip could not resolve {arguments.source} (its message is above)", file=sys.stderr)
        return error.returncode
    made_for = f"CPython {platform.python_version().rpartition('.')[0]}, {platform.system()} {platform.machine()}"
    header = f"# The lock of the {arguments.source.stem.upper()} tier: {made_for.replace('x86_64', 'x86-64')}. "
    header += f"Made from {arguments.source.name} by ci/lock.py; do not edit by hand.\n"
    with atomic(arguments.out) as part:
        part.write_text(header + "\n".join(pins) + "\n")
    print(f"{len(pins)} pins in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
