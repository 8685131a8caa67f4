"""Calibration in bounded memory, in place of what ModelOpt does.

ModelOpt asks ONNX Runtime for every calibrated activation in one run: at the published BEVFormer's size that is 7 GB
for "max", and 11 GB for "entropy", which also holds the sample before. Here activations are measured in groups of a
fixed size, each with the part of the graph that computes it. The scales are the same.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import CalibrationMethod, HistogramCollector, TensorsData

from helpers.calibration import CalibrationReader
from helpers.graph import edit, session, walk

GROUP_BYTES = 1 << 29  # of activations at a time


def collect_histograms(calibrator: Any, reader: CalibrationReader, where: object) -> None:
    """Fill an entropy calibrator of `onnxruntime.quantization`."""
    options = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
    calibrator.collector = HistogramCollector(**{name: getattr(calibrator, name) for name in options})
    model = onnx.load(calibrator.augmented_model_path)
    tensors = {name: [name] for name in calibrator.tensors_to_calibrate}
    for target, (array,) in _measure(model, tensors, calibrator, reader, where):
        calibrator.collector.collect({target: [array]})


def collect_ranges(calibrator: Any, reader: CalibrationReader, where: object) -> None:
    """Fill a min-max calibrator of `onnxruntime.quantization`."""
    model = onnx.load(calibrator.augmented_model_path)
    added = [value.name for value in model.graph.output if value.name not in calibrator.model_original_outputs]
    tensors = {name.rpartition("_")[0]: [name, added[index + 1]] for index, name in enumerate(added) if not index % 2}
    ranges = {}
    for target, (low, high) in _measure(model, tensors, calibrator, reader, where):
        before = ranges.get(target, (low, high))
        ranges[target] = np.minimum(before[0], low), np.maximum(before[1], high)
    calibrator.calibrate_tensors_range = TensorsData(CalibrationMethod.MinMax, ranges)


@contextlib.contextmanager
def bounded(where: object) -> Iterator[None]:
    """ModelOpt collects with the functions above inside this context; errors name `where`."""
    from modelopt.onnx.quantization import ort_patching

    def histograms(calibrator, reader):  # they become methods, which a partial function cannot
        collect_histograms(calibrator, reader, where)

    def ranges(calibrator, reader):
        collect_ranges(calibrator, reader, where)

    ours = {"_collect_data_histogram_calibrator": histograms, "_collect_data_minmax_calibrator": ranges}
    theirs = {name: getattr(ort_patching, name) for name in ours}
    try:
        for name, function in ours.items():
            setattr(ort_patching, name, function)
        yield
    finally:
        for name, function in theirs.items():
            setattr(ort_patching, name, function)


def _measure(model, tensors, calibrator, reader, where):
    """Yield (tensor, its outputs' arrays) for all samples; `tensors` maps a tensor to the outputs that describe it. A
    tensor that shares its scale with others is also yielded under their names.
    """
    shared = calibrator.group_qdq_tensors or {}
    for group in _groups(model, tensors):
        outputs = [output for name in group for output in tensors[name]]
        opened = _session(model, outputs, where)
        needed = [value.name for value in opened.get_inputs()]
        reader.rewind()
        for inputs in iter(reader.get_next, None):
            arrays = session.run(opened, outputs, {name: inputs[name] for name in needed}, where)
            for name in group:
                measured = [arrays.pop(0) for _ in tensors[name]]
                for target in dict.fromkeys([name, *(other for other, names in shared.items() if name in names)]):
                    yield target, measured


def _groups(model, names):
    """The named tensors in graph order, in lists of at most `GROUP_BYTES` (one tensor at least)."""
    values = {value.name: value for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    order = [value.name for value in model.graph.input] + [name for node in model.graph.node for name in node.output]
    groups, room = [[]], GROUP_BYTES
    for name in (name for name in order if name in names):
        size = 4 * math.prod(dim.dim_value for dim in values[name].type.tensor_type.shape.dim)
        if size > room and groups[-1]:
            groups.append([])
            room = GROUP_BYTES
        groups[-1].append(name)
        room -= size
    return groups


def _session(model, outputs, where):
    """ONNX Runtime on the part of `model` that computes `outputs`, every operator as written (no fusion)."""
    part = edit.cut(model, [value.name for value in walk.inputs(model)], outputs)
    return session.open_session(part, "disable", where=where, arena=False)
