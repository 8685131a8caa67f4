"""How what a library raises becomes a BadInput, and messages that can be printed anywhere."""

import pytest

from helpers.errors import BadInput, foreign, printable, reason


def test_what_a_library_raises_becomes_bad_input_with_its_cause():
    for error in (KeyError("x"), MemoryError(), RuntimeError("\n  first\nsecond"), RecursionError("deep")):
        with pytest.raises(BadInput) as caught, foreign("file", "a whole file", "copy it"):
            raise error
        assert caught.value.__cause__ is error and caught.value.found == reason(error)
        assert (caught.value.where, caught.value.expected, caught.value.fix) == ("file", "a whole file", "copy it")


def test_bad_input_an_absent_package_and_an_interruption_stay_what_they_are():
    for error in (BadInput("a", "b", "c", "d"), ModuleNotFoundError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, foreign("file", "a whole file", "copy it"):
            raise error
        assert caught.value is error


def test_a_reason_is_one_line_and_never_empty():
    told = reason(RuntimeError("\n  for the indices \n\n index: 0 Got: 3 Expected: 4\n"))
    assert told == "RuntimeError: for the indices index: 0 Got: 3 Expected: 4"
    long = reason(RuntimeError("so it " * 100))
    assert len(long) <= 300 + len("RuntimeError: ") and long.endswith(" ...") and "\n" not in long
    assert reason(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("onnx, Straße, 日本, ✓, 👩‍🔧", "onnx, Straße, 日本, ✓, 👩‍🔧"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("gnp.\u202eexe \u2066a\u2069", r"gnp.\u202eexe \u2066a\u2069"),
        ("over\rwritten\b\x00\x7f\x9b", r"over\rwritten\x08\x00\x7f\x9b"),
        (b"\xff.onnx".decode("utf-8", "surrogateescape"), r"\udcff.onnx"),
        ("two\nlines\tand\u2028more", "two\nlines\tand\\u2028more"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown


def test_a_cell_of_a_table_is_one_line():
    assert printable("a\nb\tc", keep="") == r"a\nb\tc" and printable(7) == "7"


def test_the_message_is_clean_and_its_parts_are_what_was_given():
    error = BadInput("\x1b]0;title\x07.onnx", "\u202efound", "a name", "rename it\nor copy it")
    first, second, *_, last = str(error).splitlines()
    assert (first, second, last) == (r"\x1b]0;title\x07.onnx", r"  found:    \u202efound", "or copy it")
    assert error.where == "\x1b]0;title\x07.onnx"


@pytest.mark.parametrize("found", ["", " ", "\n"])
def test_nothing_that_was_found_can_be_seen(found):
    assert f"\n  found:    {found!r}\n" in str(BadInput("--memPoolSize", found, "workspace:MiB", "correct it"))
