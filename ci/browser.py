"""Finds the browser that the tests of the book and of JupyterLab drive."""

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ABSENT = f"none of {', '.join(NAMES)} was found (fix: apt install chromium, or CHROMIUM=/path/to/it)"


def find():
    """The path of Chromium or Chrome: what CHROMIUM names, or the first on the PATH; None if there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CHROMIUM", ""), *NAMES))), None)
