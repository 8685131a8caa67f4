"""`python -m helpers explain`."""

import subprocess
import sys

from helpers import __main__ as cli
from helpers.cli import explain
from helpers.files import ROOT


def test_command_explains_arguments_and_standard_input(capsys, tmp_path):
    assert cli.main(["explain", "CUDA", "out", "of", "memory"]) == 0
    assert "used_memory" in capsys.readouterr().out
    assert cli.main(["explain", "all is well"]) == 1
    assert "no known message" in capsys.readouterr().out
    assert cli.main(["explain", "--search", "glibcxx"]) == 0
    assert "GLIBCXX" in capsys.readouterr().out
    command = [sys.executable, "-m", "helpers", "explain"]
    done = subprocess.run(command, input="No Op registered for GridSample with domain_version of 9", text=True,
                          capture_output=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0 and "opset" in done.stdout


def test_command_reads_a_file(capsys, tmp_path):
    (log := tmp_path / "build.log").write_bytes(b"\xff\xfe noise\n[TRT] [E] Magic tag does not match\n")
    assert cli.main(["explain", str(log)]) == 0
    assert "Magic tag does not match   [engine files]" in capsys.readouterr().out
    assert cli.main(["explain", str(tmp_path / "CUDA out of memory.log")]) == 0  # no such file: a message
    assert cli.main(["explain", str(tmp_path)]) == 1  # a folder is none either
    assert cli.main(["explain", "x" * 5000 + " CUDA out of memory"]) == 0  # too long for a file's name


def test_what_cannot_be_read_or_is_no_log_is_refused(monkeypatch, tmp_path, capsys):
    assert cli.main(["explain", "/proc/self/mem"]) == 2 and "/proc/self/mem" in capsys.readouterr().err
    monkeypatch.setattr(explain, "MOST", 3)
    (tmp_path / "long.log").write_text("four")
    assert cli.main(["explain", str(tmp_path / "long.log")]) == 2 and "long.log" in capsys.readouterr().err


def test_standard_input_in_another_encoding_is_read_as_far_as_it_goes():
    done = subprocess.run([sys.executable, "-m", "helpers", "explain"], input=b"\xff\xfe CUDA out of memory \xe9",
                          capture_output=True, cwd=ROOT)  # fmt: skip
    assert done.returncode == 0 and b"used_memory" in done.stdout
