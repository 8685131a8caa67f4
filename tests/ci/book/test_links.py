"""Links of the book: between pages they stay, to a record they lead to its place, to other files they become words."""

import pytest

from ci.book.links import Pages, record_label, rewritten

PAGES = Pages(
    frozenset({"notebooks/00_a.ipynb", "notebooks/glossary.md", "docs/data.md", "docs/results.md"}),
    frozenset({"speed-20261121T101657Z.json"}),
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a](../notebooks/00_a.ipynb#one-two)", "[a](../notebooks/00_a.ipynb#one-two)"),
        ("[data](data.md), [here](#below)", "[data](data.md), [here](#below)"),
        ("[site](https://example.org/x.md)", "[site](https://example.org/x.md)"),
        ("[H200](../results/speed-20261121T101657Z.json)", "[H200](#record-speed-20261121t101657z)"),
        ("[results/](../results)", "[results/](../records.md)"),
        ("[the course](../README.md)", "[the course](../index.md)"),
        ("[the table](../requirements/tiers.toml)", "the table (`requirements/tiers.toml`)"),
        ("[requirements/tiers.toml](../requirements/tiers.toml)", "requirements/tiers.toml"),
        ("[lost](../results/other.json)", "lost (`results/other.json`)"),
        ("`[code](../helpers/x.py)`", "`[code](../helpers/x.py)`"),
        ("[`t r`](data.md), [`x`](../x.py)", "[`t r`](data.md), `x` (`x.py`)"),
        ("[a](../x.py) and [b](data.md)", "a (`x.py`) and [b](data.md)"),
    ],
)
def test_links_of_a_page_of_docs(before, after):
    assert rewritten(before, "docs/results.md", PAGES) == after


def test_links_are_read_from_where_the_page_stands():
    assert rewritten("[d](docs/data.md)", "results.md", PAGES) == "[d](docs/data.md)"
    assert rewritten("[d](../../docs/data.md)", "notebooks/systems/b.ipynb", PAGES) == "[d](../../docs/data.md)"
    assert rewritten("[r](../../results)", "notebooks/systems/b.ipynb", PAGES) == "[r](../../records.md)"


def test_a_label_is_one_that_sphinx_leaves_as_it_is():
    assert record_label("results/bevformer-mini_a.b-20261121T1Z.json") == "record-bevformer-mini-a-b-20261121t1z"
