"""What `ci.signals` interrupts: programs that take a few seconds, and how to see that what they wrote is whole."""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
from nbformat import NO_CONVERT, read, write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from onnx import helper, numpy_helper

from ci.lessons import copies as copies_of_lessons
from data_scripts import make_minidrive, roots
from helpers import calibration, graph
from helpers.engine import cache
from helpers.errors import BadInput

CHANNELS, SIZE, LAYERS, SAMPLES = 48, 96, 12, 6
SHAPES = {"x": (1, CHANNELS, SIZE, SIZE)}
CELL = """import subprocess, time
subprocess.Popen(["sleep", "1000"], start_new_session=True)
time.sleep(2)"""
COLLECT = """import sys, time
import numpy as np
from ci.interrupted import SHAPES, Toy
from helpers import calibration
from helpers.sequence import Step
def steps():
    for k in range(40):
        time.sleep(0.05)
        yield Step({"x": np.full(SHAPES["x"], k, np.float32)}, k == 0)
calibration.collect(lambda feeds: {}, steps(), sys.argv[1], Toy())
"""
LAB = """import dataclasses, json, os, sys
from pathlib import Path
from ci.lessons import copies, lab
folder = Path(sys.argv[1])
(folder / "config").mkdir(parents=True, exist_ok=True)
server = {"jpserver_extensions": {"ci.interrupted": True}, "open_browser": False, "port": 18888}
(folder / "config/jupyter_server_config.json").write_text(json.dumps({"ServerApp": server}))
os.environ |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
copies.LEARNER = dataclasses.replace(copies.LEARNER, folder=folder / "learner")
sys.exit(lab.main([]))
"""
SERVED = 3  # seconds that JupyterLab runs with a kernel before it ends


def _jupyter_server_extension_points():
    return [{"module": "ci.interrupted"}]


def _load_jupyter_server_extension(server):
    """JupyterLab in the matrix starts a kernel, and ends by itself."""

    async def serve():
        kernels = server.kernel_manager
        client = kernels.get_kernel(await kernels.start_kernel(kernel_name="python3")).client()
        client.start_channels()
        await client.wait_for_ready(60)
        client.execute("import time; time.sleep(1000)")
        await asyncio.sleep(SERVED)
        client.stop_channels()
        server.stop()

    server.io_loop.add_callback(serve)


class Toy:
    """The configuration of a system with one input and no state."""

    states: ClassVar[dict[str, str]] = {}

    @staticmethod
    def input_shapes():
        return SHAPES

    @staticmethod
    def input_types():
        return {}


@dataclass(frozen=True)
class Program:
    """One that can be interrupted.

    prepare: writes its inputs to a folder.
    command: of (inputs, folder): what Python is to run, for an output in `folder`.
    check: of (inputs, folder, path): raises, or returns what is wrong with the output at `path`.
    outputs: what it writes, as a pattern in `folder`.
    """

    prepare: Callable[[Path], object]
    command: Callable[[Path, Path], list]
    check: Callable[[Path, Path], object]
    outputs: str

    def damage(self, inputs, folder, complete):
        """What is wrong with what lies there, as text, or None; nothing there is wrong only if `complete`."""
        found = [path for path in sorted(folder.glob(self.outputs)) if "/." not in f"/{path.relative_to(folder)}"]
        if complete and not found:
            return f"no {self.outputs}"
        for path in found:
            try:
                problem = self.check(inputs, path)
            except (BadInput, OSError, ValueError, KeyError) as error:
                problem = error
            if problem:
                return f"{path.relative_to(folder)}: {problem}"
        return None


def lesson(inputs):
    parameters = new_code_cell('TIER = "cpu"', metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_markdown_cell("# A lesson"), parameters, new_code_cell(CELL)]
    write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), inputs / "lesson.ipynb")


def network(inputs):
    """A chain of convolutions, and a calibration set for it."""
    rng, nodes, weights = np.random.default_rng(0), [], []
    for k in range(LAYERS):
        values = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / CHANNELS
        weights.append(numpy_helper.from_array(values, f"w{k}"))
        source = f"t{k - 1}" if k else "x"
        nodes.append(helper.make_node("Conv", [source, f"w{k}"], [f"c{k}"], f"conv{k}", pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{k}"], [f"t{k}"], f"relu{k}"))
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPES["x"]) for name in ("x", f"t{LAYERS - 1}")
    ]
    made = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    graph.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), inputs / "m.onnx")
    calibration.noise(inputs / "set.npz", SHAPES, SAMPLES)


def report(inputs, path):
    if path.suffix == ".json":
        return None if json.loads(path.read_text())["notebooks"][0]["status"] == "passed" else "the lesson has failed"
    return None if read(path, NO_CONVERT).cells else "no cells"


def copies(inputs, path):
    """Every copy that is there is a whole one, and known to be unchanged: the next command keeps none as changed."""
    kind = dataclasses.replace(copies_of_lessons.LEARNER, folder=path)
    changed = [name for name, what in copies_of_lessons.write(kind) if what not in ("unchanged", "written")]
    return f"{changed[0].name} is taken for changed" if changed else None


def engine(inputs, path):
    return cache.damage(path / "m.onnx") if path.is_dir() else cache.damage(path)


PROGRAMS = {
    "minidrive": Program(
        lambda inputs: None,
        lambda inputs, folder: ["-m", "data_scripts.make_minidrive", "--out", folder / "set", "--names", "scene-0103",
                                "--frames", "8", "--workers", "2"],
        lambda inputs, path: None if roots.is_whole(path, make_minidrive.MARKER) else "its digest is another one",
        "set",
    ),
    "lesson": Program(
        lesson,
        lambda inputs, folder: ["-m", "ci.lessons.run", inputs / "lesson.ipynb", "--out", folder / "out"],
        report,
        "out/**/*.*[bn]",
    ),
    "build": Program(
        network,
        lambda inputs, folder: ["-m", "helpers", "engine", "build", f"--onnx={inputs / 'm.onnx'}",
                                f"--cache={folder / 'cache'}", f"--saveEngine={folder / 'cache/saved.onnx'}"],
        engine,
        "cache/*[!n]",
    ),
    "collect": Program(
        lambda inputs: None,
        lambda inputs, folder: ["-c", COLLECT, folder / "set.npz"],
        lambda inputs, path: None if calibration.check_calibration(path, SHAPES) == 40 else "samples are missing",
        "set.npz",
    ),
    "quantize": Program(
        network,
        lambda inputs, folder: ["-m", "helpers", "quantize", "--onnx_path", inputs / "m.onnx", "--output_path",
                                folder / "q.onnx", "--calibration_data_path", inputs / "set.npz"],
        lambda inputs, path: graph.load(path) and None,
        "q.onnx",
    ),
    "lab": Program(
        lambda inputs: None,
        lambda inputs, folder: ["-c", LAB, folder],
        copies,
        "learner",
    ),
    "bench": Program(
        network,
        lambda inputs, folder: ["-m", "helpers", "engine", "bench", f"--onnx={inputs / 'm.onnx'}", "--duration=3",
                                f"--cache={folder / 'cache'}", f"--exportTimes={folder / 'times.json'}"],
        lambda inputs, path: json.loads(path.read_text()) and None,
        "times.json",
    ),
}  # fmt: skip
