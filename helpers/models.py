"""The networks of the course by system and configuration: create one, load a checkpoint into it, list its tensors."""

import argparse
import pickle
import zipfile
from pathlib import Path

import torch

from helpers.errors import BadInput
from helpers.files import is_lfs_pointer
from helpers.systems.bevformer import network as bevformer

SYSTEMS = {"bevformer": (bevformer.BEVFormer, bevformer.CONFIGS)}


def create(system, config="published", seed=0):
    """A network in eval mode with weights drawn from `seed` (the global random state is left as it was).

    Args:
        system: a key of `SYSTEMS`.
        config: the name of one of its configurations, or a configuration object of the caller's own.

    Raises:
        BadInput: an unknown system or configuration.
    """
    network, config = _find(system, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network(config).eval()


def load_checkpoint(model, path):
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


def parameter_count(model):
    """Number of parameters (buffers such as running statistics not included)."""
    return sum(parameter.numel() for parameter in model.parameters())


def keys(model):
    """One line `name [shape] dtype` per tensor of the state dict, in its order."""
    return [f"{name} {_shape(tensor)} {_dtype(tensor)}" for name, tensor in model.state_dict().items()]


def main(argv=None):
    """`python -m helpers models [SYSTEM] [--config NAME] [--keys]`."""
    parser = argparse.ArgumentParser(prog="helpers models", description=__doc__)
    parser.add_argument("system", nargs="?", help="one of: " + ", ".join(SYSTEMS))
    parser.add_argument("--config", help="a configuration of the system (with --keys: default published)")
    parser.add_argument("--keys", action="store_true", help="print name, shape and dtype of every tensor")
    options = parser.parse_args(argv)
    if options.keys and not options.system:
        parser.error("--keys needs a system")
    if options.keys:
        print("\n".join(keys(_skeleton(options.system, options.config or "published"))))
        return 0
    if options.system:
        _known("system", options.system, SYSTEMS)
    print(f"{'system':<12}{'configuration':<16}{'parameters':>12}  {'tensors':>7}")
    for system in [options.system] if options.system else SYSTEMS:
        for config in [options.config] if options.config else SYSTEMS[system][1]:
            model = _skeleton(system, config)
            print(f"{system:<12}{config:<16}{parameter_count(model):>12,}  {len(model.state_dict()):>7}")
    return 0


def _find(system, config):
    """The network class of a system and one of its configurations."""
    _known("system", system, SYSTEMS)
    network, configs = SYSTEMS[system]
    if isinstance(config, str):
        _known(f"configuration of {system}", config, configs)
        config = configs[config]
    return network, config


def _skeleton(system, config):
    """The network without storage: names, shapes and types only."""
    network, config = _find(system, config)
    with torch.device("meta"):
        return network(config)


def _known(what, name, names):
    if name not in names:
        raise BadInput(what, repr(name), "one of " + ", ".join(names), "`python -m helpers models` lists what there is")


def _read(path):
    """Tensors by name from a checkpoint file."""
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
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise BadInput(path, f"a {type(state).__name__} that is not a table of tensors", expected, "save a state dict")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _read_safetensors(path):
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _problems(state, wanted):
    """What keeps `state` from being loaded, one entry per kind, naming the tensors."""
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
