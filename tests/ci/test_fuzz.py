"""The fuzzer tells what came of an input, and the doors hold against a few hundred of its inputs."""

import json
import os
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci.fuzz import __main__ as program
from ci.fuzz import door, mutate, options, tables, worker
from ci.fuzz.door import Door, Silent, Unnamed, outcome
from ci.fuzz.doors import DOORS
from helpers.__main__ import COMMANDS
from helpers.errors import BadInput

EXAMPLES = {"onnx": 12, "tables": 20, "options": 20}  # an input of the first is taken by six commands


@pytest.fixture(scope="module", params=sorted(DOORS))
def opened(request, tmp_path_factory, minidrive):
    """(name, door, folder that it was prepared in)."""
    tables.SOURCE = minidrive
    folder = tmp_path_factory.mktemp(request.param)
    DOORS[request.param].prepare(folder)
    return request.param, DOORS[request.param], folder


def test_a_few_damaged_inputs_are_refused_with_a_reason_or_are_what_they_say(opened):
    name, chosen, common = opened

    @settings(max_examples=EXAMPLES.get(name, 40), derandomize=True, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**32))
    def each(number):
        before = os.getcwd()
        try:
            assert worker.attempt(name, chosen, number, 0, common)[0] in door.GOOD
        finally:
            os.chdir(before)

    each()


def test_an_input_is_the_same_whenever_it_is_asked_for(opened, tmp_path):
    name, chosen, common = opened
    for number in range(3):
        files = []
        for folder in (tmp_path / f"{number}a", tmp_path / f"{number}b"):
            folder.mkdir()
            worker.written(name, chosen, number, 7, common, folder)
            files.append({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
        assert files[0] == files[1]


def raising(error):
    def enter(folder):
        if error is not None:
            raise error

    return Door(lambda common: None, lambda random, common, folder: None, enter, ("a.json",))


def out_of_memory():
    error = BadInput("a.json", "MemoryError", "a whole file", "copy it")
    error.__cause__ = MemoryError()
    return error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, "accepted"),
        (BadInput("/tmp/a.json", "nothing", "something", "copy it"), "clear"),
        (BadInput("input 'x'", "nothing", "something", "copy it"), "clear"),
        (BadInput("the model", "nothing", "something", "copy it"), "unnamed"),
        (BadInput("/tmp/a.json", " ", "something", "copy it"), "unnamed"),
        (Unnamed("usage"), "unnamed"),
        (Silent("NaN"), "silent"),
        (KeyError("x"), "traceback"),
        (MemoryError(), "memory"),
        (out_of_memory(), "memory"),
    ],
)
def test_what_came_of_an_input(error, verdict, tmp_path):
    assert outcome(raising(error), tmp_path)[0] == verdict


def test_a_command_says_what_it_refuses(tmp_path, capsys):
    with pytest.raises(BadInput, match=r"absent\.onnx") as caught:
        door.command("graph", str(tmp_path / "absent.onnx"))
    assert caught.value.found == "no such file"
    with pytest.raises(BadInput, match="required: file"):
        door.command("graph", "--no-such")
    assert "usage" in door.command("--help") and capsys.readouterr().out == ""


def test_every_command_is_asked_with_options_of_its_own(tmp_path):
    chosen = {}
    for number in range(300):
        (folder := tmp_path / str(number)).mkdir()
        for name in (options.MODEL, options.ARRAYS):
            (tmp_path / name).touch()
        words = json.loads(
            (worker.written("", DOORS["options"], number, 0, tmp_path, folder) / "argv.json").read_text()
        )
        chosen.setdefault(words[0], set()).update(word.partition("=")[0] for word in words if word.startswith("--"))
        assert words[0] != "patch" or ("--dry-run" in words and words[:2] != ["patch", "check"])
    assert chosen.keys() == COMMANDS.keys() and len(chosen["engine"]) > 30 and "--help" not in chosen["graph"]


@pytest.mark.parametrize(
    ("words", "writes", "said"),
    [
        (["graph", "model.onnx"], "model.onnx", "written over"),
        (["engine", "run", "--loadInputs=arrays.npz"], "arrays.npz", "written over"),
        (["engine", "run", "--saveOutputs=arrays.npz"], "arrays.npz", None),
        (["graph", "model.onnx"], "new.part", "left"),
    ],
)
def test_a_command_that_writes_where_it_must_not_is_found(tmp_path, monkeypatch, words, writes, said):
    for name in (options.MODEL, options.ARRAYS):
        (tmp_path / name).touch()
    (tmp_path / options.FILE).write_text(json.dumps(words))
    monkeypatch.setattr(options, "command", lambda *words: (tmp_path / writes).write_text("x"))
    verdict, found = outcome(DOORS["options"], tmp_path)
    assert verdict == ("silent" if said else "accepted") and (said or "") in found


SERVER = """
import json, os, signal, sys
for number in range({first}, {last}):
    print(json.dumps({{"begun": number}}), flush=True)
    if number == 2: os.kill(os.getpid(), signal.SIGALRM)
    if number == 4: os.abort()
    print(json.dumps({{"number": number, "verdict": "clear", "said": ""}}), flush=True)
"""


def test_an_input_that_ends_its_process_costs_one_row(monkeypatch, tmp_path, capsys):
    kept = []

    def popen(argv, **options):
        first, count = (int(next(word for word in argv if word.startswith(flag)).partition("=")[2])
                        for flag in ("--first=", "--inputs="))  # fmt: skip
        return real([sys.executable, "-c", SERVER.format(first=first, last=first + count)], **options)

    real = program.subprocess.Popen
    monkeypatch.setattr(program.subprocess, "Popen", popen)
    monkeypatch.setattr(program, "_keep", lambda name, row, seed: kept.append((row["number"], row["verdict"])))
    monkeypatch.setattr(program, "OUT", tmp_path)
    assert program.main(["onnx", "--inputs", "6"]) == 1
    assert kept == [(2, "hang"), (4, "crash")]
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["onnx", "6", "4"]


def test_no_such_door():
    with pytest.raises(SystemExit):
        program.main(["window"])


def test_damage_is_damage():
    whole = bytes(range(256))
    assert sum(mutate.octets(whole, Random(seed)) != whole for seed in range(50)) > 45
    assert mutate.octets(b"", Random(0)) is not None
    tree = {"a": [1, {"b": "x"}], "c": None}
    assert sum(repr(mutate.tree(tree, Random(seed))) != repr(tree) for seed in range(50)) > 45
    assert tree == {"a": [1, {"b": "x"}], "c": None}


def test_workers_leave_nothing_behind(tmp_path):
    here = os.getcwd()
    assert worker.attempt("x", raising(None), 0, 0, tmp_path) == ("accepted", "") and not list(Path(tmp_path).iterdir())
    assert os.getcwd() == here
