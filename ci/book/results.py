"""The pages of figures: the tables that people ask for, and all records with where they come from."""

import json

from ci.book.links import record_label
from ci.results.pages import chosen
from ci.results.recorded import Recorded
from ci.results.tables import mini, on_cpu, published
from helpers import records
from helpers.display.pictures import escaped
from helpers.files import ROOT

INTRODUCTION = """# Results

Recorded, not promised: each row is one engine or file, and its last column leads to the record with device, versions,
command, commit and date. Times are compared only within one run on one machine. [All recorded figures](docs/results.md)
has the rest, with the comparisons that flatter less.

## At a glance

{chosen}

The times are of random weights at the published size; the accuracy is of the mini, trained on synthetic data.

## How fast: BEVFormer-tiny on an H200

Milliseconds for one frame on the GPU, median. "Graph" is the same work replayed as a CUDA graph, "A40" what NVIDIA
published for that card.

{published}

## What precision costs: the trained mini on an H200

{mini}

## Without a GPU: the mini on two CPU cores

{on_cpu}
"""
COLUMNS = {"NDS": ("NDS",), "mAP": ("mAP",), "latency, ms": ("latency_ms_p50", "cpu_ms_p50", "ms_p50")}


def page(measured, root=ROOT):
    """Markdown of the results; `measured` maps a file name to a Record that this run wrote."""
    recorded = Recorded(root / "results")
    tables = {"chosen": chosen(recorded)} | {t.__name__: t(recorded) for t in (published, mini, on_cpu)}
    text = INTRODUCTION.format(**tables).replace("](../results/", "](results/")
    return text + "\n" + here(measured)


def here(measured):
    """What the lessons measured in this run: a row for each record with a figure of accuracy or time."""
    rows = []
    for file, record in sorted(measured.items()):
        found = [
            next((record.metrics[key] for key in keys if key in record.metrics), None) for keys in COLUMNS.values()
        ]
        if any(value is not None for value in found):
            cells = ["" if value is None else f"{value:.3g}" for value in found]
            rows.append(f"| [{record.name}](#{record_label(file)}) | " + " | ".join(cells) + " |")
    if not rows:
        return ""
    head = f"| | {' | '.join(COLUMNS)} |\n|:--|{'--:|' * len(COLUMNS)}"
    text = "Written by the lessons while they ran for this book, with few frames if they ran in FAST mode."
    return "\n\n".join(["## Measured for this book", text, "\n".join([head, *rows])]) + "\n"


def records_page(measured, recorded):
    """Markdown of all records, each with a label to link to; both arguments map a file name to a Record."""
    parts = [
        "---\ntocdepth: 2\n---\n# Records\n\nWhere every figure comes from: the device, the versions, the command and "
        "the commit of each run. `python -m helpers records` prints them in a shell."
    ]
    for title, found in (("Measured for this book", measured), ("Kept with the project", recorded)):
        if found:
            parts.append(f"## {title}")
            parts += [section(file, record) for file, record in sorted(found.items())]
    return "\n\n".join(parts) + "\n"


def section(file, record):
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    facts = {"device": record.device, "date": record.date, "versions": versions, "commit": record.commit}
    items = "".join(f"<dt>{name}</dt><dd>{escaped(text)}</dd>" for name, text in facts.items())
    items += f"<dt>command</dt><dd><code>{escaped(record.command)}</code></dd>"
    figures = escaped(json.dumps(record.metrics, indent=1)).replace("\n", "&#10;")
    folded = f'<details><summary>{len(record.metrics)} figures</summary><pre tabindex="0">{figures}</pre></details>'
    heading = f"({record_label(file)})=\n### {record.name}, {record.date[:10]}"
    return f'{heading}\n\n<dl class="facts">{items}</dl>{folded}'


def read(folder):
    """dict of file name to Record."""
    return {path.name: records.read(path) for path in sorted(folder.glob("*.json"))} if folder.is_dir() else {}
