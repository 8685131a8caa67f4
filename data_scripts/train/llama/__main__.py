"""Train the mini Llama of lesson 06 and its adapter: python -m data_scripts.train.llama"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from data_scripts.train import recipe
from data_scripts.train.llama import trainer
from helpers.cli import numbers
from helpers.files import ROOT, atomic
from helpers.llm import folder, scoring, sentences
from helpers.llm.pytorch import TorchModel

EVALUATED = 4096  # seed of scenes that training does not use


def main(argv: list[str]) -> int:
    """Write both folders; returns 0."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(prog="python -m data_scripts.train.llama", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints/llama_mini", help="folder of the base")
    parser.add_argument("--steps", type=numbers.whole(1, 10**8), default=1000, help="of the base (1000)")
    parser.add_argument("--adapter-steps", type=numbers.whole(1, 10**8), default=250, help="of the adapter (250)")
    options = parser.parse_args(argv)
    start = time.time()
    model = trainer.train_base(options.steps)
    table = dataclasses.asdict(trainer.CONFIG) | {"tie_word_embeddings": False, "torch_dtype": "float16"}
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    folder.save(options.out, state, table)
    model = folder.load(options.out)
    scenes = sentences.scenes(500, EVALUATED)
    print(f"decisions right: {scoring.right(TorchModel(model), scenes):.3f}, after {time.time() - start:.0f} s")
    factors = trainer.train_adapter(model, options.adapter_steps)
    with atomic(options.out.with_name(f"{options.out.name}_lora"), folder=True) as part:
        save_file({name: factor.half() for name, factor in factors.items()}, part / "adapter_model.safetensors")
        about = {"peft_type": "LORA", "lora_alpha": trainer.ALPHA, "r": trainer.RANK, "target_modules": trainer.ADAPTED}
        (part / "adapter_config.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(f"adapter trained, after {time.time() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(recipe.program(lambda: main(sys.argv[1:])))
