"""What TensorRT's engine inspector and profiler say of an engine's layers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.engine.tensorrt import messages
from helpers.errors import BadInput

PRECISIONS = (("fp8", "fp8"), ("int8", "int8"), ("int4", "int4"), ("bf16", "bf16"), ("bfloat16", "bf16"),
              ("fp16", "fp16"), ("half", "fp16"), ("int32", "int32"), ("int64", "int64"), ("bool", "bool"),
              ("fp32", "fp32"), ("float", "fp32"))  # fmt: skip


def layers(engine: Any, context: Any = None) -> list[dict[str, Any]]:
    """Layers of an engine as the builder fused them.

    Args:
        context: execution context whose input shapes are set, for the shapes of an engine with free dimensions.

    Returns:
        list[dict] with index, name, type, precision (of the weights, else of the first input, which is what the layer
        computes in; a fused block has other types inside), tactic, inputs and outputs (shape and format as text).
        Without `context` where TensorRT says nothing of it.

    Raises:
        BadInput: TensorRT says nothing of the engine either.
    """
    rows = _told(engine, context)
    if rows is None and context is not None:
        rows = _told(engine, None)  # 8.6.0 said nothing of a context of an engine with several profiles
    if rows is None:
        raise BadInput("TensorRT's engine inspector", f"no JSON; it said:\n{messages.recent()}", "layers as JSON",
                       "see what TensorRT said; the engine itself may run")  # fmt: skip
    return [_row(index, layer) for index, layer in enumerate(rows)]


def _told(engine, context):
    """The inspector's layers as it writes them, None where it does not write JSON."""
    import tensorrt as trt

    inspector = engine.create_engine_inspector()
    if context is not None:
        inspector.execution_context = context
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        return json.loads(text, strict=False)["Layers"]  # 8.6 leaves control characters in the names of tactics
    except json.JSONDecodeError:
        return None


def _row(index, layer):
    if isinstance(layer, str):  # an engine built without detailed profiling verbosity
        layer = {"Name": layer}
    inputs, outputs = layer.get("Inputs", []), layer.get("Outputs", [])
    return {
        "index": index,
        "name": layer["Name"],
        "type": layer.get("LayerType", ""),
        "precision": _layer_precision(layer, [*inputs, *outputs]),
        "tactic": layer.get("TacticName", ""),
        "inputs": _describe(inputs),
        "outputs": _describe(outputs),
    }


def _layer_precision(layer, tensors):
    weights = layer.get("Weights")
    texts = [weights["Type"]] if isinstance(weights, dict) and "Type" in weights else []
    texts += [tensor.get("Format/Datatype", "") for tensor in tensors]
    return next((found for found in map(precision, texts) if found), "")


def precision(text: str) -> str:
    """ "fp16" of a format such as "Row major linear FP16" or a type such as "Half"; "" if it names none."""
    text = text.lower()
    return next((name for word, name in PRECISIONS if word in text), "")


def _describe(tensors):
    return " ".join(
        "x".join(map(str, tensor.get("Dimensions", []))) + ":" + precision(tensor.get("Format/Datatype", ""))
        for tensor in tensors
    )


def profiler() -> Any:
    """A trt.IProfiler that sums each layer's milliseconds in `total` (dict of layer name to ms)."""
    import tensorrt as trt

    class Profiler(trt.IProfiler):
        def __init__(self):
            super().__init__()
            self.total = {}

        def report_layer_time(self, layer_name, ms):
            self.total[layer_name] = self.total.get(layer_name, 0.0) + ms

    return Profiler()


def timed(total: Mapping[str, float], layers: Sequence[Mapping[str, Any]], iterations: int) -> list[dict[str, Any]]:
    """The profiler's `total` ms of each layer over `iterations` runs, with what `layers` says of it."""
    known = {layer["name"]: layer for layer in layers}
    whole = sum(total.values()) or 1.0
    return [
        {
            "layer": name,
            "type": known.get(name, {}).get("type", ""),
            "precision": known.get(name, {}).get("precision", ""),
            "ms": ms / iterations,
            "share": ms / whole,
        }
        for name, ms in total.items()
    ]
