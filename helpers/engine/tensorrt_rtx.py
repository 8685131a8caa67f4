"""TensorRT-RTX: the TensorRT ONNX parser and builder, ahead of time, on a machine that may have no GPU.

Networks are strongly typed: precision comes from the graph's own types and Q/DQ nodes, there are no precision flags.
There are no plugins either: a custom operator builds by the function that defines it in the ONNX file.

Engines made here run on RTX GPUs of the compute capabilities they were built for. This module does not run them: `load`
says so and names the GPU at hand. The builder has no target for Hopper (9.0); `targets` lists what it has.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from helpers import signals
from helpers.arguments import typed
from helpers.engine import cache, cuda
from helpers.engine.base import Draft, Engine, Runtime
from helpers.engine.tensorrt import messages, profiles
from helpers.engine.tensorrt.options import check_numbers
from helpers.errors import BadInput
from helpers.files import PathLike

DEFAULT_CAPABILITIES = ("8.6", "8.9", "12.0")
REPEATED = "already exists, the output tensors"  # said of a function body that is used more than once


def targets() -> list[str]:
    """Compute capabilities that the installed builder can build for, such as ["7.5", "8.0", "8.6", "8.9", "12.0"]."""
    import tensorrt_rtx

    names = tensorrt_rtx.ComputeCapability.__members__
    return [f"{name[2:-1]}.{name[-1]}" for name in names if re.fullmatch(r"SM\d+", name)]


@dataclasses.dataclass
class BuilderOptions:
    """What the builder may do.

    Attributes:
        compute_capability: one or a list of `targets()`, such as "8.9".
        shapes: {input name: (min, opt, max) shape}, needed for every input with a free dimension; or a list of such
            dicts, one per optimization profile.
        optimization_level: 0 (quickest build) to 5, as the builder defines it; None leaves its default.
        workspace: limit of the scratch memory, MiB; None leaves the builder's default.
    """

    compute_capability: str | Sequence[str] = DEFAULT_CAPABILITIES
    shapes: Any = None
    optimization_level: int | None = None
    workspace: float | None = None

    def __post_init__(self) -> None:
        given = self.compute_capability
        names = [given] if isinstance(given, str) else list(given)
        for name in names or [""]:
            if name not in targets():
                fix = "name the compute capability of an RTX GPU; other GPUs need the tensorrt runtime"
                raise BadInput("option compute_capability", repr(name), f"one or more of {targets()}", fix)
        check_numbers(self.workspace, self.optimization_level)
        self.compute_capability, self.shapes = sorted(names, key=float), profiles.listed(self.shapes)


class TensorRtRtx(Runtime):
    """TensorRT-RTX, for building alone."""

    name, build_options = "tensorrt_rtx", BuilderOptions

    def version(self) -> str:
        import tensorrt_rtx

        return tensorrt_rtx.__version__

    def compute_capabilities(self, options: BuilderOptions) -> list[str]:
        return list(options.compute_capability)

    def key_options(self, options: BuilderOptions) -> dict[str, Any]:
        chosen = dataclasses.asdict(options)
        del chosen["compute_capability"]
        return chosen

    def layers(self, onnx_path: PathLike) -> list[dict[str, Any]]:
        return layers(onnx_path)

    def check(self, onnx_path: PathLike, model: Any, options: BuilderOptions) -> None:
        profiles.check(onnx_path, model, options.shapes)

    def build(self, onnx_path: Path, model: Any, engine_path: Path, options: BuilderOptions) -> dict[str, Any]:
        """Parse, list the layers, build for all named compute capabilities and write one engine file."""
        with _network(onnx_path) as (builder, network, log):
            table, config = _layers(network), _config(builder, options)
            added = [profiles.add(builder, network, config, one) for one in options.shapes]
            held = [profiles.held(network, profile) for profile in added]
            with signals.deferred():
                engine = builder.build_serialized_network(network, config)
            if engine is None:
                capabilities = ", ".join(options.compute_capability)
                raise BadInput(onnx_path, f"the builder refused the network:\n{log}", f"a network that TensorRT-RTX "
                               f"{self.version()} builds for compute capability {capabilities}",
                               "see the builder's messages; drop a compute capability or rewrite the operator"
                               )  # fmt: skip
            engine_path.write_bytes(engine)
        return {"layer_count": len(table), "profiles": held, "warnings": log.warnings(), "layers": table}

    @contextlib.contextmanager
    def draft(self, options: BuilderOptions, half: bool) -> Iterator[Draft]:
        """As the base class says; typed strongly, so that half precision is the definition's own."""
        import tensorrt_rtx as trt

        logger = messages.recorder(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(0)

        def serialize():
            with signals.deferred():
                return builder.build_serialized_network(network, _config(builder, options))

        yield Draft(trt, network, True, messages.Messages(logger.messages), serialize)

    def load(self, path: Path, meta: dict[str, Any], options: Any) -> Engine:
        """Refuse, with the reason: this module builds engines and leaves running them to an RTX GPU's own tools."""
        built = meta["compute_capabilities"]
        raise BadInput(path, self._here(built),
                       f"an RTX GPU of compute capability {', '.join(built)}, which this engine was built for",
                       f"copy it to such a machine and run: tensorrt_rtx --loadEngine={path.name}; "
                       "here, use the runtime onnxruntime")  # fmt: skip

    def _here(self, built):
        """This machine's GPU, and why an engine built for others does not run on it."""
        try:
            here = cuda.device_capability()
        except OSError as error:
            return f"this machine has no NVIDIA GPU: {error}"
        found = f"this machine's GPU has compute capability {here}"
        if here in built:
            return f"{found}, which fits, but Onramp does not run TensorRT-RTX engines"
        return found if here in targets() else f"{found}, which TensorRT-RTX {self.version()} does not target"


@typed
def layers(onnx_path: PathLike) -> list[dict[str, Any]]:
    """The network's layers as the parser makes them, before the builder fuses them.

    Returns:
        list[dict] with index, name, type, precision (dtype of the first output), inputs and outputs (shapes as text; -1
        is a free dimension).

    Raises:
        BadInput: naming the node, the operator and the parser's reason.
    """
    with _network(onnx_path) as (_, network, _):
        return _layers(network)


def _config(builder, options):
    import tensorrt_rtx as trt

    config = builder.create_builder_config()
    config.num_compute_capabilities = len(options.compute_capability)
    for index, name in enumerate(options.compute_capability):
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{name.replace('.', '')}"), index)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * 2**20))
    return config


@contextlib.contextmanager
def _network(onnx_path):
    """Yield (builder, parsed network, log); BadInput with the parser's first reasons if it refuses a node."""
    import tensorrt_rtx as trt

    cache.read_model(onnx_path)
    logger = messages.recorder(trt, skip=REPEATED)
    log = messages.Messages(logger.messages)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    with signals.deferred():
        parsed = parser.parse_from_file(str(onnx_path))
    if not parsed:
        errors = _reasons(map(parser.get_error, range(parser.num_errors)))
        raise BadInput(onnx_path, "; ".join(errors) or f"the parser refused the file:\n{log}",
                       f"operators that TensorRT-RTX {trt.__version__} parses", "rewrite the node, or define it by a "
                       "model-local function of standard operators (helpers.export with plugin=False)")  # fmt: skip
    yield builder, network, log


def _reasons(errors):
    """One text for each operator and reason, naming the first node and the number of the others."""
    groups = {}
    for error in errors:
        stack = error.local_function_stack()
        inside = f" in function {' > '.join(stack)}" if stack else ""
        reason = f"{error.desc()}{inside} [{error.code().name}]"
        groups.setdefault((error.node_operator(), reason), []).append((error.node(), error.node_name()))
    return [
        (f"node {nodes[0][0]} {nodes[0][1]!r} ({operator}): " if nodes[0][0] >= 0 else "")
        + reason
        + (f" and {len(nodes) - 1} more {operator}" if len(nodes) > 1 else "")
        for (operator, reason), nodes in groups.items()
    ]


def _layers(network):
    table = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        inputs = [layer.get_input(position) for position in range(layer.num_inputs)]
        outputs = [layer.get_output(position) for position in range(layer.num_outputs)]
        table.append(
            {
                "index": index,
                "name": layer.name,
                "type": layer.type.name,
                "precision": outputs[0].dtype.name if outputs else "",
                "inputs": _shapes(inputs),
                "outputs": _shapes(outputs),
            }
        )
    return table


def _shapes(tensors):
    return " ".join("x".join(map(str, tensor.shape)) or "scalar" for tensor in tensors if tensor is not None)
