"""Does ModelOpt's TensorRT-LLM export work with its default arguments? Exit code 0 yes, 1 no.

It is also told `inference_tensor_parallel=1`, the setting that avoids the fault: that has to work in any case.
"""

import contextlib
import os
import sys
import tempfile
import types
import warnings
from importlib.util import find_spec

import torch
from torch import nn

HIDDEN, INTERMEDIATE, VOCABULARY = 64, 128, 64


def main():
    warnings.simplefilter("ignore")
    if not find_spec("huggingface_hub"):
        stand_in()
    print("inference_tensor_parallel=1:", export(inference_tensor_parallel=1))
    try:
        print("default:", export())
    except ZeroDivisionError as error:
        print(f"ZeroDivisionError: {error}")
        return 1
    return 0


def export(**given):
    """Names of the files that the export of a small random Llama writes."""
    from modelopt.torch.export import export_tensorrt_llm_checkpoint

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        export_tensorrt_llm_checkpoint(LlamaForCausalLM().half(), "llama", torch.float16, folder, **given)
        return " ".join(sorted(os.listdir(folder)))


def stand_in():
    """modelopt.torch imports names of huggingface_hub for models that are fetched; a local export calls none."""
    for name in ("huggingface_hub", "huggingface_hub.errors"):
        module = types.ModuleType(name)
        module.__getattr__ = absent
        sys.modules[name] = module


def absent(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (Exception,), {})


class LlamaRMSNorm(nn.Module):
    """The names of this class and those below are what the exporter recognizes a Llama by."""

    def __init__(self):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(HIDDEN)), 1e-6


class LlamaAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(HIDDEN, HIDDEN, bias=False))


class LlamaMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.up_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.down_proj = nn.Linear(INTERMEDIATE, HIDDEN, bias=False)
        self.act_fn = nn.SiLU()


class LlamaDecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attn, self.mlp = LlamaAttention(config), LlamaMLP()
        self.input_layernorm, self.post_attention_layernorm = LlamaRMSNorm(), LlamaRMSNorm()


class LlamaModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers, self.norm = nn.ModuleList([LlamaDecoderLayer(config)]), LlamaRMSNorm()


class LlamaForCausalLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = types.SimpleNamespace(
            hidden_size=HIDDEN,
            intermediate_size=INTERMEDIATE,
            vocab_size=VOCABULARY,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=16,
            num_hidden_layers=1,
            max_position_embeddings=64,
            hidden_act="silu",
            rms_norm_eps=1e-6,
            architectures=["LlamaForCausalLM"],
        )
        self.model = LlamaModel(self.config)
        self.lm_head = nn.Linear(HIDDEN, VOCABULARY, bias=False)


if __name__ == "__main__":
    sys.exit(main())
