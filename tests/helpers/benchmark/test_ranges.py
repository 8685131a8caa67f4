"""Ranges of NVTX: nested as the modules are, ended after an error too, and none where there is no library."""

import pytest
import torch
from torch import nn

from helpers.benchmark import ranges
from helpers.errors import BadInput


class Fails(nn.Module):
    def forward(self, x):
        raise RuntimeError("as asked")


@pytest.fixture
def log():
    return []


@pytest.fixture
def nvtx(log):
    """Writes down what a library would be told; like NVTX it returns the depth, a number that is no output."""
    return ranges.Nvtx(lambda name: log.append(name) or 1, lambda: log.append("end") or 1)


def test_modules_are_marked_down_to_a_depth_and_only_within_the_block(log, nvtx):
    model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())), nn.Tanh())
    x = torch.tensor([-1.0, 1.0])
    with ranges.marked(model, 2, nvtx) as names:
        assert torch.equal(model(x), x.relu().tanh())
    assert names == ["0", "0.0", "0.1", "1"]
    assert log == ["0", "0.0", "end", "0.1", "end", "end", "1", "end"]
    model(x)
    assert len(log) == 8


def test_a_range_ends_where_its_module_fails(log, nvtx):
    model = nn.Sequential(nn.Sequential(Fails()))
    with pytest.raises(RuntimeError, match="as asked"), ranges.marked(model, 2, nvtx):
        model(torch.zeros(1))
    assert log == ["0", "0.0", "end", "end"]


def test_nothing_is_marked_where_there_is_no_library(monkeypatch):
    monkeypatch.setattr(ranges, "library", lambda: None)
    model = nn.Sequential(nn.ReLU())
    with ranges.marked(model) as names:
        assert names == [] and not model[0]._forward_pre_hooks and not model[0]._forward_hooks


def test_a_build_of_pytorch_for_cpus_has_no_library():
    assert (ranges.library() is None) == (torch.version.cuda is None)


def test_what_is_no_network_is_refused():
    with pytest.raises(BadInput, match="a module of PyTorch"), ranges.marked("uniad"):
        pass
