"""What the commands print of hostile names, in a process of their own."""

import os
import subprocess
import sys

import pytest
from onnx import helper

from helpers.cli import terminal
from helpers.files import ROOT
from tests.builders.graphs import save

NAME = "\x1b[31mred\u202e\r\n"


@pytest.fixture
def hostile(tmp_path):
    """A file whose name, tensors and node could color and turn a terminal's text."""
    nodes = [helper.make_node("Relu", ["x"], [NAME], f"{NAME}\x07")]
    return save(tmp_path / "\x1b[2J\u202e.onnx", nodes, {"x": [1]}, {NAME: [1]})


def run(*words, **environment):
    command = [sys.executable, "-m", "helpers", *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, timeout=120)


def test_names_in_a_graph_are_shown_and_not_obeyed(hostile):
    done = run("graph", "--shapes", hostile)
    text = done.stdout.decode()
    assert done.returncode == 0 and not {"\x1b", "\r", "\u202e", "\x07"} & set(text)
    row = next(line for line in text.splitlines() if "output" in line)
    assert row.startswith(r"\x1b[31mred\u202e\r\n") and row.endswith(r"\x07")


def test_a_name_that_is_not_utf_8_and_a_terminal_that_is_not_either(tmp_path):
    done = run(
        "graph", os.fsencode(tmp_path) + b"/\xff\xc3\xbc.onnx", PYTHONUTF8="0", LC_ALL="C", PYTHONCOERCECLOCALE="0"
    )
    assert done.returncode == 2 and b"no such file" in done.stderr and b"Traceback" not in done.stderr


def test_what_the_encoding_lacks_is_spelled_out(tmp_path, monkeypatch):
    with open(tmp_path / "out", "w", encoding="ascii") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        terminal.guard()
        print("✓ \x1b[31mred")
        sys.stdout.flush()
    assert (tmp_path / "out").read_text() == "\\u2713 \\x1b[31mred\n"


def test_a_closed_standard_output_is_no_traceback():
    command = f"exec {sys.executable} -m helpers records >&-"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["--help"], ["graph", "--help"], ["explain", "--search", "a"], ["records"]])
def test_a_full_standard_output_is_a_clear_error(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "helpers", *words], cwd=ROOT, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and done.stderr.startswith(
        b"error: standard output\n  found:    No space left on device"
    )
    assert done.stderr.count(b"\n") == 4


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m helpers explain --search a; echo $? >&2"
    done = subprocess.run(["sh", "-c", f"({command}) | true"], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "0\n"
