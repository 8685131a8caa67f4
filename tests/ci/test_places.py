"""The places where the tree is tried: what stands there, how it is run, and what counts as wrong."""

import ast
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ci import places
from helpers.files import ROOT

NOTHING = {
    "commit": places.COMMANDS["commit"],
    "shows": ["-c", "import os, sys; print(os.getcwd(), os.umask(0o022), os.getuid(), sys.stdout.encoding)"],
}


@pytest.fixture
def small(monkeypatch):
    """Trees of a few files and commands of nothing, so that only the places themselves take time."""
    kept = [name for name in places.files() if name.startswith("helpers/") and name.count("/") == 1]
    monkeypatch.setattr(places, "files", lambda: kept)
    monkeypatch.setattr(places, "COMMANDS", NOTHING)
    monkeypatch.setattr(places, "NO_GIT", {})
    monkeypatch.setattr(places, "SCENE", ["-c", ""])
    monkeypatch.setattr(places, "renamed", places.plain)


def test_the_tree_is_all_that_git_knows_and_nothing_that_was_built():
    files = places.files()
    assert {"Makefile", "data_scripts/make_minidrive.py", "notebooks/00_start_here.ipynb", ".ci/run"} <= set(files)
    assert not [name for name in files if name.startswith((".venv", "data/", "build/", ".git/")) or ".pyc" in name]
    assert (ROOT / "ci/places.py").is_file()


def test_every_place_of_the_list_is_tried(tmp_path):
    named = {
        "spaces, letters",
        "no git",
        "tarball",
        "renamed, copied",
        "read-only HOME",
        "LANG=C",
        "umask 077",
        "second user",
    }
    there = places.places(tmp_path)
    assert named <= there.keys() and there["no git"].environment["PATH"] == str(tmp_path / "programs")
    assert not (tmp_path / "programs/git").exists() and (tmp_path / "programs/make").exists()
    assert there["umask 077"].options == {"umask": 0o077} and there["LANG=C"].environment["LC_ALL"] == "C"
    assert there["set-up"].commands == places.SET_UP and there["plain"].commands == places.COMMANDS


def test_places_differ_as_they_should_and_the_commit_is_known_in_a_repository_of_one_s_own_only(small, capsys):
    names = ["plain", "spaces", "tarball", "in another", "umask", "ASCII"]
    assert places.main(names) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(names) and all(line.endswith("ok: commit, shows") for line in said)


def test_a_place_where_something_is_wrong_is_named_with_what_was_said(small, monkeypatch, capsys):
    monkeypatch.setattr(
        places, "COMMANDS", {"good": ["-c", ""], "bad": ["-c", "print('because'); raise SystemExit(3)"]}
    )
    assert places.main(["tarball"]) == 1
    said = capsys.readouterr().out
    assert "tarball               FAILED: bad\n" in said and "tarball, bad: exit code 3\n    because" in said
    nap = f"sleep {100_000_000 + os.getpid()}"  # no other process is called like this
    slow = ["-c", f"import os, time; os.system('{nap} &'); time.sleep(1000)"]
    monkeypatch.setattr(places, "COMMANDS", {"good": ["-c", ""], "slow": slow})
    with monkeypatch.context() as short:
        short.setattr(places, "LONGEST", "1")
        assert places.main(["tarball"]) == 1
    assert "tarball, slow: exit code 124" in capsys.readouterr().out
    assert nap not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
    assert places.main(["nowhere"]) == 1
    assert places.main(["tarball", "--commands", "good"]) == 0
    assert capsys.readouterr().out == "tarball               ok: good\n"


@pytest.mark.parametrize(
    ("command", "code", "output", "wrong"),
    [
        ("data", 0, "fine", False),
        ("data", 2, "fine", True),
        ("data", 0, "Traceback (most recent call last)", True),
        ("commit", 0, "unknown\n", True),
        ("commit", 0, "0123456789ab\n", False),
        ("commit", 1, "0123456789ab\n", True),
        ("doctor", 1, "no git here", False),
        ("doctor", 0, "no git here", True),
        ("doctor", 1, "something else", True),
    ],
)
def test_what_is_wrong(command, code, output, wrong):
    place = places.Place(places.plain, fails={"doctor": "no git"})
    assert bool(places.verdict(command, place, SimpleNamespace(returncode=code, stdout=output))) is wrong


def test_a_place_has_its_own_environment(tmp_path):
    place = places.Place(places.plain, {"HOME": "/proc/self", "PATH": None}, {"umask": 0o077})
    show = "import os; open('made', 'w'); print(os.environ['HOME'], 'PATH' in os.environ, oct(os.stat('made').st_mode))"
    assert places.run(tmp_path, ["-c", show], place).stdout == "/proc/self False 0o100600\n"


def test_without_root_the_second_user_is_left_out_aloud(monkeypatch, capsys):
    monkeypatch.setattr(places.os, "geteuid", lambda: 1000)
    assert places.main(["second"]) == 0 and "skipped: needs root" in capsys.readouterr().out
    assert subprocess.run([sys.executable, "-m", "ci.places", "--help"], cwd=ROOT, capture_output=True).returncode == 0


def test_text_is_utf_8_whatever_the_locale():
    folders = ("ci/book", "ci/lessons", "ci/results", "ci/setup", "data_scripts")
    wrong = []
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for call in (
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ):
            named = getattr(call.func, "attr", "") in ("read_text", "write_text")
            if named and "encoding" not in {keyword.arg for keyword in call.keywords}:
                wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert not wrong
