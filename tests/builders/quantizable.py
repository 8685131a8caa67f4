"""A small network with all that quantization meets: convolutions, a residual, a plugin, attention and a head."""

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from helpers.calibration import CalibrationReader

SHAPES = {"image": (1, 32, 16, 16), "extra": (1, 4)}
NETWORK = """
<ir_version: 10, opset_import: ["": {opset}, "trt.plugins": 1]>
small (float[1,32,16,16] image, float[1,4] extra) => (float[1,64,32] attended, float[1,8] head)
{{
  x0 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(image, w0, b0)
  r0 = Relu(x0)
  x1 = Conv<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(r0, w1, b1)
  r1 = Relu(x1)
  x2 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r1, w2, b2)
  sum = Add(x2, r1)
  r2 = Relu(sum)
  scaled = trt.plugins.Tenth(r2)
  same = Identity(scaled)
  shape = Constant<value = int64[3] {{1, 32, 64}}>()
  flat = Reshape(same, shape)
  tokens = Transpose<perm=[0,2,1]>(flat)
  projected = MatMul(tokens, wq)
  query = Add(projected, bq)
  scores = MatMul(query, flat)
  weights = Softmax<axis=-1>(scores)
  attended = MatMul(weights, tokens)
  thin = Conv<kernel_shape=[1,3]>(r2, w3)
  pooled4 = GlobalAveragePool(thin)
  pooled = Flatten(pooled4)
  mixed = Concat<axis=1>(pooled, extra)
  head = Gemm<transB=1>(mixed, wg, bg)
}}
<domain: "trt.plugins", opset_import: ["": {opset}]>
Tenth (x) => (y) {{
  tenth = Constant<value_float=0.1>()
  y = Mul(x, tenth)
}}
"""
WEIGHTS = {
    "w0": (32, 32, 3, 3), "b0": (32,), "w1": (32, 32, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3), "b2": (32,),
    "wq": (32, 32), "bq": (32,), "w3": (4, 32, 1, 3), "wg": (8, 8), "bg": (8,),
}  # fmt: skip


def write_network(path, opset=20, **edits):
    """Write the network to `path` with seeded weights and return it; `edits` replace parts of its text."""
    text = NETWORK.format(opset=opset)
    for old, new in edits.items():
        text = text.replace(old, new)
    model = parser.parse_model(text)
    generator = np.random.default_rng(0)
    for name, shape in WEIGHTS.items():
        values = generator.standard_normal(shape) * np.sqrt(2 / max(np.prod(shape[1:]), 1))
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(model, path)
    return path


def run(path, inputs, basic=False):
    """Outputs in ONNX Runtime; `basic`: with little graph optimization, which FP8 needs."""
    options = onnxruntime.SessionOptions()
    if basic:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def errors(path, reference, calibration, basic=False):
    """Relative error of each output over the calibration samples, in the L2 norm."""
    pairs = [(run(path, x, basic), run(reference, x)) for x in CalibrationReader(calibration, SHAPES)]
    return [
        np.linalg.norm([a[i] - b[i] for a, b in pairs]) / np.linalg.norm([b[i] for _, b in pairs]) for i in range(2)
    ]


def scales(path):
    """Quantized tensor -> scale."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[0]: constants[node.input[1]] for node in nodes}
