"""Records what transformers generates with the tiny Llama of the tests and the mini of checkpoints/; it is not locked.

pip install --target FOLDER transformers==5.23.0
PYTHONPATH=.:FOLDER python -m tests.helpers.llm.record_generation
"""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from helpers.files import ROOT
from helpers.llm import merge, scoring, sentences
from tests.helpers.layers.test_llama import TINY, tiny

RECORD = Path(__file__).with_name("generation_transformers.json")
PROMPTS, TOKENS, STOP = 50, 24, 33
MINI = ROOT / "checkpoints/llama_mini"
SAMPLINGS = ({"temperature": 0.7}, {"temperature": 1.0, "top_k": 7}, {"temperature": 1.3, "top_p": 0.6},
             {"temperature": 0.8, "top_k": 20, "top_p": 0.9})  # fmt: skip


def prompts():
    """Fifty prompts of one to twenty tokens."""
    random = np.random.default_rng(7)
    return [random.integers(0, TINY.vocab_size, random.integers(1, 21)).tolist() for _ in range(PROMPTS)]


def logits():
    """Those that tokens are drawn by, [96]."""
    return np.random.default_rng(8).standard_normal(TINY.vocab_size).astype(np.float32) * 3


def scenes():
    """The prompts of fifty scenes, of whose seed lesson 06 has its own."""
    return [sentences.encode(sentences.prompt(scene)) for scene in sentences.scenes(PROMPTS, 4096)]


def generated(model, rows, stop):
    """The tokens that transformers adds to each row, one row at a time."""
    found = []
    for row in rows:
        ids = torch.tensor([row])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=TOKENS,
                             eos_token_id=stop, pad_token_id=0)  # fmt: skip
        found.append(out[0, len(row) :].tolist())
    return found


def main():
    import transformers
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.generation import logits_process as processors

    sizes = dataclasses.asdict(TINY)
    rope = {"rope_type": "default", "rope_theta": sizes.pop("rope_theta")}
    model = LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters=rope, tie_word_embeddings=False)).eval()
    model.load_state_dict(tiny().state_dict())
    found = generated(model, prompts(), STOP)
    chances = []
    for sampling in SAMPLINGS:
        scores = torch.from_numpy(logits())[None]
        scores = processors.TemperatureLogitsWarper(sampling["temperature"])(None, scores)
        if "top_k" in sampling:
            scores = processors.TopKLogitsWarper(sampling["top_k"])(None, scores)
        if "top_p" in sampling:
            scores = processors.TopPLogitsWarper(sampling["top_p"])(None, scores)
        chances.append([round(chance, 7) for chance in scores.softmax(-1)[0].tolist()])
    source = f"LlamaForCausalLM.generate of transformers {transformers.__version__}, torch {torch.__version__}, FP32"
    RECORD.write_text(json.dumps({"source": source, "tokens": found, "probabilities": chances}) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        tuned = merge.save_language_model(MINI, Path(folder) / "tuned", f"{MINI}_lora/adapter_model.safetensors")
        mini = transformers.AutoModelForCausalLM.from_pretrained(tuned, dtype=torch.float32).eval()
    tokens = generated(mini, scenes(), None)
    scoring.RECORDED.write_text(json.dumps({"source": source, "tokens": tokens}) + "\n")


if __name__ == "__main__":
    main()
