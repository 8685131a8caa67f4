"""Checkpoints: read without running code, and loaded into a network whole or not at all."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from helpers import disk
from helpers.arguments import typed
from helpers.errors import BadInput, check_network, foreign
from helpers.files import PathLike, as_path, found_at
from helpers.kinds import kind_of
from helpers.models import layered
from helpers.repository import is_lfs_pointer

if TYPE_CHECKING:
    from torch import Tensor, nn

KINDS = (("", "a zip archive"), ("", "a file of safetensors"))  # of torch.save; where the name says so, of safetensors
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")  # of checkpoints
SAME = 1e-3  # of a number that a checkpoint states, in its unit and relative


@typed
def load_checkpoint(model: nn.Module, path: PathLike) -> nn.Module:
    """Load weights into `model` and return it. Nothing is loaded unless everything fits.

    Reads `.safetensors`, a `torch.save` file (weights only) with the tensors at the top or under `state_dict`, or a
    folder of `helpers.models.layered`; a leading `module.` and then `teacher.` of the names is dropped, and so are
    tensors that the model's configuration says are `elsewhere`.

    Raises:
        BadInput: a file that cannot be read or is a git-lfs pointer, or tensors that are missing, unexpected, of
            another shape or kind of number, or not finite, all of them by name; nothing but zeros; or tensors that
            state another configuration than the model's.
    """
    import torch

    check_network(model)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        fix = "make it with helpers.models.create; skeleton gives names and shapes only"
        raise BadInput(type(model).__name__, "a network without storage, on the device meta", "one with storage", fix)
    fix = "take the checkpoint of this configuration; `python -m helpers models SYSTEM --keys` lists its tensors"
    elsewhere, stated = (getattr(getattr(model, "config", None), name, ()) for name in ("elsewhere", "stated"))
    state = {name: tensor for name, tensor in read_checkpoint(path).items() if not name.startswith(elsewhere)}
    wanted = model.state_dict()
    if prefix := _prefix(state, wanted):
        fix = f"save the tensors under their names without {prefix!r}"
    check_tensors(state, wanted, path, fix)
    for name in stated:
        if not torch.allclose(state[name].to(wanted[name]), wanted[name], rtol=SAME, atol=SAME):
            found, expected = (
                f"{[round(float(v), 4) for v in each.flatten()]}" for each in (state[name], wanted[name])
            )
            raise BadInput(f"{path}: {name}", found, f"{expected}, as the configuration of the model has it", fix)
    model.load_state_dict(state)
    return model


def check_tensors(state: dict[str, Tensor], wanted: dict[str, Tensor], where: PathLike, fix: str) -> None:
    """BadInput if tensors from `where` do not fit those of a state dict, which may be on the device meta."""
    if problems := _problems(state, wanted):
        raise BadInput(where, "; ".join(problems), f"the {len(wanted)} tensors of the model", fix)


def read_checkpoint(path: PathLike) -> dict[str, Tensor]:
    """Tensors by name from a checkpoint file, of the forms that `load_checkpoint` reads; raises BadInput as it does."""
    import torch
    from safetensors.torch import load_file

    path = as_path(path)
    expected = "a .safetensors file, or a torch.save file of tensors by name (under `state_dict` or at the top)"
    if layered.is_layered(path):
        return _plain_names(path, layered.read(path))
    if is_lfs_pointer(path):
        raise BadInput(path, "a git-lfs pointer in the place of the weights", expected, "git lfs pull")
    if not path.is_file():
        inside = [each for each in sorted(path.glob("*")) if each.suffix in SUFFIXES] if path.is_dir() else []
        raise BadInput(path, found_at(path), expected, f"give {inside[0]}" if inside else "check the path")
    if (held := kind_of(path)) not in KINDS[path.suffix == ".safetensors"]:
        fix = "give a checkpoint" if held != "a file of safetensors" else "name it NAME.safetensors"
        raise BadInput(path, held, expected, f"{fix}; if it was one, fetch it again")
    with foreign(path, expected, "fetch the file again"):
        if path.suffix == ".safetensors":
            return dict(sorted(load_file(path).items(), key=lambda item: _place(item[0])))  # the file sorts by type
        try:
            with _Claims(io.FileIO(path)) as stream:
                source = path if zipfile.is_zipfile(path) else stream
                state = torch.load(source, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            found = "damaged, or holds Python objects other than tensors, which are never unpickled"
            raise BadInput(path, found, expected, "fetch the file again, or save its state_dict alone") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict):
        raise BadInput(path, f"a {type(state).__name__} that is not a table of tensors", expected, "save a state dict")
    if others := [k for k, v in state.items() if not isinstance(v, torch.Tensor) or not isinstance(k, str)]:
        found = f"not a table of tensors: it holds {', '.join(map(repr, others[:5]))}"
        raise BadInput(path, found, expected, "save the table of tensors alone, or under `state_dict`")
    return _plain_names(path, state)


def write_tensors(tensors: Mapping[str, Tensor], path: PathLike, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name as safetensors, readable for whom the umask lets read; for use within `files.atomic`.

    Tensors may share memory with each other and lie anywhere; the file holds a copy of each.
    """
    import torch
    from safetensors.torch import save_file

    disk.require(path, sum(t.nbytes for t in tensors.values()))
    apart = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    as_path(path).touch()
    mode = os.stat(path).st_mode
    save_file(apart, path, metadata)
    os.chmod(path, mode)  # safetensors writes for the owner alone


class _Claims(io.BufferedReader):
    """A file of which no more is read than there is: a length that it claims wrongly allocates nothing."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, left))


def _plain_names(path, state):
    """The tensors under their names without `module.` and `teacher.`; BadInput for two of one name."""
    plain = {}
    for name, tensor in state.items():
        short = name.removeprefix("module.").removeprefix("teacher.")
        plain.setdefault(short, {})[name] = tensor
    if twice := [names for names in plain.values() if len(names) > 1]:
        found = f"{len(twice)} tensors under two names, such as {' and '.join(sorted(twice[0], key=len))}"
        prefix = max(twice[0], key=len).split(".")[0]
        fix = f"save those whose names begin with {prefix!r}, or the others, in a file of their own"
        raise BadInput(path, found, "each tensor once", fix)
    return {short: next(iter(tensors.values())) for short, tensors in plain.items()}


def _prefix(state, wanted):
    """What stands before the names of all tensors of `state`, which are those of `wanted` without it; "" if not so."""
    shorter = min(state, key=len, default="")
    found = next((shorter.removesuffix(name) for name in wanted if shorter.endswith(f".{name}")), "")
    return found if found and {name.removeprefix(found) for name in state} == wanted.keys() else ""


def _problems(state, wanted):
    """What keeps `state` from being loaded, one entry per kind, naming the tensors."""
    import torch

    special = [name for name in wanted if name in state and not is_plain(state[name])]
    shared = [name for name in wanted if name in state and name not in special]
    fitting = [name for name in shared if state[name].shape == wanted[name].shape]
    kinds = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "wrong shape": [
            f"{name} {shape_of(state[name])} instead of {shape_of(wanted[name])}"
            for name in shared
            if name not in fitting
        ],
        "wrong dtype": [
            f"{name} {dtype_of(state[name])} instead of {dtype_of(wanted[name])}"
            for name in shared
            if _kind(state[name]) != _kind(wanted[name])
        ],
        "sparse, quantized, packed or without storage": special,
        "not finite": [name for name in fitting if not torch.isfinite(state[name].to(wanted[name].dtype)).all()],
        "a variance below zero": [n for n in fitting if n.endswith("running_var") and (state[n].float() < 0).any()],
    }
    found = [f"{kind} ({len(names)}): {', '.join(names)}" for kind, names in kinds.items() if names]
    weights = [name for name in fitting if state[name].is_floating_point() and state[name].numel()]
    if not found and weights and not any(state[name].to(wanted[name].dtype).any() for name in weights):
        return [f"nothing but zeros in {len(weights)} tensors"]
    return found


def _kind(tensor):
    return tensor.is_floating_point(), tensor.is_complex()


def is_plain(tensor: Tensor) -> bool:
    """Whether every element of the tensor lies in memory as a number of its own; those of four bits share a byte."""
    import torch

    special = tensor.is_nested or tensor.is_quantized or tensor.is_meta or dtype_of(tensor).endswith("_x2")
    return tensor.layout == torch.strided and not special


def shape_of(tensor: Tensor) -> str:
    """The shape of a tensor as text, such as "[2,3]"."""
    return "[" + ",".join(map(str, tensor.shape)) + "]"


def dtype_of(tensor: Tensor) -> str:
    """The type of a tensor as text, such as "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def _place(name):
    """What sorts names as a person does, layers.2 before layers.10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in name.split(".")]
