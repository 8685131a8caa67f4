"""Only a system's own folder knows its tensors and nodes."""

import dataclasses
import re

import pytest

from helpers import models
from helpers.dataset import Frame
from helpers.files import ROOT
from helpers.graph.functions import FUNCTIONS

NAMES = {"img", "command", "ego_pose"}  # of a picture, of what is typed, of a table of nuScenes
OPERANDS = {name for operator in FUNCTIONS.values() for name in operator.INPUTS}
SHARED = {
    "image",
    "indexes",
    *NAMES,
    *OPERANDS,
    *(field.name for field in dataclasses.fields(Frame)),
}  # everybody's words
HELPERS = ROOT / "helpers"
ROOMS = [path for path in sorted(HELPERS.rglob("*.py")) if path.relative_to(HELPERS).parts[0] != "systems"]


@pytest.mark.parametrize("system", models.SYSTEMS)
def test_no_other_room_names_a_tensor_or_a_node_of_a_system(system):
    words = set()
    for config in models.configs(system).values():
        words |= {*config.input_shapes(), *config.output_shapes()} - SHARED
        words |= {pattern.strip("/").partition("/")[0] for pattern in (*config.fp32, *config.unquantized)}
    named = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in sorted(words)))
    assert named.search((HELPERS / "systems" / system / "config.py").read_text()) and len(ROOMS) > 50
    found = {str(path.relative_to(ROOT)): named.findall(path.read_text()) for path in ROOMS}
    assert not {path: hits for path, hits in found.items() if hits}
