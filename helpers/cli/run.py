"""`python -m helpers run`: a network driven over a stream, its results and the time of every frame kept."""

import dataclasses
import json
import shlex
from pathlib import Path

from helpers import engine, models, records, shared
from helpers.cli import networks
from helpers.cli.parser import Parser
from helpers.files import atomic

DESCRIPTION = (
    "Drive a network over the frames of a split, one after the other, and keep of every frame what it says and how "
    "long it took, with the copies to it and back. The same command, run again after whatever interruption, goes on. "
    "The command summarize then tells accuracy and latency."
)
RECORD = "run.json"  # in the folder: where, when and with what the frames were driven


def main(argv: list[str]) -> int:
    """`python -m helpers run SYSTEM --engine FILE --out FOLDER`; prints the latencies once all frames are done."""
    options = _parser().parse_args(argv)
    config, path = models.config(options.system, options.config), networks.file_of(options)

    from helpers import evaluate  # the devkit, which --help and the checks above do without
    from helpers.dataset import open_dataset
    from helpers.evaluate.timed import Stopwatch, Timed, latencies

    task = evaluate.task_of(config)
    dataset = open_dataset(options.dataroot, options.version, options.split)
    run, config, runner = networks.opened(options, config, path)
    files, half = networks.parts(path)
    about = networks.about(options, config, files)
    about |= {"task": config.task, "version": options.version, "runner": runner, "device": _device(options)}
    store = evaluate.Store(options.out, dataset, about)
    networks.tell_mixture(store)
    networks.tell_rounding(path, half)
    watches: list[Stopwatch] = []

    def timed():
        watches.append(Stopwatch(run()))
        return watches[0]

    alone = evaluate.Worker()  # frames that are timed have the machine to themselves
    with shared.alone(options.out, "a run", "give this one a folder of its own, and a machine"):
        driven = evaluate.work(timed, dataset, config, store, alone, Timed(task, lambda: watches[0]), not options.quiet)
    store.tidy()
    timing = latencies(store.results())
    if driven or not (options.out / RECORD).exists():
        command = shlex.join(["python", "-m", "helpers", "run", *argv])
        name = f"run-{options.system}-{config.name}"
        found = records.record(name, timing.metrics(), command, [path], device=about["device"])
        made = " and ".join(sorted(store.made_by()))
        found = dataclasses.replace(found, commit=made, artifacts={path.name: about["sha256"]})
        with atomic(options.out / RECORD) as part:
            part.write_text(json.dumps(dataclasses.asdict(found), indent=2) + "\n", encoding="utf-8")
    print(f"{runner}\n{timing}\n{options.out}")
    return 0


def _device(options):
    """The GPU where one runs the network, else the CPU."""
    if options.engine and engine.runtime_of(options.engine) == "tensorrt":
        from helpers.engine import cuda

        return cuda.device().name
    return records.cpu()


def _parser() -> Parser:
    parser = Parser("python -m helpers run", description=DESCRIPTION)
    networks.add_network(parser, "-e")
    networks.add_frames(parser, "-i")
    text = "a new folder, or one to go on in"
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help=text)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser
