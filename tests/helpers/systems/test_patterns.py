"""The patterns of a system name nodes that its exported graph has, in the form in which each pattern is used."""

import fnmatch
import re

import pytest

from helpers import graph, models
from helpers.engine.tensorrt.graph import for_version
from helpers.graph.functions import FUNCTIONS

EXPORTED = {  # system: fixture
    "bevformer": "small_mini",
    "fbocc": "tiny_fbocc",
    "omnidrive": "tiny_omnidrive",
    "openvla": "tiny_openvla",
    "uniad": "tiny_uniad",
}
PLAIN = {"omnidrive", "openvla"}  # standard operators alone
BEHIND = ("/seg_head/", "/motion_head/", "/occ_head/", "/planning_head/")  # the small graph of UniAD ends at its tracks


def unmatched(patterns, made):
    """The patterns that fit no node whose precision can be set: a plugin chooses its own."""
    names = [node.name for node in made.graph.node if node.op_type not in FUNCTIONS]
    return [pattern for pattern in patterns if not fnmatch.filter(names, pattern)]


def test_a_system_that_is_not_exported_here_has_no_patterns():
    others = [config for system in models.SYSTEMS.keys() - EXPORTED for config in models.configs(system).values()]
    assert [
        each for config in others for each in (*config.fp32, *config.fp32_without_plugins, *config.unquantized)
    ] == []


@pytest.mark.parametrize("version", ["8.6.0", "10.13.0"])
@pytest.mark.parametrize("system", EXPORTED)
def test_every_pattern_names_a_node_of_the_graph_it_is_for(system, version, request):
    model, path = request.getfixturevalue(EXPORTED[system])
    config, made = model.config, graph.load(path)
    kept, inlined = (for_version(made, version, plugins) for plugins in (True, False))
    assert any(node.op_type in FUNCTIONS for node in kept.graph.node) or system in PLAIN
    fp32 = [each for each in config.fp32 if not (system == "uniad" and each.startswith(BEHIND))]
    assert unmatched(fp32, kept) == []
    assert unmatched((*fp32, *config.fp32_without_plugins), inlined) == []
    assert unmatched(config.fp32_without_plugins, kept) == list(config.fp32_without_plugins)
    names = [node.name for node in made.graph.node]
    assert [each for each in config.unquantized if not any(re.match(each, name) for name in names)] == []
