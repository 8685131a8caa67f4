"""Makes a TensorRT engine from an ONNX graph: network, builder settings, calibration, timing cache."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers import signals
from helpers.engine import cuda
from helpers.engine.base import Draft
from helpers.engine.tensorrt import constraints, graph, messages, plugins, profiles, versions
from helpers.engine.tensorrt.calibrator import entropy_calibrator
from helpers.engine.tensorrt.options import BuilderOptions
from helpers.errors import BadInput
from helpers.files import PathLike, atomic
from helpers.graph.walk import has_half, is_quantized


def build(
    onnx_path: PathLike, model: Any, options: BuilderOptions, known: versions.Facts
) -> tuple[Any, bytes, dict[str, Any]]:
    """Build a serialized engine.

    Args:
        onnx_path: where `model` was read; its external weights lie beside it.
        model: ModelProto.
        options: checked.
        known: facts of the installed TensorRT.

    Returns:
        (bytes-like plan, calibration table or b"", dict for the metadata file).

    Raises:
        BadInput: with TensorRT's messages.
    """
    import tensorrt as trt

    quantized = is_quantized(model)
    _check_graph(onnx_path, options, quantized)
    if options.precision == "fp32" and not known.weak_typing and has_half(model):
        where, expected = f"precision 'fp32' for {onnx_path}", "FP32 types, for the graph's types decide"
        raise BadInput(where, "a graph with 16-bit types", expected, "build with precision strong")
    plugins.load(options.plugins, known)
    uses_plugins = bool(options.plugins)
    written = graph.for_version(model, known.version, uses_plugins, options.decompose, options.mark_outputs, onnx_path)
    int8, patterns = quantized or bool(options.calibration), bool(options.layer_precisions)
    flags = versions.flags(known, options.precision, int8, patterns, cuda.device().capability)
    if "FP16" in flags:
        graph.keep_half(written)
    with messages.captured() as log, contextlib.ExitStack() as stack:
        builder = trt.Builder(messages.logger())
        names = versions.creation_flags(known, options.precision)
        network = builder.create_network(_mask(trt.NetworkDefinitionCreationFlag, names))
        _parse(trt, onnx_path, written, network, known)
        constrained = constraints.apply(trt, network, written, options.layer_precisions)
        config = builder.create_builder_config()
        if quantized and "FP16" in flags and not known.half_beside_qdq:
            warnings.warn(f"{onnx_path}: TensorRT {known.version} was seen to compute wrong values where half "
                          "precision is allowed beside Q/DQ nodes; hold the outputs against ONNX Runtime's, or build "
                          "with precision explicit", stacklevel=2)  # fmt: skip
        _configure(trt, config, options, flags)
        added = [profiles.add(builder, network, config, shapes) for shapes in options.shapes or [{}]]
        calibrator = _calibrate(network, config, options, quantized, added[0])
        if calibrator:
            stack.callback(calibrator.close)
        _open_timing_cache(config, options.timing_cache, known)
        plan, held = _serialized(trt, builder, network, config, {} if calibrator else constrained)
        if calibrator and calibrator.error:
            raise calibrator.error
        if plan is None:
            raise BadInput(onnx_path, f"the builder refused the network:\n{log}",
                           f"a network that TensorRT {known.version} builds with precision {options.precision}",
                           "see the builder's messages")  # fmt: skip
        _save_timing_cache(config, options.timing_cache)
        details = {"flags": flags, "network_layers": network.num_layers, "constrained_layers": len(constrained),
                   "held_constants": held, "warnings": log.warnings()}  # fmt: skip
        return plan, calibrator.table if calibrator else b"", details


@contextlib.contextmanager
def draft(options: BuilderOptions, known: versions.Facts, half: bool) -> Iterator[Draft]:
    """Yield an empty network definition for the GPU at hand.

    half: numbers may be computed in half precision; where typing is weak, layers with a precision of their own keep it.
    """
    import tensorrt as trt

    with messages.captured() as log:
        builder = trt.Builder(messages.logger())
        names = versions.creation_flags(known, options.precision)
        network = builder.create_network(_mask(trt.NetworkDefinitionCreationFlag, names))

        def serialize():
            config = builder.create_builder_config()
            _configure(
                trt, config, options, versions.flags(known, options.precision, False, half, cuda.device().capability)
            )
            _open_timing_cache(config, options.timing_cache, known)
            constrained = constraints.given(trt, network) if known.weak_typing else {}
            plan, _ = _serialized(trt, builder, network, config, constrained)
            if plan is not None:
                _save_timing_cache(config, options.timing_cache)
            return plan

        yield Draft(trt, network, options.precision == "strong", log, serialize)


def _serialized(trt, builder, network, config, constrained):
    """(the engine's bytes or None, number of held constants): what is refused with layers whose precision is
    `constrained`, index -> precision, is asked for once more with the constants before them held as well.
    """
    with signals.deferred():
        plan = builder.build_serialized_network(network, config)
    held = constraints.hold_constants(trt, network, constrained) if plan is None else 0
    if held:
        with signals.deferred():
            plan = builder.build_serialized_network(network, config)
    return plan, held


def _check_graph(onnx_path, options, quantized):
    """BadInput where the precision and the graph, or the calibration set, do not belong together."""
    precision, calibration = options.precision, options.calibration
    where = f"precision {precision!r} for {onnx_path}"
    if precision == "explicit" and not quantized:
        raise BadInput(where, "a graph without Q/DQ nodes", "a quantized graph", versions.QDQ)
    if quantized and (precision in ("fp32", "fp16", "int8-implicit") or calibration):
        expected = "a graph without them" if not calibration else "no calibration set: the graph has its own ranges"
        fix = "leave calibration out" if calibration else "use precision explicit, best or obey"
        raise BadInput(where, "a graph with Q/DQ nodes", expected, fix)
    if precision in ("int8-implicit", "best") and not quantized and not calibration:
        raise BadInput(where, "neither Q/DQ nodes nor a calibration set", "one of them, for the ranges of INT8",
                       f"pass calibration=FILE.npz, or {versions.QDQ}")  # fmt: skip


def _mask(enum, names):
    return sum(1 << int(getattr(enum, name)) for name in names)


def _parse(trt, onnx_path, model, network, known):
    """Parse `model`; BadInput with the first reason for every operator that the parser refuses."""
    parser = trt.OnnxParser(network, messages.logger())
    with signals.deferred():
        parsed = parser.parse(model.SerializeToString(), str(onnx_path))
    if parsed:
        return
    reasons = {}
    for error in map(parser.get_error, range(parser.num_errors)):
        index = error.node()
        node = model.graph.node[index] if 0 <= index < len(model.graph.node) else None
        text = f"{error.desc()} [{str(error.code()).rpartition('.')[2]}]"
        reasons.setdefault(text if node is None else f"node {node.name!r} ({node.op_type}): {text}")
    raise BadInput(onnx_path, "; ".join(list(reasons)[:5]) or "the parser refused the file",
                   f"operators that TensorRT {known.version} parses",
                   "rewrite the node, pass the plugin library that implements it (plugins=[...]), or define it by a "
                   "model-local function of standard operators (helpers.export with plugin=False)")  # fmt: skip


def _configure(trt, config, options, flags):
    for name in flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, options.hardware_compatible)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * 2**20))
    if options.tactic_sources is not None:
        config.set_tactic_sources(_mask(trt.TacticSource, options.tactic_sources))
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED


def _calibrate(network, config, options, quantized, profile):
    """Attach the calibrator if ranges are needed; returns it, or None."""
    if quantized or not options.calibration:
        return None
    shapes = {tensor.name: tuple(tensor.shape) for tensor in map(network.get_input, range(network.num_inputs))}
    if profile is not None:
        shapes.update((name, tuple(three[1])) for name, three in options.shapes[0].items())
        config.set_calibration_profile(profile)
    calibrator = entropy_calibrator(options.calibration, shapes)
    config.int8_calibrator = calibrator
    return calibrator


def _open_timing_cache(config, path, known):
    if path is None:
        return
    path = Path(path)
    content = path.read_bytes() if path.is_file() else b""
    cache, empty = config.create_timing_cache(content), bytes(config.create_timing_cache(b"").serialize())
    # 8.6 takes anything for an empty cache; the file would be overwritten.
    unread = cache is not None and content and content != empty and bytes(cache.serialize()) == empty
    if cache is None or unread or not config.set_timing_cache(cache, False):
        found = f"a timing cache that TensorRT {known.version} refuses on {cuda.device().name}"
        raise BadInput(path, found, "one that this version wrote on this GPU", "delete it, or name another file")


def _save_timing_cache(config, path):
    if path is not None:
        with atomic(path) as part:
            part.write_bytes(config.get_timing_cache().serialize())
