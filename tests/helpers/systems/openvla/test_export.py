"""The vision side as a graph: what leaves it is what PyTorch computes, and nothing of the language model is in it."""

import numpy as np

from helpers import export, graph
from tests.helpers.systems.openvla.tiny import FUSED


def test_the_graph_is_the_towers_and_the_projector(tiny_openvla):
    model, path = tiny_openvla
    shape = FUSED.input_shapes()["pixel_values"]
    pictures = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    rows = export.check(path, model, [{"pixel_values": picture} for picture in pictures])
    export.assert_parity(rows, 1e-5)
    held = sum(np.prod(weight.dims, dtype=int) for weight in graph.load(path).graph.initializer)
    idle = ("blocks.1.", ".norm.", "attn_pool")  # of two blocks the first is computed
    seen = (model.vision_backbone, model.projector)
    counted = sum(tensor.numel() for part in seen for name, tensor in part.named_parameters()
                  if not any(word in f".{name}" for word in idle))  # fmt: skip
    assert counted <= held < 1.1 * counted
