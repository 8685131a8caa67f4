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
which rows are full, which every runtime takes. --pictures lets the graph take the cameras' pictures as bytes and
prepare them itself, --boxes lets it choose and decode its boxes: so little crosses to a GPU and back. helpers.pipeline
runs a graph with --pictures from JPEG files, as lesson 07 does; run and evaluate take one with --boxes."""
KINDS = {"true": True, "false": False}


def main(argv: list[str]) -> int:
    """`python -m helpers export SYSTEM --out FILE`; prints the file."""
    options = _parser().parse_args(argv)
    config = changed(models.config(options.system, options.config), options.set)
    check_target(options.out)
    check_distinct(options.out, *filter(None, [options.weights]))
    ended = _check_ends(options, config)

    from helpers import export  # torch, which --help and the checks above do without
    from helpers.graph import ends

    model = models.create(options.system, config)
    if options.weights:
        models.load_checkpoint(model, options.weights)
    else:
        print("no --weights: those of seed 0, which nothing has trained", file=sys.stderr)
    with temporary.scratch() as folder:
        path = options.out if not ended else folder / "whole.onnx"
        export.cached(model, path, options.plugins, options.opset)
        if ended:
            ends.add_ends(path, options.out, config, options.pictures, options.boxes, options.rows)
    print(options.out)
    return 0


def _check_ends(options: argparse.Namespace, config: Config) -> bool:
    """Whether an end is asked for; BadInput, before the export, for one that this system has not."""
    chooses = type(config).choose is not Config.choose
    has = {
        "pictures": (bool(config.pictures), "a system whose network takes what a Preparation makes of pictures"),
        "boxes": (chooses, "a system whose outputs are boxes"),
        "rows": (bool(config.empty), "a system whose inputs have rows that may be empty"),
    }
    asked = [name for name in has if getattr(options, name)]
    for name in asked:
        there, expected = has[name]
        if not there:
            raise BadInput(f"--{name}", options.system, expected, "leave it out")
    if options.pictures:
        config.preparation().resized(*options.pictures)
    return bool(asked)


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


def _size(text):
    height, times, width = text.partition("x")
    if not (times and all(part.isascii() and part.isdigit() and int(part) for part in (height, width))):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not HEIGHTxWIDTH, such as 900x1600")
    return int(height), int(width)


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
    text = "bytes of pictures of this size in the place of the prepared input (900x1600)"
    parser.add_argument("--pictures", type=_size, nargs="?", const="900x1600", metavar="HEIGHTxWIDTH", help=text)
    parser.add_argument(
        "--boxes", action="store_true", help="the best boxes, decoded, in the place of what they are of"
    )
    parser.add_argument("--plugins", action="store_true", help="custom operators without their definitions")
    parser.add_argument("--opset", type=numbers.whole(1, 99), default=18, help="version of ONNX's operators (18)")
    return parser
