"""Layers as TensorRT's inspector tells them."""

import json
import sys

import pytest

from helpers.engine.tensorrt import inspector


def test_precision_of_a_layer_by_its_weights_or_first_input():
    def tensor(kind):
        return {"Name": "t", "Dimensions": [1, 3], "Format/Datatype": kind}

    layers = [
        {"Name": "conv", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 9},
         "Inputs": [tensor("Channel major FP16 format where channel % 8 == 0")], "Outputs": []},
        {"Name": "copy", "Inputs": [tensor("Thirty-two wide channel vectorized row major Int8 format")],
         "Outputs": [tensor("Row major linear FP32")]},
        {"Name": "new", "Inputs": [tensor("Half")], "Outputs": [tensor("Float")], "Weights": {}},
        {"Name": "tactic\x02", "Inputs": [], "Outputs": [tensor("Int32")]},
        "only a name",
    ]  # fmt: skip

    class Inspector:
        execution_context = None

        def get_engine_information(self, kind):
            return json.dumps({"Layers": layers}).replace("\\u0002", "\x02")  # as 8.6 writes it

    import types

    fake = types.SimpleNamespace(create_engine_inspector=Inspector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            sys.modules, "tensorrt", types.SimpleNamespace(LayerInformationFormat=types.SimpleNamespace(JSON=1))
        )
        rows = inspector.layers(fake)
    assert [row["precision"] for row in rows] == ["int8", "int8", "fp16", "int32", ""]
    assert rows[1]["inputs"] == "1x3:int8" and rows[1]["outputs"] == "1x3:fp32" and rows[4]["name"] == "only a name"
