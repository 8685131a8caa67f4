"""Says what the locks hold and what is known against it: bills of materials (CycloneDX) and an audit, in build/supply/.

    python -m ci.supply          # both; exit code 1 if anything is known against a pin, or a pin was not looked up
    python -m ci.supply bills    # the bills alone
    python -m ci.supply audit    # the audit alone: pip-audit asks the package index about every pin

The tools, cyclonedx-bom and pip-audit, come from requirements/audit.txt into an environment of their own, .venv-audit.
A lock's bill has its hashes; the bill `installed` has what this environment holds, with the licenses.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

from packaging.utils import canonicalize_name

from ci.setup.lock import NAMES, pins_of
from helpers import processes
from helpers.files import ROOT, atomic

OUT = ROOT / "build/supply"
TOOLS = ROOT / ".venv-audit"
LOCK = ROOT / "requirements/audit.txt"


def tools():
    """The folder with the tools' programs, installed if they are not what their lock says."""
    stamp, wanted = TOOLS / "installed-from", f"{TOOLS}\n{LOCK.read_text(encoding='utf-8')}"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        venv.create(TOOLS, clear=True, with_pip=True)
        pip = [TOOLS / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", LOCK], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return TOOLS / "bin"


def bill(programs, name):
    """Write the bill of a lock, or of what is installed here; returns (path, number of components)."""
    path = OUT / f"{name}.cdx.json"
    installed = name == "installed"
    source = ["environment", sys.executable] if installed else ["requirements", ROOT / f"requirements/{name}.txt"]
    command = [programs / "cyclonedx-py", *source, "--pyproject", ROOT / "pyproject.toml", "--output-reproducible"]
    quiet = os.environ | {
        "PYTHONWARNINGS": "ignore"
    }  # it misses requirements in pyproject.toml, which are in the locks
    with atomic(path) as part:
        subprocess.run([*command, "--of", "JSON", "-o", part], env=quiet, check=True)
    return path, len(json.loads(path.read_text(encoding="utf-8"))["components"])


def audit(programs, name):
    """What is known against the pins of a lock, as {pin: (ids, fixed versions) or the reason why it was not looked up}.

    Raises:
        subprocess.CalledProcessError: pip-audit came to no result.
    """
    pins = [pin.partition("+")[0] for pin in pins_of(ROOT / f"requirements/{name}.txt")]  # torch's CPU build is torch
    source, report = OUT / f"{name}.pins.txt", OUT / f"{name}.audit.json"
    source.write_text("\n".join(pins) + "\n", encoding="utf-8")
    report.unlink(missing_ok=True)
    command = [programs / "pip-audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run([*command, "--output", report, "-r", source], capture_output=True, text=True)
    if not report.is_file():  # its exit code is 1 for that, and for a finding
        raise subprocess.CalledProcessError(done.returncode, done.args, stderr=done.stderr)
    found = {
        canonicalize_name(entry["name"]): entry
        for entry in json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    }
    nothing = {"skip_reason": "pip-audit says nothing of it"}
    return {pin: against(found.get(canonicalize_name(pin.partition("==")[0]), nothing)) for pin in pins}


def against(entry):
    if "skip_reason" in entry:
        return entry["skip_reason"]
    known = entry["vulns"]
    return [one["id"] for one in known], sorted({version for one in known for version in one["fix_versions"]})


def bills(programs):
    """Write all bills; returns the exit code."""
    for name in ("installed", *NAMES):
        path, components = bill(programs, name)
        print(f"{name:10}{components:4} components in {path.relative_to(ROOT)}")
    return 0


def audits(programs):
    """Print what is known against each lock; returns the exit code."""
    good = True
    for name in NAMES:
        try:
            found = audit(programs, name)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or "nothing was said").strip().splitlines()[-1]
            print(f"{name:10}no audit: {said}")
            good = False
            continue
        unknown = {pin: reason for pin, reason in found.items() if isinstance(reason, str)}
        bad = {pin: entry for pin, entry in found.items() if pin not in unknown and entry[0]}
        print(f"{name:10}{len(found):4} pins: {len(bad)} with known faults, {len(unknown)} not looked up")
        for pin, (ids, fixed) in bad.items():
            print(f"          {pin}: {', '.join(ids)}; fixed in {', '.join(fixed) or 'no release'}")
        for pin, reason in list(unknown.items())[:3]:
            print(f"          {pin}: {reason}")
        good = good and not bad and not unknown
    return 0 if good else 1


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.supply", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["bills", "audit"], help="one of the two (default: both)")
    what = parser.parse_args(argv).what
    OUT.mkdir(parents=True, exist_ok=True)
    try:
        programs = tools()
        codes = [act(programs) for name, act in (("bills", bills), ("audit", audits)) if what in (None, name)]
    except subprocess.CalledProcessError as error:
        print(f"{Path(error.cmd[0]).name} failed; its message is above", file=sys.stderr)
        return 2
    return max(codes)


if __name__ == "__main__":
    sys.exit(processes.program(main))
