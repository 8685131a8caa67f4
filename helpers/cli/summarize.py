"""`python -m helpers summarize`: accuracy and latency of what `run` kept, beside a baseline, in tables and pictures."""

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers import models, records
from helpers.cli import networks
from helpers.cli.parser import Parser
from helpers.cli.run import RECORD
from helpers.errors import BadInput
from helpers.files import as_path, atomic, found_at
from helpers.records import Record

DESCRIPTION = (
    "Score what the command run kept in a folder, and hold accuracy and latency against a baseline: another "
    "such folder that was summarized, or its summary.json. Writes summary.json, summary.md and pictures to the folder."
)
SUMMARY, PAGE = "summary.json", "summary.md"
SAMPLES, DATA = "samples", "data"  # artifacts of a summary: digests of its frames' tokens, in order, and of MiniDrive
LATENCIES = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "latency_ms_mean")


def main(argv: list[str]) -> int:
    """`python -m helpers summarize -i FOLDER [-b BASE]`; prints the table."""
    parser = Parser("python -m helpers summarize", description=DESCRIPTION)
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="FOLDER", help="that `run` wrote")
    parser.add_argument("-b", "--base", type=Path, metavar="BASE", help="a folder with a summary.json, or such a FILE")
    parser.add_argument("--dataroot", type=Path, default="data/minidrive", help="MiniDrive or nuScenes")
    parser.add_argument("--all", action="store_true", help="print every metric, not only those that are told first")
    options = parser.parse_args(argv)
    base = None if options.base is None else records.read(_summary_of(options.base))
    folder = as_path(options.input)
    made = records.read(_file(folder / RECORD, "run it to its end: python -m helpers run"))

    from helpers import evaluate  # the devkit, which --help and the checks above do without
    from helpers.dataset import open_dataset
    from helpers.evaluate.timed import Timed, latencies

    known = evaluate.Store.about(folder)
    if made.artifacts != {known.get("file"): known.get("sha256")}:
        shown, fix = f"figures of {', '.join(made.artifacts) or 'no file'}", "run it again into a new folder"
        raise BadInput(folder / RECORD, shown, f"of the file that {evaluate.store.ABOUT} tells of", fix)
    dataset = open_dataset(options.dataroot, known["version"], known["split"])
    store = evaluate.Store(folder, dataset, {name: known[name] for name in known.keys() - evaluate.Store.OWN})
    if missing := len(store.frames) - store.done():
        fix = "run it to its end: python -m helpers run"
        raise BadInput(folder, f"{missing} of {len(store.frames)} frames without a result", "all of them", fix)
    networks.tell_mixture(store)
    task = Timed(evaluate.task_of(models.config(known["system"], known["config"])), _unused)
    metrics: dict[str, Any] = dict(task.total(store.results(), dataset))
    frames = {SAMPLES: known["tokens"]} | ({DATA: known[DATA]} if DATA in known else {})
    found = dataclasses.replace(made, metrics=metrics, artifacts=made.artifacts | frames)
    _check_base(options.base, base, found)
    if base and base.name != found.name:
        print(f"note: the baseline is {base.name}, and this {found.name}", file=sys.stderr)
    _write(folder / SUMMARY, json.dumps(dataclasses.asdict(found), indent=2, allow_nan=False) + "\n")
    rows = table(found, base)
    first = [row for row in rows if row["metric"] in (*LATENCIES, *task.headlines)]
    drawn = _pictures(folder, first, latencies(store.results()).samples, base)
    _write(folder / PAGE, page(found, rows, base, drawn))
    print(text(rows if options.all else first))
    print(folder / PAGE)
    return 0


def table(found: Record, base: Record | None) -> list[dict]:
    """Rows of metric and value, beside a baseline also base, difference and ratio, latencies first.

    A metric that only one of the two has, or that one says in words, has a row without a ratio.
    """
    names = dict.fromkeys([*found.metrics, *(base.metrics if base else ())])
    rows: list[dict] = [{"metric": name, "value": found.metrics.get(name)} for name in names]
    if base is not None:
        shared = {row["metric"]: row for row in records.compare(base, found)}
        for row in rows:
            text = {"a": base.metrics.get(row["metric"]), "difference": None, "ratio": None}  # or not there
            one = shared.get(row["metric"], text)
            row |= {"base": one["a"], "difference": one["difference"], "ratio": one["ratio"]}
    return sorted(rows, key=lambda row: row["metric"] not in LATENCIES)


def text(rows: list[dict]) -> str:
    """Rows as text, numbers to the right."""
    names = list(rows[0]) if rows else ["metric"]
    cells = [names, *([row["metric"], *(_shown(row[name]) for name in names[1:])] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(names))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in cells
    )


def page(found: Record, rows: list[dict], base: Record | None, pictures: Iterable[str] = ()) -> str:
    """The summary as Markdown: what was run where, every metric, the pictures that were drawn."""
    names = list(rows[0])
    told = [f"{name}: {getattr(found, name)}" for name in ("device", "date", "commit")]
    told += [f"command: `{found.command}`"] + [f"SHA-256 of {name}: {sha}" for name, sha in found.artifacts.items()]
    if base is not None:
        told += [f"baseline: {base.name}, {base.device}, {base.date}, commit {base.commit}"]
        told += ["The devices differ: the latencies say nothing of the networks."] * (base.device != found.device)
    shown = [f"![{name.removesuffix('.png')}]({name})" for name in pictures]
    lines = [f"# {found.name}", "", *(f"- {line}" for line in told), "", *shown, ""]
    lines += ["| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    lines += ["| " + " | ".join([row["metric"], *(_shown(row[name]) for name in names[1:])]) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _shown(value):
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _pictures(folder, rows, times, base):
    from helpers import display

    usual = base.metrics.get(LATENCIES[0]) if base else None
    marks = {"p50 of the baseline": usual} if isinstance(usual, int | float) else {}
    drawn = {"latency.png": display.histogram(times, "Time of a frame", "ms", 40, marks)}
    (folder / "accuracy.png").unlink(missing_ok=True)  # of another baseline
    if known := [row for row in rows if row.get("ratio") is not None]:
        bars = [{"metric": row["metric"], "share of the baseline": row["ratio"]} for row in known]
        left = ", ".join(row["metric"] for row in rows if row not in known)
        title = "Beside the baseline, which is 1" + (f" (not comparable: {left})" if left else "")
        drawn["accuracy.png"] = display.bars(bars, "metric", "share of the baseline", title)
    for name, picture in drawn.items():
        with atomic(folder / name) as part:
            part.write_bytes(picture.data)
    return list(drawn)


def _check_base(path, base, found):
    """BadInput if a baseline is of other frames than what was found."""
    if base is None:
        return
    for part, key in (("artifacts", SAMPLES), ("artifacts", DATA), ("metrics", "frames")):
        one, other = (getattr(record, part).get(key) for record in (base, found))
        if one is not None and other is not None and one != other:
            fix = "summarize a baseline that was run on the same frames"
            raise BadInput(path, f"{key} {one}", f"{key} {other}, as of the run", fix)


def _unused():
    raise RuntimeError("no frame is driven")


def _summary_of(path: Path) -> Path:
    path = as_path(path)
    return _file(path / SUMMARY if path.is_dir() else path, "python -m helpers summarize -i FOLDER makes it")


def _file(path: Path, fix: str) -> Path:
    if not path.is_file():
        raise BadInput(path, found_at(path), "a record of a run", fix)
    return path


def _write(path: Path, content: str) -> None:
    with atomic(path) as part:
        part.write_text(content, encoding="utf-8")
