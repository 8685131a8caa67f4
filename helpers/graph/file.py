"""ONNX files, read and written with care: whole, of their digest, all weights finite. No torch."""

import hashlib
import os
from pathlib import Path
from typing import TypeAlias

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import load_external_data_for_tensor

from helpers.arguments import typed
from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path, atomic, check_distinct, found_at, stays_inside
from helpers.graph.checks import (
    EXPORT_AGAIN,
    LARGEST,
    check_model,
    check_names,
    check_size,
    check_structure,
    check_weights,
    too_large,
)
from helpers.graph.functions import DOMAIN, check_known, custom_nodes
from helpers.graph.walk import STANDARD, all_tensors, copy
from helpers.repository import is_lfs_pointer

Model: TypeAlias = PathLike | onnx.ModelProto  # a file, or what is in one
DIGEST = "onramp.sha256"


@typed
def digest(model: onnx.ModelProto) -> str:
    """SHA-256 over the deterministic serialization of `model`, its own digest entry left out."""
    bare = copy(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


@typed
def save(model: onnx.ModelProto, path: PathLike) -> Path:
    """Check `model`, add its digest to `metadata_props`, and write one file, whole or not at all; returns the path.

    Raises: BadInput for a model that onnx.checker refuses, or of 2 GiB or more, which is too large for one file.
    """
    check_size(model, path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, entries | {DIGEST: digest(model)})
    check_model(model, path)
    with atomic(path) as part:
        onnx.save(model, part)
    return Path(path)


@typed
def load(path: PathLike) -> onnx.ModelProto:
    """Read an ONNX file that can be trusted: whole, of its digest, past onnx.checker, no unknown operator, and all
    weights are numbers.

    Raises: BadInput for a missing, truncated, damaged or foreign file, one of 2 GiB or more with its external weights,
        an operator that nobody defines, or weights that `check_weights` refuses.
    """
    model = parse(path)
    check_known(model, path)
    for node in custom_nodes(model):
        if node.domain in STANDARD:
            fix = f"python -m helpers graph {path} --postprocess puts it into the domain {DOMAIN}"
            raise BadInput(f"{path}: node {node.name}", f"{node.op_type} in ONNX's own domain", DOMAIN, fix)
    check_model(model, path)
    return model


@typed
def parse(path: PathLike, weights: bool = True) -> onnx.ModelProto:
    """Read a file as ONNX: the door of all that comes in one. Its digest is compared where it carries one.

    Args:
        weights: read external weights too, into the model. Without them a model may be larger than 2 GiB.

    Raises: BadInput for anything that is not a whole ONNX file with all its external weights, all of them numbers.
    """
    path = as_path(path)
    model = _message(path)
    check_structure(model, path)
    files = external_files(path, model)
    if files and weights:
        check_size(model, path)
        for tensor in all_tensors(model):
            if tensor.external_data:
                _read_external(path, tensor)
    if weights or not files:
        _check_digest(path, model)
    check_weights(model, path)
    return model


def _check_digest(path, model):
    written = {entry.key: entry.value for entry in model.metadata_props}.get(DIGEST)
    if written is not None and written != (found := digest(model)):
        fix = f"{EXPORT_AGAIN}; if a tool edited it on purpose, seal it: graph.save(onnx.load(path), path)"
        raise BadInput(
            path, f"content of SHA-256 {found[:12]}… (changed bits)", f"{written[:12]}…, as it was written", fix
        )


def _read_external(path, tensor):
    with foreign(f"{path}: tensor {tensor.name}", "external weights in a file beside it", EXPORT_AGAIN):
        load_external_data_for_tensor(tensor, str(path.parent))
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _message(path):
    """The ModelProto in a file, without external weights."""
    if not path.is_file():
        raise BadInput(path, found_at(path), "an ONNX file", "check the path, or export the model first")
    if is_lfs_pointer(path):
        raise BadInput(path, "a git-lfs pointer, which stands for the file", "an ONNX file", "git lfs pull")
    if path.stat().st_size >= LARGEST:
        raise too_large(path, path.stat().st_size)
    size = f"{path.stat().st_size} bytes that"
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise BadInput(
            path, f"not readable: {error.strerror or error}", "an ONNX file", "check its permissions"
        ) from error
    except Exception as error:
        raise BadInput(path, f"{size} do not parse as ONNX ({error})", "a whole ONNX file", EXPORT_AGAIN) from error
    if not model.graph.node or not model.opset_import:
        raise BadInput(path, f"{size} hold no ONNX graph", "a whole ONNX file", EXPORT_AGAIN)
    return model


def external_files(path: PathLike, model: onnx.ModelProto) -> list[str]:
    """Names of the external weight files of `model`, which was read from `path`, relative to its folder.

    Raises: BadInput for a file that is absent, shorter than the weights in it, or not beside the model.
    """
    root, ends = Path(path).parent, {}
    for tensor in all_tensors(model):
        if tensor.external_data:
            name, end = _place(path, tensor)
            ends[name] = max(ends.get(name, 0), end)
    for name, end in sorted(ends.items()):
        file = root / name
        if not stays_inside(name, root):
            raise BadInput(path, f"external weights at {name!r}", "a file beside the ONNX file", "save the model again")
        if not file.is_file():
            raise BadInput(file, "no such file", f"the external weights of {path}", "copy it beside the ONNX file")
        if file.stat().st_size < end:
            expected = f"at least {end}, for the external weights of {path}"
            raise BadInput(file, f"{file.stat().st_size} bytes", expected, "copy the whole file beside the ONNX file")
    return sorted(ends)


def check_output(out: PathLike, path: PathLike) -> None:
    """BadInput if writing `out` would replace the ONNX file `path` or a file of its external weights."""
    check_distinct(out, path)
    path = as_path(path)
    if as_path(out).exists():
        model = _message(path)
        check_names(model, path)
        check_distinct(out, *(path.parent / name for name in external_files(path, model)))


def _place(path, tensor):
    """(file, byte behind the last one) of external weights."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers = [entries.get(key, "0") for key in ("offset", "length")]
    if not entries.get("location") or not all(number.isdecimal() for number in numbers):
        where, expected = f"{path}: tensor {tensor.name}", "a location, and whole numbers for offset and length"
        raise BadInput(where, f"external weights at {entries}", expected, EXPORT_AGAIN)
    return entries["location"], sum(map(int, numbers))


def name_of(model: Model) -> str:
    """What errors call a model: its path, or "the model" in memory."""
    return "the model" if isinstance(model, onnx.ModelProto) else os.fspath(model)


def read(model: Model, weights: bool = True) -> onnx.ModelProto:
    """A model, or the one in the file of this path, as `parse` reads it."""
    return model if isinstance(model, onnx.ModelProto) else parse(model, weights)
