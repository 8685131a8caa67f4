"""Why the tiers cannot share one environment, in the resolver's own words.

    python -m ci.setup.conflicts             # print what requirements/conflicts.toml has recorded
    python -m ci.setup.conflicts --live      # ask the resolver again (uv, the network); fails if it decides otherwise
    python -m ci.setup.conflicts --record    # the same, and write down its words

Needs only the standard library; `pip install uv` for the live forms.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import textwrap
import tomllib

from helpers.files import ROOT, atomic

RECORD = ROOT / "requirements/conflicts.toml"
COMMAND = "uv pip compile --quiet --no-header --no-annotate --config-file requirements/stubs.toml"
COMMAND += " --python-platform x86_64-manylinux_2_35 --python-version"


def recorded():
    """The record: keys resolver, command, date, and conflict, a list of dictionaries."""
    return tomllib.loads(RECORD.read_text(encoding="utf-8"))


def words(stdout, stderr):
    """What the resolver said: its reasons, or the TensorRT pins of its solution."""
    if stdout:
        return "\n".join(line for line in stdout.splitlines() if line.startswith("tensorrt"))
    reasons = stderr.partition("cause:")[2].partition("hint:")[0].splitlines()
    return "\n".join(line.strip() for line in reasons if line.strip())


def ask(conflict, uv):
    """(whether it resolves, the resolver's words) for one conflict, now."""
    command = [uv, *COMMAND.split()[1:], conflict["python"], "-"]
    text = "\n".join(conflict["requires"])
    result = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True)
    if result.returncode and "No solution found" not in result.stderr:
        raise RuntimeError(f"uv did not come to a decision:\n{result.stderr.strip()}")
    return result.returncode == 0, words(result.stdout, result.stderr)


def show(conflict):
    print(f"\n{conflict['name']} (Python {conflict['python']}): {', '.join(conflict['requires'])}")
    print(textwrap.indent(conflict["words"], "    | "))
    print(f"    {'resolves' if conflict['resolves'] else 'refused'}: {conflict['why']}")


def write(conflicts, resolver):
    """Replace the record by `conflicts`, with the resolver's version, the command and today's date."""
    head = {"resolver": resolver, "command": f"{COMMAND} PYTHON -", "date": str(datetime.date.today())}
    lines = ["# Requirements that cannot share an environment; made by ci.setup.conflicts --record."]
    lines += [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    for conflict in conflicts:
        lines += ["", "[[conflict]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in conflict.items() if key != "words"]
        lines.append(f"words = '''\n{conflict['words']}'''")
    with atomic(RECORD) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(argv=None):
    parser = argparse.ArgumentParser(
        "python -m ci.setup.conflicts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--live", action="store_true", help="ask the resolver again")
    parser.add_argument("--record", action="store_true", help="ask again and write the answers down")
    parser.add_argument("--uv", default="uv", help="the uv program, if it is not on PATH")
    arguments = parser.parse_args(argv)
    record, changed = recorded(), []
    if arguments.live or arguments.record:
        if not shutil.which(arguments.uv):
            print("the resolver uv was not found; fix: pip install uv", file=sys.stderr)
            return 2
        for conflict in record["conflict"]:
            resolves, conflict["words"] = ask(conflict, arguments.uv)
            if resolves != conflict["resolves"]:
                changed.append(conflict["name"])
                conflict["resolves"] = resolves
        record["date"] = str(datetime.date.today())
    if arguments.record:
        version = subprocess.run([arguments.uv, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
        record["resolver"] = " ".join(version.split()[:2])
        write(record["conflict"], record["resolver"])
    print(f"resolver: {record.get('resolver', arguments.uv)}, {record.get('date')}")
    for conflict in record["conflict"]:
        show(conflict)
    if changed:
        print(f"\nthe resolver now decides otherwise: {', '.join(changed)}", file=sys.stderr)
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
