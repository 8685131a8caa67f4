"""`python -m helpers graph`: what is in an ONNX file, and its post-processing."""

from pathlib import Path

from helpers import graph
from helpers.cli import numbers
from helpers.cli.parser import Parser, check_used
from helpers.errors import printable
from helpers.graph.edit import located
from helpers.graph.types import text


def main(argv: list[str]) -> int:
    """`python -m helpers graph FILE`: operators and custom operators; options for shapes, blocks and
    post-processing.
    """
    parser = Parser("python -m helpers graph", description=main.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--shapes", action="store_true", help="every tensor with its shape")
    parser.add_argument("--blocks", action="store_true", help="parameters and FLOPs by block")
    parser.add_argument("--depth", type=numbers.whole(1, 1000), help="parts of the module path that make a block (3)")
    parser.add_argument(
        "--postprocess", action="store_true", help="write FILE's *_post.onnx for ONNX Runtime and plugins"
    )
    arguments = parser.parse_args(argv)
    check_used(arguments.depth, "--depth", arguments.blocks, "--blocks")
    if arguments.postprocess:
        check_used(arguments.shapes, "--shapes", False, "the file as it is, without --postprocess")
        check_used(arguments.blocks, "--blocks", False, "the file as it is, without --postprocess")
        print(graph.postprocess(arguments.file))
        return 0
    model = graph.load(arguments.file)
    with located(arguments.file):
        _print_tables(model, arguments)
    return 0


def _print_tables(model, arguments):
    table = graph.op_table(model)
    print(f"{arguments.file}: {sum(row['count'] for row in table)} nodes\n")
    _print(table)
    if custom := graph.custom_ops(model):
        _print([_brief(row) for row in custom])
    if arguments.shapes:
        _print([row | {"shape": _shape(row), "dtype": row["dtype"] or "unknown"} for row in graph.shapes(model)])
    if arguments.blocks:
        _print_blocks(graph.cost_by_block(model, arguments.depth or 3))


def _shape(row):
    return "" if row["dtype"] in ("sequence", "optional") else text(row["shape"])


def _print_blocks(blocks):
    """Cost by block and in total; why FLOPs are unknown, below."""
    keys = ("nodes", "parameters", "flops")
    costs = {key: [row[key] for row in blocks] for key in keys}
    total = {key: None if None in cost else sum(cost) for key, cost in costs.items()}
    _print([{"block": row["block"]} | {key: row[key] for key in keys} for row in [*blocks, {"block": "total"} | total]])
    for row in blocks:
        if row["flops"] is None:
            print(f"FLOPs of {row['block']} unknown: {row['why']}")


def _print(rows):
    columns = list(rows[0])
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print()


def _cell(value):
    if value is None:
        return "unknown"
    return f"{value:,}" if type(value) is int else printable(value, keep="")


def _brief(row):
    """A row of `graph.custom_ops` that fits a terminal: shapes without tensor names."""
    shapes_only = {
        side: " ".join(f"[{text.rpartition('[')[2]}" for text in row[side]) for side in ("inputs", "outputs")
    }
    return {"op": row["op"], "node": row["node"]} | shapes_only | {"defined": row["defined"]}
