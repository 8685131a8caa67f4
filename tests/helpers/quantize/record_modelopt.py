"""Records what ModelOpt's SmoothQuant makes of the block of the tests; modelopt.torch needs a package beyond the lock.

pip install --target FOLDER huggingface_hub==2.4.0
PYTHONPATH=.:FOLDER python -m tests.helpers.quantize.record_modelopt
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.builders.transformer import constants, samples

RECORD = Path(__file__).with_name("smoothquant_modelopt.json")
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
LAYERS = {"qkv": ("wq", "wk", "wv"), "o": ("wo",), "fc1": ("w1",), "fc2": ("w2",), "head": ("wh",)}


class Block(nn.Module):
    """The block of `tests.builders.transformer`; query, key and value are one Linear, whose maxima they share."""

    def __init__(self):
        super().__init__()
        held = {name: torch.from_numpy(array) for name, array in constants().items()}
        self.held = held
        for name, weights in LAYERS.items():
            weight = torch.cat([held[one] if one == "wh" else held[one].T for one in weights])
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.weight.data = weight.contiguous()
            layer.bias.data = torch.cat([held[f"b{one[1:]}"] for one in weights])
            setattr(self, name, layer)

    def forward(self, x):
        held = self.held
        q, k, v = self.qkv(F.layer_norm(x, (32,), held["gamma1"], held["beta1"])).chunk(3, -1)
        r = x + self.o((q @ k.transpose(1, 2) * held["factor"]).softmax(-1) @ v)
        normed = held["gamma2"] * (r / (r.square().mean(-1, keepdim=True) + held["eps"]).sqrt())
        y = r + self.fc2(F.gelu(self.fc1(normed)))
        return y, self.head(y.mean(1))


def numbers(tensor):
    return [float(f"{value:.8g}") for value in np.asarray(tensor, np.float64).ravel()]


def recorded(alpha, quantization):
    """Scales, ranges and outputs of the block that ModelOpt smoothed and quantized."""
    config = {**quantization.INT8_SMOOTHQUANT_CFG, "algorithm": {"method": "smoothquant", "alpha": alpha}}
    seen = [torch.from_numpy(x) for x in samples(4)]
    model = quantization.quantize(Block().eval(), config, forward_loop=lambda it: [it(x) for x in seen])
    layers = {}
    for name in LAYERS:
        layer = getattr(model, name)
        layers[name] = {
            "scale": numbers(1 / layer.input_quantizer.pre_quant_scale),
            "activation": float(f"{float(layer.input_quantizer.amax):.8g}"),
            "weight": numbers(layer.weight_quantizer.amax),
        }
    y, head = model(torch.from_numpy(samples(1, seed=2)[0]))
    return {"layers": layers, "y": numbers(y.detach()), "head": numbers(head.detach())}


def main():
    import modelopt.torch.quantization as quantization

    with torch.no_grad():
        found = {str(alpha): recorded(alpha, quantization) for alpha in ALPHAS}
    source = f"INT8_SMOOTHQUANT_CFG of nvidia-modelopt {version('nvidia-modelopt')}, torch {torch.__version__}"
    RECORD.write_text(json.dumps({"source": source, "alphas": found}) + "\n")


if __name__ == "__main__":
    main()
