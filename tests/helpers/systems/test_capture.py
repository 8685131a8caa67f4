"""A forward takes nothing from the host: a CUDA graph is captured of such a one alone.

Where there is no GPU, PyTorch's device `meta` stands for it.
"""

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers import models
from helpers.systems.fbocc import network as fbocc
from tests.helpers.systems.fbocc.tiny import TINY as FBOCC
from tests.helpers.systems.omnidrive.tiny import TINY as OMNIDRIVE
from tests.helpers.systems.openvla.tiny import FUSED
from tests.helpers.systems.uniad.tiny import LARGE, SMALL

NETWORKS = [("bevformer", "mini"), ("fbocc", FBOCC), ("omnidrive", OMNIDRIVE), ("openvla", FUSED), ("uniad", LARGE),
            ("uniad", SMALL)]  # fmt: skip
MADE = {"tensor", "as_tensor", "asarray", "from_numpy", "new_tensor"}  # of numbers or arrays
READ = {"item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__"}
ITEMS = {"__getitem__", "__setitem__"}


class NothingMade(TorchFunctionMode):
    """Refuses what copies numbers, lists or arrays to a device, and what reads a tensor there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        found, name = function(*args, **(kwargs or {})), getattr(function, "__name__", "")
        there = any(tensor.is_meta for tensor in tree_leaves((args, found)) if isinstance(tensor, torch.Tensor))
        entries = (args[1] if isinstance(args[1], tuple) else (args[1],)) if name in ITEMS else ()
        listed = any(isinstance(entry, list | np.ndarray) for entry in entries)
        assert not there or not (name in MADE | READ or listed), f"{name} of {args[1:]}"
        return found


class NothingCopied(TorchDispatchMode):
    """Refuses operators of tensors of two devices."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, found)) if isinstance(each, torch.Tensor)]
        assert len({tensor.device for tensor in tensors}) < 2, f"{function} between devices"
        return found


def apart(run, *args, **kwargs):
    with torch.no_grad(), NothingCopied(), NothingMade():
        return run(*args, **kwargs)


@pytest.mark.parametrize("system, config", NETWORKS, ids=lambda each: getattr(each, "name", each))
def test_a_forward_takes_nothing_from_the_host(system, config, monkeypatch):
    """But FB-OCC's pooling: as many points as its indices say are known to its compiled kernel alone."""
    monkeypatch.setattr(fbocc, "bev_pool_v2", lambda depth, feat, *rest: feat.new_zeros(*rest[-1], feat.shape[-1]))
    model = models.create(system, config).to("meta")
    types = model.config.input_types()
    feeds = {name: torch.from_numpy(np.zeros(shape, types[name])).to("meta")
             for name, shape in model.config.input_shapes().items()}  # fmt: skip
    outputs = apart(model, **feeds)
    assert [tuple(tensor.shape) for tensor in outputs] == list(model.config.output_shapes().values())


@pytest.mark.parametrize(
    "takes",
    [
        lambda x: x[:, [0, 1]],
        lambda x: x[np.array([0, 1])],
        lambda x: x[torch.arange(2)],
        lambda x: x * x.new_tensor([1.0, 2.0]),
        lambda x: x * torch.tensor([1.0, 2.0], device=x.device),
        lambda x: x * torch.ones(2).to(x.device),
        lambda x: x.sum().item(),
    ],
)
def test_what_is_taken_from_the_host_is_seen(takes):
    with pytest.raises((AssertionError, RuntimeError)):
        apart(takes, torch.zeros(2, 2, device="meta"))
