"""Measures a system on a GPU: PyTorch, torch.compile and TensorRT in every precision, and their accuracy.

    python -m benchmarks all                       # where PyTorch and TensorRT share one Python
    python -m benchmarks all --tiny --runtime=onnxruntime    # the same path on a CPU, in a few minutes

Stages talk through files in the work folder, so each may run in the Python that has what it needs:

    prepare     graphs, Q/DQ graphs, calibration sets, frames, reference outputs     PyTorch, ModelOpt; no GPU
    pytorch     eager, torch.compile, CUDA graph; the card's ceilings                PyTorch on the GPU
    tensorrt    engines: build, time in turns, profile, stream the frames, sizes     TensorRT, onnx; no torch
    endtoend    from JPEG files in memory to boxes, before and after    OpenCV, the runtime, onnx; no torch
    gridsample  GridSample against its rewrite and ONNX Runtime                      TensorRT, onnx
    divergence  the first tensor of the mini that is wrong, by bisection             TensorRT, onnx; no torch
    evaluate    NDS and mAP                                                          nuscenes-devkit; no GPU
    paths       L2 of the paths that a language model plans from the tokens          PyTorch, nuscenes-devkit; no GPU
    accuracy    the mini in FP32, mixed and INT8, with its language model in FP16 and W4A16, on a CPU; not among all
    language    TTFT and TPOT of a Llama of a published size, in every form; not among all. In two Pythons: torch and
                transformers (graphs, reference, PyTorch's rows), then TensorRT (engines)
    schedule    vision of the next frame beside the words of this one                the runtime, onnx; not among all
    smoothing   the mini with its Linears in INT8, alpha of SmoothQuant swept, on a CPU; not among all
    records     results/*.json and the table                                         nothing
    all         each of them, in this order

Every finished piece is a JSON file in WORK/pieces and is not repeated. With --budget a stage ends before the time is up
and exits with 3 if pieces are left; call it again to go on. Nothing of the GPU is set; its clocks are noted.
"""

import argparse
import importlib
import os
import shlex
import sys
from pathlib import Path

from benchmarks.session import Session, check_whole, claim
from benchmarks.systems import SYSTEMS
from helpers import processes
from helpers.cli.parser import positive
from helpers.errors import BadInput
from helpers.files import ROOT

STAGES = {  # stage: the modules that do it
    "prepare": ("prepare",),
    "pytorch": ("pytorch",),
    "tensorrt": ("engines", "growth"),
    "endtoend": ("endtoend",),
    "gridsample": ("gridsample",),
    "divergence": ("divergence",),
    "evaluate": ("evaluate",),
    "paths": ("paths",),
    "accuracy": ("accuracy",),
    "language": ("language",),
    "schedule": ("schedule",),
    "smoothing": ("smoothing",),
    "records": ("report",),
}


def main(argv=None):
    """Run a stage; 0 all done, 1 pieces failed, 2 bad input, 3 pieces are left for the next call."""
    argv = sys.argv[1:] if argv is None else argv
    options = parse(argv)
    command = shlex.join(["python", "-m", "benchmarks", *argv])
    session = Session(options.work, options.only, options.budget, options.retry, command, options.commit)
    return run(session, options)


def run(session, options):
    """Run the stages that were asked for; returns the exit code."""
    for stage in stages(options):
        try:
            if stage != "language":  # which is of no system
                claim(options.work, options.system.recorded, stage in ("prepare", "accuracy", "smoothing"))
            if stage in ("pytorch", "tensorrt", "endtoend", "evaluate") and not options.tiny:
                check_whole(session, options.shapes)
            for module in STAGES[stage]:
                importlib.import_module(f"benchmarks.{module}").run(session, options)
        except ImportError as error:
            print(f"stage {stage}: {error}; run it in the Python that has it", file=sys.stderr)
            return 2
        except BadInput as error:
            print(f"stage {stage}: {error}", file=sys.stderr)
            return 2
    for what, names in (("failed", session.failed), ("left for the next call", session.left)):
        if names:
            print(f"{what}: {', '.join(names)}")
    if session.only and not session.met:
        print(f"--only {' '.join(session.only)}: fits no piece of this stage", file=sys.stderr)
        return 2
    return 1 if session.failed else 3 if session.left else 0


def stages(options):
    """The stages to run; "all" leaves out what is of a CPU alone, and what the stand-in for TensorRT does not need."""
    if options.stage != "all":
        return [options.stage]
    left_out = ("accuracy", "language", "schedule", "smoothing") + ("pytorch",) * (options.runtime != "tensorrt")
    return [stage for stage in STAGES if stage not in left_out]


def parse(argv):
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=[*STAGES, "all"])
    parser.add_argument("--system", default="bevformer", choices=SYSTEMS, help="what is measured (bevformer)")
    parser.add_argument("--projection", metavar="WAY",
                        help="published, operator or inputs: who projects into bevformer's cameras, one way for each "
                             "work folder (inputs: the host)")  # fmt: skip
    parser.add_argument("--work", type=Path, default=ROOT / "build/gpu", help="work folder (build/gpu)")
    parser.add_argument("--data", type=Path, default=ROOT / "data/minidrive",
                        help="data root (data/minidrive, which is made if absent)")  # fmt: skip
    parser.add_argument("--checkpoint", help="of the mini (the one in checkpoints/)")
    parser.add_argument("--language", type=Path, metavar="FOLDER", help="of the mini's language model (the one there)")
    parser.add_argument("--out", type=Path, help="folder of the records (results; WORK/records for a trial)")
    parser.add_argument("--shapes", nargs="+", choices=["published", "mini"], default=["published", "mini"],
                        help="the published size with random weights; the trained mini")  # fmt: skip
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="PATTERN",
        help="pieces whose name, as it is printed, has one of these shell patterns in it: mini/build/fp16, "
        "or 'mini/build/fp16$' without mini/build/fp16_plugin",
    )
    parser.add_argument("--budget", type=positive, metavar="SECONDS", help="stop before so many seconds have passed")
    parser.add_argument("--commit", metavar="SHA", help="of this code, where the folder is a copy without git")
    parser.add_argument("--retry", action="store_true", help="repeat the pieces that failed")
    parser.add_argument("--tiny", action="store_true", help="the mini, three frames, few runs: a test of the way")
    parser.add_argument("--runtime", default="tensorrt", choices=["tensorrt", "onnxruntime"],
                        help="onnxruntime stands in where there is no GPU")  # fmt: skip
    parser.add_argument("--plugin", type=os.path.abspath, metavar="LIBRARY", help="plugin library: engines with it too")
    parser.add_argument("--tacticSources", dest="tactic_sources", help="names, or none; TensorRT's default without it")
    parser.add_argument(
        "--builderOptimizationLevel", dest="level", type=int, choices=range(6), metavar="N", help="0 to 5 (TensorRT's)"
    )
    parser.add_argument("--limit", type=positive, metavar="SECONDS",
                        help="end an engine's build that takes longer: it has failed, the next begins")  # fmt: skip
    parser.add_argument("--workspace", type=positive, default=8192, metavar="MIB", help="scratch memory limit (8192)")
    options = parser.parse_args(argv)
    if options.plugin and not os.path.isfile(options.plugin):
        parser.error(f"--plugin {options.plugin}: no such file (fix: make -C plugins TENSORRT_INCLUDE=DIR)")
    options.preparing = preparing(options, parser.get_default("system"))
    options.system = SYSTEMS[options.system]
    if options.projection:
        if options.projection not in options.system.projections:
            ways = ", ".join(options.system.projections) or f"{options.system.name} has no choice"
            parser.error(f"--projection {options.projection}: not one of its ways ({ways})")
        options.system = options.system.projected(options.projection)
    options.checkpoint = options.checkpoint or ROOT / "checkpoints" / options.system.checkpoint
    options.language = options.language or ROOT / "checkpoints" / options.system.language
    if options.tactic_sources is not None:
        options.tactic_sources = [] if options.tactic_sources == "none" else options.tactic_sources.split(",")
    if options.tiny:
        options.shapes = ["mini"]
    trial = options.tiny or options.runtime != "tensorrt"
    options.out = options.out or (options.work / "records" if trial else ROOT / "results")
    return options


def preparing(options, usual):
    """The command that writes what the other stages read; `usual` is the system of a call that names none."""
    chosen = {"system": options.system != usual and options.system, "projection": options.projection}
    chosen |= {"work": shlex.quote(str(options.work))}
    return " ".join(["python -m benchmarks prepare", *(f"--{key}={value}" for key, value in chosen.items() if value)])


if __name__ == "__main__":
    sys.exit(processes.program(main))
