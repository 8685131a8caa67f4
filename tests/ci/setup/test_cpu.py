"""`make setup`: .venv from the lock of the CPU tier, on a machine that may have no Python."""

import os
import shutil
import subprocess

from helpers.files import ROOT

FAKE_PYTHON = """#!/bin/bash
# Stands for Python 3.11 and its pip: notes what it is asked, and knows torch only from the CPU index.
echo "$*" >> "$CALLS"
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *--index-url*) ;;
    *"torch=="*) echo "ERROR: No matching distribution found for torch"; exit 1 ;;
esac
"""


def set_up(tmp_path, python=None):
    """Run a copy of ci/setup/cpu.sh on a PATH that has no Python; (exit code, output, the calls of the fake Python)."""
    for name in ("ci/setup/cpu.sh", "requirements/cpu.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool in ("bash", "cat", "cmp", "cp", "dirname", "grep", "mkdir", "mktemp", "rm", "tee", "uname"):
        if not (tools / tool).exists():
            (tools / tool).symlink_to(shutil.which(tool))
    calls = tmp_path / "calls"
    calls.write_text("")
    environment = {"PATH": str(tools), "CALLS": str(calls), "PYTHON": str(python or "")}
    done = subprocess.run(
        ["ci/setup/cpu.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20
    )
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


def test_set_up_without_python_says_what_to_do(tmp_path):
    status, text, _ = set_up(tmp_path)
    assert status == 1
    assert "Python 3.11 was not found" in text and "apt install python3.11" in text


def test_set_up_takes_torch_from_the_cpu_index_only_if_need_be_and_runs_once(tmp_path):
    python = tmp_path / "fake"
    python.write_text(FAKE_PYTHON)
    os.chmod(python, 0o755)
    status, text, calls = set_up(tmp_path, python)
    assert status == 0, text
    torch = [call for call in calls if "torch==" in call]
    assert len(torch) == 2 and "--index-url https://download.pytorch.org/whl/cpu" in torch[1]
    assert any("--no-deps -r requirements/cpu.txt" in call for call in calls)
    assert not any("install" in call for call in set_up(tmp_path, python)[2])
    (tmp_path / ".venv/installed-from").write_text("another lock")
    assert any("install" in call for call in set_up(tmp_path, python)[2])


def test_a_copied_folder_sets_itself_up_again(tmp_path):
    python = tmp_path / "fake"
    python.write_text(FAKE_PYTHON)
    os.chmod(python, 0o755)
    first, copy = tmp_path / "first", tmp_path / "copy"
    first.mkdir()
    assert set_up(first, python)[0] == 0
    shutil.copytree(first, copy, symlinks=True)
    assert any("install" in call for call in set_up(copy, python)[2])
    assert not any("install" in call for call in set_up(first, python)[2])
