"""The records of `results/` as the pages need them: the latest of a name, what was measured beside it, a link to it."""

import datetime
import fnmatch
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from helpers import records
from helpers.errors import BadInput

GPU, CPU = "GPU", "CPU"
NO_BREAK = "\N{NO-BREAK SPACE}"  # keeps a figure and its unit, a device and its date in one line
WORDS = ("", "part", "layer", "result", "compared with", "record")  # columns that are aligned to the left


class Recorded:
    """The records of a folder by file name, read once."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.files = {path.name: records.read(path) for path in sorted(self.folder.glob("*.json"))}

    def latest(self, name, on=GPU, at=""):
        """The latest record of `name` taken on a GPU or on a CPU, on the day `at` if one is given; BadInput without."""
        found = [record for record in self.files.values()
                 if record.name == name and _kind(record) == on and record.date.startswith(at)]  # fmt: skip
        if not found:
            when = f" on {at}" if at else ""
            raise BadInput(
                self.folder, f"no record {name!r} taken on a {on}{when}", "one", "measure it: python -m benchmarks"
            )
        return max(found, key=day)

    def fitting(self, pattern, on=GPU):
        """The latest record of every name that fits the shell pattern, in order of names; [] where there is none."""
        names = {record.name for record in self.files.values() if _kind(record) == on}
        return [self.latest(name, on) for name in sorted(fnmatch.filter(names, pattern))]

    def together(self, names, metrics=(), on=GPU):
        """name -> record of the newest run that wrote all of these names with `metrics`; BadInput where none did."""
        wanted, runs = set(names), {}
        for record in self.files.values():
            if record.name in wanted and _kind(record) == on and record.metrics.keys() >= set(metrics):
                runs.setdefault((record.date, record.device, record.commit), {})[record.name] = record
        whole = [found for found in runs.values() if len(found) == len(wanted)]
        if not whole:
            raise BadInput(self.folder, f"no run that wrote all of {', '.join(sorted(wanted))}", "one",
                           "times of two runs are no ratio: measure them in one run")  # fmt: skip
        return max(whole, key=lambda found: day(next(iter(found.values()))))

    def beside(self, record, name):
        """The record of `name` that the same run wrote: same second, device and commit."""
        run = (record.date, record.device, record.commit)
        for other in self.files.values():
            if other.name == name and (other.date, other.device, other.commit) == run:
                return other
        raise BadInput(self.folder, f"no record {name!r} beside {record.name}, {record.date}", "a base of the same run",
                       "times of two runs are no ratio: measure both in one run")  # fmt: skip

    def link(self, record, text="", up="../results"):
        """A Markdown link to the record's file; the text says device and date unless it is given."""
        file = next(name for name, other in self.files.items() if other is record)
        text = text or f"{device(record).removeprefix('NVIDIA ')}, {day(record):%-d %b %Y}"
        return f"[{text.replace(' ', NO_BREAK)}]({up}/{file})"


def _kind(record):
    return GPU if record.device.startswith("NVIDIA") else CPU


def device(record):
    """The device without driver and number of cores: "NVIDIA H200"."""
    return record.device.partition(",")[0]


def day(record):
    return datetime.datetime.fromisoformat(record.date)


def markdown(rows):
    """A Markdown table of dicts with the same keys; all columns but those of words are aligned to the right."""
    columns = list(rows[0])
    align = [":--" if key in WORDS else "--:" for key in columns]
    lines = [columns, align, *([row[key] for key in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def farthest_rows(record, count, link):
    """Rows of the layers of a profile that are farthest from the roofline; [] where the record names none."""
    return [
        {
            "layer": "`" + record.metrics[f"far_{number:02}_layer"][:80].replace("|", "\\|") + "`",
            "ms": figure(record, f"far_{number:02}_ms", 3),
            "the least, ms": figure(record, f"far_{number:02}_least_ms", 3),
            "record": link,
        }
        for number in range(1, count + 1)
        if f"far_{number:02}_layer" in record.metrics
    ]


def farthest(rows):
    """The table of such rows, or a sentence that none is recorded."""
    return markdown(rows) if rows else "Which layers are farthest from it is not recorded: that needs a profile."


def figure(record, metric, digits):
    """A metric of a record with so many decimals, empty if the record has none."""
    value = record.metrics.get(metric)
    return "" if value is None else rounded(value, digits)


def on_gpu(record):
    """Columns of the GPU's times."""
    return {"GPU, ms": figure(record, "gpu_ms_p50", 2), "graph, ms": figure(record, "graph_gpu_ms_p50", 2)}


def rounded(value, digits):
    """A number with so many decimals; halves of the shortest decimal form are rounded up: 0.695 is 0.70."""
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def ratio(value):
    """A ratio with two digits; exactly one is `1`."""
    return "1" if value == 1 else rounded(value, 2)
