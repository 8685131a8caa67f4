"""The networks of the course by system and configuration: create one, load a checkpoint into it, list its tensors.

Torch is imported where a network or a checkpoint is made; shapes, states, inputs and decoding do without it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from helpers.arguments import between, typed
from helpers.errors import BadInput, check_network
from helpers.models.checkpoints import dtype_of, load_checkpoint, shape_of

if TYPE_CHECKING:
    from torch import nn

    from helpers.engine.definition import Network
    from helpers.systems.base import Config

__all__ = [
    "SYSTEMS",
    "config",
    "configs",
    "create",
    "definition",
    "keys",
    "load_checkpoint",
    "overview",
    "parameter_count",
    "skeleton",
]

FORM = "'folder.as.a.module:Class', where `folder.network` has the class"
# system: its folder (with `config.CONFIGS` and `network`) and the class of the network
SYSTEMS = {
    "bevformer": "helpers.systems.bevformer:BEVFormer",
    "fbocc": "helpers.systems.fbocc:FBOCC",
    "omnidrive": "helpers.systems.omnidrive:OmniDrive",
    "openvla": "helpers.systems.openvla:OpenVLA",
    "uniad": "helpers.systems.uniad:UniAD",
}


@typed
def configs(system: str) -> dict[str, Config]:
    """The configurations of a system by name; torch is not needed."""
    _known("system", system, SYSTEMS)
    return _module(system, "config").CONFIGS


@typed
def config(system: str, name: str | None = None) -> Config:
    """One configuration of a system: shapes, states, `inputs` and `decode`; torch is not needed.

    Args:
        name: None for "published", or the first configuration of a system that has no such.

    Raises:
        BadInput: an unknown system or configuration.
    """
    found = configs(system)
    if name is None:
        name = "published" if "published" in found else next(iter(found))
    _known(f"configuration of {system}", name, found)
    return found[name]


@typed
def create(system: str, config: str | Config | None = None, seed: int = 0) -> nn.Module:
    """A network in eval mode with weights drawn from `seed` (the global random state is left as it was).

    Args:
        system: a key of `SYSTEMS`.
        config: the name of one of its configurations, a configuration object of the caller's own, or None as `config`
            has it.

    Raises:
        BadInput: an unknown system or configuration.
    """
    import torch

    between("seed", seed, -(2**63), 2**64 - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _network(system, config).eval()


@typed
def definition(system: str) -> Callable[[Network, Config], None]:
    """What writes a system's network through TensorRT's network definition API, without torch and without ONNX.

    Raises:
        BadInput: an unknown system, or one without such a definition.
    """
    _known("system", system, SYSTEMS)
    name = f"{SYSTEMS[system].partition(':')[0]}.definition"
    if importlib.util.find_spec(name) is None:
        expected = "a system whose folder has a definition, such as uniad"
        raise BadInput(
            f"system {system}", "no network definition", expected, "export it to ONNX, and build the engine of that"
        )
    return import_module(f"{name}.network").define


@typed
def skeleton(system: str, config: str | Config | None = None) -> nn.Module:
    """The network on the device "meta": names, shapes and types of its tensors without storage."""
    import torch

    with torch.device("meta"):
        return _network(system, config)


def overview(system: str | None = None, config: str | None = None) -> list[dict]:
    """Rows of system, configuration, parameters and tensors: of all systems, of one, or of one configuration."""
    rows = []
    for name in SYSTEMS if system is None else [system]:
        for chosen in configs(name) if config is None else [config]:
            model = skeleton(name, chosen)
            row = {"parameters": parameter_count(model), "tensors": len(model.state_dict())}
            rows.append({"system": name, "configuration": chosen} | row)
    return rows


@typed
def parameter_count(model: nn.Module) -> int:
    """Number of parameters (buffers such as running statistics not included)."""
    check_network(model)
    return sum(parameter.numel() for parameter in model.parameters())


@typed
def keys(model: nn.Module) -> list[str]:
    """One line `name [shape] dtype` per tensor of the state dict, in its order."""
    check_network(model)
    return [f"{name} {shape_of(tensor)} {dtype_of(tensor)}" for name, tensor in model.state_dict().items()]


def _network(system, chosen):
    """An instance of the network class of a system."""
    _known("system", system, SYSTEMS)
    if chosen is None or isinstance(chosen, str):
        chosen = config(system, chosen)
    kind = type(next(iter(configs(system).values())))
    if not isinstance(chosen, kind):
        found = f"a {type(chosen).__module__}.{type(chosen).__name__}"
        raise BadInput(f"configuration of {system}", found, f"a {kind.__module__}.{kind.__name__}", "take its own")
    name = SYSTEMS[system].partition(":")[2]
    network = vars(_module(system, "network")).get(name)
    if network is None:
        raise BadInput(f"helpers.models.SYSTEMS[{system!r}]", repr(SYSTEMS[system]), FORM, "name the network's class")
    return network(chosen)


def _module(system, part):
    """A module of a system's folder; BadInput where the table names a folder that is not there."""
    name = f"{SYSTEMS[system].partition(':')[0]}.{part}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # a package that the module needs
        where = f"helpers.models.SYSTEMS[{system!r}]"
        raise BadInput(where, f"no module {error.name}", FORM, "correct the line or add the folder") from error


def _known(what, name, names):
    if name not in names:
        raise BadInput(what, repr(name), "one of " + ", ".join(names), "`python -m helpers models` lists what there is")
