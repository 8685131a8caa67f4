"""A picture that says in words what it shows: for those who hear a page, and where the picture is not loaded."""

import base64
import html
from collections import Counter
from collections.abc import Iterable
from typing import Any

from IPython.display import Image

from helpers.errors import printable

MOST = 12  # parts of a picture that its text lists


class Picture(Image):
    """An `IPython.display.Image` that a notebook holds as HTML: JupyterLab gives others no alternative text."""

    _repr_png_ = _repr_jpeg_ = None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        return {"text/html": tag(self), "text/plain": repr(self)}, {}

    def __repr__(self) -> str:
        return printable(f"Picture: {self.alt}")


def escaped(text: object) -> str:
    """`text` for a page: its markup and its control characters are shown, not obeyed."""
    return html.escape(printable(text))


def tag(image: Image, alt: str | None = None) -> str:
    """The picture as an HTML element that carries its bytes; `alt` in place of a text that the picture lacks."""
    text = escaped(image.alt or alt or "")
    data = base64.b64encode(image.data).decode()
    return f'<img alt="{text}" src="data:image/{image.format};base64,{data}" style="max-width:100%;height:auto">'


def listed(parts: Iterable[str], most: int = MOST) -> str:
    """The parts as one text; of many the first, and how many more there are."""
    parts = list(parts)
    return "; ".join(parts[:most]) + (f"; and {len(parts) - most} more" if len(parts) > most else "")


def tally(names: Iterable[str]) -> str:
    """How often each name occurs, the most frequent first: " (20 car, 3 traffic cone)"; empty if there is no name."""
    counts = Counter(str(name).replace("_", " ") for name in names)
    parts = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    return f" ({parts})" if parts else ""


def sentence(title: str | None, text: str) -> str:
    """The title of a picture and what it shows."""
    return f"{title.rstrip('.')}. {text}" if title else text
