"""One block of a transformer whose norms have channels that reach far beyond the others, in ONNX and in PyTorch."""

import numpy as np
import onnx
from onnx import numpy_helper, parser

SHAPES = {"x": (1, 8, 32)}
OUTLIERS = {"gamma1": (3, 40.0), "beta1": (17, -25.0), "gamma2": (30, 60.0)}  # constant -> (channel, factor or value)
NETWORK = """
<ir_version: 10, opset_import: ["": {opset}]>
block (float[1,{tokens},32] x) => (float[1,{tokens},32] y, float[1,16] head)
{{
  first = LayerNormalization<axis=-1>(x, gamma1, beta1)
  q0 = MatMul(first, wq)
  q = Add(q0, bq)
  k0 = MatMul(first, wk)
  k = Add(k0, bk)
  v0 = MatMul(first, wv)
  v = Add(v0, bv)
  turned = Transpose<perm=[0,2,1]>(k)
  scores = MatMul(q, turned)
  divided = Mul(scores, factor)
  weights = Softmax<axis=-1>(divided)
  seen = MatMul(weights, v)
  o0 = MatMul(seen, wo)
  o = Add(o0, bo)
  r = Add(x, o)
  square = Mul(r, r)
  mean = ReduceMean<keepdims=1>(square, last)
  steady = Add(mean, eps)
  root = Sqrt(steady)
  even = Div(r, root)
  second = Mul(gamma2, even)
  h0 = MatMul(second, w1)
  h = Add(h0, b1)
  g = Gelu(h)
  z0 = MatMul(g, w2)
  z = Add(z0, b2)
  y = Add(r, z)
  pooled = ReduceMean<keepdims=0>(y, token)
  head = Gemm<transB=1>(pooled, wh, bh)
}}
"""
WIDE = {"wq": (32, 32), "wk": (32, 32), "wv": (32, 32), "wo": (32, 32), "w1": (32, 64), "w2": (64, 32), "wh": (16, 32)}


def constants():
    """Name -> float32 array, of a fixed seed."""
    generator = np.random.default_rng(0)
    made = {name: generator.standard_normal(shape) / np.sqrt(32) for name, shape in WIDE.items()}
    made |= {f"b{name[1:]}": 0.1 * generator.standard_normal(shape[-1]) for name, shape in WIDE.items() if name != "wh"}
    made |= {"bh": 0.1 * generator.standard_normal(16), "factor": np.array(32**-0.5), "eps": np.array(1e-6)}
    made |= {name: 1 + 0.1 * generator.standard_normal(32) for name in ("gamma1", "gamma2")}
    made |= {"beta1": 0.1 * generator.standard_normal(32)}
    for name, (channel, value) in OUTLIERS.items():
        made[name][channel] = value
    return {name: array.astype(np.float32) for name, array in made.items()}


def samples(count, seed=1, tokens=8):
    """Arrays [1, tokens, 32]."""
    generator = np.random.default_rng(seed)
    return [generator.standard_normal((1, tokens, 32), np.float32) for _ in range(count)]


def write_block(path, opset=20, tokens=8, **edits):
    """Write the block to `path` and return it; `edits` replace parts of its text."""
    text = NETWORK.format(opset=opset, tokens=tokens)
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    model = parser.parse_model(text)
    held = constants() | {"last": np.array([-1]), "token": np.array([1])}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in held.items())
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(model, path)
    return path


def write_set(path, count=4, seed=1):
    """Write a calibration set of the block, and return its path."""
    np.savez(path, x=np.concatenate(samples(count, seed)))
    return path
