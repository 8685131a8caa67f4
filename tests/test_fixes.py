"""Every command that an error, the doctor or explain names is one that exists, and is carried out in a test.

tests/fixes.toml maps the fixes to the tests that carry them out; a fix that is new and has none fails here.
"""

import ast
import contextlib
import functools
import importlib.util
import io
import re
import tomllib
from pathlib import Path

import pytest

from helpers import __main__ as cli
from helpers.environment import messages, tiers
from helpers.files import ROOT

FOLDERS = ("helpers", "ci", "data_scripts", "benchmarks")
LABELS = {"ArgumentParser", "Parser", "add_argument", "add_parser"}  # their strings are help, no fixes
START = r"(?:^|: |`|&& |; |\bor |then |, )"
PROGRAMS = (
    *(r"python3? -m \S", r"make (?!it |a |and |the )[a-z]", r"git (?!on |applies )[a-z-]"),
    *("rm -", "pip install", "apt(?:-get)? install"),
)
COMMAND = re.compile(f"{START}(?:sudo )?(?:{'|'.join(PROGRAMS)})")
MAKE = re.compile(START + r"make ((?:-C \S+|[a-z]+)(?: [A-Z_]+=\S+)*)")
MODULE = re.compile(START + r"(?:\S*/)?python3? -m ([\w.]+)([^#`;&]*)")
PROSE = {"it", "a", "and", "the", "them"}
FIXES = tomllib.loads(Path(__file__).with_name("fixes.toml").read_text(encoding="utf-8"))["fix"]


def strings(path):
    """The strings in a source file that could be told to a reader, an f-string with … for its values."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in LABELS:
            silent.update(map(id, ast.walk(node)))
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@functools.cache
def fixes():
    """(file, text) of every string of the tree that names a command."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(path.relative_to(ROOT), text) for path in files for text in strings(path) if COMMAND.search(text)]


def told():
    """Every text with commands: the fixes, and the cures of explain."""
    cures = [(entry.id, step.removeprefix("$ ")) for entry in messages.table() for step in entry.cure]
    return [*fixes(), *((name, step.replace(": $ ", ": ")) for name, step in cures)]


@functools.cache
def help_of(*words):
    """What `python -m helpers WORDS --help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    return out.getvalue()


def test_targets_and_variables_of_make_exist():
    made = {}
    for where, text in told():
        for called in MAKE.findall(text):
            target, *variables = called.removeprefix("-C ").split(" ")
            if target in PROSE:
                continue
            makefile = (ROOT / "plugins/Makefile" if target == "plugins" else ROOT / "Makefile").read_text()
            assert target == "plugins" or re.search(rf"^{target}:", makefile, re.MULTILINE), (where, text)
            for variable in variables:
                name, value = variable.split("=", 1)
                assert re.search(rf"\b{name}\b", makefile), (where, text)
                assert name != "TIER" or value.strip("…") in {"", *tiers.gpu_tiers()}, (where, text)
            made[target] = True
    assert {"setup", "gpu", "data", "docs", "plugins"} <= set(made)


def test_modules_commands_and_options_exist():
    seen = set()
    for where, text in told():
        for module, rest in MODULE.findall(text):
            if module == "modelopt.onnx.quantization" or not importlib.util.find_spec(module.split(".")[0]):
                continue  # another environment's
            assert importlib.util.find_spec(module), (where, text)
            words = [word for word in rest.split() if re.fullmatch(r"[a-z]+", word)]
            if module != "helpers" or not words or (words[0] not in cli.COMMANDS and "COMMAND" in rest):
                continue
            assert words[0] in cli.COMMANDS, (where, text)
            deep = [words[0], words[1]] if words[0] == "engine" and len(words) > 1 else words[:1]
            for option in re.findall(r"(?<!\S)(--\w+)", rest):
                assert option in help_of(*deep), (where, text, option)
            seen.add(words[0])
    assert {"engine", "doctor", "quantize", "patch", "graph", "models", "records"} <= seen


def of_the_product():
    """The fixes that readers meet; those of ci/ are for who works on the course."""
    return [(path, text) for path, text in fixes() if path.parts[0] != "ci"]


def test_every_fix_that_names_a_command_is_in_the_table():
    unknown = [(str(path), text) for path, text in of_the_product() if not any(_fits(fix, text) for fix in FIXES)]
    assert unknown == [], "map them to a test in tests/fixes.toml"


@pytest.mark.parametrize("fix", FIXES, ids=[fix["text"][:40] for fix in FIXES])
def test_a_fix_of_the_table_is_in_the_tree_and_its_test_exists(fix):
    assert any(_fits(fix, text) for _, text in of_the_product())
    assert ("test" in fix) != ("why" in fix)
    if "test" in fix:
        path, name = fix["test"].split("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def _fits(fix, text):
    return re.search(fix["text"], text) is not None
