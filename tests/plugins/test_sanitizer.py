"""The proof under compute-sanitizer, for which a shell script stands in: it runs the command and says what it found."""

import dataclasses
import json
import os
import shlex
from pathlib import Path

import pytest

from ci.results import kernels, recorded
from helpers import records
from helpers.errors import BadInput
from plugins.check import CHECKS, record, sanitizer, tool
from plugins.check import __main__ as command

SCRIPT = """#!/bin/sh
echo "$*" >> CALLS
tool=$2
for out; do :; done
said() { echo '{"right": 24, "wrong": 0}' > $out; echo "========= $1"; }
case "$tool $*" in
  memcheck*) said "ERROR SUMMARY: 0 errors" ;;
  racecheck*) said "RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)"; exit 9 ;;
  *) echo "Target application crashed"; exit 1 ;;
esac
"""


ABOUT = {"device": "NVIDIA X", "python": "3.11", "torch": "2.0", "library": {"cuda": "13.0"}}


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "compute-sanitizer"
    path.write_text(SCRIPT.replace("CALLS", str(tmp_path / "calls")))
    path.chmod(0o755)
    return path


def test_every_tool_tries_every_operator_whatever_another_does(program, tmp_path, monkeypatch, capsys):
    path = tmp_path / "kernels.so"
    path.write_bytes(b"kernels")
    monkeypatch.setattr(command, "about", lambda path, device: ABOUT)
    monkeypatch.setattr(record, "driver", lambda: "580.1")
    monkeypatch.setattr(sanitizer, "ended", lambda given, *more: None if slow <= {*given} else tool.ended(given, *more))
    slow, out = {"initcheck", "rotate"}, tmp_path / "found.json"
    asked = ["--device", "cpu", "--tools", *sanitizer.TOOLS, "--operators", "inverse", "rotate", "--limit", "77",
             "--jobs", "3", "--sanitizer", str(program), "--json", str(out)]  # fmt: skip
    assert command.main([str(path), *asked]) == 1
    found = json.loads(out.read_text())
    rows = {(row["tool"], row["operator"]): row for row in found["tools"]}
    assert len(rows) == 6
    right, raced = rows["memcheck", "rotate"], rows["racecheck", "rotate"]
    assert (right["errors"], right["wrong"]) == (0, 0) and right["cases"] == 24 and sanitizer.clean(right)
    assert raced["errors"] == 2 and not sanitizer.clean(raced)
    assert rows["initcheck", "inverse"]["ended"] == "ended with exit code 1 and no summary"
    assert rows["initcheck", "rotate"]["ended"] == "not ended after 77 s"
    assert "Target application crashed" in capsys.readouterr().err
    ran = next(words for words in map(shlex.split, (tmp_path / "calls").read_text().splitlines())
               if "memcheck" in words and "rotate" in words)  # fmt: skip
    assert ran[:4] == ["--tool", "memcheck", "--error-exitcode", str(sanitizer.FOUND)]
    asked, given = ran[ran.index("plugins.check") + 1 :], []
    monkeypatch.setattr(command, "summary", lambda *arguments: given.append(arguments) or found | {"wrong": 0})
    monkeypatch.setattr(command, "show", lambda found: None)
    assert command.main(asked) == 0  # what runs under a tool: the small calls of one operator
    assert [each[:5] for each in given] == [(path, "cpu", None, True, tuple(o for o in CHECKS if o.name == "rotate"))]

    folder = tmp_path / "results"
    record.write_sanitized(found, "python -m plugins.check", path, folder)
    (kept,) = records.read_all(folder)
    assert (kept.name, kept.device) == (record.SANITIZED, "NVIDIA X, driver 580.1")
    later = {"memcheck/inverse_errors": 0, "memcheck/inverse_cases": 30, "memcheck/inverse_wrong": 0}
    records.write(dataclasses.replace(kept, date="2099-01-31T12:00:00+00:00", metrics=later), folder)
    lines = kernels.sanitized(recorded.Recorded(folder)).splitlines()
    head, _, *body = [line.removeprefix("|").removesuffix("|").split("|") for line in lines]
    table = {cells[0].strip(): dict(zip(map(str.strip, head), map(str.strip, cells), strict=True)) for cells in body}
    assert table["`rotate`"]["racecheck"] == "2 errors in 24 cases"
    assert table["`rotate`"]["initcheck"] == "not ended after 77 s"
    assert table["`inverse`"]["memcheck"] == "0 errors in 30 cases"
    assert table["`inverse`"]["record"].count("](") == 2 and table["`rotate`"]["record"].count("](") == 1


def test_what_a_tool_started_goes_with_it(tmp_path):
    pid = tmp_path / "pid"
    for limit in (0.5, 5, 50):  # a busy machine may not have started it before
        assert tool.ended(["sh", "-c", f"sleep 300 & echo $! > {pid}; wait"], tmp_path / "said", limit) is None
        if pid.is_file() and pid.read_text():
            break
    assert not os.path.exists(f"/proc/{int(pid.read_text())}")
    assert tool.ended(["sh", "-c", "echo found; exit 9"], tmp_path / "said", 60) == 9
    assert (tmp_path / "said").read_text() == "found\n"


def test_what_cannot_be_tried_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "about", lambda path, device: ABOUT)
    with pytest.raises(BadInput, match=r"absent[\s\S]*--sanitizer PROGRAM"):
        command.main(["kernels.so", "--device", "cpu", "--tools", "memcheck", "--sanitizer", "absent"])
    for more, why in ((["--sanitize"], "--tools and --sanitize: give one"), (["--limit", "0"], "a number above 0"),
                      (["--jobs", "0"], "invalid choice: 0"),
                      (["--device", "cpu", "--record", str(tmp_path)], "only a proof on a GPU")):  # fmt: skip
        with pytest.raises(SystemExit):
            command.main(["--tools", "memcheck", *more])
        assert why in capsys.readouterr().err
    assert kernels.sanitized(recorded.Recorded(tmp_path)) == "No run under compute-sanitizer has a record."


def test_calls_that_were_cut_off_are_no_summary(tmp_path, monkeypatch, capsys):
    def cut_off(words, said, limit):
        out = Path(words[words.index("--json") + 1])
        out.write_text(json.dumps({"right": 5, "wrong": 0, "rows": []} | told))
        said.write_text("========= ERROR SUMMARY: 0 errors\n")
        return 0

    monkeypatch.setattr(sanitizer, "ended", cut_off)
    told = {}
    assert sanitizer.clean(sanitizer._run(tmp_path, "tool", "memcheck", "rotate", 9.0, "cuda"))
    told = {"unfinished": True}
    row = sanitizer._run(tmp_path, "tool", "memcheck", "rotate", 9.0, "cuda")
    assert row["ended"] == "ended with exit code 0 and no summary" and not sanitizer.clean(row)
    assert "0 errors" in capsys.readouterr().err
