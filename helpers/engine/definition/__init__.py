"""Networks written layer by layer through TensorRT's network definition API, without ONNX. Needs no torch.

network     the definition that is written: its inputs, outputs, constants and types; TensorRT-RTX and TensorRT 8.6 on
shapes, tensor, constant    what flows in it, with the operators and methods of a PyTorch tensor
functions   what takes several tensors, under PyTorch's names
module      the weights of a module, by the name that the checkpoint gives it
layers, attention    the blocks of `helpers.layers`, under their names
build       the engine of a definition
"""

from helpers.engine.definition.constant import Constant
from helpers.engine.definition.module import Module
from helpers.engine.definition.network import Network
from helpers.engine.definition.tensor import Tensor

__all__ = ["Constant", "Module", "Network", "Tensor"]
