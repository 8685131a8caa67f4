"""The first cell of a lesson."""

import pytest

from tests.ci.lessons.courses import breaches_of, replaced


@pytest.mark.parametrize(
    ("old", "new", "breach"),
    [
        ("# The first", "The first", "does not begin with a heading"),
        ("**The claim: ", "**Claim: ", "'**Claim: a number can be doubled,', where '**The claim: ...**' is wanted"),
        ("is shown.**", "is shown.", "where '**The claim: ...**' is wanted"),
        ("\n\n| |", "\n\nYou double it.\n\n| |", "the header has 4 parts"),
        ("| |\n", "| one |\n", "where a table that begins with '| | |'"),
        ("| You need |", "| you need |", "the header's rows are you need, Tier, "),
        ("| To read | 25 minutes |\n", "", "(wanted: You need, Tier, To read, "),
        ("`cpu`; the", "CPU; the", "the header's row 'Tier' is 'CPU; the same on `gpu`'"),
        ("25 minutes", "half an hour", "'To read' is 'half an hour' (wanted: '25 minutes')"),
        ("under 2 minutes on two CPU cores", "two minutes", "'To run' is 'two minutes; the same on a GPU'"),
        ("; the same on a GPU", "", "'To run' is 'under 2 minutes on two CPU cores'"),
        (
            "| nothing |",
            "| [a system](systems/bevformer.ipynb) |",
            "'You need' calls a lesson 'a system' (its title: 'BEVFormer')",
        ),
        ("| Previous | none |", "| Previous | |", "'Previous' is '' (in reading order: 'none')"),
        ("[BEVFormer]", "[The system]", "'Next' is '[The system](systems/bevformer.ipynb)'"),
        ("[BEVFormer](systems/bevformer.ipynb)", "none", "'[BEVFormer](systems/bevformer.ipynb)')"),
    ],
)
def test_headers_of_another_form_are_told(tmp_path, old, new, breach):
    assert breach in "\n".join(breaches_of(tmp_path, replaced(0, old, new)))


@pytest.mark.parametrize("needs", ["[BEVFormer](systems/bevformer.ipynb)", "[NumPy](https://numpy.org) and a shell"])
def test_a_lesson_under_its_title_and_other_links_may_be_needed(tmp_path, needs):
    assert breaches_of(tmp_path, replaced(0, "| nothing |", f"| {needs} |")) == []


@pytest.mark.parametrize(
    "run", ["2 to 3 minutes on two CPU cores; 1 minute on a GPU", "40 seconds on two CPU cores; not on a GPU"]
)
def test_times_may_be_ranges_or_seconds(tmp_path, run):
    assert breaches_of(tmp_path, replaced(0, "under 2 minutes on two CPU cores; the same on a GPU", run)) == []
