"""The verbs of `python -m helpers llm` for TensorRT-Edge-LLM, the road to DRIVE and Jetson."""

import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any

from helpers.cli import numbers
from helpers.llm.edge.commands import PRECISIONS, TARGETS


def add(actions: Any) -> None:
    """Add the verbs to a command's own."""
    one = actions.add_parser(
        "edge", help="the commands of TensorRT-Edge-LLM for DRIVE and Jetson; run those of the host"
    )
    one.add_argument("target", choices=TARGETS)
    one.add_argument("model", type=Path, metavar="FOLDER", help="of Hugging Face, a plain Llama with a chat template")
    one.add_argument("--out_dir", type=Path, required=True, metavar="FOLDER", help="what each step writes")
    one.add_argument("--precision", choices=PRECISIONS, default="fp16")
    one.add_argument("--batch", type=numbers.whole(1, 1 << 16), default=1, help="requests at a time (1)")
    one.add_argument("--tokens", type=numbers.whole(1, 1 << 24), default=1024, help="of the longest prompt (1024)")
    one.add_argument("--capacity", type=numbers.whole(1, 1 << 24), default=2048, help="tokens of the cache (2048)")
    one.add_argument("--run", action="store_true", help="quantize and export here")
    one = actions.add_parser("exported", help="what tensorrt-edgellm-export wrote, and whence its weights come")
    one.add_argument("folder", type=Path, metavar="FOLDER", help="llm of the export")
    one.add_argument("--model", type=Path, metavar="FOLDER", help="of Hugging Face, that was exported")


def compose(options: Namespace) -> int:
    """Print the steps, each with its reason; returns 0, or what a program returned; raises BadInput."""
    from helpers.llm.edge import commands

    steps = commands.compose(options.target, options.precision, options.model, options.out_dir, options.batch,
                             options.tokens, options.capacity)  # fmt: skip
    for step in steps:
        print(f"{step.where}: {shlex.join(step.words)}\n    {step.why}")
    print(f"\n{commands.installed()[1]}")
    return commands.run(steps, options.model) if options.run else 0


def read(options: Namespace) -> int:
    """Print inputs, outputs, operators and files, and the checkpoint's names of the weights; raises BadInput."""
    from helpers import graph
    from helpers.llm import folder
    from helpers.llm.edge import reader

    found = reader.describe(options.folder)
    for title, rows in (("inputs", found.inputs), ("outputs", found.outputs), ("operators", found.operators),
                        ("files, bytes", found.files)):  # fmt: skip
        print(f"{title}\n" + "\n".join(f"  {name}  {what}" for name, what in rows.items()))
    if options.model:
        state = folder.load(options.model).state_dict()
        print("weights, bit for bit")
        for name, source in reader.compare(graph.parse(options.folder / reader.GRAPH), state).items():
            print(f"  {name}  {source or 'none of the checkpoint'}")
    return 0


VERBS = {"edge": compose, "exported": read}
