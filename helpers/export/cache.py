"""Exports kept by what they are made of, so that lessons which export the same network wait for it once."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import inspect
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from helpers import graph
from helpers.errors import BadInput, full
from helpers.files import ROOT, PathLike, atomic, sha256

FOLDER = ROOT / "build/cache/exports"
PACKAGES = ("torch", "onnx", "onnxscript", "onnx-ir", "numpy")
OWN = "helpers", "torch"  # whose code the key knows: ours by its bytes, torch by its version
TENSORS = "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"
HOOKS = "_hooks", "_hooks_with_kwargs", "_hooks_always_called"
MOST = 12  # exports that are kept


class _Unknown(Exception):
    """A module holds what the key cannot tell apart."""


def key_of(model: torch.nn.Module, plugin: bool, opset: int, options: Mapping[str, Any] | None = None) -> str | None:
    """Hex digest of everything that an export of `model` depends on; None if that cannot be known.

    It holds the classes, every weight and buffer by name, type, shape and bytes, what else the modules hold, such as
    their configuration, the source of `helpers`, and the versions of Python and of the packages that export.
    None: a class from elsewhere, such as a cell of a notebook, a `forward` that was replaced, a hook, or a value that
    is neither a plain one nor a weight or buffer.
    """
    try:
        modules = [(name, _describe(module)) for name, module in model.named_modules()]
    except _Unknown:
        return None
    versions = {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}
    tied = [name for name, _ in model.named_parameters()]  # without those that are another one under a second name
    digest = hashlib.sha256(json.dumps([versions, plugin, opset, dict(options or {}), modules, tied]).encode())
    for name, tensor in (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} {tensor.device.type}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for file in sorted((ROOT / "helpers").rglob("*.py")):
        digest.update(f"{file.relative_to(ROOT)} {sha256(file)}".encode())
    return digest.hexdigest()


def fetch(key: str, path: PathLike, folder: Path = FOLDER) -> bool:
    """Copy the export of this key to `path`; whether there was a whole one. BadInput where there is no room for it."""
    try:
        with atomic(path) as part:
            shutil.copyfile(folder / f"{key}.onnx", part)
            graph.load(part)  # its content is the one that was written
    except (BadInput, FileNotFoundError) as error:
        if full(error):
            raise
        return False
    return True


def keep(key: str, path: PathLike, folder: Path = FOLDER) -> None:
    """Keep the export at `path` under this key, if there is room, and of all that are kept the newest `MOST`."""
    with contextlib.suppress(BadInput), atomic(folder / f"{key}.onnx") as part:
        shutil.copyfile(path, part)
    for file in sorted(folder.glob("*.onnx"), key=_written)[:-MOST]:
        file.unlink(missing_ok=True)


def _written(file):
    """When a file was written; 0 if another run has just removed it."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _describe(module: torch.nn.Module) -> list[str]:
    """The class of a module and what it holds beside its tensors and its children, such as a stride."""
    held = vars(module)
    if any(value for name, value in held.items() if name.endswith(HOOKS)):
        raise _Unknown
    plain = {name: value for name, value in held.items() if name not in TENSORS and not name.endswith(HOOKS)}
    return [_text(type(module)), _text(type(module).forward), _text(plain)]


def _text(value: Any) -> str:
    """A value in words that tell it from every other; _Unknown for one that may change where the key does not."""
    if value is None or isinstance(value, bool | int | float | str | torch.dtype | torch.device):
        return repr(value)
    if isinstance(value, Mapping):
        return str([(_text(name), _text(each)) for name, each in value.items()])
    if isinstance(value, list | tuple | set | frozenset):
        return str([_text(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _text(type(value)) + _text({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, type) or inspect.isroutine(value):
        name = f"{value.__module__}.{value.__qualname__}"
        if name.partition(".")[0] in OWN and "<" not in name:  # lambdas and inner functions share their names
            return name
    raise _Unknown
