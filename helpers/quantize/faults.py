"""Faults that INT8 minds and FP32 does not, planted on purpose: what finds them can be tried on a known answer."""

import numpy as np
import onnx
from onnx import numpy_helper

from helpers.arguments import typed
from helpers.errors import BadInput


@typed
def outlier(model: onnx.ModelProto, first: str, second: str, channel: int, factor: float = 300.0) -> None:
    """Make one channel between two convolutions `factor` times as large, and the weights that read it as much smaller.

    In FP32 nothing changes, as long as nothing but a Relu stands between the two. In INT8 the large channel sets the
    scale of all channels that the second one reads. Trained networks have such channels too (SmoothQuant,
    https://arxiv.org/abs/2211.10438).

    Args:
        model: changed in place. first, second: names of two Conv nodes with weights in the file. channel: of the first
            one's output. factor: above 0.

    Raises:
        BadInput: no such Conv, or no such channel.
    """
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    writes, reads = (_convolution(model, name).input for name in (first, second))
    channels = numpy_helper.to_array(held[writes[1]]).shape[0]
    if not 0 <= channel < channels:
        raise BadInput(f"channel of {first}", channel, f"0 to {channels - 1}", "name one that it has")
    scaled = [(name, np.s_[channel], factor) for name in writes[1:]] + [(reads[1], np.s_[:, channel], 1 / factor)]
    for name, where, by in scaled:
        array = numpy_helper.to_array(held[name]).copy()
        array[where] *= by
        held[name].CopyFrom(numpy_helper.from_array(array, name))


@typed
def another_range(picture: np.ndarray, scale: float = 57.0, shift: float = 117.0) -> np.ndarray:
    """The same picture with other values, as another preprocessing leaves them: float32 of the same shape.

    With the given scale and shift, a picture normalized as for ImageNet comes out in its levels of 0 to 255.
    """
    return (picture * scale + shift).astype(np.float32)


def _convolution(model, name):
    for node in model.graph.node:
        if node.name == name and node.op_type == "Conv":
            return node
    names = ", ".join([node.name for node in model.graph.node if node.op_type == "Conv"][:3]) or "none"
    raise BadInput("node", name, f"a Conv of the graph, such as {names}", "correct the name")
