"""Makes the lock of a tier from its list of requirements: everything an installer would install, exact and with hashes.

    python -m ci.setup.lock                                       # requirements/cpu.in -> requirements/cpu.txt
    python -m ci.setup.lock --constraint requirements/cpu.txt     # keep the pins, add or drop what cpu.in changed
    python -m ci.setup.lock trt11                                 # another tier, or one of the tools: audit, uv

Needs uv (pip install uv). A pin carries the SHA-256 of every file of its release that the tier's Python could take on
Linux, x86-64: the wheels, or the source where there is no wheel. The CPU tier is resolved by pip, for the Python and
system it runs on; further arguments go to pip: outside this project's CI,
`--extra-index-url=https://download.pytorch.org/whl/cpu` finds the CPU build of torch. The others are resolved by uv
for the Python that requirements/tiers.toml names, and keep the pins of the CPU tier where they fit;
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
TIERS = tomllib.loads((FOLDER / "tiers.toml").read_text(encoding="utf-8"))
NAMES = sorted(path.stem for path in FOLDER.glob("*.in"))
NVIDIA_INDEX = "https://pypi.nvidia.com"
FROM_NVIDIA = re.compile(r"tensorrt(-llm|-cu1[23](-libs)?)?==(?!8)")  # stubs on pypi.org, or front ends that need them
PLATFORM = "x86_64-manylinux_2_28"  # the oldest C library for which the tiers are resolved
NEWEST_PLATFORM = "x86_64-manylinux_2_40"  # the newest for whose wheels they have hashes


def requirements(source):
    """`{canonical name: Requirement}` of an .in file; it takes the place of namesakes in a file named by `-r`."""
    found = {}
    for line in source.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            found = requirements(source.parent / line[3:].strip()) | found
        elif line:
            requirement = Requirement(line)
            found[canonicalize_name(requirement.name)] = requirement
    return found


def hashes_of(lock):
    """`{"name==version": ["sha256:...", ...]}` of a lock, in its order."""
    lines = [
        line.split()
        for line in lock.read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith(("#", "-"))
    ]
    return {pin: [option.removeprefix("--hash=") for option in options] for pin, *options in lines}


def pins_of(lock):
    """The `name==version` of a lock, in order."""
    return list(hashes_of(lock))


def resolve(kept, pip_arguments):
    """The CPU tier as `{"name==version": [hash of the file that pip chose]}`; pins in `kept` stay where they fit."""
    with tempfile.TemporaryDirectory() as folder:
        report, constraint = Path(folder) / "report.json", Path(folder) / "constraint.txt"
        constraint.write_text("\n".join(kept), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--constraint", constraint, "--report", report, "-r", FOLDER / "cpu.in", *pip_arguments]
        subprocess.run(command, check=True)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {}
    for item in chosen:
        pin = f"{canonicalize_name(item['metadata']['name'])}=={item['metadata']['version']}"
        found[pin] = [f"sha256:{item['download_info']['archive_info']['hashes']['sha256']}"]
    return found


def resolve_with_uv(name, kept, uv):
    """The pins of a tier or tool that is not installed here, resolved for its Python; those in `kept` stay."""
    wanted = requirements(FOLDER / f"{name}.in")
    if shares_cpu_pins(name):
        cpu = requirements(FOLDER / "cpu.in")
        own = {package for package, requirement in wanted.items() if requirement != cpu.get(package)}
        shared = [pin for pin in pins_of(FOLDER / "cpu.txt") if pin.split("==")[0] not in own]
        kept = ["==".join(pin) for pin in dict(pin.split("==") for pin in [*kept, *shared]).items()]
    with tempfile.TemporaryDirectory() as folder:
        source, constraint = Path(folder) / f"{name}.in", Path(folder) / "constraint.txt"
        source.write_text("\n".join(map(str, wanted.values())), encoding="utf-8")
        constraint.write_text("\n".join(kept), encoding="utf-8")
        options = ["--no-annotate", "--python-version", pythons(name)[0], "--python-platform", PLATFORM]
        return compiled(uv, *options, "--constraint", constraint, source).split()


def index_hashes(pins, python, uv):
    """`{pin: hashes}` of the files on the index that this Python could take."""
    options = ["--no-deps", "--format", "pylock.toml", "--python-version", python, "--python-platform", NEWEST_PLATFORM]
    found = {}
    for package in tomllib.loads(compiled(uv, *options, "-", text="\n".join(pins)))["packages"]:
        files = package.get("wheels") or [package["sdist"]]
        pin = f"{canonicalize_name(package['name'])}=={package['version']}"
        found[pin] = [f"sha256:{file['hashes']['sha256']}" for file in files]
    return found


def compiled(uv, *options, text=None):
    """What `uv pip compile` prints."""
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--config-file", FOLDER / "stubs.toml", *options]
    return subprocess.run(command, input=text, check=True, stdout=subprocess.PIPE, text=True).stdout


def with_hashes(pins, name, uv):
    """`{pin: sorted hashes}` for a dict of pins with the hashes known so far; none for what pypi.nvidia.com has."""
    known = {pin: set(hashes) for pin, hashes in pins.items()}
    public = [pin for pin in pins if "+" not in pin and not FROM_NVIDIA.match(pin)]
    for python in pythons(name):
        for pin, hashes in index_hashes(public, python, uv).items():
            known[pin] |= set(hashes)
    return {pin: sorted(known[pin]) for pin in sorted(known, key=lambda pin: pin.split("=="))}


def pythons(name):
    """The Pythons that install a lock: the tier's first, then that of its container; the CPU tier's for the tools."""
    tier = TIERS.get(name, TIERS["cpu"])
    return [tier["python"], *([tier["container_python"]] if "container_python" in tier else [])]


def shares_cpu_pins(name):
    """Whether a tier is the CPU tier and more: its list begins with the CPU tier's."""
    return "\n-r cpu.in\n" in (FOLDER / f"{name}.in").read_text(encoding="utf-8")


def header(name, pins, resolver):
    """Comment and index lines at the head of a lock."""
    what = f"the {name.upper()} tier" if name in TIERS else name
    made = f"# The lock of {what}: CPython {' and '.join(pythons(name))}, Linux x86-64."
    lines = [f"{made} Made from {name}.in by ci.setup.lock; do not edit by hand."]
    if name == "cpu" or name not in TIERS:
        return lines
    lines += [f"# Resolved {datetime.date.today()} with {resolver}.", f"# Tried: {TIERS[name]['proof']}."]
    foreign = [pin for pin in pins if FROM_NVIDIA.match(pin)]
    if foreign:
        lines.append(f"# Pinned by the metadata of their stubs on pypi.org; the wheels come from {NVIDIA_INDEX},")
        lines.append("# whose hashes were not known when this lock was made, and were not installed then:")
        lines += [f"#   {pin}" for pin in foreign]
        lines.append(f"--extra-index-url {NVIDIA_INDEX}")
    return lines


def write(name, out, pins, resolver):
    lines = [" ".join([pin, *(f"--hash={digest}" for digest in hashes)]) for pin, hashes in pins.items()]
    with atomic(out) as part:
        part.write_text("\n".join([*header(name, pins, resolver), *lines]) + "\n", encoding="utf-8")
    print(f"{len(pins)} pins in {out}")


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.setup.lock", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="cpu", choices=NAMES)
    parser.add_argument("--out", type=Path, help="default: requirements/NAME.txt")
    parser.add_argument("--constraint", type=Path, help="lock whose pins to keep where they fit")
    parser.add_argument("--uv", default="uv", help="the uv program, if it is not on PATH")
    arguments, pip_arguments = parser.parse_known_args(argv)
    name, uv, out = arguments.name, arguments.uv, arguments.out or FOLDER / f"{arguments.name}.txt"
    kept = pins_of(arguments.constraint) if arguments.constraint else []
    python = platform.python_version().rpartition(".")[0]
    if name == "cpu" and python != TIERS["cpu"]["python"]:
        print(f"this is Python {python}; the CPU tier is for {TIERS['cpu']['python']}", file=sys.stderr)
        return 2
    if not shutil.which(uv):
        print("uv, which resolves and lists the hashes, was not found; fix: pip install uv", file=sys.stderr)
        return 2
    try:
        version = subprocess.run([uv, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
        resolver = "pip" if name == "cpu" else " ".join(version.split()[:2])
        pins = resolve(kept, pip_arguments) if name == "cpu" else dict.fromkeys(resolve_with_uv(name, kept, uv), ())
        pins = with_hashes(pins, name, uv)
    except subprocess.CalledProcessError as error:
        print(f"{name}.in could not be resolved (the resolver's message is above)", file=sys.stderr)
        return error.returncode
    write(name, out, pins, resolver)
    return 0


if __name__ == "__main__":
    sys.exit(main())
