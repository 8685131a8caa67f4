"""The tools of the book: added once for a lock, each file against its hash, in the versions that the CPU tier has."""

import shutil
import subprocess

import pytest

from helpers.files import ROOT
from tests.ci.setup.locks import pins

FAKE_PYTHON = '#!/bin/sh\necho "$*" >>calls\nexit $(cat status)\n'


@pytest.fixture
def add(tmp_path):
    """Runs ci/setup/book.sh in a folder with a fake Python that ends with `status`; (exit code, its calls so far)."""
    for name in ("ci/setup/alone.sh", "ci/setup/book.sh", "ci/setup/cpu.sh", "requirements/book.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)

    def run(status=0):
        (tmp_path / "status").write_text(str(status))
        done = subprocess.run([tmp_path / "ci/setup/book.sh"], cwd="/", capture_output=True, text=True)
        calls = tmp_path / "calls"
        return done.returncode, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_tools_are_added_once_for_a_lock_and_checked_against_hashes(add, tmp_path):
    code, calls = add()
    assert code == 0 and len(calls) == 1 and calls[0].startswith("-m pip install ")
    assert "--no-deps --no-build-isolation --require-hashes -r requirements/book.txt" in calls[0]
    assert add() == (0, calls)
    (tmp_path / "requirements/book.txt").write_text("other==1 --hash=sha256:0\n")
    assert len(add()[1]) == 2


def test_a_failed_set_up_is_tried_again(add):
    assert add(status=3)[0] == 3
    code, calls = add()
    assert code == 0 and len(calls) == 2


def test_the_book_changes_no_package_of_the_cpu_tier():
    book, cpu = pins("book"), pins("cpu")
    assert {"sphinx", "myst-nb", "sphinx-book-theme", "playwright"} <= book.keys() - cpu.keys()
    assert {name: book[name] for name in book.keys() & cpu.keys()} == {
        name: cpu[name] for name in book.keys() & cpu.keys()
    }
