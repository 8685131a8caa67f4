"""`python -m helpers policy`: the parts of an OpenVLA on their way to engines."""

from argparse import Namespace
from pathlib import Path

from helpers.cli import numbers
from helpers.cli.parser import Parser


def main(argv: list[str]) -> int:
    """Returns 0; raises BadInput."""
    parser = Parser("python -m helpers policy", description=__doc__.partition(": ")[2])
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("save-backbone", help="write language model, vision towers and projector apart")
    one.add_argument("--save-dir", type=Path, default=Path("save_dir"), metavar="FOLDER", help="to write (save_dir)")
    one.add_argument("--shard", type=numbers.whole(1, 1 << 50), help="bytes of a file of the language model (5 GiB)")
    one.add_argument("--test-load", action="store_true", help="load the parts again")
    one = actions.add_parser("vision", help="write vision towers and projector as one ONNX graph")
    one.add_argument("--out", type=Path, required=True, metavar="ONNX")
    for one in actions.choices.values():
        one.add_argument("--hf-name", type=Path, required=True, metavar="FOLDER", help="of the policy, on this disk")
    options = parser.parse_args(argv)
    return {"save-backbone": _save, "vision": _vision}[options.action](options)


def _save(options: Namespace) -> int:
    from helpers import policy
    from helpers.llm import folder

    out = policy.save_backbone(options.hf_name, options.save_dir, options.shard or folder.SHARD)
    if options.test_load:
        loaded = policy.load_backbone(out)
        print(f"loaded again: {loaded.config.patches} patches, data sets {', '.join(loaded.norm_stats)}")
    print(out)
    return 0


def _vision(options: Namespace) -> int:
    from helpers import export, policy

    print(export.export(policy.load_network(options.hf_name), options.out))
    return 0
