"""The links between the book's pages: each leads to a page, and to a place on it, that is there."""

from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin

from tests.browser.test_pages import FOLDER, PAGES

BASE = "http://book/"
FROM_SCRIPTS = {"#", "#__toc", "#__navigation"}


class Reader(HTMLParser):
    """Collects the links of a page, the files that it loads, and the places to which a link may lead."""

    def __init__(self, text):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.places |= {named[key] for key in ("id", "name") if named.get(key)}
        self.links += [named[key] for key in ("href", "src") if named.get(key) is not None]


def broken(pages, folder):
    """ "page: link" for each link within the book that leads nowhere; `pages` maps a path to a Reader."""
    for path, reader in pages.items():
        for link in reader.links:
            target, anchor = urldefrag(urljoin(BASE + path, link))
            if link in FROM_SCRIPTS or not target.startswith(BASE):
                continue
            there = unquote(target.removeprefix(BASE).partition("?")[0]) or "index.html"
            if there in pages:
                if unquote(anchor) not in pages[there].places:
                    yield f"{path}: {link}"
            elif not (folder / there).is_file():
                yield f"{path}: {link}"


def test_no_link_leads_nowhere(book):
    pages = {path: Reader((FOLDER / path).read_text()) for path in PAGES}
    assert len(pages) > 5 and sum(len(page.links) for page in pages.values()) > 100
    assert list(broken(pages, book)) == []


def test_what_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.css").write_text("")
    text = '<p id="x"></p><a href="#x"></a><a href="#y"></a><a href="b/c.html#x"></a><img src="no.png">'
    text += '<link href="a.css?v=1">'
    inner = '<a href="../a.html#x"></a><a href="../a.html#z"></a><a href="https://example.org/q"></a><a href="#"></a>'
    pages = {"a.html": Reader(text), "b/c.html": Reader(inner)}
    assert list(broken(pages, tmp_path)) == [
        "a.html: #y",
        "a.html: b/c.html#x",
        "a.html: no.png",
        "b/c.html: ../a.html#z",
    ]
