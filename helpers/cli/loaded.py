"""What may be asked of an engine that is loaded: nothing of what makes one, and noise or arrays."""

from argparse import Namespace

from helpers.cli import engine_options
from helpers.cli.parser import check_used


def check(arguments: Namespace) -> None:
    """BadInput if options of a build were given for an engine that is there, or a seed for arrays that are."""
    given = [option.flag for option in engine_options.BUILD if getattr(arguments, option.name) is not None]
    given += [
        f"--{name}Shapes"
        for name in engine_options.SHAPES
        if any(name in three for three in arguments.profiles.values())
    ]
    given += ["--saveEngine"] * bool(arguments.saveEngine) + ["--runtime"] * (arguments.runtime != engine_options.ORT)
    for flag in given:
        check_used(flag, flag, arguments.onnx, "--onnx, of which an engine is built")
    check_used(arguments.seed, "--seed", not arguments.loadInputs, "noise, without --loadInputs")
