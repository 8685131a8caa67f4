"""ONNX Runtime on the CPU: the one place that opens a session, and the one that runs it. No torch."""

import json
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx

from helpers import cores, temporary
from helpers.errors import BadInput, foreign
from helpers.graph.checks import bytes_of, check_size
from helpers.graph.file import Model, name_of
from helpers.graph.walk import all_tensors

if TYPE_CHECKING:
    import onnxruntime

# Where weights alone are quantized, the fused kernel would else round what it multiplies them with to INT8.
EXACT = "session.qdq_matmulnbits_accuracy_level", "1"
# What ONNX Runtime computes of constants while it opens a graph, for which nothing else sets a limit of time.
FOLDING, FOLDED = "optimization.constant_folding_max_output_size_in_bytes", 16 << 20
LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def open_session(
    model: Model,
    level: str = "all",
    threads: int | None = None,
    where: object = None,
    arena: bool = True,
    folded: int | None = None,
) -> "onnxruntime.InferenceSession":
    """An `onnxruntime.InferenceSession` on the CPU.

    Args:
        level: of graph optimization, one of `LEVELS`; "disable" runs every operator as it is written.
        threads: within an operator; None takes what `helpers.cores` allows, or OMP_NUM_THREADS.
        where: what errors name; by default the path, or "the model".
        arena: keep memory that a run has freed for the next one; False needs less and is slower.
        folded: bytes of a result that is computed beforehand at most, if it depends on constants alone; larger ones are
            computed in every run. None: `foldable` of a model in memory, `FOLDED` of a file.

    Raises:
        BadInput: with ONNX Runtime's reason, if it does not take the graph; or a model in memory of 2 GiB or more.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    settings.intra_op_num_threads = threads or cores.threads()  # 0: one for each physical core
    settings.enable_cpu_mem_arena = arena
    settings.log_severity_level = 4  # what it raises is told once
    settings.add_session_config_entry(*EXACT)
    name = name_of(model)
    if isinstance(model, onnx.ModelProto):
        check_size(model, where or name)
        folded = folded or foldable(model)
    settings.add_session_config_entry(FOLDING, str(folded or FOLDED))
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise BadInput(where or name, "a name that is not UTF-8", "one that ONNX Runtime can open", "rename the file")
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else name
    try:
        return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exception classes share no base below Exception
        reason = str(error).replace(name, os.path.basename(name))
        expected = f"a graph that ONNX Runtime {onnxruntime.__version__} runs on a CPU (optimization level {level})"
        raise BadInput(where or name, reason, expected, _cure(source, settings, level)) from error


def foldable(model: onnx.ModelProto) -> int:
    """Bytes of what may be computed of the constants of `model` beforehand: a weight in another form or type is."""
    return max([FOLDED, *(2 * bytes_of(tensor) for tensor in all_tensors(model))])


def _cure(source: bytes | str, settings: "onnxruntime.SessionOptions", level: str) -> str:
    """What helps a graph that was refused: fewer fusions, if it opens with them, else another graph."""
    import onnxruntime

    if level in ("extended", "all"):
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
            return f"open it at the optimization level basic; at {level} it gets operators that a CPU does not have"
        except Exception:  # its exception classes share no base below Exception
            pass
    return "correct what is named; a custom operator needs its definition (helpers.export with plugin=False)"


def run(
    session: "onnxruntime.InferenceSession",
    names: Sequence[str] | None,
    feeds: dict[str, np.ndarray],
    where: object = "the model",
    seconds: float | None = None,
) -> list:
    """The outputs `names` (None: all) of one run; what ONNX Runtime raises becomes a BadInput that names `where`.

    `seconds`: the run is ended, and refused, when it takes longer; a loop may have no end.
    """
    import onnxruntime

    options, expected = onnxruntime.RunOptions(), "inputs and nodes that run on a CPU"
    timer = threading.Timer(seconds or 0, setattr, (options, "terminate", True))
    if seconds:
        timer.start()
        expected += f", in {seconds:g} seconds"
    try:
        with foreign(where, expected, "correct the node or the input that is named"):
            return session.run(names, feeds, options)
    finally:
        timer.cancel()


def kernel_times(
    session: "onnxruntime.InferenceSession", path: str, feeds: dict[str, np.ndarray], iterations: int
) -> list[dict]:
    """Lines of ONNX Runtime's profile, one for each kernel of each of `iterations` runs after one that does not count.

    A second session of the file at `path`, opened as `session` was, is profiled. A line has `name`, of the node,
    `op_name`, `ms`, and `types`, those of its outputs.
    """
    import onnxruntime

    with temporary.scratch() as folder, foreign(path, "a graph that runs on a CPU", "run it without a profile"):
        settings = session.get_session_options()
        settings.enable_profiling, settings.profile_file_prefix = True, str(folder / "profile")
        try:
            watched = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        finally:
            settings.enable_profiling = False
        for _ in range(1 + iterations):
            watched.run(None, feeds)
        with open(watched.end_profiling(), encoding="utf-8") as stream:
            lines = json.load(stream)
    counted = sorted(line["ts"] for line in lines if line["name"] == "model_run")[1]  # where the second run begins
    return [
        {
            "name": line["name"].removesuffix("_kernel_time"),
            "op_name": line["args"]["op_name"],
            "ms": line["dur"] / 1e3,
            "types": [kind for output in line["args"].get("output_type_shape", []) for kind in output],
        }
        for line in lines
        if line["name"].endswith("_kernel_time") and line["ts"] >= counted
    ]
