"""The door of options: every command of `python -m helpers`, with values that nobody means."""

import functools
import importlib
import json
import os
from argparse import Action
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
from onnx import numpy_helper, parser

from ci.fuzz import mutate
from ci.fuzz.door import Door, Silent, command
from helpers import graph
from helpers.__main__ import COMMANDS
from helpers.cli.parser import Parser
from helpers.models import SYSTEMS

FILE, MODEL, ARRAYS = "argv.json", "model.onnx", "arrays.npz"
SOURCE = """<ir_version: 9, opset_import: ["": 19]>
small (float[1, 16, 4, 4] x, float[16, 16, 1, 1] w) => (float[1, 16, 4, 4] y) {
  z = Conv (x, w)
  y = Relu (z)
}"""
# How often a command is chosen: the last looks at the whole machine, for seconds.
WEIGHTS = {"engine": 60, "quantize": 20, "divergence": 20, "graph": 20, "patch": 20, "llm": 10, "models": 10,
           "weights": 10, "records": 10, "explain": 10, "samples": 5, "create_engine": 5,
           "policy": 5, "act": 5, "builder": 5, "evaluate": 5, "run": 5, "summarize": 5, "planning": 5,
           "doctor": 1}  # fmt: skip
FOREVER = {"serve", "export"}  # not asked: one serves until it is told to end, the other is minutes at it
SLOW = ("patch", "check")  # asks the network; the other actions take the same options
NEVER = {"--dry-run"}  # given always, below
WORDS = (
    "inf", "-inf", "nan", "-1", "0", "1", "2", "1e308", "-1e-9", "9" * 30, "", " ", "abc", "0x10", "1,2", "1,,2",
    "100,nan", "x:1x16x4x4", "x:-1x4", "x:0x4", "x:99999999999x16x4x4", "x:2x4,x:2x4", "y:1", ":", "workspace:inf",
    "workspace:1", "x", "y", "*", "[", "(", *SYSTEMS, "mini", "published", "int8", "--", "-x", "\ud800", "\udce9",
    "MatMul", "1_0", "٣", *mutate.TEXTS,
)  # fmt: skip
PATHS = (MODEL, ARRAYS, "absent.onnx", "folder", "text.txt", "empty.onnx", "/dev/null", "/dev/zero", "/proc/self/mem",
         "..", ".", "/", "folder/new/deep", "a" * 300, "a" * 240 + ".onnx", "a/" * 3000, "text.txt/x", "a\0b", "",
         "new.onnx", "é ü.onnx", "\udce9.onnx", "ring", "link.onnx")  # fmt: skip
OUTPUTS = (
    "--save",
    "--export",
    "--out",
    "--trt_engine",
    "--timing",
    "--cache",
    "--clone",
)  # how flags begin of what is written


class _Found(Exception):
    """Stops a command where it would read its arguments; holds its parser."""


@functools.cache
def _parser_of(name: str) -> Parser:
    def found(self, *arguments):
        raise _Found(self)

    with mock.patch.object(Parser, "parse_args", found):
        try:
            importlib.import_module(COMMANDS[name][0]).main([])
        except _Found as stop:
            return stop.args[0]
    raise AssertionError(f"{name} reads no arguments")


def _prepare(common: Path) -> None:
    """The files that arguments name; every command is run once, so that no input waits for a library."""
    model = parser.parse_model(SOURCE)
    del model.graph.input[1]
    model.graph.initializer.append(numpy_helper.from_array(np.eye(16, dtype=np.float32).reshape(16, 16, 1, 1), "w"))
    graph.save(model, common / MODEL)
    np.savez(common / ARRAYS, x=np.ones((1, 16, 4, 4), np.float32))
    model, cache = f"--onnx={common / MODEL}", f"--cache={common / 'engines'}"
    command("engine", "build", model, cache)
    command("engine", "bench", model, cache, "--iterations=1", "--warmUp=0")
    command("quantize", f"--onnx_path={common / MODEL}", "--op_types_to_exclude")
    (common / "model.quant.onnx").unlink()
    command("graph", str(common / MODEL), "--shapes", "--blocks")
    command("divergence", str(common / MODEL), str(common / MODEL))
    command("models", "--keys", next(iter(SYSTEMS)))
    command("records"), command("patch", "list"), command("explain", "none")


def _make(random: Random, common: Path, folder: Path) -> None:
    """A command line of one command, in a folder with files for it."""
    (name,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    words = [name]
    actions = list(_actions(_parser_of(name), random, words))
    chosen = random.sample(actions, min(len(actions), random.choice((0, 1, 1, 2, 3, 5))))
    for action in actions:
        if action.required or not action.option_strings or action in chosen:
            words += _given(action, random)
    if name == "engine" and not any(word.startswith(("--onnx", "--loadEngine")) for word in words):
        words.append(f"--onnx={MODEL}")
    if tuple(words[:2]) == SLOW:
        words[1] = "list"
    (folder / FILE).write_text(json.dumps([*words, "--dry-run"] if name == "patch" else words))
    for source in (MODEL, ARRAYS):
        (folder / source).write_bytes((common / source).read_bytes())
    (folder / os.fsdecode(b"\xe9.onnx")).write_bytes((common / MODEL).read_bytes())
    for name, target in (("link.onnx", MODEL), ("ring", "ring"), ("folder/link", "..")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(target)
    (folder / "text.txt").write_text("text")
    (folder / "empty.onnx").touch()


def _actions(found: Parser, random: Random, words: list[str]) -> Iterator[Action]:
    """The arguments of a parser, and of a subcommand that is chosen and added to `words`."""
    for action in found._actions:
        if action.nargs == "A...":
            words.append(random.choice(sorted(action.choices)))
            yield from _actions(action.choices[words[-1]], random, words)
        elif "--help" not in action.option_strings and not NEVER & set(action.option_strings):
            yield action


def _given(action: Action, random: Random) -> list[str]:
    """An option, or a positional argument, with a value that fits it, or one that may not."""
    flag = random.choice(action.option_strings) if action.option_strings else ""
    if flag and action.nargs == 0:
        return [flag]
    value = random.choice(_fitting(action, flag) if random.random() < 0.75 else PATHS if action.type is Path else WORDS)
    if value.startswith(("/", "..")) and flag.startswith(OUTPUTS):
        value = "folder"  # nothing is written outside of the input's folder
    joined = action.type is Path or random.random() < 0.8  # paths always: `_enter` looks at what they are for
    return [value] if not flag else [f"{flag}={value}"] if joined else [flag, value]


def _fitting(action: Action, flag: str) -> Sequence[str]:
    """Values that an argument may well be meant to have."""
    if action.type is Path:
        read = (ARRAYS,) if "npz" in (action.metavar or "") else (MODEL,)
        return ("folder", "new", "folder/new") if flag.startswith(OUTPUTS) else read
    return [str(value) for value in action.choices or [action.default] if value not in (None, [], {})] or WORDS


def _enter(folder: Path) -> None:
    """Silent if a command writes over what it reads, or leaves something half written."""
    words = json.loads((folder / FILE).read_text())
    read = [path for path in (folder / MODEL, folder / ARRAYS)
            if any(path.name in word and not word.startswith(OUTPUTS) for word in words)]  # fmt: skip
    before = [path.read_bytes() for path in read]
    try:
        command(*words)
    finally:
        if before != [path.read_bytes() for path in read]:
            raise Silent(f"an input was written over by {words}")
        if left := [path.name for path in folder.rglob("*.part")]:
            raise Silent(f"{left} left by {words}")


DOORS = {"options": Door(_prepare, _make, _enter, ("",))}  # any error names an argument, or what it says
