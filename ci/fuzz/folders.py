"""The door of language models' folders: Hugging Face's with shards and an index, and TensorRT-LLM's."""

import json
import shutil
from pathlib import Path
from random import Random

from ci.fuzz import mutate
from ci.fuzz.checkpoints import with_header
from ci.fuzz.door import Door, Silent

FORMS = PLAIN, CONVERTED = "llama_hf", "llama_fp8"
TABLE = {"model_type": "llama", "vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16, "rms_norm_eps": 1e-6,
         "rope_theta": 10000.0}  # fmt: skip


def _prepare(common: Path) -> None:
    import torch

    from helpers.layers.llama import Llama
    from helpers.llm import folder
    from helpers.llm.tensorrt_llm import quantize, write

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Llama(folder.llama_config(TABLE, common)).eval()
        ids = torch.randint(16, (2, 4))
    folder.save(common / PLAIN, model.state_dict(), TABLE, shard=3000)
    write(quantize(model, "fp8", ids), common / CONVERTED, "fp8")
    for form in FORMS:
        shutil.copytree(common / form, (one := common / f"whole_{form}") / form)
        _enter(one)


def _make(random: Random, common: Path, folder: Path) -> None:
    """A folder in which one file, mostly its tables, or two hold something else."""
    form = random.choice(FORMS)
    shutil.copytree(common / form, folder / form)
    tables, weights = (sorted((folder / form).glob(pattern)) for pattern in ("*.json", "*.safetensors"))
    chosen = {random.choice(tables if random.random() < 0.7 else weights) for _ in range(random.choice((1, 1, 2)))}
    for path in sorted(chosen):
        data, damage = path.read_bytes(), random.random()
        if damage < 0.05:
            path.write_bytes(random.choice(weights).read_bytes())
        elif damage < 0.25:
            path.write_bytes(mutate.octets(data, random))
        elif path.suffix == ".json":
            path.write_text(json.dumps(mutate.tree(json.loads(data), random)))
        else:
            path.write_bytes(with_header(data, random))


def _enter(folder: Path) -> None:
    """Silent if a model comes of it that is not finite."""
    from helpers.llm.folder import load
    from helpers.llm.tensorrt_llm import read

    form = next(form for form in FORMS if (folder / form).exists())
    model = (load if form == PLAIN else read)(folder / form)
    for name, tensor in model.state_dict().items():
        if not tensor.float().isfinite().all():
            raise Silent(f"{name} is not finite")


DOORS = {"llm": Door(_prepare, _make, _enter, (*FORMS, "transformer."))}
