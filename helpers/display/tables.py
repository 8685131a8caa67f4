"""Tables as HTML that follows the reader's theme, and a progress bar that survives in a static copy."""

import math
import numbers
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from helpers import turns
from helpers.arguments import typed
from helpers.display.pictures import escaped
from helpers.display.told import told

if TYPE_CHECKING:
    from IPython.display import HTML

T = TypeVar("T")
Rows = Sequence[Mapping[str, Any]]
Format = str | Callable[[Any], str]
RULE = "1px solid rgba(128,128,128,0.35)"
GOOD, BAD = "#00664A", "#A33F00"  # white on them can be read on light and on dark pages alike
MARK = "color:#FFFFFF;border-radius:3px;padding:0 5px;"
SHORT, LONG = 12, 40  # letters of a word that stays whole, and of a text that wraps
CELL = f"padding:4px 12px;border:0;border-bottom:{RULE};vertical-align:top;font-variant-numeric:tabular-nums;"


@told
def table(
    rows: Rows | Mapping[str, Any], caption: str | None = None, formats: Mapping[str, Format] | None = None
) -> "HTML":
    """An HTML table of `rows`: a list of dicts (columns in order of first appearance), or one dict of name -> value.

    Numbers are right-aligned, booleans are ✓ or ✗, missing values are –, and a tuple of integers is a shape.
    `formats` maps a column to a format specification (".3f") or to a function of the value. It returns an
    `IPython.display.HTML` with inline styles only and no colors of its own for text and background.
    """
    from IPython.display import HTML

    if isinstance(rows, Mapping):
        rows = [{"name": name, "value": value} for name, value in rows.items()]
    rows = list(rows)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    formats = formats or {}
    right = {column for column in columns if all(_is_number(row.get(column)) for row in rows)}
    cells = [{column: _render(row.get(column), formats.get(column)) for column in columns} for row in rows]
    wide = {column for column in columns if any(len(row[column]) > LONG for row in cells)}
    head = "".join(_cell("th", escaped(column), column in right, column in wide) for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell("td", row[column], column in right) for column in columns) + "</tr>" for row in cells
    )
    title = caption and f'<caption style="{CAPTION}">{escaped(caption)}</caption>'
    empty = "" if rows else f'<tr><td style="{CELL}">nothing to list</td></tr>'
    return HTML(
        f'<table style="{TABLE}">{title or ""}<thead><tr>{head}</tr></thead><tbody>{body}{empty}</tbody></table>'
    )


TABLE = "color:inherit;border-collapse:collapse;margin:8px 0;font-size:0.95em;width:auto;"
CAPTION = "caption-side:top;text-align:left;font-weight:600;padding:0 0 6px 0;color:inherit;"


def _cell(tag, content, right, wide=False):
    weight = "font-weight:600;vertical-align:bottom;border-bottom:2px solid rgba(128,128,128,0.6);" * (tag == "th")
    word = len(content) <= SHORT and " " not in content
    weight += "white-space:nowrap;" * (tag == "td" and (right or word))  # 1.9e-06 and scene-0061 have a place to break
    weight += "min-width:10em;" if wide else ""  # a screen too narrow scrolls; one word in a line is no text
    return f'<{tag} style="{CELL}{weight}text-align:{"right" if right else "left"};">{content}</{tag}>'


def _is_number(value):
    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_))


def _render(value, style):
    if value is None:
        return "–"
    if style is not None:
        return escaped(style(value) if callable(style) else format(value, style))
    if isinstance(value, bool | np.bool_):
        sign, ground = ("✓", GOOD) if value else ("✗", BAD)
        return f'<span style="background:{ground};{MARK}">{sign}</span>'
    if isinstance(value, list | tuple) and value and all(isinstance(v, numbers.Integral) for v in value):
        return "×".join(map(str, value))
    return escaped(number(value) if _is_number(value) else str(value))


def number(value: float) -> str:
    """A number as a reader wants it: 33,521,157; 1,234; 0.3512; 1.2e-05."""
    if isinstance(value, numbers.Integral) or not math.isfinite(value) or value == 0:
        return f"{value:,}" if isinstance(value, numbers.Integral) else f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.4g}"


@typed
def progress(iterable: Iterable[T], description: str = "", total: int | None = None) -> Iterable[T]:
    """Iterate over `iterable` under a progress bar.

    In a notebook the bar is one HTML output, updated in place, whose last state stays in the executed copy. In a
    terminal it is tqdm's; where nobody watches (a log file) nothing is written. Between two items, a lesson that runs
    beside others lets their timed cells pass (helpers.turns).
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if _in_notebook():
        return _notebook_progress(iterable, description, total)
    from tqdm import tqdm

    return tqdm(iterable, desc=description, total=total, disable=None)


def _in_notebook():
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def _notebook_progress(iterable, description, total, interval=0.2):
    from IPython.display import display

    start = shown = time.monotonic()
    done = 0
    handle = display(_bar(description, 0, total, 0.0), display_id=True)
    try:
        for item in iterable:
            yield item
            turns.pause()
            done += 1
            if time.monotonic() - shown >= interval:
                shown = time.monotonic()
                handle.update(_bar(description, done, total, shown - start))
    finally:
        handle.update(_bar(description, done, total, time.monotonic() - start, ended=True))


def _bar(description, done, total, elapsed, ended=False):
    from IPython.display import HTML

    text = f"{done}/{total}" if total else f"{done}"
    if total and 0 < done < total and not ended:
        text += f" · {elapsed:.0f} s, {elapsed / done * (total - done):.0f} s to go"
    else:
        text += f" · {elapsed:.1f} s"
    style = "width:min(240px,40%);vertical-align:middle;accent-color:#0072B2;"
    name = escaped(description or "progress")
    meter = f'<progress aria-label="{name}" max="{total}" value="{done}" style="{style}"></progress>' if total else ""
    return HTML(f"<div>{escaped(description)} {meter} {text}</div>")
