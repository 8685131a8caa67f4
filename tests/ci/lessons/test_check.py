"""The rules that every lesson keeps."""

import pytest
from nbformat.v4 import new_markdown_cell

from ci.lessons import check
from tests.ci.lessons.notebooks import SOLUTION, code, exercise, lesson


@pytest.mark.parametrize(
    ("cells", "breach"),
    [
        ([code("1"), new_markdown_cell("word " * 1801)], "words of prose"),
        ([code("\n".join(f"x = {i}" for i in range(26)))], "26 lines of code"),
        ([code("x = 1", "parameters")], "2 cells tagged 'parameters'"),
        ([code("%pip install torch")], "installs packages"),
        ([code("1 / 0", "raises-exception")], "raises-exception"),
        ([code(SOLUTION)], "markers but no tag"),
        ([code("x = 1", "exercise")], "the tag but no markers"),
        ([exercise()[1], code("1")], "no check after the exercise"),
        ([new_markdown_cell("## Exercise 1"), *exercise()[1:]], "the heading 'Exercise 1' is not"),
    ],
)
def test_rules_of_lessons_catch(cells, breach):
    assert breach in "\n".join(check.breaches(lesson(*cells)))


def test_a_lesson_that_keeps_the_rules_has_no_breach():
    cells = [new_markdown_cell("some plain words here " * 8) for _ in range(40)]
    assert list(check.breaches(lesson(*cells, *exercise()))) == []
    with_output = lesson(*cells, *exercise(), code("1"))
    with_output.cells[-1].execution_count = 4
    assert len(list(check.breaches(with_output))) == 1
