"""A network that stands in for the mini BEVFormer where the stages of a measurement are tested."""

import numpy as np
from onnx import helper

from benchmarks import __main__ as measure_gpu
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from tests.builders.graphs import save

SHAPES = {"image": (1, 6, 3, 4, 4), "prev_bev": (4, 1, 2), "use_prev_bev": (1,), "can_bus": (18,),
          "lidar2img": (1, 6, 4, 4)}  # fmt: skip
SYSTEM = SYSTEMS["bevformer"].projected("published")
PROJECTION = "/pts_bbox_head/transformer/encoder/projection/Mul"
SAMPLING = "/pts_bbox_head/transformer/encoder/layers.0/attentions.1/MultiScaleDeformableAttnTRT2/Mul_0"


def toy(path, quantized=False):
    """A network with BEVFormer's inputs and outputs: the map counts frames, the classes are the map's sum."""
    constants = {"one": np.float32(1), "zero": np.float32(0), "queries": np.zeros((1, 1, 5, 10), np.float32),
                 "scale": np.float32(0.5), "zero_point": np.int8(0)}  # fmt: skip
    source = "prev_bev"
    nodes = []
    if quantized:
        nodes = [
            helper.make_node("QuantizeLinear", ["prev_bev", "scale", "zero_point"], ["q"], "/q"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero_point"], ["dq"], "/dq"),
        ]
        source = "dq"
    nodes += [helper.make_node("ReduceMean", [name], [f"m_{name}"], f"/mean_{name}", keepdims=0)
              for name in ("image", "can_bus", "lidar2img")]  # fmt: skip
    nodes += [
        helper.make_node("Sum", ["m_image", "m_can_bus", "m_lidar2img"], ["seen"], "/sum"),
        helper.make_node("Mul", ["seen", "zero"], ["nothing"], PROJECTION),
        helper.make_node("Mul", ["use_prev_bev", "zero"], ["unused"], SAMPLING),
        helper.make_node("Add", [source, "unused"], ["history"], "/history"),
        helper.make_node("Sum", ["history", "one", "nothing"], ["bev_embed"], "/step"),
        helper.make_node("ReduceSum", ["bev_embed"], ["total"], "/total", keepdims=0),
        helper.make_node("Add", ["queries", "total"], ["outputs_classes"], "/classes"),
        helper.make_node("Add", ["queries", "nothing"], ["outputs_coords"], "/coords"),
    ]
    classes = (1, 1, 5, 10)
    outputs = {"bev_embed": SHAPES["prev_bev"], "outputs_classes": classes, "outputs_coords": classes}
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, nodes, SHAPES, outputs, constants, opset=19)


def call(stage, work, minidrive, *more):
    arguments = [stage, "--tiny", f"--work={work}", f"--data={minidrive}", *more]
    return measure_gpu.main([str(argument) for argument in arguments])


def result(work, name):
    return Session(work).result(name)
