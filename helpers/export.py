"""PyTorch to ONNX: one tidy file with nodes named after their modules, and its check against PyTorch."""

import ast
import contextlib
import logging
import warnings
from collections import Counter
from itertools import takewhile, tee

import numpy as np
import torch

from helpers import graph
from helpers.errors import BadInput
from helpers.graph.functions import attach_functions
from helpers.sequence import as_steps, rollout

OPSET = 18
REWRITES = (
    "fuse_batchnorm_into_conv",
    "no_op_cast",
    "no_op_expand",
    "no_op_transpose",
    "reshape_reshape",
    "transpose_transpose",
    "unsqueeze_unsqueeze",
    "squeeze_reshape_1d",
    "materialize_reshape_shape",
    "one_reshape_matmul_reshape",
    "two_reshapes_matmul_reshape",
    "collapse_slice",
    "collapse_slice2",
    "successive_relu",
)
FOLD_LIMIT = 1 << 20  # elements: constants such as positions are folded, weights are only transposed
SCOPES = "pkg.torch.onnx.name_scopes"


def export(model, path, plugin=False, opset=OPSET):
    """Export a model of `helpers.models` to one ONNX file (static shapes, no external data); returns its path.

    Names, order and shapes of inputs and outputs, and types of inputs, are those of `model.config`. Constants are
    folded and BatchNorm is folded into its Conv. Nodes are named `/module/path/OpType`, with an index in a list as
    `layers.0`.

    Args:
        model: module in eval mode with a `config`, whose forward returns a tuple in the order of the outputs.
        path: the file to write; it is whole or absent.
        plugin: False attaches the definitions of the custom operators (runs everywhere); True leaves the same nodes
            bare, for a TensorRT with the plugin library.
        opset: ONNX opset version.
    Raises: BadInput for a model in training mode, or a graph that keeps other shapes than `model.config` states.
    """
    if model.training:
        raise BadInput(type(model).__name__, "training mode", "eval mode", "call model.eval() before export")
    shapes, types = model.config.input_shapes(), model.config.input_types()
    inputs = {name: torch.from_numpy(np.zeros(shape, types[name])) for name, shape in shapes.items()}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            kwargs=inputs,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(model.config.output_shapes()),
            optimize=False,
            verbose=False,
        )
        tidy(program.model)
    exported = program.model_proto
    name_after_modules(exported)
    if not plugin:
        attach_functions(exported)
    _check_interface(exported, shapes, model.config.output_shapes(), path)
    return graph.save(exported, path)


def check(path, model, frames) -> list[dict]:
    """Run frames in ONNX Runtime (CPU) and in PyTorch, each carrying its own states, and compare outputs.

    Args:
        path: ONNX file; custom nodes without a body get theirs from `helpers.ops` for the run.
        model: the module it was exported from, on the CPU.
        frames: steps of `helpers.dataset.stream`, or dicts name -> array, one per frame in order, without the states.
    Returns:
        One row per frame and output: frame, output, max_abs, rel = max|a-b| / max|b|, mean_rel = mean|a-b| / mean|b|,
        where a is ONNX Runtime and b is PyTorch.
    """
    import onnxruntime

    whole = graph.with_functions(graph.load(path))
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    names = list(model.config.output_shapes())

    def run_onnx(feeds):
        return dict(zip(names, session.run(names, feeds), strict=True))

    def run_torch(feeds):
        with torch.no_grad():
            outputs = model(**{name: torch.from_numpy(np.asarray(array)) for name, array in feeds.items()})
        return {name: tensor.numpy() for name, tensor in zip(names, outputs, strict=True)}

    states, initial = model.config.states, model.config.initial_states()
    ours, theirs = tee(as_steps(frames))
    running = zip(rollout(run_onnx, ours, states, initial), rollout(run_torch, theirs, states, initial), strict=True)
    rows = []
    for index, ((_, _, a), (_, _, b)) in enumerate(running):
        rows += [{"frame": index, "output": name} | difference(a[name], b[name]) for name in names]
    return rows


def difference(a, b):
    """max_abs, rel and mean_rel of array `a` against the reference `b`; a NaN on either side makes them NaN."""
    error = np.abs(a.astype(np.float64) - b)
    tiny = np.finfo(np.float32).tiny
    return {
        "max_abs": float(error.max()),
        "rel": float(error.max() / max(np.abs(b).max(), tiny)),
        "mean_rel": float(error.mean() / max(np.abs(b).mean(), tiny)),
    }


def assert_parity(rows, rel=1e-4):
    """AssertionError naming the first frame and output of `check`'s rows whose relative error is above `rel` (or
    NaN).
    """
    assert rows, "no frame was compared"
    for row in rows:
        assert row["rel"] <= rel, (
            f"frame {row['frame']}: {row['output']} differs from PyTorch by {row['rel']:.2e} of its largest value "
            f"({row['max_abs']:.2e} absolute, {row['mean_rel']:.2e} on average); {rel:.0e} is allowed"
        )


# -------------------------------------------------------------------------------------------------------------- tidy


def tidy(model):
    """Fold constants and BatchNorm, and drop what does nothing, in an `onnx_ir.Model`, in place.

    The exporter's own `optimize=True` would also drop an addition of 1e-8 (it takes constants within 1e-8 of 0 for 0),
    which is what keeps a division from 0/0: so the rewrite rules are chosen here, and none of them judges a number.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common

    rules = [getattr(common, f"{name}_rule") for name in REWRITES]
    passes.InlinePass()(model)
    for _ in range(3):
        optimizer.fold_constants_ir(model, input_size_limit=FOLD_LIMIT, output_size_limit=FOLD_LIMIT)
        rewriter.rewrite(model, rules)
        _drop_shape_no_ops(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.DeduplicateInitializersPass(size_limit=8)(model)  # axes and shapes, not weights that happen to be equal
    passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.OutputFixPass()(model)
    passes.NameFixPass()(model)


def _drop_shape_no_ops(model):
    """Remove each Expand and Reshape whose output has the static shape of its input."""
    outputs = set(model.graph.outputs)
    for node in list(model.graph):
        if node.op_type in ("Expand", "Reshape") and node.outputs[0] not in outputs:
            before, after = node.inputs[0].shape, node.outputs[0].shape
            if before is not None and before == after and before.is_static():
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                model.graph.remove(node, safe=True)


# ------------------------------------------------------------------------------------------------------------- names


def name_after_modules(model):
    """Rename nodes to `/module/path/OpType` from the exporter's scopes, and tensors after the node that makes them.

    A Conv that took in a BatchNorm keeps the Conv's own path. The exporter's notes (source paths, stack traces) go.
    """
    made = model.graph
    seen, renamed = Counter(), {}
    for node, scope in zip(made.node, _scopes(made.node), strict=True):
        name = "/".join(["", *_parts(scope), node.op_type])
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name] - 1}"
        renamed |= {output: f"{node.name}_output_{i}" for i, output in enumerate(node.output) if output}
    parameters = {tensor.name for tensor in made.initializer if "." in tensor.name}
    constants = {tensor.name for tensor in made.initializer} - parameters
    for node in made.node:
        renamed |= {
            name: f"{node.name}_constant_{i}" for i, name in enumerate(node.input) if name in constants - renamed.keys()
        }
    for value in [*made.input, *made.output]:
        renamed.pop(value.name, None)
    _rename(made, renamed)
    _strip(model)


def _scopes(nodes):
    """Dotted module path of each node; one without a note belongs to what its users have in common."""
    scopes = [_scope(node) for node in nodes]
    used_by = {}
    for node, scope in zip(nodes, scopes, strict=True):
        for name in node.input:
            used_by.setdefault(name, []).append(scope)
    for index, node in enumerate(nodes):
        if scopes[index] is None:
            users = [scope.split(".") for name in node.output for scope in used_by.get(name, []) if scope is not None]
            scopes[index] = ".".join(_common_start(users))
    return scopes


def _common_start(paths):
    return [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]


def _scope(node):
    """Module path by the exporter's note, or None; a Conv says it by its weight, for its note names the BatchNorm."""
    if node.op_type == "Conv" and node.input[1].endswith(".weight"):
        return node.input[1].removesuffix(".weight")
    notes = {entry.key: entry.value for entry in node.metadata_props}
    return ast.literal_eval(notes[SCOPES])[-2] if SCOPES in notes else None


def _parts(scope):
    """Path components with indices kept at the name they index: `encoder.layers.0.norm` -> encoder, layers.0, norm."""
    parts = []
    for part in scope.split("."):
        if part.isdigit() and parts:
            parts[-1] += f".{part}"
        elif part:
            parts.append(part)
    return parts


def _rename(made, renamed):
    for node in made.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    for named in [*made.initializer, *made.value_info]:
        named.name = renamed.get(named.name, named.name)


def _strip(model):
    made = model.graph
    for item in [model, made, *made.node, *made.value_info, *made.input, *made.output, *made.initializer]:
        del item.metadata_props[:]
        item.doc_string = ""


# ------------------------------------------------------------------------------------------------------------ inside


def _check_interface(exported, inputs, outputs, path):
    for values, expected in ((exported.graph.input, inputs), (exported.graph.output, outputs)):
        found = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        expected = {name: tuple(shape) for name, shape in expected.items()}
        if list(found.items()) != list(expected.items()):
            raise BadInput(path, found, expected, "make the model's forward and its config agree")


@contextlib.contextmanager
def _quiet():
    """Exporter and folder warn about packages that this export does not use and nodes that they leave alone."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
