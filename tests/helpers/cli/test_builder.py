"""`python -m helpers builder`."""

import numpy as np
import pytest
import torch

from helpers import __main__ as cli
from helpers import engine, models
from helpers.engine.definition import Module
from helpers.engine.definition.layers import linear
from helpers.models import layered
from helpers.systems import base


@pytest.fixture
def folder(tmp_path):
    state = {"head.weight": torch.arange(12.0).view(3, 4), "head.bias": torch.ones(3)}
    return layered.save(state, tmp_path / "c-model")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """A system whose network is a linear layer."""

    def define(network, config):
        x = network.input("x", (2, 4), np.dtype(np.float32))
        network.output("y", linear(Module(network).head, x), (2, 3), np.dtype(np.float32))

    monkeypatch.setattr(models, "definition", lambda system: define)


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize("quant, precision", [("False", "fp32"), ("fp16", "fp16")])
def test_an_engine_of_layered_weights(folder, tmp_path, capsys, quant, precision):
    out = tmp_path / "engine.plan"
    quick = "--computeCapability=8.9", "--builderOptimizationLevel=0"
    assert run("builder", "uniad", "--config=mini", "-i", folder, "-o", out, f"-quant={quant}", *quick) == 0
    said = capsys.readouterr().out
    assert "1 MATRIX_MULTIPLY" in said and said.endswith(f"{out}\n")
    options = engine.inspect(out)["options"]
    assert (options["precision"], options["system"], options["config"]) == (precision, "uniad", "mini")
    assert options["weights_sha256"] == engine.cache.sha256(folder / "index.json")


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)


def test_an_engine_of_int8(folder, tmp_path, capsys, monkeypatch):
    """Ranges are those of the network with the folder's weights on the calibration set."""
    calibration, out = tmp_path / "calibration.npz", tmp_path / "engine.plan"
    np.savez(calibration, x=np.linspace(1, 2, 24, dtype=np.float32).reshape(6, 4))
    monkeypatch.setattr(models, "create", lambda system, config: Head())
    monkeypatch.setattr(base.Config, "input_types", lambda config: {"x": np.dtype(np.float32)})
    monkeypatch.setattr(type(models.config("uniad", "mini")), "input_shapes", lambda config: {"x": (2, 4)})
    monkeypatch.setattr(type(models.config("uniad", "mini")), "input_types", base.Config.input_types)
    quick = "--computeCapability=8.9", "--builderOptimizationLevel=0", f"--calibration={calibration}"
    assert run("builder", "uniad", "--config=mini", "-i", folder, "-o", out, "-quant=int8", *quick) == 0
    assert "2 QUANTIZE" in capsys.readouterr().out
    assert engine.inspect(out)["options"]["calibration_sha256"] == engine.cache.sha256(calibration)


def test_what_is_refused(folder, tmp_path, capsys):
    out, base = tmp_path / "engine.plan", ("builder", "uniad", "--config=mini")
    for words, said in (
        (("-i", folder, "-o", out, "-quant=int4"), "'int4'"),
        (("-i", folder, "-o", out, "-quant=int8"), "helpers.calibration.collect"),
        (("-i", folder, "-o", out, "--calibration=c.npz"), "none, without INT8"),
        (("-i", tmp_path / "absent", "-o", out), "index.json"),
        (("-i", folder, "-o", folder / "engine.plan"), "a place of its own"),
        (("-i", folder, "-o", out, "--runtime=tensorrt"), "tensorrt"),
        (("-i", folder, "-o", out, "--computeCapability=9.0"), "9.0"),
    ):
        assert run(*base, *words) == 2
        assert said in capsys.readouterr().err
    assert run("builder", "other", "-i", folder, "-o", out) == 2 and "system" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c-model"]
