"""`python -m helpers`: the table of commands, exit codes, and what is imported."""

import importlib
import shlex
import subprocess
import sys

from helpers import __main__ as cli
from helpers.files import ROOT


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_usage_lists_every_command(capsys):
    assert run() == 0
    usage = capsys.readouterr().out
    assert all(f"  {name} " in usage for name in cli.COMMANDS)
    assert run("--help") == 0 and capsys.readouterr().out == usage


def test_every_command_is_a_file_with_a_main_and_every_such_file_a_command():
    for name, (module, _) in cli.COMMANDS.items():
        assert module == f"helpers.cli.{name}" and callable(importlib.import_module(module).main)
    mains = {path.stem for path in (ROOT / "helpers/cli").glob("*.py") if "\ndef main(" in path.read_text()}
    assert mains == set(cli.COMMANDS)


def test_unknown_command_exits_2_with_the_list(capsys):
    assert run("modles") == 2
    assert "'modles'" in (error := capsys.readouterr().err) and "models" in error


def test_bad_input_exits_2_without_a_traceback(tmp_path):
    arguments = ["engine", "build", f"--onnx={tmp_path / 'absent.onnx'}"]
    result = subprocess.run([sys.executable, "-m", "helpers", *arguments], capture_output=True, text=True)
    assert result.returncode == 2 and "absent.onnx" in result.stderr and "Traceback" not in result.stderr
    assert all(f"{word}:" in result.stderr for word in ("found", "expected", "fix"))


def test_missing_package_exits_2(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "models", ("package_that_is_not_there", ""))
    assert run("models") == 2 and "package_that_is_not_there" in capsys.readouterr().err


def test_another_python_than_that_of_the_setup_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(cli.COMMANDS, "models", ("package_that_is_not_there", ""))
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert run("models") == 2 and capsys.readouterr().err.endswith("fix: make setup\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    assert run("models") == 2
    assert f"this is {sys.executable}: run it with .venv/bin/python" in capsys.readouterr().err
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert run("models") == 2 and capsys.readouterr().err.endswith("fix: make setup\n")


def test_closed_pipe_is_quiet(tmp_path):
    (tmp_path / "loud.py").write_text(
        "def main(argv):\n    for i in range(100000):\n        print('line', i)\n    return 0\n"
    )
    code = (
        "import sys; from helpers import __main__ as c; c.COMMANDS['loud'] = ('loud', ''); sys.exit(c.main(['loud']))"
    )
    command = f'cd {shlex.quote(str(tmp_path))} && {shlex.quote(sys.executable)} -c "{code}" | head -1'
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "line 0\n", "")


def test_only_the_command_in_question_is_imported():
    code = "import sys; from helpers.__main__ import main; main(['records']); sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
