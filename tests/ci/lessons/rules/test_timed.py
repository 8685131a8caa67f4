"""A cell that measures time says so."""

import pytest

from tests.ci.lessons.courses import breaches_of
from tests.ci.lessons.notebooks import code

OWN = 'def once(f):\n    """ms of a call."""\n    return benchmark.latency(f, 0, 1)["p50"]'


def told(folder, *cells):
    def change(notebook):
        notebook.cells[3:3] = cells

    return breaches_of(folder, change)


@pytest.mark.parametrize(
    ("source", "clock"),
    [
        ("found = benchmark.compare(runs)", "compare"),
        ("print([latency(f) for f in runs])", "latency"),
        ("start = time.perf_counter()", "perf_counter"),
        ('print(about["build_seconds"])', "build_seconds"),
        (OWN + "\nonce(print)", "once"),
        ("class A:\n    started = time.monotonic()", "monotonic"),
    ],
)
def test_a_cell_that_measures_is_tagged(tmp_path, source, clock):
    what = f"cell 4: measures time ({clock}): tag it 'timed', and it runs alone"
    assert told(tmp_path / "without", code(source)) == [what]
    assert told(tmp_path / "with", code(source, "timed")) == []


def test_a_function_that_measures_is_a_clock_wherever_it_is_called(tmp_path):
    twice = "def twice(f):\n    return once(f) + once(f)"
    found = told(tmp_path, code(twice), code(OWN), code("twice(print)"))
    assert found == ["cell 6: measures time (twice): tag it 'timed', and it runs alone"]


@pytest.mark.parametrize(
    "source", ["def compare(a, b):\n    return a == b\n\n\ncompare(1, 2)", "ratio = found.compare", "print('latency')"]
)
def test_what_only_sounds_like_a_clock_is_none(tmp_path, source):
    assert told(tmp_path, code(source)) == []
