"""Records checkpoints that ModelOpt itself exports of a small Llama, and the logits of what it exported.

ModelOpt is in the lock, transformers is not:

pip install --target FOLDER transformers==5.14.1
PYTHONPATH=.:FOLDER python -m tests.helpers.llm.record_modelopt
"""

import copy
import dataclasses
from pathlib import Path

import torch
from safetensors.torch import save_file

from helpers.layers.llama import LlamaConfig
from tests.helpers.layers.test_llama import tiny

RECORDS = Path(__file__).with_name("modelopt")
SMALL = LlamaConfig(vocab_size=64, hidden_size=128, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4,
                    num_key_value_heads=2)  # fmt: skip
FORMATS = {"fp8": "FP8_DEFAULT_CFG", "awq": "INT4_AWQ_CFG", "int8_sq": "INT8_SMOOTHQUANT_CFG"}
LOGITS = "expected.safetensors"


def small():
    """The Llama in FP32, its weights as FP16 holds them."""
    return tiny(seed=3, config=SMALL).half().float()


def sentences():
    """Token ids [4, 12]."""
    return torch.randint(SMALL.vocab_size, (4, 12), generator=torch.Generator().manual_seed(4))


def main():
    import modelopt.torch.quantization as mtq
    import transformers
    from modelopt.torch.export import export_tensorrt_llm_checkpoint

    sizes, logits = dataclasses.asdict(SMALL), {}
    rope = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
    config = transformers.LlamaConfig(**sizes, rope_parameters=rope, tie_word_embeddings=False)
    for name, settings in FORMATS.items():
        model = transformers.LlamaForCausalLM(copy.deepcopy(config)).eval()
        model.load_state_dict(small().state_dict())
        model = mtq.quantize(model, copy.deepcopy(getattr(mtq, settings)), lambda one: one(sentences()))
        with torch.inference_mode():
            export_tensorrt_llm_checkpoint(model, "llama", torch.float16, RECORDS / name, inference_tensor_parallel=1)
            for module in model.modules():  # the exporter has given q, k and v one scale, in place
                if (scale := getattr(module, "pre_quant_scale", None)) is not None:
                    module.pre_quant_scale = scale.half().float()  # as the file holds it
            logits[name] = model(sentences()).logits.clone()
    save_file(logits, RECORDS / LOGITS)


if __name__ == "__main__":
    main()
