"""The networks of the course by system and configuration: create one, load a checkpoint into it, list its tensors.

Torch is imported where a network or a checkpoint is made; shapes, states, inputs and decoding do without it.
"""

from __future__ import annotations

import pickle
import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import BadInput
from helpers.files import is_lfs_pointer

if TYPE_CHECKING:
    from torch import nn

    from helpers.systems.base import Config

# system: its folder (with `config.CONFIGS` and `network`) and the class of the network
SYSTEMS = {
    "bevformer": "helpers.systems.bevformer:BEVFormer",
}


def configs(system: str) -> dict[str, Config]:
    """The configurations of a system by name; torch is not needed."""
    _known("system", system, SYSTEMS)
    return import_module(SYSTEMS[system].partition(":")[0] + ".config").CONFIGS


def config(system: str, name: str = "published") -> Config:
    """One configuration of a system: shapes, states, `inputs` and `decode`; torch is not needed.

    Raises:
        BadInput: an unknown system or configuration.
    """
    found = configs(system)
    _known(f"configuration of {system}", name, found)
    return found[name]


def create(system: str, config: str | Config = "published", seed: int = 0) -> nn.Module:
    """A network in eval mode with weights drawn from `seed` (the global random state is left as it was).

    Args:
        system: a key of `SYSTEMS`.
        config: the name of one of its configurations, or a configuration object of the caller's own.

    Raises:
        BadInput: an unknown system or configuration.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _network(system, config).eval()


def skeleton(system: str, config: str | Config = "published") -> nn.Module:
    """The network on the device "meta": names, shapes and types of its tensors without storage."""
    import torch

    with torch.device("meta"):
        return _network(system, config)


def overview(system: str | None = None, config: str | None = None) -> list[dict]:
    """Rows of system, configuration, parameters and tensors: of all systems, of one, or of one configuration."""
    rows = []
    for name in [system] if system else SYSTEMS:
        for chosen in [config] if config else configs(name):
            model = skeleton(name, chosen)
            row = {"parameters": parameter_count(model), "tensors": len(model.state_dict())}
            rows.append({"system": name, "configuration": chosen} | row)
    return rows


def load_checkpoint(model: nn.Module, path: str | Path) -> nn.Module:
    """Load weights into `model` and return it. Nothing is loaded unless everything fits.

    Reads `.safetensors`, or a `torch.save` file (weights only) with the tensors at the top or under `state_dict`; a
    leading `module.` of the names is dropped.

    Raises:
        BadInput: a file that cannot be read or is a git-lfs pointer, or tensors that are missing, unexpected, of
            another shape or kind of number, or not finite, all of them by name.
    """
    state = _read(Path(path))
    problems = _problems(state, model.state_dict())
    if problems:
        fix = "take the checkpoint of this configuration; `python -m helpers models SYSTEM --keys` lists its tensors"
        raise BadInput(path, "; ".join(problems), f"the {len(model.state_dict())} tensors of the model", fix)
    model.load_state_dict(state)
    return model


def parameter_count(model: nn.Module) -> int:
    """Number of parameters (buffers such as running statistics not included)."""
    return sum(parameter.numel() for parameter in model.parameters())


def keys(model: nn.Module) -> list[str]:
    """One line `name [shape] dtype` per tensor of the state dict, in its order."""
    return [f"{name} {_shape(tensor)} {_dtype(tensor)}" for name, tensor in model.state_dict().items()]


def _network(system, config_or_name):
    """An instance of the network class of a system."""
    chosen = config(system, config_or_name) if isinstance(config_or_name, str) else config_or_name
    _known("system", system, SYSTEMS)
    folder, _, name = SYSTEMS[system].partition(":")
    return getattr(import_module(f"{folder}.network"), name)(chosen)


def _known(what, name, names):
    if name not in names:
        raise BadInput(what, repr(name), "one of " + ", ".join(names), "`python -m helpers models` lists what there is")


def _read(path):
    """Tensors by name from a checkpoint file."""
    import torch

    expected = "a .safetensors file, or a torch.save file of tensors by name (under `state_dict` or at the top)"
    if is_lfs_pointer(path):
        raise BadInput(path, "a git-lfs pointer in the place of the weights", expected, "git lfs pull")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInput(path, "no such file", expected, "check the path") from error
    except pickle.UnpicklingError as error:
        found = "damaged, or holds Python objects other than tensors, which are never unpickled"
        raise BadInput(path, found, expected, "fetch the file again, or save its state_dict alone") from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise BadInput(path, f"not readable as weights ({reason})", expected, "fetch the file again") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise BadInput(path, f"a {type(state).__name__} that is not a table of tensors", expected, "save a state dict")
    if others := [name for name, tensor in state.items() if not isinstance(tensor, torch.Tensor)]:
        found = f"not a table of tensors: it holds {', '.join(map(repr, others[:5]))}"
        raise BadInput(path, found, expected, "save the table of tensors alone, or under `state_dict`")
    return _plain_names(path, state)


def _plain_names(path, state):
    """The tensors under their names without `module.`; BadInput for two of one name."""
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if len(plain) < len(state):
        twice = [name for name in plain if name in state and f"module.{name}" in state]
        found = f"{len(twice)} tensors under two names, such as {twice[0]} and module.{twice[0]}"
        raise BadInput(path, found, "each tensor once", "save the one set that is meant")
    return plain


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _problems(state, wanted):
    """What keeps `state` from being loaded, one entry per kind, naming the tensors."""
    import torch

    shared = [name for name in wanted if name in state]
    kinds = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "wrong shape": [
            f"{name} {_shape(state[name])} instead of {_shape(wanted[name])}"
            for name in shared
            if state[name].shape != wanted[name].shape
        ],
        "wrong dtype": [
            f"{name} {_dtype(state[name])} instead of {_dtype(wanted[name])}"
            for name in shared
            if state[name].is_floating_point() != wanted[name].is_floating_point()
        ],
        "not finite": [name for name in shared if not torch.isfinite(state[name]).all()],
    }
    return [f"{kind} ({len(names)}): {', '.join(names)}" for kind, names in kinds.items() if names]


def _shape(tensor):
    return "[" + ",".join(map(str, tensor.shape)) + "]"


def _dtype(tensor):
    return str(tensor.dtype).removeprefix("torch.")
