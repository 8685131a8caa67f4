"""`python -m helpers planning`: score planned paths that were saved, and planners that see nothing."""

from pathlib import Path

from helpers.cli.parser import Parser
from helpers.errors import BadInput

DESCRIPTION = (
    "Score a folder of saved answers: a file for each sample, named as its token, JSON [{Q: question, A: [answer]}], "
    "the path in the answer to its question. L2 in m, as the mean up to a time and at that time; collisions and "
    "crossings of the road's boundary up to a time, as shares."
)


def main(argv: list[str]) -> int:
    """`python -m helpers planning [FOLDER] [--baselines]`: prints a column for the folder and for each baseline."""
    parser = Parser("python -m helpers planning", description=DESCRIPTION)
    parser.add_argument("folder", type=Path, nargs="?", help="of saved answers")
    parser.add_argument("--baselines", action="store_true", help="planners that only go on as the vehicle goes")
    parser.add_argument("--dataroot", type=Path, default="data/minidrive", help="MiniDrive or nuScenes")
    parser.add_argument("--version", default="v1.0-mini", help="the folder of its tables (v1.0-mini)")
    parser.add_argument("--split", default="mini_val", help="a split of nuScenes, or all (mini_val)")
    options = parser.parse_args(argv)
    if options.folder is None and not options.baselines:
        raise BadInput("planning", "no folder", "a folder of saved answers, or --baselines", "say what is to be scored")

    from helpers.dataset import open_dataset  # the devkit, which --help and the check above do without
    from helpers.metrics import planning

    dataset = open_dataset(options.dataroot, options.version, options.split)
    columns = {str(options.folder): planning.eval_planning(options.folder, dataset)} if options.folder else {}
    if options.baselines:
        columns |= {name: planning.baseline(name, dataset) for name in planning.BASELINES}
    for number, name in enumerate(columns, 1):
        print(f"({number}) {name}")
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        values = [f"{column[row]:>10.4g}" if row in column else " " * 10 for column in columns.values()]
        print(f"{row:<14}{''.join(values)}")
    return 0
