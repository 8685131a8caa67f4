"""Graphs that the tests of this room share."""

import pytest
from onnx import helper

from helpers import graph
from tests.builders.functions import halving, with_plugins


@pytest.fixture
def plain():
    return halving()


@pytest.fixture(scope="module", params=["", "trt.plugins"])
def postprocessed(request, tmp_path_factory):
    """A graph with plugin nodes of that domain, and what postprocess made of it."""
    source = tmp_path_factory.mktemp("post") / "plugins.onnx"
    model = with_plugins(request.param)
    if request.param:
        model.opset_import.append(helper.make_opsetid(request.param, 1))
    source.write_bytes(model.SerializeToString())
    return source, graph.postprocess(source)
