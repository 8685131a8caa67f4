"""Builds the pages that show a run: `<out>/html/` with one page a lesson, and the summary `<out>/index.html`.

Reads `<out>/report.json` and the executed notebooks of ci.lessons.run, the records that the lessons wrote to
`<out>/records/`, and the recorded ones in `results/`.
"""

import argparse
import datetime
import json
import re
import sys
from html import escape
from pathlib import Path

from nbconvert import HTMLExporter

from ci.lessons.tables import metric_tables
from helpers import records
from helpers.errors import BadInput
from helpers.files import ROOT, atomic

MARKS = {"passed": "✓", "failed": "✗", "timed out": "✗", "skipped": "–"}
LESSON_STYLE = """
body { max-width: 1120px; margin: 0 auto !important; }
nav { display: flex; gap: 24px; padding: 12px 0; border-bottom: 1px solid #d9dfe7; font: 14px system-ui, sans-serif; }
nav a { color: #0b5cad; }
.jp-OutputArea-output .highlight pre, .jp-MarkdownOutput .highlight pre {
  font: 13px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
"""
STYLE = Path(__file__).with_name("site.css")


def provenance(record):
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    shown = {"device": record.device, "date": record.date, "commit": record.commit, "versions": versions}
    items = "".join(f"<dt>{key}</dt><dd>{escape(value)}</dd>" for key, value in shown.items())
    return (
        f"<h3>{escape(record.name)}</h3><dl>{items}<dt>command</dt><dd><code>{escape(record.command)}</code></dd></dl>"
    )


def records_section(title, text, folder):
    """The figures of one folder of records, the latest of each name, with where they come from."""
    latest = {record.name: record for record in records.read_all(folder)}
    found = sorted(latest.values(), key=lambda record: record.name)
    html = f'<h2>{title}</h2><p class="soft">{text}</p>'
    if not found:
        return html + "<p>None.</p>"
    sources = "".join(map(provenance, found))
    return html + metric_tables(found) + f"<details><summary>Where these figures come from</summary>{sources}</details>"


def page_of(entry):
    return Path(entry["notebook"]).with_suffix(".html")


def failure(entry):
    """What went wrong in a notebook, as HTML; empty if nothing did."""
    if entry["status"] == "passed":
        return ""
    error = entry.get("error")
    if not error:
        return f"<p>{escape(entry['reason'])}</p>"
    place = f"cell {error['cell']}" if "cell" in error else "before its first cell"
    text = "\n".join([*error.get("source", []), "", f"{error['name']}: {error['message']}", "", *error["traceback"]])
    return f"<details><summary>{escape(error['name'])} in {place}</summary><pre>{escape(text.strip())}</pre></details>"


def lesson_row(entry, has_page):
    status, name, title = entry["status"], entry["notebook"], escape(entry.get("title") or entry["notebook"])
    link = f'<a href="html/{page_of(entry)}">{title}</a>' if has_page else title
    copy = f'<a class="soft" href="notebooks/{name}">{name}</a>' if has_page else f'<span class="soft">{name}</span>'
    mark = f'<span class="status {status.replace(" ", "-")}">{MARKS[status]} {status}</span>'
    done = entry["exercises"]
    proven = f"{sum(not e['problem'] for e in done)} of {len(done)}" if done else ""
    seconds = f"{entry['seconds']:.1f} s" + (" (earlier)" if entry["reused"] else "")
    cells = [f"{link}<br>{copy}{failure(entry)}", mark, seconds if status != "skipped" else "", proven]
    return "<tr>" + "".join(f"<td>{text}</td>" for text in cells) + "</tr>"


def lessons_table(entries, pages):
    heads = ["lesson", "status", "time"] + ["checks proven"] * any(entry["exercises"] for entry in entries)
    head = "".join(f"<th>{name}</th>" for name in heads)
    rows = "".join(lesson_row(entry, entry["notebook"] in pages) for entry in entries)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def summary(report, pages, out):
    """The summary page of a report as HTML."""
    entries = report["notebooks"]
    counts = {status: sum(e["status"] == status for e in entries) for status in MARKS}
    shown = {status: n for status, n in counts.items() if n or status in ("passed", "failed")}
    tally = "".join(f'<li><b class="{s.replace(" ", "-") if n else "soft"}">{n}</b>{s}</li>' for s, n in shown.items())
    date = datetime.datetime.fromisoformat(report["date"]).strftime("%d %B %Y, %H:%M UTC")
    parameters = ", ".join(f"{name} = {value}" for name, value in report["parameters"].items() if name != "RECORDS")
    now = "Written by the lessons while they ran on this machine."
    recorded = "Kept with the project in results/: taken earlier or on another machine, as each one says."
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Onramp: what ran</title><style>{STYLE.read_text()}</style></head><body><main>
<h1>Onramp: what ran</h1>
<p class="soft">{date} · {report["cores"]} cores · {report["seconds"]:.0f} s · {escape(parameters)}</p>
<ul class="tally">{tally}</ul>
<h2>Lessons</h2>
<p class="soft">The name opens the page as executed; the file below it is the executed notebook.</p>
{lessons_table(entries, pages)}
{records_section("Measured in this run", now, out / "records")}
{records_section("Recorded results", recorded, ROOT / "results")}
</main></body></html>
"""


def lesson_page(notebook, entries, index):
    """The executed notebook as a page of its own, pictures included, with links to its neighbors."""
    html, _ = HTMLExporter(embed_images=True).from_filename(notebook)
    up = "../" * (len(Path(entries[index]["notebook"]).parts) - 1)
    around = [("previous", index - 1), ("next", index + 1)]
    links = [f'<a href="{up}../index.html">all lessons</a>']
    links += [f'<a href="{up}{page_of(entries[i])}">{name}</a>' for name, i in around if 0 <= i < len(entries)]
    nav = f"<style>{LESSON_STYLE}</style><nav>{''.join(links)}</nav>"
    html = re.sub(r"(<body[^>]*>)", lambda match: match[1] + nav, html, count=1)
    return re.sub(r'href="(?![a-z]+:)([^"#]+)\.ipynb(["#])', r'href="\1.html\2', html)


def build(out):
    """Write all pages; the path of the summary."""
    path = out / "report.json"
    if not path.is_file():
        raise BadInput(path, "no such file", "the report of a run", "run the lessons first: python -m ci.lessons.run")
    report = json.loads(path.read_text())
    entries = [e for e in report["notebooks"] if (out / "notebooks" / e["notebook"]).is_file()]
    entries = [e for e in entries if e["status"] != "skipped"]
    for index, entry in enumerate(entries):
        notebook = out / "notebooks" / entry["notebook"]
        page = out / "html" / page_of(entry)
        if entry["reused"] and page.exists() and page.stat().st_mtime > notebook.stat().st_mtime:
            continue
        with atomic(page) as part:
            part.write_text(lesson_page(notebook, entries, index))
    with atomic(out / "index.html") as part:
        part.write_text(summary(report, {entry["notebook"] for entry in entries}, out))
    return out / "index.html"


def main(argv=None):
    parser = argparse.ArgumentParser("python -m ci.lessons.site", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the run")
    out = parser.parse_args(argv).out.resolve()
    try:
        index = build(out)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\nSummary              {index}")
    print(f"Lessons as pages     {out / 'html'}")
    print(f"Executed notebooks   {out / 'notebooks'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
