"""`python -m helpers COMMAND ...`: the helpers from a shell."""

import importlib
import os
import sys

from helpers import cores, processes
from helpers.cli.terminal import guard
from helpers.errors import BadInput
from helpers.files import ROOT

COMMANDS = {
    "models": ("helpers.cli.models", "list the systems, their configurations and parameters"),
    "weights": ("helpers.cli.weights", "a checkpoint tensor by tensor in folders by module, and back"),
    "builder": ("helpers.cli.builder", "an engine of such folders, its network written layer by layer, without ONNX"),
    "export": ("helpers.cli.export", "a network to one ONNX file"),
    "graph": ("helpers.cli.graph", "operators, custom operators, shapes and cost of an ONNX file"),
    "engine": ("helpers.cli.engine", "build, run, inspect and benchmark engines"),
    "samples": ("helpers.cli.samples", "write a network's inputs on real frames as raw files"),
    "create_engine": ("helpers.cli.create_engine", "a TensorRT engine of a system, its sizes from real samples"),
    "divergence": ("helpers.cli.divergence", "find the first tensor in which two ONNX files differ"),
    "evaluate": ("helpers.cli.evaluate", "score a network over a split, by many processes, interrupted or not"),
    "run": ("helpers.cli.run", "drive a network over a stream: results and latencies, interrupted or not"),
    "summarize": ("helpers.cli.summarize", "accuracy and latency of a run, beside a baseline"),
    "planning": ("helpers.cli.planning", "score planned paths that were saved, and planners without eyes"),
    "quantize": ("helpers.cli.quantize", "quantize an ONNX file with calibration data"),
    "llm": ("helpers.cli.llm", "a language model into TensorRT-LLM's form or ONNX, read back, its build, and its text"),
    "policy": ("helpers.cli.policy", "the parts of an OpenVLA on their way to engines"),
    "serve": ("helpers.cli.serve", "serve a policy over HTTP: picture and instruction in, action out"),
    "act": ("helpers.cli.act", "ask an action server what to do, from a picture and an instruction"),
    "doctor": ("helpers.cli.doctor", "check this machine; every fault comes with its cure"),
    "explain": ("helpers.cli.explain", "what an error message means and what to do about it"),
    "records": ("helpers.cli.records", "print the recorded results"),
    "patch": ("helpers.cli.patch", "list, apply, revert and check the patches of patches/"),
}


def usage() -> str:
    """The list of commands, one line each."""
    lines = [f"  {name:<14} {description}" for name, (_, description) in COMMANDS.items()]
    return "\n".join(["usage: python -m helpers COMMAND [options]   (COMMAND --help tells more)", "", *lines])


def main(argv: list[str]) -> int:
    """Run the command that `argv` names; returns the exit code (2 for bad input, without a traceback)."""
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        text = f"error: {argv[0]} needs the package {error.name}, which is not installed"
        print(f"{text}\n  fix: {_python()}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _python():
    """Where the packages are: the environment of `make setup` if there is one and this is another."""
    own = ROOT / ".venv"
    if not (own / "bin/python").is_file() or own.samefile(sys.prefix):
        return "make setup"
    return f"this is {sys.executable}: run it with .venv/bin/python, which has the packages"


def _run(argv):
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = argv
    if name not in COMMANDS:
        print(f"unknown command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    cores.apply()
    try:
        return importlib.import_module(COMMANDS[name][0]).main(rest)
    except SystemExit:  # of argparse, once it has said what there is to say
        sys.stdout.flush()
        raise


if __name__ == "__main__":
    guard()
    sys.exit(processes.program(lambda: main(sys.argv[1:])))
