"""Reads a quantized graph beside its original: what was quantized, with which scales, what was left, and why."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from helpers import graph
from helpers.arguments import typed
from helpers.graph.walk import constants, producers

METADATA = "onramp.quantization"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
QUANTIZABLE = {
    "int8": (*WEIGHTED, "Add", "Mul", "AveragePool", "GlobalAveragePool", "MaxPool", "BatchNormalization", "Clip"),
    "fp8": (*WEIGHTED, "Add"),
}
PASSIVE = (
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "Cast",
    "Slice",
    "Concat",
    "Split",
    "Flatten",
    "Expand",
)
MIN_SIZE = 16  # ModelOpt leaves matrices and channels below 16: no tensor core kernel is faster there


@typed
def report(path: str | Path, reference: str | Path) -> list[dict]:
    """One row for each node of `reference` that could be quantized, that is custom, or that reads quantized data.

    Returns:
        list of {node, op, quantized (bool), precision, input_scale (the largest, None without), weight_scales
        ("smallest – largest", "" without), why}: `why` says why a node was left, or what exactly is rounded.
    """
    original, quantized = graph.load(reference), graph.load(path)
    view = _View(original, quantized)
    rows = []
    for node in original.graph.node:
        row = view.row(node)
        if row["quantized"] or row["why"]:
            rows.append(row)
    return rows


@typed
def counts(rows: Iterable[dict]) -> list[dict]:
    """Rows of `report` by operator: {op, nodes, quantized, left, why left}, most nodes first."""
    table = []
    for op, total in Counter(row["op"] for row in rows).most_common():
        left = Counter(row["why"] for row in rows if row["op"] == op and not row["quantized"])
        why = "; ".join(f"{count} {reason}" for reason, count in left.most_common())
        table.append(
            {"op": op, "nodes": total, "quantized": total - left.total(), "left": left.total(), "why left": why}
        )
    return table


class _View:
    """The quantized graph as seen from the tensors of the original."""

    def __init__(self, original, quantized):
        settings = {entry.key: entry.value for entry in quantized.metadata_props}.get(METADATA, "{}")
        settings = {"mode": "int8", "excluded": [], "excluded_nodes": [], "simplified": False} | json.loads(settings)
        self.mode, self.excluded, self.simplified = settings["mode"], settings["excluded"], settings["simplified"]
        self.linears = set(settings.get("linears", ()))
        self.excluded_nodes = [re.compile(pattern) for pattern in settings["excluded_nodes"]]
        self.shapes = {row["tensor"]: row["shape"] for row in graph.shapes(original)}
        self.constants = constants(original)
        self.outputs = {value.name for value in original.graph.output}
        self.custom = {node.output[0] for node in graph.custom_nodes(original)}
        self.producer = {name: quantized.graph.node[index] for name, index in producers(quantized).items()}
        self.values = constants(quantized)

    def row(self, node):
        placed = self.producer.get(node.output[0])
        data, weights = self._scales(placed) if placed is not None else ([], [])
        candidate = node.op_type in QUANTIZABLE[self.mode] and not node.domain and not self._excluded(node)
        quantized = candidate and bool(data)
        if node.op_type in WEIGHTED and node.input[1] in self.constants:
            quantized = quantized and bool(weights)
        return {
            "node": node.name,
            "op": node.op_type,
            "quantized": quantized,
            "precision": self.mode if quantized else "float",
            "input_scale": max((float(scale.max()) for scale in data), default=None),
            "weight_scales": f"{weights[0].min():.2g} – {weights[0].max():.2g}" if weights else "",
            "why": self._rounded(node, data) if quantized else self._why(node, placed, data),
        }

    def _scales(self, node):
        """Scales of the data inputs and of the weights that reach `node` through a DequantizeLinear."""
        data, weights = [], []
        for name in node.input:
            dequantize = self.producer.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = self.producer.get(dequantize.input[0])
            constant = quantize is None or quantize.input[0] in self.values
            if (scale := self.values.get(dequantize.input[1])) is not None:
                (weights if constant else data).append(scale)
        return data, weights

    def _rounded(self, node, data):
        inputs = sum(name not in self.constants for name in node.input)
        return "" if len(data) == inputs else f"{len(data)} of {inputs} inputs rounded"

    def _why(self, node, placed, data):
        """Why a node was left in floating point; empty for one that no quantizer would touch."""
        rounded = ", on rounded input" if data else ""
        if node.output[0] in self.custom:
            return "plugin: its arithmetic stays in floating point" + rounded
        if node.op_type not in QUANTIZABLE[self.mode]:
            return "reads data rounded for another node" if data and node.op_type not in PASSIVE else ""
        if self._excluded(node):
            return self._excluded(node) + rounded
        if placed is None:
            return "folded into another node by simplify" if self.simplified else "removed"
        if node.op_type in ("Conv", "ConvTranspose"):
            return self._why_convolution(node)
        if node.op_type in ("Gemm", "MatMul"):
            return self._why_matrix(node)
        if any(name in self.constants for name in node.input):
            return "constant operand, computed with its neighbor"
        return "network output" if node.output[0] in self.outputs else "no quantized operator to fuse with"

    def _excluded(self, node):
        if node.output[0] in self.linears:
            return ""
        if node.op_type in self.excluded:
            return "operator type excluded"
        return "node excluded" if any(pattern.match(node.name) for pattern in self.excluded_nodes) else ""

    def _why_convolution(self, node):
        if node.input[1] not in self.constants:
            return "weight is not constant"
        out_channels, in_channels, *kernel = self.shapes[node.input[1]]
        if min(out_channels, in_channels) < MIN_SIZE + (self.mode == "fp8"):
            return f"{in_channels} to {out_channels} channels, too few"
        return "kernel too large" if len(kernel) > 1 and kernel[0] * kernel[1] > 32 else "placement rules"

    def _why_matrix(self, node):
        """ModelOpt leaves matrix-vector products and small matrices: m or n is 1, or k or n below 16."""
        left, right, out = (self.shapes[name] for name in (*node.input[:2], node.output[0]))
        if left is None or right is None or out is None:
            return "shape not known"
        if min(len(left), len(right)) < 2 or 1 in (left[-2], out[-1]):
            return "matrix-vector product"
        k, n = left[-1], out[-1]
        if not (isinstance(k, int) and isinstance(n, int)):
            return "shape not known"
        return f"{k} to {n} columns, too few" if min(k, n) < MIN_SIZE else "placement rules"
