"""Layers as TensorRT's inspector tells them."""

import json
import sys
import types

import pytest

from helpers.engine.tensorrt import inspector
from helpers.errors import BadInput


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

    fake = types.SimpleNamespace(create_engine_inspector=Inspector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            sys.modules, "tensorrt", types.SimpleNamespace(LayerInformationFormat=types.SimpleNamespace(JSON=1))
        )
        rows = inspector.layers(fake)
    assert [row["precision"] for row in rows] == ["int8", "int8", "fp16", "int32", ""]
    assert rows[1]["inputs"] == "1x3:int8" and rows[1]["outputs"] == "1x3:fp32" and rows[4]["name"] == "only a name"


@pytest.fixture
def asked(monkeypatch):
    """Function (answers, one for each question) -> (an engine whose inspector gives them, the contexts it had)."""

    def make(*answers):
        contexts, left = [], list(answers)

        class Inspector:
            execution_context = None

            def get_engine_information(self, kind):
                contexts.append(self.execution_context)
                return left.pop(0)

        return types.SimpleNamespace(create_engine_inspector=Inspector), contexts

    levels = types.SimpleNamespace(WARNING=types.SimpleNamespace(value=2))
    logger = type("ILogger", (), {"Severity": levels})
    fake = types.SimpleNamespace(LayerInformationFormat=types.SimpleNamespace(JSON=1), ILogger=logger)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return make


def test_a_context_of_which_tensorrt_says_nothing_is_left_out(asked):
    engine, contexts = asked("", '{"Layers": ["one"]}')
    assert [row["name"] for row in inspector.layers(engine, "context")] == ["one"]
    assert contexts == ["context", None]


def test_an_inspector_that_says_nothing_is_bad_input(asked):
    for context in ("context", None):
        with pytest.raises(BadInput, match="no JSON"):
            inspector.layers(asked("", "")[0], context)
