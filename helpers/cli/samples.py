"""`python -m helpers samples`: write what a network takes on real frames as raw `.dat` files."""

import itertools
from pathlib import Path

from helpers import models
from helpers.calibration import samples
from helpers.cli import numbers
from helpers.cli.parser import Parser
from helpers.systems.base import Config

DESCRIPTION = (
    "Write a network's inputs on real frames: a folder per frame, in it INPUT.dat (the bytes of the array in C order) "
    "and shapes.json. create_engine makes a profile of them, and trtexec takes them with --loadInputs."
)


def main(argv: list[str]) -> int:
    """`python -m helpers samples SYSTEM --out FOLDER`: prints every sample's folder and its free sizes."""
    parser = Parser("python -m helpers samples", description=DESCRIPTION)
    parser.add_argument("system", help="one of: " + ", ".join(models.SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (published, or the first)")
    parser.add_argument("--dataroot", type=Path, default="data/minidrive", help="MiniDrive or nuScenes")
    parser.add_argument("--version", default="v1.0-mini", help="the folder of its tables (v1.0-mini)")
    parser.add_argument("--split", default="mini_val", help="a split of nuScenes, or all (mini_val)")
    parser.add_argument("--count", type=numbers.whole(1, 10_000), default=1, help="frames, from the first (1)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    options = parser.parse_args(argv)
    config = models.config(options.system, options.config)
    samples.check_out(options.out)

    from helpers.dataset import open_dataset, stream  # the devkit, which --help and the checks above do without

    dataset = open_dataset(options.dataroot, options.version, options.split)
    samples.check_count(len(dataset), options.count)
    out = samples.dump(stream(dataset, config), out=options.out, config=config, count=options.count)
    for folder, shapes in samples.read_shapes(out, config).items():
        print("  ".join([str(folder), *(f"{name} {size}" for name, size in free_sizes(config, shapes).items())]))
    return 0


def free_sizes(config: Config, shapes: samples.Shapes) -> dict[str, int]:
    """Free dimension -> its size in a sample's `shapes`."""
    axes = itertools.chain.from_iterable(
        ((name, *item) for item in axes.items()) for name, axes in config.free_axes().items()
    )
    return {dimension.name: shapes[name][axis] for name, axis, dimension in axes}
