"""Markdown as the rules read it."""

import pytest

from ci.lessons import markdown


def test_prose_has_no_code_formulas_tags_or_headings_and_keeps_places():
    text = (
        "# Head\n\nOne `two` ``thr`ee`` $4$ <b title='five'>six</b>\n\n```python\n# seven\n```\n\n"
        "$$\neight\n$$\n<!-- nine\n-->\n## Ten\n[eleven](twelve.md)"
    )
    found = markdown.prose(text)
    assert found.split() == ["One", "six", "[eleven](twelve.md)"]
    assert len(found) == len(text) and found.index("six") == text.index("six")


def test_words_of_prose_are_counted():
    text = "Two words, [a link](https://example.org/a).\n\n```\nnot these\n```\n$$x$$ <b>it's</b> 1.5"
    assert markdown.words_of(text) == 6


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md) ![c](d.png)", [("a", "b.md"), ("c", "d.png")]),
        ("[a\nb](c.md#d 'e')", []),
        ('[a\nb](c.md#d "e")', [("a\nb", "c.md#d")]),
        ("[`a`](b.md)", [("   ", "b.md")]),
        ("[a](https://e.org/b_(c))", [("a", "https://e.org/b_(c)")]),
        ("[a [b] c](d.md)", [("a [b] c", "d.md")]),
        ("`[a](b.md)` [0:3] and (c)", []),
    ],
)
def test_links_outside_code(text, found):
    assert [(link["text"], link["target"]) for link in markdown.links_of(text)] == found


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Q/DQ", "qdq"),
        ("bird's-eye view", "birds-eye-view"),
        ("`can_bus` and [CAN](x.md)", "can_bus-and-can"),
        ("Exercise 1: double it (easy, 5 minutes)", "exercise-1-double-it-easy-5-minutes"),
    ],
)
def test_anchors_are_those_of_github_and_myst(heading, anchor):
    assert markdown.slug(heading) == anchor


def test_anchors_of_a_page():
    texts = ["# A\n\n## B\n\n```\n# C\n```", "## B ##\n\n<a name='d'></a>\n\n(e-f)=\n### G\n"]
    assert markdown.anchors_of(texts) == {"a", "b", "b-1", "d", "e-f", "g"}
