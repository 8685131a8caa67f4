"""The engine of a network definition: by TensorRT-RTX on any machine, by TensorRT for the GPU at hand."""

import collections
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers import engine
from helpers.arguments import typed
from helpers.engine import cache
from helpers.engine.base import Runtime, make_options
from helpers.engine.definition.network import Network
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, atomic

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Source:
    """What an engine is made of.

    define: function of a `Network` that writes the definition. weights: name -> array. ranges: of "int8", name of a
    module -> largest magnitude of what enters it. about: what the metadata file should say besides.
    """

    define: Callable[[Network], None]
    weights: Mapping[str, np.ndarray]
    ranges: Mapping[str, float] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


@typed
def build(
    source: Source, out: PathLike, runtime: str = "tensorrt_rtx", precision: str = "fp32", **options: Any
) -> dict[str, Any]:
    """Write the engine of a definition, and its metadata file beside it; returns the metadata.

    Args:
        out: the engine's file.
        runtime: "tensorrt_rtx", or "tensorrt" for the GPU at hand.
        precision: "fp32"; "fp16", half precision but where the definition asks for more; or "int8", linear layers and
            convolutions of which a range is known in INT8, the rest in float32.
        options: see the runtime's `build_options`.

    Raises:
        BadInput: an unknown precision, "int8" without ranges, a runtime that cannot be used here or has no definitions,
            weights of another network, or what the builder refuses, with its messages. Nothing half written is left.
    """
    if precision not in PRECISIONS:
        raise BadInput("option precision", repr(precision), f"one of {list(PRECISIONS)}", "correct it")
    if (precision == "int8") != bool(source.ranges):
        found = f"ranges of {len(source.ranges)} modules, with precision {precision!r}"
        raise BadInput("ranges", found, "ranges with int8, and with it alone", "see helpers.models.ranges")
    builder, version = engine.usable(runtime)
    settings = make_options(builder.build_options, runtime, options | _precision(runtime, version, precision))
    said = {**builder.key_options(settings), "precision": precision, **source.about}
    values = None, {}, runtime, version, builder.compute_capabilities(settings), said
    made_from, out = dict(zip(cache.IDENTITY, values, strict=True)), as_path(out)
    with atomic(cache.metadata_file(out)) as described, atomic(out) as part:
        start = time.perf_counter()
        details = _make(part, builder, settings, source, precision == "fp16")
        meta = cache.metadata(made_from, part, time.perf_counter() - start, details)
        cache.write_meta(described, meta)
    return meta


def _precision(runtime, version, precision):
    """What the runtime `tensorrt` takes: weak typing where there is such, since every version up to 10 has it."""
    if runtime != "tensorrt":
        return {}
    from helpers.engine.tensorrt import versions

    weak = {"fp32": "fp32", "fp16": "fp16", "int8": "explicit"}[precision]
    return {"precision": weak if versions.facts(version).weak_typing else "strong"}


def _make(part: Path, runtime: Runtime, settings: Any, source: Source, half: bool) -> dict[str, Any]:
    with runtime.draft(settings, half) as draft:
        network = Network(draft.trt, draft.network, source.weights, draft.strong, half, source.ranges)
        source.define(network)
        kinds = collections.Counter(network.kinds())
        plan = draft.serialize()
        if plan is None:
            raise BadInput(part.name, f"the builder refused the definition:\n{draft.log}",
                           f"a definition that {runtime.name} {runtime.version()} builds",
                           "see the builder's messages")  # fmt: skip
        part.write_bytes(plan)
        return {"network_layers": dict(kinds.most_common()), "constrained_layers": network.constrained,
                "warnings": draft.log.warnings()}  # fmt: skip
