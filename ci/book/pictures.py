"""Pictures of the executed notebooks as files of their own, each with its size and its alternative text."""

import base64
import hashlib
import html
import re
from pathlib import Path

import imagesize

from helpers.display.pictures import escaped

EMBEDDED = re.compile(r"<img\b[^>]*?\bsrc=\"data:image/(?P<kind>[\w+.-]+);base64,(?P<data>[^\"]+)\"[^>]*>")
ATTRIBUTE = re.compile(r"\b(?P<name>alt|style|width)=\"(?P<value>[^\"]*)\"")
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "svg+xml": ".svg"}


class Pictures:
    """Writes pictures to a folder, one file for the same bytes, and gives the HTML that shows them."""

    def __init__(self, folder, up=""):
        self.folder, self.up = Path(folder), up  # `up` leads from the page to the root of the book

    def element(self, data, kind, alt):
        """The HTML element for the bytes of a picture of the kind png, jpeg or svg+xml; alt as text."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(data).hexdigest()[:16]}{SUFFIXES.get(kind, '.bin')}"
        if not path.exists():
            path.write_bytes(data)
        width, height = imagesize.get(path)
        size = f' width="{width}" height="{height}"' if width > 0 and height > 0 else ""
        source = f"{self.up}{self.folder.name}/{path.name}"
        return f'<img alt="{escaped(alt)}" src="{source}"{size} loading="lazy" decoding="async">'

    def extracted(self, text):
        """The HTML with every picture that it carries as data replaced by one that points to a file."""

        def outside(found):
            named = {each["name"]: html.unescape(each["value"]) for each in ATTRIBUTE.finditer(found[0])}
            return self.element(base64.b64decode(found["data"]), found["kind"], named.get("alt", ""))

        return EMBEDDED.sub(outside, text)

    def of_output(self, data, metadata):
        """The HTML for an output that is a picture; None if it is none."""
        for kind in ("png", "jpeg", "svg+xml"):
            mime = f"image/{kind}"
            if mime in data:
                source = "".join(data[mime])
                content = source.encode() if kind == "svg+xml" else base64.b64decode(source)
                return self.element(content, kind, metadata.get(mime, {}).get("alt", ""))
        return None
