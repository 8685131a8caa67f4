"""Makes the lock of a tier from its list of requirements: everything an installer would install, every pin exact.

    python -m ci.setup.lock                                       # requirements/cpu.in -> requirements/cpu.txt
    python -m ci.setup.lock --constraint requirements/cpu.txt     # keep the pins, add or drop what cpu.in changed
    python -m ci.setup.lock trt11                                 # the other tiers, resolved by uv (pip install uv)

The CPU tier is resolved by pip, for the Python and system it runs on; further arguments go to pip: outside this
project's CI, `--extra-index-url https://download.pytorch.org/whl/cpu` finds the CPU build of torch. The other tiers are
for Linux on x86-64 and the Python that requirements/tiers.toml names, and keep the pins of the CPU tier where they fit;
requirements/stubs.toml tells uv what the stubs of TensorRT on the public index would depend on.
"""

import argparse
import datetime
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.files import ROOT, atomic

FOLDER = ROOT / "requirements"
TIERS = tomllib.loads((FOLDER / "tiers.toml").read_text())
NVIDIA_INDEX = "https://pypi.nvidia.com"
FROM_NVIDIA = re.compile(r"tensorrt(-llm|-cu1[23](-libs)?)?==")  # stubs on pypi.org, or front ends that need them


def requirements(source):
    """`{canonical name: Requirement}` of an .in file; it takes the place of namesakes in a file named by `-r`."""
    found = {}
    for line in source.read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            found = requirements(source.parent / line[3:].strip()) | found
        elif line:
            requirement = Requirement(line)
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pins_of(lock):
    """The `name==version` lines of a lock, in order."""
    return [line for line in lock.read_text().splitlines() if "==" in line and not line.startswith(("#", "-"))]


def resolve(source, pip_arguments):
    """Sorted `name==version` lines of everything pip would install for the requirements in `source`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*command, "--report", report, "-r", source, *pip_arguments], check=True)
        packages = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    pins = sorted((canonicalize_name(package["name"]), package["version"]) for package in packages)
    return [f"{name}=={version}" for name, version in pins]


def resolve_with_uv(tier, uv):
    """The same for a tier that is not installed here: by uv, for the tier's Python, with the CPU tier's pins kept."""
    wanted, kept = requirements(FOLDER / f"{tier}.in"), []
    if shares_cpu_pins(tier):
        cpu = requirements(FOLDER / "cpu.in")
        own = {name for name, requirement in wanted.items() if requirement != cpu.get(name)}
        kept = [pin for pin in pins_of(FOLDER / "cpu.txt") if pin.split("==")[0] not in own]
    with tempfile.TemporaryDirectory() as folder:
        source, constraint = Path(folder) / f"{tier}.in", Path(folder) / "constraint.txt"
        source.write_text("\n".join(map(str, wanted.values())))
        constraint.write_text("\n".join(kept))
        command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python-version"]
        command += [TIERS[tier]["python"], "--python-platform", "x86_64-manylinux_2_28"]
        command += ["--config-file", FOLDER / "stubs.toml", "--constraint", constraint, source]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(found.split(), key=lambda pin: pin.split("=="))


def shares_cpu_pins(tier):
    """Whether a tier is the CPU tier and more: its list begins with the CPU tier's."""
    return "\n-r cpu.in\n" in (FOLDER / f"{tier}.in").read_text()


def header(tier, pins, resolver):
    """Comment and index lines at the head of a lock."""
    python = TIERS[tier]["python"]
    made = (
        f"# The lock of the {tier.upper()} tier: CPython {python}, Linux x86-64. Made from {tier}.in by ci.setup.lock;"
    )
    lines = [f"{made} do not edit by hand."]
    if tier == "cpu":
        return lines
    lines += [f"# Resolved {datetime.date.today()} with {resolver} from pypi.org.", f"# Tried: {TIERS[tier]['proof']}."]
    foreign = [pin for pin in pins if FROM_NVIDIA.match(pin) and tier != "edge"]
    if foreign:
        lines.append(f"# Pinned by the metadata of their stubs on pypi.org; the wheels come from {NVIDIA_INDEX}")
        lines.append("# and were not installed when this lock was made:")
        lines += [f"#   {pin}" for pin in foreign]
        lines.append(f"--extra-index-url {NVIDIA_INDEX}")
    return lines


def write(tier, out, pins, resolver):
    with atomic(out) as part:
        part.write_text("\n".join([*header(tier, pins, resolver), *pins]) + "\n")
    print(f"{len(pins)} pins in {out}")


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.setup.lock", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tier", nargs="?", default="cpu", choices=TIERS)
    parser.add_argument("--out", type=Path, help="default: requirements/TIER.txt")
    parser.add_argument("--constraint", type=Path, help="pins to keep where they fit (cpu)")
    parser.add_argument("--uv", default="uv", help="the uv program, if it is not on PATH")
    arguments, pip_arguments = parser.parse_known_args(argv)
    tier, out = arguments.tier, arguments.out or FOLDER / f"{arguments.tier}.txt"
    if arguments.constraint:
        pip_arguments += ["--constraint", str(arguments.constraint)]
    try:
        if tier == "cpu":
            python = platform.python_version().rpartition(".")[0]
            if python != TIERS["cpu"]["python"]:
                print(f"this is Python {python}; the CPU tier is for {TIERS['cpu']['python']}", file=sys.stderr)
                return 2
            pins, resolver = resolve(FOLDER / "cpu.in", pip_arguments), "pip"
        elif not shutil.which(arguments.uv):
            print(f"the tier {tier} is resolved by uv, which was not found; fix: pip install uv", file=sys.stderr)
            return 2
        else:
            version = subprocess.run([arguments.uv, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
            pins, resolver = resolve_with_uv(tier, arguments.uv), " ".join(version.split()[:2])
    except subprocess.CalledProcessError as error:
        print(f"{tier}.in could not be resolved (the resolver's message is above)", file=sys.stderr)
        return error.returncode
    write(tier, out, pins, resolver)
    return 0


if __name__ == "__main__":
    sys.exit(main())
