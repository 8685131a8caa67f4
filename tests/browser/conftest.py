"""A browser, and the book of the last run of the lessons in FAST mode, served on loopback."""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest

from ci import browser as finder
from ci import test


@pytest.fixture(scope="session")
def chromium():
    """The browser; its tests are skipped where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make tools)")
    path = finder.find()
    if path is None:
        pytest.skip(finder.ABSENT)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="session")
def book():
    """The folder of the book."""
    folder = Path(os.environ.get("BOOK", test.OUT / "book"))
    if not (folder / "index.html").is_file():
        pytest.skip(f"there is no book in {folder} (make notebooks)")
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="session")
def site(book):
    """The address of the served book, with a slash at its end."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=book))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
