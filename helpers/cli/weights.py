"""`python -m helpers weights`: a checkpoint tensor by tensor, in folders by module, and back."""

from argparse import Namespace
from pathlib import Path

from helpers.cli import numbers
from helpers.cli.parser import Parser
from helpers.errors import BadInput, foreign, printable
from helpers.files import atomic, check_distinct, check_target


def main(argv: list[str]) -> int:
    """Returns 0; raises BadInput."""
    parser = Parser("python -m helpers weights", description=__doc__.partition(": ")[2])
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("split", help="write every tensor of a checkpoint to a file of its own, with an index")
    text = "a file of safetensors or torch.save, or a folder of Hugging Face"
    one.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=text)
    one.add_argument("--out_dir", type=Path, required=True, metavar="FOLDER", help="to write")
    one.add_argument("--replace", action="store_true", help="in the place of layered weights that are there")
    one = actions.add_parser("tree", help="the modules, and what each holds")
    one.add_argument("--depth", type=numbers.whole(0, 50), default=1, help="of the modules that are shown (1)")
    one = actions.add_parser("join", help="write a folder back as one file of safetensors, every tensor checked")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="NAME.safetensors")
    for name in ("tree", "join"):
        actions.choices[name].add_argument("folder", type=Path, metavar="FOLDER", help="that `split` wrote")
    options = parser.parse_args(argv)
    return {"split": _split, "tree": _tree, "join": _join}[options.action](options)


def _split(options: Namespace) -> int:
    from helpers.llm import folder
    from helpers.models import layered, tree
    from helpers.models.checkpoints import read_checkpoint

    source = options.checkpoint
    check_distinct(options.out_dir, source)
    if source.is_dir() and options.out_dir.resolve().is_relative_to(source.resolve()):
        raise BadInput(options.out_dir, f"a place in {source}, the input", "a place of its own", "give another name")
    is_folder = source.is_dir() and not layered.is_layered(source)
    state = folder.read_weights(source) if is_folder else read_checkpoint(source)
    out = layered.save(state, options.out_dir, options.replace)
    print(printable(tree.text(tree.modules(layered.index(out)))))
    print(out)
    return 0


def _tree(options: Namespace) -> int:
    from helpers.models import layered, tree

    print(printable(tree.text(tree.modules(layered.index(options.folder), options.depth))))
    return 0


def _join(options: Namespace) -> int:
    from helpers.models import layered
    from helpers.models.checkpoints import write_tensors

    out = options.out
    if out.suffix != ".safetensors":
        raise BadInput(out, f"a name that ends in {out.suffix!r}", "NAME.safetensors", "give it that ending")
    if out.resolve().is_relative_to(options.folder.resolve()):
        raise BadInput(out, f"a place in {options.folder}, the input", "a place of its own", "give it another name")
    check_target(out)
    state = layered.read(options.folder)
    with atomic(out) as part, foreign(out, "types that safetensors has", "read them with helpers.models.layered"):
        write_tensors(state, part)
    print(out)
    return 0
