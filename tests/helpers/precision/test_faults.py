"""Fault injection leaves the model alone and refuses what is not there."""

import numpy as np
import pytest
from onnx import helper

from helpers.errors import BadInput
from helpers.precision import faults, first_divergence
from tests.builders.graphs import chain, model_of


def test_faults_leave_the_model_alone_and_refuse_what_is_not_there():
    model = chain()
    before = model.SerializeToString()
    faults.half(model, "*")
    assert model.SerializeToString() == before
    with pytest.raises(BadInput, match="no such node"):
        faults.half(model, "/nothing/*")
    with pytest.raises(BadInput, match="no other axis"):
        faults.swap_axis(model, "/t2/Mul")
    with pytest.raises(BadInput, match="no GridSample"):
        faults.align_corners(model)
    turned = model_of([helper.make_node("Transpose", ["x"], ["y"], perm=[0, 1])], {"x": [2, 3]}, ["y"])
    with pytest.raises(BadInput, match="no other axis"):
        faults.swap_axis(turned, "/y/Transpose")
    other = faults.swap_axis(turned, "/y/Transpose", perm=[1, 0])
    found = first_divergence(turned, other, [{"x": np.float32([[1, 2, 3], [4, 5, 6]])}])
    assert found.kind == "layout" and found.error == np.inf
