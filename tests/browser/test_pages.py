"""Every page of the book in a browser: at three widths, light and dark, read by axe-core; what moves and folds."""

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from ci import test
from tests.browser.watched import load_axe, settle, thin_out, thin_out_colors, violations, watched

WIDTHS = (390, 800, 1280)
FOLDER = Path(os.environ.get("BOOK", test.OUT / "book"))
PAGES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.html") if "_static" not in path.parts)
SCREEN = {"width": 1280, "height": 900}
OF_HEADINGS = """[...document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6)')]
  .filter(h => h.getClientRects().length).map(h => +h.tagName[1])"""
WITHOUT_TEXT = "[...document.images].filter(i => !(i.alt || '').trim()).map(i => i.outerHTML.slice(0, 200))"
UNLOADED = "[...document.images].filter(i => i.complete && i.src && !i.naturalWidth).map(i => i.src.slice(0, 200))"
TOO_WIDE = """(() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > room + 1);
  return ['the page', ...wide.map(e => e.outerHTML.slice(0, 120))];
})()"""
THEME = "theme => { document.documentElement.dataset.mode = theme; document.documentElement.dataset.theme = theme; }"
OPEN = "document.querySelectorAll('details').forEach(each => each.open = true)"


@pytest.mark.parametrize("path", PAGES)
def test_page(chromium, site, path):
    with watched(chromium, site, viewport=SCREEN, reduced_motion="reduce") as (page, noted):
        page.goto(site + path)
        page.evaluate(OPEN)
        assert page.title().strip()
        assert page.evaluate(WITHOUT_TEXT) == []
        headings = page.evaluate(OF_HEADINGS)
        assert headings[:1] == [1] and headings.count(1) == 1
        assert [pair for pair in pairwise(headings) if pair[1] > pair[0] + 1] == []
        for width in WIDTHS:
            page.set_viewport_size(SCREEN | {"width": width})
            assert page.evaluate(TOO_WIDE) == [], f"wider than a screen of {width} pixels"
        assert page.evaluate(UNLOADED) == []
        load_axe(page)
        thin_out(page)
        settle(page)
        assert violations(page, colors=False) == []
        thin_out_colors(page)
        assert violations(page, colors=True) == []
        page.evaluate(THEME, "dark")
        assert violations(page, colors=True) == []
        page.set_viewport_size(SCREEN | {"width": WIDTHS[0]})
        assert violations(page, colors=True) == []
        assert noted == []


def test_search_finds_a_term(chromium, site):
    with watched(chromium, site, viewport=SCREEN) as (page, noted):
        page.goto(f"{site}search.html?q=calibration")
        page.locator("#search-results li a").nth(1).wait_for()  # they come one after the other
        assert noted == []


def test_the_theme_turns_dark_and_stays_so(chromium, site):
    with watched(chromium, site, viewport=SCREEN, color_scheme="light") as (page, _):
        page.goto(f"{site}index.html")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.locator(".theme-switch-button:visible").click()
        page.locator(".theme-change-button[data-mode=dark]:visible").click()
        page.goto(f"{site}results.html")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark" and page.evaluate(ground) != light


def test_a_slider_moves_its_picture_without_a_kernel(chromium, site):
    path = next(path for path in PAGES if "onramp-slider" in (FOLDER / path).read_text())
    with watched(chromium, site, viewport=SCREEN) as (page, noted):
        page.goto(site + path)
        slider = page.locator(".onramp-slider").first
        before = slider.locator("[data-page]:visible img").get_attribute("src")
        knob = slider.locator("input")
        knob.press("ArrowRight" if knob.input_value() == "0" else "ArrowLeft")
        assert slider.locator("[data-page]:visible").count() == 1
        assert slider.locator("[data-page]:visible img").get_attribute("src") != before
        assert noted == []


def test_solutions_and_hints_are_folded_until_they_are_opened(chromium, site):
    path = next(path for path in PAGES if 'details class="solution"' in (FOLDER / path).read_text())
    with watched(chromium, site, viewport=SCREEN) as (page, _):
        page.goto(site + path)
        solution = page.locator("details.solution").first
        assert not solution.locator("pre").first.is_visible()
        solution.locator("summary").click()
        assert solution.locator("pre").first.is_visible()
        assert page.locator("details[open]").count() == 1


def test_the_book_opens_as_files_too(chromium, book):
    with watched(chromium, "file://", viewport=SCREEN) as (page, noted):
        page.goto((book.parent / "index.html").as_uri())
        page.wait_for_url(re.compile("book/index.html$"))
        page.locator("a.lesson-card").first.click()
        page.wait_for_url(re.compile("notebooks/"))
        assert page.locator("article h1").count() == 1 and noted == []
