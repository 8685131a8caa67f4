"""The fuzzer tells what came of an input, and the doors hold against a few hundred of its inputs."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import types
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
from helpers.files import ROOT

EXAMPLES = {"onnx": 8, "tables": 12, "options": 12}  # the weekly run tries 10,000 of each


@pytest.fixture(scope="module", params=sorted(DOORS))
def opened(request, tmp_path_factory, minidrive):
    """(name, door, folder that it was prepared in)."""
    tables.SOURCE = minidrive
    folder = tmp_path_factory.mktemp(request.param)
    DOORS[request.param].prepare(folder)
    return request.param, DOORS[request.param], folder


def test_a_few_damaged_inputs_are_refused_with_a_reason_or_are_what_they_say(opened):
    name, chosen, common = opened

    @settings(max_examples=EXAMPLES.get(name, 20), derandomize=True, deadline=None, database=None,
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


INPUTS = """
import hashlib, sys
from pathlib import Path
from ci.fuzz import tables, worker
tables.SOURCE, tables._enter = Path(sys.argv[1]), lambda folder: None
(common := Path(sys.argv[2])).mkdir()
tables._prepare(common)
digest = hashlib.sha256()
for number in range(20):
    (folder := common / str(number)).mkdir()
    worker.written("tables", tables.DOORS["tables"], number, 0, common, folder)
    for path in sorted(folder.rglob("*.json")):
        digest.update(path.read_bytes())
print(digest.hexdigest())
"""


def test_an_input_is_the_same_in_every_process(tmp_path, minidrive):
    """Python orders a set of names anew in every process."""
    found = set()
    for seed in ("1", "2"):
        argv = [sys.executable, "-c", INPUTS, str(minidrive), str(tmp_path / seed)]
        done = subprocess.run(
            argv, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, cwd=ROOT, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


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
    assert (
        chosen.keys() == COMMANDS.keys() - options.FOREVER
        and len(chosen["engine"]) > 30
        and "--help" not in chosen["graph"]
    )


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


class Atheris(types.ModuleType):
    """Stands for atheris: gives the inputs of `data`, as libFuzzer would, and ends at the first that raises."""

    def __init__(self, data):
        super().__init__("atheris")
        self.data, self.given = data, []

    def instrument_imports(self, include):
        return contextlib.nullcontext(include)

    def Setup(self, argv, attempt):
        self.argv, self.attempt = argv, attempt

    def Fuzz(self):
        for data in self.data:
            self.attempt(data)


@pytest.fixture
def guided(monkeypatch):
    """(the module ci.fuzz.guided, the stand-in for atheris)."""
    monkeypatch.setitem(sys.modules, "atheris", fake := Atheris([b"", b"\1\2", bytes(300)]))
    monkeypatch.delitem(sys.modules, "ci.fuzz.guided", raising=False)
    yield importlib.import_module("ci.fuzz.guided"), fake
    sys.modules.pop("ci.fuzz.guided", None)


def test_a_guided_door_throws_the_bytes_that_it_is_given(guided):
    source = guided[0].Given(b"\xff\xff" + b"\0\0" + b"\1" * 8)
    assert source.random() == 1 - 2**-16 and source.random() == 0 and source.getrandbits(64) == 0x0101010101010101
    again = guided[0].Given(b"\xff\xff" + b"\0\0" + b"\1" * 8)
    assert [again.random(), again.random(), again.getrandbits(64)] and again.random() == source.random()
    assert {guided[0].Given(bytes([byte])).choice("abcd") for byte in range(256)} == set("abcd")


@pytest.mark.parametrize(
    ("error", "ends"), [(None, False), (BadInput("a.json", "x", "y", "z"), False), (KeyError(), True)]
)
def test_a_guided_door_ends_at_a_bad_verdict(guided, monkeypatch, tmp_path, error, ends):
    module, fake = guided
    monkeypatch.setitem(DOORS, "x", raising(error))
    if ends:
        with pytest.raises(AssertionError, match="traceback: KeyError"):
            module.main(["x", str(tmp_path), "-runs=3"])
    else:
        module.main(["x", str(tmp_path), "-runs=3"])
    assert fake.argv == ["x", "-runs=3"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [0, 77])
def test_guiding_says_how_many_inputs_it_gave_and_what_ended_it(monkeypatch, tmp_path, capsys, code):
    def run(argv, **settings):
        assert argv[1:4] == ["-m", "ci.fuzz.guided", "onnx"] and "-max_total_time=9" in argv and Path(argv[4]).is_dir()
        return subprocess.CompletedProcess(argv, code, "", "why\nstat::number_of_executed_units: 123\n")

    monkeypatch.setattr(program.subprocess, "run", run)
    monkeypatch.setattr(program, "OUT", tmp_path)
    assert program.main(["onnx", "--guided", "9"]) == bool(code)
    said = capsys.readouterr().out
    assert "onnx" in said and "123 inputs in 9 s" in said and ("exit code 77: why" in said) == bool(code)
