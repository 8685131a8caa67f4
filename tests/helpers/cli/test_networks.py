"""How run and evaluate open a network: its modules in ranges of NVTX, where that is asked for and there."""

import types
from argparse import Namespace

import numpy as np
import pytest
import torch
from onnx import helper

from helpers import graph, models
from helpers.benchmark import ranges
from helpers.cli import networks
from helpers.errors import BadInput
from helpers.precision import faults
from tests.builders.graphs import chain, save


class Twice(torch.nn.Module):
    """A network of one input and one output."""

    def __init__(self):
        super().__init__()
        self.config = types.SimpleNamespace(output_shapes=lambda: {"y": (2,)})
        self.head = torch.nn.Identity()

    def forward(self, x):
        return (self.head(2 * x),)


@pytest.fixture
def opened(monkeypatch):
    """Function (--nvtx) -> what runs `Twice` as a checkpoint of any system."""
    monkeypatch.setattr(models, "create", lambda system, config: Twice())
    monkeypatch.setattr(models, "load_checkpoint", lambda model, path: model)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return lambda nvtx: networks._torch_run(Namespace(system="uniad", nvtx=nvtx), None, None)


def test_modules_are_marked_in_every_frame(opened, monkeypatch, capsys):
    log = []
    monkeypatch.setattr(ranges, "library", lambda: ranges.Nvtx(log.append, lambda: log.append("end")))
    run = opened(True)
    assert [run({"x": torch.ones(2).numpy()})["y"].tolist() for _ in range(2)] == [[2, 2]] * 2
    assert log == ["head", "end"] * 2 and capsys.readouterr().err == ""
    opened(False)({"x": torch.ones(2).numpy()})
    assert len(log) == 4


def test_without_the_library_the_network_runs_and_that_is_said(opened, monkeypatch, capsys):
    monkeypatch.setattr(ranges, "library", lambda: None)
    assert opened(True)({"x": torch.ones(2).numpy()})["y"].tolist() == [2, 2]
    assert "no NVTX" in capsys.readouterr().err


def test_ranges_of_an_engine_are_refused(tmp_path):
    with pytest.raises(BadInput, match="TensorRT marks its layers by itself"):
        networks.file_of(Namespace(engine=tmp_path, weights=None, nvtx=True))


def test_external_weights_are_of_the_network(tmp_path):
    """An evaluation of other weights beside the same ONNX file is another one."""
    held = {"w": np.arange(4096, dtype=np.float32)}
    options = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
    add = helper.make_node("Add", ["x", "w"], ["y"])
    path = save(tmp_path / "net.onnx", [add], {"x": (4096,)}, {"y": (4096,)}, held, **options)
    assert networks.parts(path)[0] == [path, tmp_path / "net.data"]
    assert networks.parts(tmp_path / "net.engine")[0] == [tmp_path / "net.engine"]


def test_of_a_graph_with_half_precision_it_is_said_that_a_cpu_rounds_less(tmp_path, capsys):
    whole = chain()
    for model, said in ((whole, ""), (faults.half(whole, "*"), "16-bit numbers")):
        path = graph.save(model, tmp_path / "net.onnx")
        networks.tell_rounding(path, networks.parts(path)[1])
        found = capsys.readouterr().err
        assert said in found and bool(found) == bool(said)
    networks.tell_rounding(tmp_path / "net.engine", networks.parts(tmp_path / "net.engine")[1])
    assert not capsys.readouterr().err


def test_a_graph_that_takes_pictures_as_bytes_is_told_from_another_network(tmp_path):
    """It is of this system and configuration: what to change is not the one or the other."""
    path = save(
        tmp_path / "ends.onnx", [helper.make_node("Cast", ["pictures"], ["y"], to=1)], {"pictures": [1]}, {"y": [1]}
    )
    options = Namespace(weights=None, plugins=None, system="bevformer")
    with pytest.raises(
        BadInput, match=r"pictures as bytes(.|\n)*'image'(.|\n)*without --pictures(.|\n)*helpers\.pipeline"
    ):
        networks.opened(options, models.config("bevformer", "mini"), path)
