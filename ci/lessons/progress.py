"""What a person sees while notebooks run: one line for each, live on a terminal, now and then in a log."""

import shutil
import sys
import threading
import time

from helpers.errors import printable

LOG_EVERY = 20  # seconds between signs of life in a log


class Progress:
    """Shows the notebooks that run and those that have ended; safe to call from several threads."""

    def __init__(self, total, stream=None):
        self.total, self.ended, self.running, self.last = total, 0, {}, {}
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.lock = threading.RLock()

    def write(self, text):
        encoding = self.stream.encoding or "utf-8"  # that of LC_ALL=C has no blocks for the bar
        self.stream.write(text.encode(encoding, "replace").decode(encoding))
        self.stream.flush()

    def line(self, text):
        """Print a line for good."""
        with self.lock:
            self.write(("\r\x1b[K" if self.live else "") + printable(text) + "\n")

    def tick(self, name, cell, of, seconds):
        """Say how far a notebook is: `cell` of `of` cells after `seconds`."""
        with self.lock:
            bar = "█" * round(12 * cell / max(of, 1))
            self.running[name] = f"{name:<40} {bar:<12} cell {cell:>2}/{of:<2} {seconds:5.0f} s"
            if self.live:
                width = shutil.get_terminal_size().columns - 1
                shown = printable(" | ".join(self.running.values()))
                self.write("\r\x1b[K" + f"  [{self.ended + 1}/{self.total}] {shown}"[:width])
            elif time.monotonic() - self.last.setdefault(name, time.monotonic()) >= LOG_EVERY:
                self.last[name] = time.monotonic()
                self.line(f"  ... {self.running[name]}")

    def finish(self, entry):
        """Print how a notebook ended."""
        with self.lock:
            self.ended += 1
            self.running.pop(entry["notebook"], None)
            proven = sum(exercise["problem"] is None for exercise in entry["exercises"])
            notes = [f"{entry['seconds']:.1f} s"] if entry["seconds"] else []
            notes += [f"{proven}/{len(entry['exercises'])} exercises proven"] if entry["exercises"] else []
            refused = sum(not answer["problem"] for exercise in entry["exercises"] for answer in exercise["wrong"])
            notes += [f"{refused} wrong answers refused"] if refused else []
            notes += ["reused: nothing it depends on has changed"] if entry["reused"] else []
            notes += [entry["reason"]] if entry["reason"] else []
            count = f"[{self.ended}/{self.total}]"
            self.line(f"  {count} {entry['notebook']:<40} {entry['status']:<9} {', '.join(notes)}")


def first_line(text):
    return next((line for line in text.splitlines() if line.strip()), "")


def failure_text(entry):
    """The lines that tell a person what went wrong in a notebook."""
    error = entry.get("error") or {"source": [], "traceback": []}
    place = f", cell {error['cell']}" if "cell" in error else ""
    what = f"{error['name']}: {first_line(error['message'])}" if "name" in error else entry["reason"]
    lines = [f"{entry['status'].upper()}  {entry['notebook']}{place}"]
    lines += [f"    | {line}" for line in error.get("source", [])] + [f"    {what}"]
    return "\n".join(lines + [f"      {line}" for line in error["traceback"]])
