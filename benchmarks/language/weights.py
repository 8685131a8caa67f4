"""The network with random weights, on the device. Needs PyTorch, not transformers."""

import torch
from torch import nn

from benchmarks.language.sizes import SEED
from helpers.layers.llama import Llama, LlamaConfig
from helpers.llm.tensorrt_llm import quantize
from helpers.llm.tensorrt_llm.quantized import QuantizedLinear

SPREAD = 0.02


def device():
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def llama(size, weights="fp16"):
    """A `Llama` in FP16 whose weights are normal (deviation 0.02, seed 0), its norms ones; or that, quantized."""
    where = device()
    with where:
        model = Llama(LlamaConfig(**size.model, max_position_embeddings=size.capacity)).half().eval()
    random = torch.Generator(where).manual_seed(SEED)
    for name, tensor in model.named_parameters():
        if "norm" not in name:
            tensor.normal_(std=SPREAD, generator=random)
    return model if weights == "fp16" else quantize(model, weights)


def state(model):
    """{name: weight in FP16} of a `Llama`, quantized ones multiplied out."""
    kinds = (nn.Linear, nn.Embedding, QuantizedLinear)
    found = {f"{name}.weight": module.weight for name, module in model.named_modules() if isinstance(module, kinds)}
    return {name: tensor.detach().half() for name, tensor in (dict(model.named_parameters()) | found).items()}


def bytes_read(model):
    """Bytes of weights that a step reads: all but the table of embeddings, of which it takes a row."""
    total = 0
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):
            bits = 4 if module.parts.codes.abs().amax() <= 8 else 8
            total += module.parts.codes.numel() * bits // 8 + 2 * module.parts.scale.numel()
        elif name != "model.embed_tokens":
            total += 2 * sum(tensor.numel() for tensor in module.parameters(recurse=False))
    return total
