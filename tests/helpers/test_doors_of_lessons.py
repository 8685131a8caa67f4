"""Every function that a lesson calls has the door of arguments, and those that hand over frames and networks too."""

import ast
import contextlib
import functools
import inspect
import os
import pkgutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch

from ci.lessons import order
from helpers import display, evaluate, export, files, models, records
from helpers.environment import doctor
from helpers.errors import BadInput
from helpers.metrics import planning
from helpers.metrics.planning import answers
from helpers.pipeline import Pipeline
from helpers.systems.bevformer import decode as former
from helpers.systems.fbocc import geometry
from helpers.systems.fbocc.inputs import inputs
from helpers.systems.omnidrive import decode as drive

MINI, OCC, DRIVE = models.config("bevformer", "mini"), models.config("fbocc", "mini"), models.config("omnidrive")
# They look at what they are given in another way, take anything, or run where nothing but the standard library is.
ASK_THEMSELVES = {
    "helpers.environment.explain", "helpers.environment.patches.in_range", "helpers.environment.patches.status",
    "helpers.exercise.describe", "helpers.export.tidy", "helpers.ops.bev_pool_v2.bev_pool_v2",
    "helpers.ops.bev_pool_v2.launch", "helpers.ops.bev_pool_v2.reference", "helpers.ops.rotate.rotate",
    "helpers.processes.run_forked", "helpers.sequence.rollout",
}  # fmt: skip
DOORS = {
    **{f"frame of {name}": partial(models.config(name).inputs, None, None) for name in models.SYSTEMS},
    "previous frame": lambda: OCC.inputs(None, 5),
    "configuration of inputs": lambda: inputs(None, None, None),
    "engine of a pipeline": lambda: Pipeline(None, MINI),
    "mask": lambda: geometry.gathering(None, OCC),
    "mask of numbers": lambda: geometry.gathering(np.zeros((6, 1, 4, 2)), OCC),
    "feeds to pad": lambda: OCC.padded(None),
    "axes of what is padded": lambda: OCC.padded({"indexes": np.zeros(3, np.int64)}),
    "network of a check": lambda: export.check("a.onnx", None, []),
    "network of a check, without a configuration": lambda: export.check("a.onnx", torch.nn.Linear(2, 2), []),
    "lessons to examine": lambda: doctor.examine(5),
    "network to load into": lambda: models.load_checkpoint(None, "a.safetensors"),
    "network to count": lambda: models.parameter_count(dict),
    "network to list": lambda: models.keys([]),
    "figure": lambda: display.figure(None, "a picture"),
    "name of an answer": lambda: answers.save("saved", "../token", []),
    "name of an answer in a folder": lambda: answers.save("saved", "a/b", []),
    "answers that are no texts": lambda: answers.save("saved", "token", [("q", 5)]),
    "outputs of OmniDrive": lambda: DRIVE.decode({}),
    "arrays of OmniDrive": lambda: DRIVE.decode({name: [[1, 2], [3]] for name in DRIVE.decoded}),
    "box code of texts": lambda: drive.decode_boxes(np.array(["a"]), np.zeros(1), np.zeros(1)),
    "box code of rows": lambda: former.decode_boxes([[1, 2], [3]], np.zeros(1), np.zeros(1)),
    "a path of texts": lambda: planning.measure(["a"], SimpleNamespace(token="t"), None),
    "what cannot be read to its end": lambda: files.sha256("/proc/self/mem"),
    "folder of records": lambda: records.write(records.read(next(Path(files.ROOT, "results").glob("*.json"))), ""),
    "what is evaluated": lambda: evaluate.evaluate(None, None, MINI, None),
}


@functools.cache
def of_lessons():
    """Name -> function of helpers, of those that a cell of a lesson calls by its name."""
    found = {}
    for lesson in order.lessons():
        known: dict[str, str] = {}
        for cell in nbformat.read(lesson.path, 4).cells:
            if cell.cell_type != "code" or cell.source.startswith("%"):
                continue
            tree = list(ast.walk(ast.parse(cell.source)))
            imports = [node for node in tree if isinstance(node, ast.ImportFrom)]
            known |= {one.asname or one.name: f"{node.module}.{one.name}" for node in imports for one in node.names}
            for node in tree:
                first, _, rest = ast.unparse(node.func).partition(".") if isinstance(node, ast.Call) else ("", "", "")
                if known.get(first, "").startswith("helpers."):
                    name = f"{known[first]}.{rest}".rstrip(".")
                    with contextlib.suppress(Exception):  # a method of a value, or a package that is absent here
                        found[name] = pkgutil.resolve_name(name)
    return {name: one for name, one in found.items() if inspect.isfunction(one)}


def test_every_function_that_a_lesson_calls_has_the_door():
    asked = {name: function for name, function in of_lessons().items() if inspect.signature(function).parameters}
    assert len(asked) > 100
    assert {name for name, function in asked.items() if not hasattr(function, "__wrapped__")} == ASK_THEMSELVES


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_ask(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        DOORS[door]()
    assert all((caught.value.where, caught.value.found, caught.value.expected, caught.value.fix))
    assert not os.listdir(tmp_path)
