"""Fills docs/commands.md with what the commands say of themselves.

    python -m ci.commands            # write it (make docs)
    python -m ci.commands --check    # exit with 1 if a command says something else by now

A block of the page names its command in the comment that opens it, `<!-- make help -->` or
`<!-- python -m helpers graph --help -->`; `beyond COMMAND` leaves out the options that COMMAND has too. The next
`<!-- end -->` closes it.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from helpers import processes
from helpers.errors import BadInput
from helpers.files import ROOT, atomic

PAGE = ROOT / "docs/commands.md"
BLOCK = re.compile(r"<!-- ((?:make|python -m) [^>]*?)(?: beyond ([^>]*?))? -->\n.*?<!-- end -->", re.DOTALL)
WIDTH = "100"


def said(command):
    """What a command prints, `python` being this one; BadInput if it fails."""
    words = shlex.split(command)
    words = [sys.executable, *words[1:]] if words[0] == "python" else [words[0], "-s", *words[1:]]
    environment = os.environ | {"COLUMNS": WIDTH, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BadInput(PAGE, f"{command}: exit code {done.returncode}\n{done.stderr}", "a command that works",
                       "correct the command in the page") from None  # fmt: skip
    return done.stdout.rstrip()


def options(help_text):
    """The entries of a help's list of options, each with its continuation lines."""
    return re.findall(r"^  -.*(?:\n {4,}.*)*", help_text.partition("\noptions:\n")[2], re.MULTILINE)


def block(match, texts):
    """The block of one comment, filled; `texts` is a dict of command to what it says."""
    command, base = match.groups()
    text = texts[command]
    if base:
        known = options(texts[base])
        text = "\n".join(entry for entry in options(text) if entry not in known)
    return f"{match[0].partition(chr(10))[0]}\n```text\n{text}\n```\n<!-- end -->"


def filled(page):
    """The page with every block filled."""
    commands = list(dict.fromkeys(name for match in BLOCK.finditer(page) for name in match.groups() if name))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts = dict(zip(commands, pool.map(said, commands), strict=True))
    return BLOCK.sub(lambda match: block(match, texts), page)


def main(argv=None, path=PAGE):
    parser = argparse.ArgumentParser(
        "python -m ci.commands", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing, say whether it is stale")
    check = parser.parse_args(argv).check
    before = path.read_text(encoding="utf-8")
    after = filled(before)
    if after == before:
        print(f"{path.name} says what the commands say")
        return 0
    if not check:
        with atomic(path) as part:
            part.write_text(after, encoding="utf-8")
    print(f"{path.name}: " + ("stale (fix: make docs)" if check else "written"))
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(processes.program(main))
