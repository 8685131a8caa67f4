"""The page for those who run the course: which lessons ran, how long they took, what was proven, what failed."""

import datetime
import os

from helpers.display.pictures import escaped

MARKS = {"passed": "✓", "failed": "✗", "timed out": "✗", "skipped": "–"}


def page(report, titles):
    """Markdown of the page. `titles` maps a notebook to the title of its page, for those that have one."""
    entries = report["notebooks"]
    counts = {status: sum(entry["status"] == status for entry in entries) for status in MARKS}
    counted = ", ".join(f"{n} {status}" for status, n in counts.items() if n or status == "failed")
    date = datetime.datetime.fromisoformat(report["date"]).strftime("%d %B %Y, %H:%M UTC")
    parameters = ", ".join(f"{key} = {value}" for key, value in report["parameters"].items() if key != "RECORDS")
    parts = [
        "# What ran",
        f"This book shows a run of {date} on {report['cores']} cores, which took {report['seconds']:.0f} seconds, with "
        f"<code>{escaped(parameters)}</code>. Of {len(entries)} lessons: **{counted}**.{at_once(report)}",
        "## Lessons",
        table(["lesson", "status", "seconds", "exercises proven"], [row(entry, titles) for entry in entries]),
        *failures(entries),
        *exercises(entries),
    ]
    return "\n\n".join(parts) + "\n"


def at_once(report):
    """What a reader of the times must know where lessons ran side by side; nothing where each ran alone."""
    jobs, threads = report["jobs"], report["threads"]
    if jobs == 1:
        return ""
    each = f"{threads} thread{'s' * (threads != 1)}"
    return (
        f" The lessons ran {jobs} at a time, each on {each}, so their seconds hold waiting. "
        "A cell that measures time ran while no other lesson did."
    )


def table(heads, rows):
    """Rows of HTML cells as a table that scrolls by itself on a narrow screen."""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    inside = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide" tabindex="0"><table class="table">{inside}</table></div>'


def link(entry, titles):
    name = entry["notebook"]
    if name not in titles:
        return escaped(entry.get("title") or name)
    return f'<a href="notebooks/{escaped(os.path.splitext(name)[0])}.html">{escaped(titles[name])}</a>'


def row(entry, titles):
    status = f'<span class="{entry["status"].replace(" ", "-")}">{MARKS[entry["status"]]} {entry["status"]}</span>'
    seconds = "" if entry["status"] == "skipped" else f"{entry['seconds']:.1f}" + " (earlier)" * entry["reused"]
    done = entry["exercises"]
    proven = f"{sum(not each['problem'] for each in done)} of {len(done)}" if done else ""
    return [link(entry, titles), status, seconds, proven]


def failures(entries):
    """What went wrong: a heading and the traceback for each lesson that did not pass."""
    wrong = [entry for entry in entries if entry["status"] != "passed"]
    parts = ["## What went wrong"] if wrong else []
    for entry in wrong:
        error = entry.get("error")
        parts.append(f"### {escaped(entry.get('title') or entry['notebook'])}")
        if not error:
            parts.append(f"<p>{escaped(entry['reason'])}</p>")
            continue
        place = f"In cell {error['cell']}" if "cell" in error else "Before its first cell"
        said = f"{error['name']}: {error['message']}"
        text = "\n".join([*error.get("source", []), "", said, "", *error["traceback"]]).strip()
        parts.append(f"<p>{place}:</p>{block(text)}")
    return parts


def block(text):
    """Text as it stands; blank lines would end the HTML in Markdown."""
    return f'<pre tabindex="0">{escaped(text)}</pre>'.replace("\n", "&#10;")


def exercises(entries):
    """Every wrong answer and what the check said to it, folded, lesson by lesson."""
    proven = [entry for entry in entries if entry["exercises"]]
    if not proven:
        return []
    answers = [answer for entry in proven for each in entry["exercises"] for answer in each.get("wrong", [])]
    refused = sum(not answer["problem"] for answer in answers)
    parts = [
        "## Wrong answers, and what the checks say",
        "In each lesson's own run the check of every exercise first met the empty exercise, then the typical wrong "
        "answers, and at last the solution."
        + f" **{refused} of {len(answers)} wrong answers were refused by name.**"
        * bool(answers),
    ]
    for entry in proven:
        wrong = sum(len(each.get("wrong", [])) for each in entry["exercises"])
        count = f"{len(entry['exercises'])} exercises, {wrong} wrong answers"
        summary = f"<summary>{escaped(entry.get('title') or entry['notebook'])}: {count}</summary>"
        parts.append(f"<details>{summary}{''.join(map(answers_of, entry['exercises']))}</details>")
    return parts


def answers_of(exercise):
    """The title of an exercise, and a table: a row for each wrong answer, and one for what is not as it should be."""
    rows = []
    if exercise["problem"]:
        rows.append(['<span class="failed">✗ not proven</span>', escaped(exercise["problem"])])
    for answer in exercise.get("wrong", []):
        accepted = f'<span class="failed">✗ {escaped(answer["problem"])}</span> ' if answer["problem"] else ""
        rows.append([escaped(answer["mistake"]), accepted + one_line(answer["message"])])
    rows = rows or [["the empty exercise", "refused"]]
    return f"<p><b>{escaped(exercise['title'])}</b></p>{table(['wrong answer', 'what the check says'], rows)}"


def one_line(text):
    return escaped(" ".join(text.split()))
