"""docs/commands.md: the blocks say what the commands say."""

import pytest

from ci import commands
from helpers.errors import BadInput

HELP = """usage: x [-h]

words - here

options:
  -h, --help       show this
  --long LONG
                   about it
  --short          short
"""


def test_the_page_is_current(capsys):
    assert commands.main(["--check"]) == 0, capsys.readouterr()


def test_every_command_of_helpers_is_in_the_page():
    listed = [line.split()[0] for line in commands.said("python -m helpers --help").splitlines()[2:] if line.strip()]
    page = commands.PAGE.read_text()
    assert "doctor" in listed and len(listed) >= 9
    missing = [name for name in listed if f"<!-- python -m helpers {name} " not in page]
    assert not missing


def test_every_target_is_in_the_help():
    makefile = (commands.ROOT / "Makefile").read_text()
    phony = makefile.partition(".PHONY: ")[2].splitlines()[0].split()
    help_text = commands.said("make help")
    assert all(f"  make {target} " in help_text for target in phony)


def test_options_are_cut_apart_with_their_continuations():
    assert commands.options(HELP) == [
        "  -h, --help       show this",
        "  --long LONG\n                   about it",
        "  --short          short",
    ]


@pytest.fixture
def page(tmp_path, monkeypatch):
    said = {"make help": "targets", "python -m a --help": HELP, "python -m b --help": HELP + "  --more\n"}
    monkeypatch.setattr(commands, "said", said.__getitem__)
    path = tmp_path / "commands.md"
    path.write_text("one\n<!-- make help -->\nold\n<!-- end -->\ntwo\n"
                    "<!-- python -m b --help beyond python -m a --help -->\n<!-- end -->\nthree\n")  # fmt: skip
    return path


def test_blocks_are_filled_and_nothing_else_is_touched(page, capsys):
    assert commands.main(["--check"], page) == 1
    assert "stale (fix: make docs)" in capsys.readouterr().out and "old" in page.read_text()
    assert commands.main([], page) == 0
    assert page.read_text() == (
        "one\n<!-- make help -->\n```text\ntargets\n```\n<!-- end -->\ntwo\n"
        "<!-- python -m b --help beyond python -m a --help -->\n```text\n  --more\n```\n<!-- end -->\nthree\n"
    )
    assert commands.main(["--check"], page) == 0


def test_a_command_that_fails_is_named(tmp_path):
    path = tmp_path / "commands.md"
    path.write_text("<!-- python -m helpers nothing -->\n<!-- end -->\n")
    with pytest.raises(BadInput, match="python -m helpers nothing: exit code 2"):
        commands.main([], path)
