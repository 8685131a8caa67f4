"""PyTorch to ONNX: one tidy file with nodes named after their modules, and its check against PyTorch."""

import contextlib
import gc
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers import graph, temporary
from helpers.arguments import typed
from helpers.errors import BadInput, check_config
from helpers.export import cache, library
from helpers.export.names import name_after_modules
from helpers.export.parity import assert_parity, check, difference
from helpers.export.rewrites import tidy
from helpers.files import PathLike, check_target
from helpers.graph import ends
from helpers.graph.functions import attach_functions, drop_functions

__all__ = ["OPSET", "assert_parity", "cached", "check", "difference", "export", "name_after_modules", "tidy"]

library.remember()

OPSET = 18
LEAST_OPSET, MOST_OPSET = 18, 24  # the exporter of PyTorch has no forms before 18, and would write them all the same


@typed
def cached(model: torch.nn.Module, path: PathLike, plugin: bool = False, opset: int = OPSET, **options: Any) -> Path:
    """`export`, or a copy of what it wrote when the same network was exported before; returns the file's path.

    The same: classes, configuration, weights, source of `helpers`, and versions of packages (`helpers.export.cache`).
    What holds code of another origin, such as a class of a notebook, is exported every time. With `plugin`, a portable
    file that is kept serves too: without its definitions it is the one for plugins.
    """
    key = None if model.training else cache.key_of(model, plugin, opset, options)
    if key is not None and cache.fetch(key, path):
        return Path(path)
    if not (key and plugin and not options and _bare(cache.key_of(model, False, opset, options), path)):
        export(model, path, plugin, opset, **options)
    if key is not None:
        cache.keep(key, path)
    return Path(path)


def _bare(key, path):
    """Write the kept portable export of this key without its definitions; whether there was one."""
    with temporary.scratch() as folder:
        found = cache.fetch(key, folder / "portable.onnx")
        if found:
            graph.save(drop_functions(graph.load(folder / "portable.onnx")), path)
    return found


@typed
def export(
    model: torch.nn.Module,
    path: PathLike,
    plugin: bool = False,
    opset: int = OPSET,
    pictures: tuple[int, int] | None = None,
    boxes: bool = False,
) -> Path:
    """Export a model of `helpers.models` to one ONNX file (no external data); returns its path.

    Names, order and shapes of inputs and outputs, and types of inputs, are those of `model.config`; every dimension is
    fixed but those of its `free_axes`, which bear their names. Constants are
    folded and BatchNorm is folded into its Conv. Nodes are named `/module/path/OpType`, with an index in a list as
    `layers.0`.

    Args:
        model: module in eval mode with a `config`, whose forward returns a tuple in the order of the outputs.
        path: the file to write; it is whole or absent.
        plugin: False attaches the definitions of the custom operators (runs everywhere); True leaves the same nodes
            bare, for a TensorRT with the plugin library.
        opset: ONNX opset version, from 18; `helpers.engine` brings the graph down to the 17 of TensorRT 8.6.
        pictures: (height, width) of the cameras' pictures, which the graph then takes as bytes and prepares itself.
        boxes: let the graph choose and decode its boxes. Both ends: `helpers.graph.ends`.
    Raises: BadInput for a model in training mode, or a graph that keeps other shapes than `model.config` states.
    """
    if model.training:
        raise BadInput(type(model).__name__, "training mode", "eval mode", "call model.eval() before export")
    check_config(getattr(model, "config", None), "input_shapes", "output_shapes", "free_axes")
    if not LEAST_OPSET <= opset <= MOST_OPSET:
        expected = f"{LEAST_OPSET} to {MOST_OPSET}, which the exporter of PyTorch can write"
        fix = f"export with {OPSET}, which helpers.engine builds for TensorRT 8.6 too"
        raise BadInput("opset", opset, expected, fix)
    check_target(path)
    if pictures is not None:
        ends.check_pictures(pictures)
    shapes, types = model.config.input_shapes(), model.config.input_types()
    inputs = {name: torch.from_numpy(np.zeros(shape, types[name])) for name, shape in shapes.items()}
    with _quiet(), _uncollected(), torch.no_grad():
        program = torch.onnx.export(
            model,
            kwargs=inputs,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=list(model.config.output_shapes()),
            dynamic_shapes=_dynamic(model.config),
            optimize=False,
            verbose=False,
        )
        tidy(program.model)
    exported = program.model_proto
    name_after_modules(exported)
    if not plugin:
        attach_functions(exported)
    free = {name: {axis: dim.name for axis, dim in axes.items()} for name, axes in model.config.free_axes().items()}
    _check_interface(exported, shapes, model.config.output_shapes(), free, path)
    if pictures is not None:
        exported = ends.with_pictures(exported, model.config, pictures)
    return graph.save(ends.with_boxes(exported, model.config) if boxes else exported, path)


def _dynamic(config):
    """What the exporter is told of the free dimensions; None where there are none."""
    free = config.free_axes()
    sizes = {dim.name: torch.export.Dim(dim.name) for axes in free.values() for dim in axes.values()}
    named = {name: {axis: sizes[dim.name] for axis, dim in axes.items()} for name, axes in free.items()}
    return {name: named.get(name) for name in config.input_shapes()} if free else None


def _check_interface(exported, inputs, outputs, free, path):
    for values, expected in ((exported.graph.input, inputs), (exported.graph.output, outputs)):
        found = {v.name: tuple(d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        expected = {
            name: tuple(free.get(name, {}).get(axis, size) for axis, size in enumerate(shape))
            for name, shape in expected.items()
        }
        if list(found.items()) != list(expected.items()):
            raise BadInput(path, found, expected, "make the model's forward and its config agree")


@contextlib.contextmanager
def _uncollected():
    """Millions of objects that live until the export ends: looking among them for garbage takes a seventh of it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
