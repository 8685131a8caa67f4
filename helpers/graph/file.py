"""ONNX files, read and written with care, and the custom operators in them. No torch.

A *custom* node is one that no ONNX schema defines. It is *defined* when the model carries a local function of its
domain and name, and *known* when it is defined, or a plugin of this project, or ONNX Runtime's own.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from helpers.errors import BadInput
from helpers.files import atomic
from helpers.graph.walk import STANDARD, is_float

DOMAIN = "trt.plugins"
PLUGINS = ("MultiScaleDeformableAttnTRT2", "RotateTRT2")  # what helpers.ops defines and the plugin library implements
DIGEST = "onramp.sha256"
EXPORT_AGAIN = "export or copy the file again"


def digest(model):
    """SHA-256 over the deterministic serialization of `model`, its own digest entry left out."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    kept = [entry for entry in model.metadata_props if entry.key != DIGEST]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def save(model, path):
    """Check `model`, add its digest to `metadata_props`, and write one file, whole or not at all; returns the path."""
    entries = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, entries | {DIGEST: digest(model)})
    check_model(model, path)
    with atomic(path) as part:
        onnx.save(model, part)
    return Path(path)


def load(path):
    """Read an ONNX file that can be trusted: whole, of its digest, past onnx.checker, no unknown operator, no NaN.

    Raises: BadInput for a missing, truncated, damaged or foreign file, an operator nobody defines, or a NaN weight.
    """
    model = parse(path)
    for node in custom_nodes(model):
        if not is_known(node, model):
            raise unknown_operator(path, node)
        if node.domain in STANDARD:
            fix = f"python -m helpers graph {path} --postprocess puts it into the domain {DOMAIN}"
            raise BadInput(f"{path}: node {node.name}", f"{node.op_type} in ONNX's own domain", DOMAIN, fix)
    check_model(model, path)
    for tensor in model.graph.initializer:
        if is_float(tensor.data_type) and np.isnan(numpy_helper.to_array(tensor).astype(np.float32)).any():
            raise BadInput(
                f"{path}: tensor {tensor.name}", "NaN", "finite weights", "check the checkpoint, " + EXPORT_AGAIN
            )
    return model


def parse(path):
    """Read a file as ONNX and compare its digest when it carries one. BadInput for anything that is not a whole
    ONNX file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", "an ONNX file", "check the path, or export the model first")
    size = f"{path.stat().st_size} bytes that"
    try:
        model = onnx.load(path)
    except Exception as error:
        raise BadInput(path, f"{size} do not parse as ONNX ({error})", "a whole ONNX file", EXPORT_AGAIN) from None
    if not model.graph.node or not model.opset_import:
        raise BadInput(path, f"{size} hold no ONNX graph", "a whole ONNX file", EXPORT_AGAIN)
    written = {entry.key: entry.value for entry in model.metadata_props}.get(DIGEST)
    if written is not None and written != (found := digest(model)):
        fix = f"{EXPORT_AGAIN}; if a tool edited it on purpose, seal it: graph.save(onnx.load(path), path)"
        raise BadInput(
            path, f"content of SHA-256 {found[:12]}… (changed bits)", f"{written[:12]}…, as it was written", fix
        )
    return model


def check_model(model, where):
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise BadInput(
            where, str(error).strip().splitlines()[0], "a graph that passes onnx.checker", EXPORT_AGAIN
        ) from None


def read(model):
    return model if isinstance(model, onnx.ModelProto) else parse(model)


def custom_nodes(model):
    """The nodes of the main graph that no ONNX schema defines, in graph order."""
    return [node for node in model.graph.node if not onnx.defs.has(node.op_type, node.domain)]


def drop_functions(model):
    """A copy of `model` without function bodies: custom nodes are left to a runtime's plugins."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    return bare


def with_functions(model):
    """A copy of `model` that defines the known plugins it uses, with the function bodies of `helpers.ops` (imports
    torch).
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if any(
        node.domain == DOMAIN and node.op_type in PLUGINS and not is_defined(node, model)
        for node in custom_nodes(model)
    ):
        from helpers.graph.functions import attach_functions

        attach_functions(whole)
    return whole


def is_defined(node, model):
    return any((function.domain, function.name) == (node.domain, node.op_type) for function in model.functions)


def is_known(node, model):
    plugin = node.op_type in PLUGINS and node.domain in STANDARD | {DOMAIN}
    return plugin or is_defined(node, model) or node.domain.startswith("com.microsoft")


def unknown_operator(path, node):
    found = f"operator {node.op_type} of domain {node.domain or 'ai.onnx'!r}, which nothing defines"
    fix = "attach a function that defines it (model.functions), or replace it with known operators"
    return BadInput(
        f"{path}: node {node.name or node.output[0]}", found, f"ONNX operators or {', '.join(PLUGINS)}", fix
    )
