"""ONNX files, read and written with care: whole, of their digest, all weights finite. No torch."""

import hashlib
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor

from helpers.errors import BadInput
from helpers.files import PathLike, atomic, is_lfs_pointer, stays_inside
from helpers.graph.functions import DOMAIN, check_known, custom_nodes
from helpers.graph.walk import STANDARD, all_attributes, all_tensors, copy, is_float

Model: TypeAlias = PathLike | onnx.ModelProto  # a file, or what is in one
DIGEST = "onramp.sha256"
EXPORT_AGAIN = "export or copy the file again"
LARGEST = 2 << 30  # bytes; a protobuf message is smaller
BITS = {
    kind: 4 if name.endswith("INT4") or name == "FLOAT4E2M1" else 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize
    for name, kind in TensorProto.DataType.items()
    if name not in ("UNDEFINED", "STRING")
}


def digest(model: onnx.ModelProto) -> str:
    """SHA-256 over the deterministic serialization of `model`, its own digest entry left out."""
    bare = copy(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


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
    check_weights(model, path)
    return model


def parse(path: PathLike, weights: bool = True) -> onnx.ModelProto:
    """Read a file as ONNX and compare its digest when it carries one.

    Args:
        weights: read external weights too, into the model. Without them a model may be larger than 2 GiB.

    Raises: BadInput for anything that is not a whole ONNX file with all its external weights.
    """
    path = Path(path)
    model = _message(path)
    files = external_files(path, model)
    if files and not weights:
        return model
    if files:
        check_size(model, path)
        for tensor in all_tensors(model):
            if tensor.external_data:
                _read_external(path, tensor)
    written = {entry.key: entry.value for entry in model.metadata_props}.get(DIGEST)
    if written is not None and written != (found := digest(model)):
        fix = f"{EXPORT_AGAIN}; if a tool edited it on purpose, seal it: graph.save(onnx.load(path), path)"
        raise BadInput(
            path, f"content of SHA-256 {found[:12]}… (changed bits)", f"{written[:12]}…, as it was written", fix
        )
    return model


def _read_external(path, tensor):
    try:
        load_external_data_for_tensor(tensor, str(path.parent))
    except Exception as error:  # of onnx and of the system
        where = f"{path}: tensor {tensor.name}"
        raise BadInput(where, f"external weights not readable ({error})", "a file beside it", EXPORT_AGAIN) from error
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _message(path):
    """The ModelProto in a file, without external weights."""
    if not path.is_file():
        found = "no such file" if not path.exists() else "no such file: this is a folder or a device"
        raise BadInput(path, found, "an ONNX file", "check the path, or export the model first")
    if is_lfs_pointer(path):
        raise BadInput(path, "a git-lfs pointer, which stands for the file", "an ONNX file", "git lfs pull")
    size = f"{path.stat().st_size} bytes that"
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise BadInput(
            path, f"not readable: {error.strerror or error}", "an ONNX file", "check its permissions"
        ) from error
    except Exception as error:
        if path.stat().st_size >= LARGEST:
            raise _too_large(path, path.stat().st_size) from error
        raise BadInput(path, f"{size} do not parse as ONNX ({error})", "a whole ONNX file", EXPORT_AGAIN) from None
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
        if not (stays_inside(name) and file.resolve().is_relative_to(root.resolve())):
            raise BadInput(path, f"external weights at {name!r}", "a file beside the ONNX file", "save the model again")
        if not file.is_file():
            raise BadInput(file, "no such file", f"the external weights of {path}", "copy it beside the ONNX file")
        if file.stat().st_size < end:
            expected = f"at least {end}, for the external weights of {path}"
            raise BadInput(file, f"{file.stat().st_size} bytes", expected, "copy the whole file beside the ONNX file")
    return sorted(ends)


def _place(path, tensor):
    """(file, byte behind the last one) of external weights."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    numbers = [entries.get(key, "0") for key in ("offset", "length")]
    if not entries.get("location") or not all(number.isdecimal() for number in numbers):
        where, expected = f"{path}: tensor {tensor.name}", "a location, and whole numbers for offset and length"
        raise BadInput(where, f"external weights at {entries}", expected, EXPORT_AGAIN)
    return entries["location"], sum(map(int, numbers))


def check_weights(model: onnx.ModelProto, path: PathLike) -> None:
    """BadInput naming the first constant that is not whole or no number, wherever it is: initializers, Constant nodes,
    functions, bodies and external files, which are read one tensor at a time.

    NaN is refused everywhere; so is infinity, but for a single value (a bound) and for 0 and -infinity (a mask).
    """
    root = str(Path(path).parent)
    for tensor in all_tensors(model):
        where = f"{path}: tensor {tensor.name or '(of a node)'}"
        array = _read(tensor, root, where)
        if is_float(tensor.data_type) or TensorProto.DataType.Name(tensor.data_type).startswith("FLOAT8"):
            _check_numbers(where, array)
    for attribute in all_attributes(model):
        if attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
            values = attribute.floats if attribute.type == onnx.AttributeProto.FLOATS else [attribute.f]
            _check_numbers(f"{path}: attribute {attribute.name}", np.array(values, np.float32))


def _read(tensor, root, where):
    """The array of a tensor, whose external weights are not kept in it."""
    own = tensor
    if tensor.external_data:
        own = TensorProto()
        own.CopyFrom(tensor)
    try:
        array = numpy_helper.to_array(own, root)
        if array.shape != tuple(tensor.dims):
            raise ValueError(f"values of shape {list(array.shape)}")
    except Exception as error:  # of NumPy, onnx and the system
        expected = f"values of shape {list(tensor.dims)}"
        raise BadInput(where, f"not readable ({error})", expected, EXPORT_AGAIN) from error
    return array


def _check_numbers(where, array):
    values = array if array.dtype.kind == "f" else array.astype(np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return
    mask = not values[finite].any() and np.isneginf(values[~finite]).all()
    nan = np.isnan(values).any()
    if nan or not (mask or values.size == 1):
        found = f"{'NaN' if nan else 'infinity'} ({np.count_nonzero(~finite)} of {values.size} values)"
        raise BadInput(where, found, "finite weights", "check the checkpoint, " + EXPORT_AGAIN)


def check_size(model: onnx.ModelProto, where: object) -> None:
    """BadInput if `model` with all its weights, external ones too, is too large for one protobuf message."""
    size = sum(prod(tensor.dims) * BITS.get(tensor.data_type, 0) for tensor in all_tensors(model)) // 8
    if size >= LARGEST:
        raise _too_large(where, size)


def _too_large(where, size):
    expected = "less than 2 GiB with its weights, the limit of a protobuf message"
    fix = "keep the weights in external files, which python -m helpers engine build leaves there; or export it in parts"
    return BadInput(where, f"a model of {size / 2**30:.1f} GiB", expected, fix)


def check_model(model: onnx.ModelProto, where: object) -> None:
    """BadInput with the reason of onnx.checker if it refuses `model`."""
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(where, reason, "a graph that passes onnx.checker", EXPORT_AGAIN) from None


def read(model: Model, weights: bool = True) -> onnx.ModelProto:
    """A model, or the one in the file of this path, as `parse` reads it."""
    return model if isinstance(model, onnx.ModelProto) else parse(model, weights)
