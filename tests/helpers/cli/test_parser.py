"""What the parsers of all commands have in common: paths that can be looked up, and values that are values."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.cli.parser import Parser
from helpers.files import ROOT

WRONG = ["a\0b", "\ud800", "a" * 300, "ring", ""]
NAMES = re.compile("FILE|FOLDER|LIBRARY|npz|json")  # in the help, of what is a path


class Found(Exception):
    """Stops a command where it would read its arguments; holds its parser."""


@pytest.fixture
def parser_of(monkeypatch):
    """Function of a command's name -> its Parser."""

    def stop(self, *arguments):
        raise Found(self)

    def found(name):
        with monkeypatch.context() as patch, pytest.raises(Found) as caught:
            patch.setattr(Parser, "parse_args", stop)
            import_module(cli.COMMANDS[name][0]).main([])
        return caught.value.args[0]

    return found


def arguments(parser):
    """Every argument of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        for sub in (getattr(action, "choices", None) or {}).values() if action.nargs == "A..." else ():
            yield from arguments(sub)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_what_a_command_calls_a_file_is_a_path(parser_of, name):
    found = [action for action in arguments(parser_of(name)) if action.nargs != 0]
    named = [action for action in found if NAMES.search(action.metavar or action.dest)]
    assert [action.dest for action in named if action.type is not Path] == []
    paths = [action for action in found if action.type is Path]
    assert paths or name in ("models", "explain")


def test_no_command_has_a_parser_of_its_own():
    texts = {path.name: path.read_text() for path in (ROOT / "helpers/cli").glob("*.py")}
    assert [name for name, text in texts.items() if "argparse.ArgumentParser" in text] == ["parser.py"]


@pytest.fixture
def parser(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ring").symlink_to("ring")
    parser = Parser("command")
    parser.add_argument("--file", type=Path, action="append")
    parser.add_argument("--number", type=int)
    parser.add_argument("words", nargs="*")
    return parser


@pytest.mark.parametrize("path", WRONG)
def test_what_is_no_path_is_refused_by_name(parser, path, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--file", "good", f"--file={path}"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "argument --file" in error and "\0" not in error and len(error) < 300


def test_what_is_a_path_is_one_whether_it_is_there_or_not(parser):
    names = ["absent/deep", "caf\udce9", "é ü", "."]  # the second is a name in Latin-1
    assert parser.parse_args([f"--file={name}" for name in names]).file == [Path(name) for name in names]


@pytest.mark.parametrize("flag", ["--file", "--number"])
def test_the_mark_of_the_end_of_options_is_no_value(parser, flag, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args([f"{flag}=--"])
    assert f"argument {flag}" in capsys.readouterr().err
    assert parser.parse_args(["--", f"{flag}=--"]).words == [f"{flag}=--"]


def test_an_argument_that_nobody_knows_is_shown_and_not_obeyed(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--\x1b[31m"])
    assert "\x1b" not in (error := capsys.readouterr().err) and r"--\x1b[31m" in error


@pytest.mark.parametrize("path", WRONG)
@pytest.mark.parametrize(
    "command",
    [
        ["graph", "{}"],
        ["graph", "{}", "--postprocess"],
        ["divergence", "absent.onnx", "{}"],
        ["engine", "inspect", "--loadEngine={}"],
        ["engine", "build", "--onnx=absent.onnx", "--cache={}"],
        ["quantize", "--onnx_path={}"],
        ["records", "--folder={}"],
        ["doctor", "--lock={}"],
        ["patch", "list", "--site={}"],
    ],
)
def test_commands_refuse_it_without_a_traceback(command, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ring").symlink_to("ring")
    try:
        code = cli.main([word.format(path) for word in command])
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and capsys.readouterr().err


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (["graph", "."], ["graph", ".", "--postprocess"], ["quantize", "--onnx_path=."],
                    ["engine", "inspect", "--loadEngine=."]):  # fmt: skip
        assert cli.main(command) == 2 and "a folder" in capsys.readouterr().err


def test_a_closed_standard_input_is_named():
    command = f"{sys.executable} -m helpers explain <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "standard input\n  found:    closed" in done.stderr
