"""`python -m helpers records`: the recorded results as an overview, or whole."""

import dataclasses
import datetime
import difflib
import fnmatch
import itertools
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from helpers import records
from helpers.cli.parser import Parser
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.records import Record

HEADLINES = {  # metric: its column in the overview and its format there
    "gpu_ms_p50": ("GPU ms", ".2f"),
    "latency_ms_p50": ("latency", ".2f"),
    "speedup_over_fp32": ("over FP32", ".2f"),
    "NDS": ("NDS", ".3f"),
    "mAP": ("mAP", ".3f"),
}
RESULTS = ROOT / "results"
SOURCE = ("kind", "device", "date", "commit", "command")
DEVICE_DETAIL = re.compile(r"( Processor)?,.*|( CPU| Processor)? @.*| \d+ ?GB\b.*| \d+-Core\b.*|\((R|TM)\)")


def latest(found: Iterable[Record]) -> list[Record]:
    """The latest record of each name; `found` is in the order of time, as `helpers.records.read_all` returns it."""
    return list({record.name: record for record in found}.values())


def select(found: Sequence[Record], patterns: Iterable[str]) -> list[Record]:
    """The records whose name is, or as a shell pattern matches, one of `patterns`, in the order of these.

    Raises:
        BadInput: no record is meant by one of the patterns.
    """
    names = sorted({record.name for record in found})
    chosen = {}
    for pattern in patterns:
        matches = fnmatch.filter(names, pattern)
        if not matches:
            close = difflib.get_close_matches(pattern, names, 3, 0.4)
            expected = f"one of {close}" if close else "the name of a record, or a shell pattern such as '*fp16*'"
            raise BadInput("records", f"no record {pattern!r}", expected, "python -m helpers records lists the names")
        chosen |= dict.fromkeys(matches)
    return [record for name in chosen for record in found if record.name == name]


def overview(found: Iterable[Record]) -> str:
    """The records as text: a table of those with headline figures, one of the others with their number of metrics.

    Both are sorted by device, within which figures can be compared, then by name and date; dates are UTC.
    """
    found = sorted(found, key=lambda record: (short_device(record.device), record.name))
    occurring = {key for record in found for key in record.metrics}
    columns = {key: column for key, column in HEADLINES.items() if key in occurring}
    figures, others = [], []
    for record in found:
        if columns.keys() & record.metrics.keys():
            cells = {title: _text(record.metrics.get(key, ""), form) for key, (title, form) in columns.items()}
            figures.append(_source(record) | cells)
        else:
            others.append(_source(record) | {"metrics": str(len(record.metrics))})
    return "\n\n".join(_table(rows) for rows in (figures, others) if rows)


def whole(record: Record) -> str:
    """All of a record as text, one field or metric a line."""
    versions = ", ".join(f"{package} {version}" for package, version in record.versions.items())
    fields = {key: getattr(record, key) for key in SOURCE} | {"versions": versions}
    fields |= {f"SHA-256 of {name}": digest for name, digest in record.artifacts.items()}
    metrics = {key: _text(value, ".6g") for key, value in record.metrics.items()}
    width = max(map(len, [*fields, *metrics]))
    lines = [[f"  {key:<{width}}  {value}".rstrip() for key, value in part.items()] for part in (fields, metrics)]
    return "\n".join([record.name, *lines[0], "", *lines[1]])


def short_device(device: str) -> str:
    """A device without driver, memory, clock and number of cores: "NVIDIA H200", "AMD EPYC 7763"."""
    return DEVICE_DETAIL.sub("", device).strip() or device


def _text(value, form):
    return format(value, form) if isinstance(value, float) else str(value)


def _source(record):
    date = datetime.datetime.fromisoformat(record.date).astimezone(datetime.UTC)
    return {"name": record.name, "device": short_device(record.device), "date": f"{date:%Y-%m-%d %H:%M}"}


def _table(rows):
    """Rows with the same keys as text: figures to the right, an empty line before another device."""
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    left = ("name", "device", "date")

    def line(row):
        return "  ".join(f"{row[key]:{'<' if key in left else '>'}{width}}" for key, width in widths.items()).rstrip()

    blocks = [[line({key: key for key in widths}), line({key: "-" * width for key, width in widths.items()})]]
    for _, block in itertools.groupby(rows, key=lambda row: row["device"]):
        blocks.append([line(row) for row in block])
    return "\n".join(blocks[0]) + "\n" + "\n\n".join("\n".join(block) for block in blocks[1:])


def _report(found, shown, patterns):
    """What the command prints of the chosen records."""
    if patterns:
        return "\n\n".join(map(whole, shown))
    if not found:
        return "no records"
    older = len(found) - len(shown)
    note = f"{older} older with --all; " if older else ""
    return (
        f"{overview(shown)}\n\nGPU ms and latency, in ms, are p50; over FP32: over the same runtime's, without plugin\n"
        f"{len(shown)} records; {note}all of one: python -m helpers records NAME"
    )


def main(argv: list[str]) -> int:
    """`python -m helpers records`: print the records of a folder."""
    description = (
        "Print the latest recorded result of each name with its headline figures, or whole records. "
        "GPU ms and latency, in ms: medians; over FP32: speed-up over FP32 in the same run."
    )
    parser = Parser(prog="python -m helpers records", description=description)
    parser.add_argument("names", nargs="*", metavar="NAME", help="names or shell patterns: print all of these records")
    parser.add_argument("--all", action="store_true", help="the older records of a name too")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="folder of the JSON files (default: results)")
    parser.add_argument("--json", action="store_true", help="print JSON instead; without NAME of every record")
    options = parser.parse_args(argv)
    if options.folder != RESULTS and not Path(options.folder).is_dir():
        raise BadInput(options.folder, "no such folder", "a folder of records", "correct --folder")
    found = records.read_all(options.folder)
    every = options.all or (options.json and not options.names)
    shown = found if every else latest(found)
    shown = select(shown, options.names) if options.names else shown
    if options.json:
        json.dump([dataclasses.asdict(record) for record in shown], sys.stdout, indent=2)
        print()
    else:
        print(_report(found, shown, options.names))
    return 0
