"""Sets up a GPU tier on a machine that has one: checks driver and GPU, makes the environment from the tier's lock.

    make gpu                   # TensorRT 11 if the driver allows it, otherwise TensorRT 10; in .venv-gpu
    make gpu TIER=trt10        # or trt11, trtllm (in .venv-trtllm), edge (in .venv-edge)

Needs Python 3.11 or newer and its standard library. It refuses before anything is created, and removes what it has
created when the installation fails. An environment that already holds what the lock says is left as it is.
"""

import argparse
import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:
    sys.exit(f"make gpu: found Python {platform.python_version()}, needed 3.11 or newer (make gpu PYTHON=python3.11)")

ROOT = Path(__file__).resolve().parents[2]
TIERS = tomllib.loads((ROOT / "requirements/tiers.toml").read_text(encoding="utf-8"))
ON_GPU = [name for name, tier in TIERS.items() if "driver" in tier]
AUTOMATIC = ["trt11", "trt10"]  # the first that the machine can run


class Refused(Exception):
    """The machine cannot have the tier: what was found, what is needed, what to do."""

    def __init__(self, found, needed, fix):
        super().__init__(f"make gpu: found   {found}\n          needed  {needed}\n          fix     {fix}")


def read_gpus():
    """`[(name, driver version, compute capability)]` from nvidia-smi."""
    needed = f"an NVIDIA driver, {min(TIERS[name]['driver'] for name in AUTOMATIC)} or newer, and its nvidia-smi"
    fix = "install the driver (Ubuntu: sudo ubuntu-drivers install), or stay on the CPU tier: make run"
    if not shutil.which("nvidia-smi"):
        raise Refused("no nvidia-smi on PATH", needed, fix)
    command = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"nvidia-smi does not run ({error})", needed, fix) from None
    rows = [tuple(field.strip() for field in line.split(",")) for line in result.stdout.splitlines() if "," in line]
    if result.returncode or not rows:
        said = (result.stdout + result.stderr).strip() or f"exit status {result.returncode}"
        raise Refused(f"nvidia-smi lists no GPU: {said}", needed, fix)
    if bad := [
        row for row in rows if len(row) != 3 or not all(part.isdigit() for part in f"{row[1]}.{row[2]}".split("."))
    ]:
        raise Refused(f"nvidia-smi says {', '.join(bad[0])}", "name, driver version, compute capability", fix)
    return rows


def version(text):
    """'8.6' -> (8, 6)."""
    return tuple(int(part) for part in text.split("."))


def obstacle(name, gpus):
    """Why the tier cannot run on the first of `gpus`, as a Refused, or None."""
    tier, (gpu, driver, capability) = TIERS[name], gpus[0]
    if version(driver)[0] < tier["driver"]:
        others = [other for other in AUTOMATIC if version(driver)[0] >= TIERS[other]["driver"]]
        fix = "update the driver" + (f", or: make gpu TIER={others[0]}" if others else "")
        return Refused(f"driver {driver} ({gpu})", f"driver {tier['driver']} or newer for {name}", fix)
    if not version(tier["sm"]) <= version(capability) <= version(tier.get("sm_most", "99.0")):
        needed = f"compute capability {tier['sm']}" + (f" to {tier['sm_most']}" if "sm_most" in tier else " or newer")
        return Refused(f"{gpu}, compute capability {capability}", f"{needed} for {name}", "use another GPU or tier")
    return None


def choose(wanted, gpus):
    """The tier to set up: the one asked for, or the first automatic one that the machine can run."""
    obstacles = {name: obstacle(name, gpus) for name in ([wanted] if wanted else AUTOMATIC)}
    for name, refusal in obstacles.items():
        if refusal is None:
            return name
    raise list(obstacles.values())[-1]


def find_python(wanted):
    """A Python of version `wanted` ('3.11'), fetched by uv where there is none (ci/setup/python.sh)."""
    environment = os.environ | {"PYTHON": os.environ.get("PYTHON") or sys.executable}
    command = [ROOT / "ci/setup/python.sh", wanted]
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        fix = f"see above, or name it: make gpu PYTHON=/path/to/python{wanted}"
        raise Refused(f"no Python {wanted} with venv", f"Python {wanted}, for the wheels of this tier", fix)
    return result.stdout.strip()


def steps(lock, builders):
    """What pip installs from the text of a lock, in order, as (options, requirements).

    First what builds the few packages without a wheel: `builders`, or the lock's own pins of the same names. Then all
    that has hashes; last what has none, since its files are on another index, with that index.
    """
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    hashed = [line for line in lines if "--hash=" in line]
    checked = ["--require-hashes", "--no-build-isolation"]
    own = {line.split("==")[0]: line for line in hashed}
    building = [own.get(line.split("==")[0], line) for line in builders.splitlines() if "==" in line]
    found = [(checked, building if "setuptools" in own else [])]
    found += [(checked, hashed), ([], [line for line in lines if line not in hashed])]
    return [(options, requirements) for options, requirements in found if requirements]


def install(name, python):
    """Make the tier's environment; it is complete, or it is gone."""
    with open(__file__, "rb") as one:
        with contextlib.suppress(OSError):  # a file system without locks
            _wait_for(one)
        _install(name, python)


def _wait_for(one):
    """Hold a file as soon as no other set-up does: two would clear and fill the same environment."""
    try:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("make gpu: another one is at work in this folder; waiting for its end", flush=True)
        fcntl.flock(one, fcntl.LOCK_EX)


def _install(name, python):
    tier, lock = TIERS[name], (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    folder, content = ROOT / tier["folder"], f"{name}\n{ROOT}\n{lock}"
    stamp = folder / "installed-from"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == content:
        return print(f"make gpu: {folder.name} already holds {name}")
    own, part = folder / "bin/python", folder / "requirements.txt"
    pip = [own, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-deps"]
    show = f"import {tier['imports']} as module; print('{tier['imports']}', module.__version__)"
    packages = "import sysconfig; print(sysconfig.get_path('purelib'))"
    try:
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        for options, requirements in steps(lock, (ROOT / "requirements/build.txt").read_text(encoding="utf-8")):
            part.write_text("\n".join(requirements), encoding="utf-8")
            subprocess.run([*pip, *options, "-r", part], check=True)
        target = subprocess.run([own, "-c", packages], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        (Path(target) / "onramp.pth").write_text(f"{ROOT}\n", encoding="utf-8")
        subprocess.run([own, "-c", show], check=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    stamp.write_text(content, encoding="utf-8")
    return print(f"make gpu: {folder.name} is ready; next: {tier['folder']}/bin/python -m helpers doctor")


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.setup.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tier", nargs="?", help=f"one of {', '.join(ON_GPU)} (default: chosen by the driver)")
    parser.add_argument("--check", action="store_true", help="say which tier the machine can have, and stop")
    arguments = parser.parse_args(argv)
    try:
        if arguments.tier and arguments.tier not in ON_GPU:
            raise Refused(f"TIER={arguments.tier}", f"one of {', '.join(ON_GPU)}", "make gpu TIER=trt10")
        if (system := f"{platform.system()} {platform.machine()}") != "Linux x86_64":
            raise Refused(system, "Linux on x86-64, for which the locks are made", "on a Jetson: requirements/edge.in")
        gpus = read_gpus()
        name = choose(arguments.tier, gpus)
        print(f"make gpu: {gpus[0][0]}, driver {gpus[0][1]}, compute capability {gpus[0][2]}: {name}", flush=True)
        if not arguments.check:
            install(name, find_python(TIERS[name]["python"]))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(
            f"make gpu: {' '.join(map(str, error.cmd[:4]))} ... failed; its message is above; nothing was left behind",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
