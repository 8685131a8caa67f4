"""Entropy calibration in bounded memory.

ModelOpt's histogram calibrator asks ONNX Runtime for every calibrated activation at once and still holds those of the
sample before: at the published BEVFormer's size that is 11 GB, however few samples there are. Here the activations are
collected in groups of a fixed size, each from the part of the graph that computes it.
"""

import contextlib
import math
from pathlib import Path

import onnx
import onnx.utils
import onnxruntime
from onnxruntime.quantization.calibrate import HistogramCollector

GROUP_BYTES = 1 << 29  # of activations at a time


def collect(calibrator, reader):
    """Collect the histograms of all tensors of a calibrator of `onnxruntime.quantization`, reading `reader` once for
    each group of tensors.
    """
    options = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
    calibrator.collector = HistogramCollector(**{name: getattr(calibrator, name) for name in options})
    model = onnx.load(calibrator.augmented_model_path)
    shared = calibrator.group_qdq_tensors or {}
    for group in _groups(model, calibrator.tensors_to_calibrate):
        session = _session(model, group, Path(calibrator.augmented_model_path).with_name("group.onnx"))
        reader.rewind()
        for inputs in iter(reader.get_next, None):
            outputs = session.run(group, {value.name: inputs[value.name] for value in session.get_inputs()})
            for name in group:
                array = outputs.pop(0)
                for target in dict.fromkeys([name, *(other for other, names in shared.items() if name in names)]):
                    calibrator.collector.collect({target: [array]})


@contextlib.contextmanager
def bounded():
    """ModelOpt collects histograms with `collect` inside this context."""
    from modelopt.onnx.quantization import ort_patching

    original = ort_patching._collect_data_histogram_calibrator
    ort_patching._collect_data_histogram_calibrator = collect
    try:
        yield
    finally:
        ort_patching._collect_data_histogram_calibrator = original


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


def _session(model, outputs, path):
    """ONNX Runtime on the part of `model` that computes `outputs`, every operator as written (no fusion)."""
    inputs = [value.name for value in model.graph.input]
    onnx.save(onnx.utils.Extractor(model).extract_model(inputs, outputs), path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
