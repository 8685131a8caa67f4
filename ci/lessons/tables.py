"""The figures of records as HTML tables: accuracy, latency and the rest."""

import re
from html import escape

SPEED = re.compile(r"latency|_ms\b|_ms_|fps|speed|ratio|seconds|TTFT|TPOT")
ACCURACY = re.compile(r"NDS|mAP|mA[TSOVA]E|mIoU|(^|_)L2|collision|error|parity")
PART = re.compile(r"/|^top_\d")  # one of many classes, layer types or layers
STATISTICS = ("p90", "p99", "mean", "min", "n")  # beside p50, as helpers.benchmark.Timing names them


def cell(value, tag="td"):
    number = isinstance(value, (int, float)) or tag == "th-number"
    text = f"{value:,.4g}" if isinstance(value, float) else re.sub("[_/]", r"\g<0><wbr>", escape(str(value)))
    name = tag.partition("-")[0]
    return f'<{name} class="number">{text}</{name}>' if number else f"<{name}>{text}</{name}>"


def table(rows):
    """An HTML table of a list of dicts with the same keys; columns of numbers are aligned to the right."""
    numeric = {key for key in rows[0] if any(isinstance(row[key], (int, float)) for row in rows)}
    head = "".join(cell(key, "th-number" if key in numeric else "th") for key in rows[0])
    body = "".join(f"<tr>{''.join(map(cell, row.values()))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def group_of(metric):
    """The table that a metric belongs to; one of many parts (`AP/car`, `top_01_ms`) is in none of the first two."""
    if PART.search(metric):
        return "Other figures"
    if SPEED.search(metric):
        return "Latency"
    return "Accuracy" if ACCURACY.search(metric) else "Other figures"


def wide_rows(found, metrics):
    """A row for each record, a column for each metric: for the few that many records share."""
    return [{"run": r.name, **{m: r.metrics.get(m, "") for m in metrics}, "device": r.device} for r in found]


def long_rows(found, metrics):
    """A row for each figure; those of one distribution (`gpu_ms_p50`, `gpu_ms_p99`) share theirs.

    Run and device stand in the first row of a record; a statistic that no figure has gets no column.
    """
    rows = []
    for record in found:
        figures = {}
        for metric in (m for m in metrics if m in record.metrics):
            name, _, key = metric.rpartition("_")
            if not (key == "p50" or (key in STATISTICS and f"{name}_p50" in record.metrics)):
                name, key = metric, "p50"
            figures.setdefault(name, {})[key] = record.metrics[metric]
        labels = [(record.name, record.device)] + [("", "")] * (len(figures) - 1)
        rows += [(*label, *figure) for label, figure in zip(labels, figures.items(), strict=True)]
    shown = [key for key in STATISTICS if any(key in values for *_, values in rows)]
    return [
        {"run": run, "figure": name, "value or p50": values.get("p50", "")}
        | {key: values.get(key, "") for key in shown}
        | {"device": device}
        for run, device, name, values in rows
    ]


def metric_tables(found):
    """Accuracy, latency and other figures of a list of records, a table each."""
    html = []
    for group in ("Accuracy", "Latency", "Other figures"):
        metrics = list(dict.fromkeys(m for record in found for m in record.metrics if group_of(m) == group))
        chosen = [record for record in found if set(metrics) & set(record.metrics)]
        rows = (wide_rows if group == "Accuracy" else long_rows)(chosen, metrics)
        if rows and group == "Other figures":
            html.append(f"<details><summary>{group}</summary>{table(rows)}</details>")
        elif rows:
            html.append(f"<h3>{group}</h3>{table(rows)}")
    return "".join(html)
