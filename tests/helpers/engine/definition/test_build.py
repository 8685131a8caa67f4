"""Engines of definitions: built for real by TensorRT-RTX, and what the older TensorRTs are asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers import engine
from helpers.engine import cache
from helpers.engine.definition import Module, Network
from helpers.engine.definition.build import build
from helpers.engine.definition.layers import linear
from helpers.engine.tensorrt import versions
from helpers.errors import BadInput
from tests.fakes import tensorrt as fake_tensorrt
from tests.helpers.engine.definition.interpreter import interpreted
from tests.helpers.engine.definition.written import empty, noise

WEIGHTS = {"head.weight": noise(4, 8), "head.bias": noise(4)}
QUICK = {"compute_capability": "8.9", "optimization_level": 0}
API = Path(fake_tensorrt.DESCRIPTIONS)


def toy(network):
    """A linear layer, a sum that stays in float32, and a row that is found in it."""
    x = network.input("x", (2, 8), np.dtype(np.float32))
    y = linear(Module(network).head, x).relu()
    with network.full_precision():
        total, best = y.sum(1) * 3.0, y.argmax()
        large = (total > 1.0).whole()
    network.output("y", y, (2, 4), np.dtype(np.float32))
    network.output("total", total, (2,), np.dtype(np.float32))
    network.output("best", best + large, (2,), np.dtype(np.int32))


def test_an_engine_of_tensorrt_rtx(tmp_path):
    out = tmp_path / "deep/engine.plan"
    meta = build(toy, WEIGHTS, out, precision="fp16", about={"system": "toy"}, **QUICK)
    assert engine.inspect(out) == json.loads(json.dumps(meta)) and out.stat().st_size == meta["size_bytes"] > 0
    assert meta["onnx_sha256"] is None and meta["compute_capabilities"] == ["8.9"]
    assert meta["options"] == {"shapes": {}, "optimization_level": 0, "workspace": None, "precision": "fp16",
                               "system": "toy"}  # fmt: skip
    assert meta["network_layers"]["MATRIX_MULTIPLY"] == 1 and meta["network_layers"]["CAST"] >= 2
    with pytest.raises(BadInput, match="RTX GPU"):
        engine.load(out)
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(BadInput, match="damaged"):
        engine.inspect(out)


def nothing(network):
    """An output that TensorRT refuses to build: an empty network."""


def test_what_is_refused_leaves_nothing(tmp_path):
    out = tmp_path / "engine.plan"
    for options, said in (
        ({"precision": "int8"}, "'int8'"),
        ({"runtime": "onnxruntime"}, "no network definition"),
        ({"runtime": "other"}, "'other'"),
        ({"workspce": 5}, "workspce"),
        ({"compute_capability": "9.0"}, "9.0"),
    ):
        with pytest.raises(BadInput, match=said):
            build(toy, WEIGHTS, out, **options)
    with pytest.raises(BadInput, match="no such tensor"):
        build(toy, {}, out, **QUICK)
    with pytest.raises(BadInput, match=r"(?s)refused the definition.*ERROR"):
        build(nothing, {}, out, **QUICK)
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------- typed weakly


class Older:
    """A definition with the methods of another TensorRT's alone; `constrained`: names of layers held to float32."""

    def __init__(self, definition, version):
        listed = json.loads((API / f"{version}.json").read_text())["classes"]["INetworkDefinition"]
        self._definition, self._methods, self.constrained = definition, listed, {}

    def __getattr__(self, name):
        if name not in self._methods:
            raise AttributeError(name)
        found = getattr(self._definition, name)
        if not name.startswith("add_") or name == "add_input":
            return found
        return lambda *arguments: Layer(found(*arguments), self.constrained)


class Layer:
    """A layer that notes what precision it is given, which a strongly typed network's does not take."""

    def __init__(self, layer, constrained):
        self.__dict__.update(_layer=layer, _constrained=constrained)

    def __getattr__(self, name):
        return getattr(self._layer, name)

    def __setattr__(self, name, value):
        if name == "precision":
            self._constrained[self] = (value.name, [])
        else:
            setattr(self._layer, name, value)

    def set_output_type(self, number, kind):
        self._constrained[self][1].append((number, kind.name))


def older(version, half):
    """(network typed weakly, its definition) of another TensorRT."""
    made = empty(WEIGHTS)
    definition = Older(made.definition, version)
    return Network(made.trt, definition, WEIGHTS, strong=False, half=half), definition


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_every_version_has_the_layers(version):
    """Typed weakly nothing is cast to half precision: what stays in float32 is said of its layers."""
    network, definition = older(version, half=True)
    toy(network)
    held = definition.constrained
    assert "CAST" not in {layer.type.name for layer in held} and network.constrained == len(held)
    kinds = [layer.type.name for layer in held]
    assert kinds == ["REDUCE", "ELEMENTWISE", "TOPK", "SHUFFLE", "ELEMENTWISE"]
    sums, _, found, _, compared = held.values()  # a comparison makes no number
    assert sums == ("FLOAT", [(0, "FLOAT")]) == found and compared == ("FLOAT", [])
    x = noise(2, 8, seed=2)
    strong = empty(WEIGHTS)
    toy(strong)
    weakly, strongly = (interpreted(one)({"x": x}) for one in (definition._definition, strong.definition))
    for name, array in strongly.items():
        np.testing.assert_array_equal(weakly[name], array)


def test_float32_asks_nothing_of_a_layer():
    network, definition = older("8.6.0", half=False)
    toy(network)
    assert definition.constrained == {} and network.constrained == 0


def test_a_layer_that_tensorrt_refuses_is_named():
    network = empty()
    x, y = (network.input(name, shape, np.dtype(np.float32)) for name, shape in (("x", (2, 3)), ("y", (4, 5))))
    with pytest.raises(BadInput, match=r"'matrix_multiply#1'[\s\S]*\(2, 3\), \(4, 5\)"):
        _ = x @ y


@pytest.mark.parametrize("version, flags", [("8.6.0", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}), ("11.1.0", set())])
def test_tensorrt_is_asked_for_types_by_its_version(monkeypatch, tmp_path, version, flags):
    with fake_tensorrt.installed(monkeypatch, version) as trt:
        typing = {}

        def define(network):
            typing.update(strong=network.strong, half=network.half, creation=network.definition._flags)

        monkeypatch.setattr(Network, "kinds", lambda network: [])
        monkeypatch.setattr(fake_tensorrt.building.INetworkDefinition, "_model", None, raising=False)
        trt._refuse = "there is nothing to build"
        with pytest.raises(BadInput, match="nothing to build"):
            build(define, WEIGHTS, tmp_path / "e.plan", "tensorrt", "fp16", tf32=False)
        (_, config), weak = trt._built[-1], versions.facts(version).weak_typing
        assert typing == {"strong": not weak, "half": True, "creation": int(weak)}
        assert set(config._names()) & {"FP16", "OBEY_PRECISION_CONSTRAINTS", "TF32"} == flags
    assert cache.IDENTITY and list(tmp_path.iterdir()) == []
