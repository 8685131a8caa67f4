"""Training of the mini Llama: what is foretold, and an adapter that merges into what was trained."""

import torch

from data_scripts.train.llama import trainer
from helpers.llm import merge, sentences


def test_decisions_weigh_one_and_facts_little():
    ids, weights = next(trainer._batches(0, "stop"))
    assert ids.shape == (trainer.BATCH, weights.shape[1] + 1) and set(weights.unique().tolist()) <= {
        0,
        1,
        weights[0, 0].item(),
    }
    row = ids[0, 1:][weights[0] == 1].tolist()
    scene = sentences.scenes(trainer.BATCH, 1_000_003)[0]
    assert sentences.decode(row) == sentences.decision(scene, "stop") and row[-1] == sentences.IDS[sentences.END]


def test_a_few_steps_lower_the_loss_and_the_adapter_is_what_was_trained():
    said = []
    model = trainer.train_base(4, report=said.append)
    losses = [float(text.split()[-1]) for text in said]
    assert losses[-1] < losses[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    factors = trainer.train_adapter(model, 3, report=said.append)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    layer = "model.layers.1.mlp.down_proj"
    a, b = (factors[f"base_model.model.{layer}.lora_{letter}.weight"] for letter in "AB")
    lora = trainer.Lora(model.get_submodule(layer))
    lora.a.data, lora.b.data = a, b
    plain = {name.removeprefix("base_model.model."): factor for name, factor in factors.items()}
    merged = merge.merge(before, plain, "a", trainer.ALPHA / trainer.RANK)
    x = torch.randn(3, trainer.CONFIG.intermediate_size)
    assert b.abs().max() > 0 and torch.allclose(x @ merged[f"{layer}.weight"].T, lora(x), atol=1e-5)
