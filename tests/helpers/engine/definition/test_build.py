"""Engines of definitions: built for real by TensorRT-RTX, and what the older TensorRTs are asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import engine
from helpers.engine.definition import Module, Network
from helpers.engine.definition.build import Source, build
from helpers.engine.definition.layers import conv, linear
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
    meta = build(Source(toy, WEIGHTS, about={"system": "toy"}), out, precision="fp16", **QUICK)
    assert engine.inspect(out) == json.loads(json.dumps(meta)) and out.stat().st_size == meta["size_bytes"] > 0
    assert meta["onnx_sha256"] is None and meta["compute_capabilities"] == ["8.9"]
    said = {"optimization_level": 0, "workspace": None, "precision": "fp16", "system": "toy"}
    assert said.items() <= meta["options"].items()
    assert meta["network_layers"]["MATRIX_MULTIPLY"] == 1 and meta["network_layers"]["CAST"] >= 2
    with pytest.raises(BadInput, match="RTX GPU"):
        engine.load(out)
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(BadInput, match="damaged"):
        engine.inspect(out)


def test_weights_that_half_precision_does_not_hold_are_refused(tmp_path):
    large = WEIGHTS | {"head.weight": WEIGHTS["head.weight"] * np.float32(1e6)}
    with pytest.raises(BadInput, match="the largest of FP16"):
        build(Source(toy, large), tmp_path / "engine.plan", precision="fp16", **QUICK)
    assert not list(tmp_path.iterdir())


def pixels(network):
    """A convolution and a linear layer behind it."""
    m, x = Module(network), network.input("x", (1, 3, 5, 5), np.dtype(np.float32))
    y = conv(m.stem, x, 2).flatten(2).transpose(1, 2)
    network.output("y", linear(m.head, y), (1, 9, 4), np.dtype(np.float32))


def rounded(array, scale):
    """In INT8 and back."""
    return np.clip(np.round(array / scale), -128, 127) * scale


def test_int8_is_explicit(tmp_path):
    """Q/DQ about what enters a layer, by the largest that was seen, and about its weights, by each output."""
    weights = {"stem.weight": noise(8, 3, 3, 3, seed=1), "stem.bias": noise(8, seed=2), **WEIGHTS}
    ranges, x = {"stem": 2.0, "head": 9.0, "tail": 1.0}, noise(1, 3, 5, 5, seed=3)
    network = empty(weights, ranges=ranges)
    pixels(network)
    kernels = {name: rounded(weights[f"{name}.weight"].reshape(-1, size),
                             np.abs(weights[f"{name}.weight"].reshape(-1, size)).max(1, keepdims=True) / 127)
               for name, size in (("stem", 27), ("head", 8))}  # fmt: skip
    stem = torch.nn.functional.conv2d(
        torch.from_numpy(rounded(x, np.float32(2 / 127))),
        torch.from_numpy(kernels["stem"].reshape(8, 3, 3, 3)),
        torch.from_numpy(weights["stem.bias"]), 2, 1,
    )  # fmt: skip
    y = rounded(stem.flatten(2).mT.numpy(), np.float32(9 / 127)) @ kernels["head"].T + weights["head.bias"]
    found = interpreted(network.definition)({"x": x})["y"]
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4)
    meta = build(Source(pixels, weights, ranges), tmp_path / "int8.plan", precision="int8", **QUICK)
    assert (meta["network_layers"]["QUANTIZE"], meta["network_layers"]["DEQUANTIZE"]) == (4, 4)


def nothing(network):
    """An output that TensorRT refuses to build: an empty network."""


def test_what_is_refused_leaves_nothing(tmp_path):
    out = tmp_path / "engine.plan"
    for options, said in (
        ({"precision": "int4"}, "'int4'"),
        ({"precision": "int8"}, "ranges of 0 modules"),
        ({"runtime": "onnxruntime"}, "no network definition"),
        ({"runtime": "other"}, "'other'"),
        ({"workspce": 5}, "workspce"),
        ({"compute_capability": "9.0"}, "9.0"),
    ):
        with pytest.raises(BadInput, match=said):
            build(Source(toy, WEIGHTS), out, **options)
    with pytest.raises(BadInput, match="no such tensor"):
        build(Source(toy, {}), out, **QUICK)
    with pytest.raises(BadInput, match=r"(?s)refused the definition.*ERROR"):
        build(Source(nothing, {}), out, **QUICK)
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
    made = empty()
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


@pytest.mark.parametrize(
    "version, precision, flags",
    [
        ("8.6.0", "fp16", {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
        ("8.6.0", "int8", {"INT8"}),
        ("8.6.0", "fp32", set()),
        ("11.1.0", "fp16", set()),
    ],
)
def test_tensorrt_is_asked_for_types_by_its_version(monkeypatch, tmp_path, version, precision, flags):
    with fake_tensorrt.installed(monkeypatch, version) as trt:
        typing = {}

        def define(network):
            typing.update(strong=network.strong, half=network.half, creation=network.definition._flags)

        monkeypatch.setattr(Network, "kinds", lambda network: [])
        monkeypatch.setattr(fake_tensorrt.building.INetworkDefinition, "_model", None, raising=False)
        trt._refuse = "there is nothing to build"
        with pytest.raises(BadInput, match="nothing to build"):
            source = Source(define, WEIGHTS, {"head": 1.0} if precision == "int8" else {})
            build(source, tmp_path / "e.plan", "tensorrt", precision, tf32=False)
        (_, config), weak = trt._built[-1], versions.facts(version).weak_typing
        assert typing == {"strong": not weak, "half": precision == "fp16", "creation": int(weak)}
        assert set(config._names()) & {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS", "TF32"} == flags
    assert list(tmp_path.iterdir()) == []
