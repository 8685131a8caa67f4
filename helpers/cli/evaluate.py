"""`python -m helpers evaluate`: a network scored over a split, by many processes, interrupted or not."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers import models
from helpers.cli import networks, numbers
from helpers.cli.parser import Parser
from helpers.errors import BadInput
from helpers.files import as_path, found_at, sha256
from helpers.systems.base import Config

DESCRIPTION = """\
Score a network over a split. Every frame's result is saved to --out when it is there: the same command, run again after
whatever interruption, goes on, and prints the metrics when all is done. Scenes are shared out over processes,
  python -m helpers evaluate SYSTEM --engine FILE --out FOLDER --workers 4
  torchrun --nproc-per-node 4 -m helpers evaluate SYSTEM --engine FILE --out FOLDER
or over hosts that share the folder. The metrics do not depend on how many there are.
With --language a planner is asked for the path of every frame: the answers are in OUT/answers, and scored too."""


def main(argv: list[str]) -> int:
    """`python -m helpers evaluate SYSTEM --engine FILE --out FOLDER`; prints the metrics once all frames are done."""
    options = _parser().parse_args(argv)
    config, path = models.config(options.system, options.config), networks.file_of(options)

    from helpers import evaluate  # the devkit, which --help and the checks above do without
    from helpers.dataset import open_dataset

    task, worker = evaluate.task_of(config), evaluate.Worker.from_environment()
    spoken: dict[str, str] = {}
    if options.language_graph and not options.language:
        raise BadInput("--language-graph", "no --language", "its folder, with the tokenizer", "pass --language as well")
    if options.language:
        _seeing(config)  # refuses a system that has no table, before anything is written
        task, spoken = _planning(options)
    if options.workers > 1 and worker.count > 1:
        raise BadInput("--workers", options.workers, "1 where torchrun starts the processes", "leave it out")
    dataset = open_dataset(options.dataroot, options.version, options.split)
    files, half = networks.parts(path)
    about = networks.about(options, config, files)
    store = evaluate.Store(options.out, dataset, about | {"task": config.task} | spoken)
    if worker.rank == 0 and not options.no_metrics:
        networks.tell_mixture(store)
        networks.tell_rounding(path, half)
    if options.workers > 1:
        from helpers.evaluate.local import run_workers

        command = ["evaluate", *argv, "--workers=1", "--quiet", "--no-metrics"]
        run_workers(command, options.workers, store.done, len(dataset), not options.quiet)
    run: Callable[[], networks.Run] = _unused
    if store.done() < len(dataset):
        run, config, _ = networks.opened(options, config, path)
    driven = _seeing(config) if options.language else config
    if options.no_metrics:
        evaluate.work(run, dataset, driven, store, worker, task, not options.quiet)
        return 0
    outcome = evaluate.evaluate(run, dataset, driven, store, worker, task, not options.quiet)
    if outcome.metrics is None:
        told = f"{outcome.missing} of {len(dataset)} frames are still missing"
        print(f"{worker}: its share is done; {told}", file=sys.stderr)
        return 0
    print("\n".join(f"{name:<28}{value:>12.6g}" for name, value in outcome.metrics.items()))
    return 0


def _planning(options):
    """The task with a planner, and what tells this evaluation from others."""
    from helpers import planner
    from helpers.planner.evaluated import Planning

    graph = options.language_graph
    weights = [graph] if graph else sorted(as_path(options.language).glob("*.safetensors"))
    own = [options.language / name for name in ("config.json", "tokenizer.json")]
    files = [as_path(each) for each in (*own, *weights)]
    if absent := [each for each in files if not each.is_file()]:
        fix = "give the folder of a language model, as its training wrote it"
        raise BadInput(absent[0], found_at(absent[0]), "a file of the language model", fix)
    files += networks.parts(as_path(graph))[0][1:] if graph else []
    about = {"language": options.language.name, "language_sha256": sha256(*files)}
    return Planning(lambda: planner.load(options.language, graph), options.out), about


def _seeing(config: Config) -> Any:
    """The configuration that gives the planner its table."""
    from helpers.planner.evaluated import Seeing

    return Seeing(config)


def _unused():
    raise RuntimeError("no frame is missing")


def _parser():
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m helpers evaluate", description=DESCRIPTION, formatter_class=form)
    networks.add_network(parser)
    parser.add_argument("--language", type=Path, metavar="FOLDER", help="of a language model, asked for the path")
    parser.add_argument("--language-graph", type=Path, metavar="FILE", help="ONNX, in the place of its weights")
    networks.add_frames(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or one to go on in")
    parser.add_argument("--workers", type=numbers.whole(1, 1024), default=1, help="processes of this machine (1)")
    parser.add_argument("--no-metrics", action="store_true", help="drive this share alone; another call scores")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser
