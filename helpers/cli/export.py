"""`python -m helpers export`: a network of the course to one ONNX file."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from helpers import models, temporary
from helpers.cli import numbers
from helpers.cli.parser import Parser
from helpers.errors import BadInput
from helpers.files import check_distinct, check_target
from helpers.systems.base import Config

DESCRIPTION = """\
Export a network to one ONNX file. --set chooses among what a configuration can be read as, such as UniAD's shift of the
temporal attention, temporal_shift=both (the public PyTorch) or history (the public export). --rows lets the inputs and
outputs that hold rows, such as tracks, have as many as there are; without it they have room for all, and numbers say
which rows are full, which every runtime takes."""
KINDS = {"true": True, "false": False}


def main(argv: list[str]) -> int:
    """`python -m helpers export SYSTEM --out FILE`; prints the file."""
    options = _parser().parse_args(argv)
    config = changed(models.config(options.system, options.config), options.set)
    check_target(options.out)
    check_distinct(options.out, *filter(None, [options.weights]))

    from helpers import export  # torch, which --help and the checks above do without
    from helpers.graph import ends

    model = models.create(options.system, config)
    if options.weights:
        models.load_checkpoint(model, options.weights)
    else:
        print("no --weights: those of seed 0, which nothing has trained", file=sys.stderr)
    with temporary.scratch() as folder:
        path = options.out if not options.rows else folder / "whole.onnx"
        export.cached(model, path, options.plugins, options.opset)
        if options.rows:
            ends.add_ends(path, options.out, config, pictures=None, boxes=False, rows=True)
    print(options.out)
    return 0


def changed(config: Config, given: list[tuple[str, str]]) -> Config:
    """The configuration with these fields, (name, text), of the kind of value that it has there.

    Raises:
        BadInput: no such field, one that holds several values, or a text of another kind.
    """
    known = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "name"}
    plain = {name: value for name, value in known.items() if isinstance(value, bool | int | float | str)}
    values = {}
    for name, text in given:
        where = f"--set {name}"
        if name not in plain:
            raise BadInput(where, "no such single value", f"one of {', '.join(plain)}", "correct the name")
        values[name] = _value(where, text, type(plain[name]))
    return dataclasses.replace(config, **values)


def _value(where: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text not in KINDS:
            raise BadInput(where, repr(text), "true or false", "correct the value")
        return KINDS[text]
    try:
        return kind(text)
    except ValueError as error:
        expected = "a whole number" if kind is int else "a number"
        raise BadInput(where, f"{text[:40]!r}", expected, "correct the value") from error


def _pair(text):
    name, equal, value = text.partition("=")
    if not equal:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not FIELD=VALUE")
    return name, value


def _parser() -> Parser:
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m helpers export", description=DESCRIPTION, formatter_class=form)
    parser.add_argument("system", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (published, or the first)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a checkpoint; without it the weights are random")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="to write")
    text = "another value of a field of the configuration; may be given again"
    parser.add_argument("--set", type=_pair, action="append", default=[], metavar="FIELD=VALUE", help=text)
    parser.add_argument("--rows", action="store_true", help="as many rows as there are, such as of tracks")
    parser.add_argument("--plugins", action="store_true", help="custom operators without their definitions")
    parser.add_argument("--opset", type=numbers.whole(1, 99), default=18, help="version of ONNX's operators (18)")
    return parser
