"""The small text, its rule, and the measures of who masters it; the mini Llama of checkpoints/ does."""

import numpy as np
import pytest
import torch

from helpers.errors import BadInput
from helpers.llm import folder, merge, scoring, sentences
from helpers.llm.generate import generate
from helpers.llm.pytorch import TorchModel
from helpers.llm.sentences import Scene, decision
from tests.helpers.layers.test_llama import tiny
from tests.helpers.llm import record_generation as record

AT_THE_SIDE = (("car", "left"), ("cone", "right"))


@pytest.mark.parametrize(
    ("scene", "text"),
    [
        (Scene(50, 10, "red", (("car", "ahead"), ("cone", "left"))), "stop for light"),
        (Scene(50, 20, "yellow", (("car", "far"), ("cone", "ahead"))), "brake for cone"),
        (Scene(50, 30, "green", (("car", "ahead"), ("cone", "left"))), "slow for car"),
        (Scene(50, 50, "yellow", (("car", "ahead"), ("cone", "left"))), "slow for light"),
        (Scene(50, 50, "green", (("car", "ahead"), ("cone", "right"))), "steer left for cone"),
        (Scene(50, 10, "green", AT_THE_SIDE), "steer right for car"),
        (Scene(50, 10, "green", (("car", "far"), ("bus", "far"))), "keep lane"),
    ],
)
def test_a_decision_follows_from_the_scene(scene, text):
    assert decision(scene) == text


def test_a_yellow_light_asks_for_what_is_named():
    assert decision(Scene(50, 50, "yellow", AT_THE_SIDE), "stop") == "stop for light"


def test_scenes_follow_from_the_seed_and_words_come_back():
    assert sentences.scenes(5, 1) == sentences.scenes(5, 1) != sentences.scenes(5, 2)
    text = sentences.prompt(sentences.scenes(1, 1)[0])
    assert f"{sentences.BEGIN} {sentences.decode(sentences.encode(text))}" == text
    with pytest.raises(BadInput, match="'tram'"):
        sentences.encode("<s> tram ahead")


def test_perplexity_counts_the_asked_tokens_alone():
    model = tiny()
    ids, asked = scoring.rows(sentences.scenes(3, 1))
    assert asked.any(1).all() and not asked[:, :12].any()
    with torch.no_grad():
        chances = model(torch.from_numpy(ids)).log_softmax(-1).numpy()
    logs = [chances[row, at - 1, ids[row, at]] for row, at in np.argwhere(asked)]
    assert scoring.perplexity(model, ids, asked) == pytest.approx(np.exp(-np.mean(logs)), rel=1e-4)


def test_the_mini_llama_masters_the_text_and_its_adapter_the_other_rule(tmp_path):
    scenes = sentences.scenes(150, 4096)
    tuned = merge.save_language_model(record.MINI, tmp_path / "out", f"{record.MINI}_lora/adapter_model.safetensors")
    base, merged = (TorchModel(folder.load(path)) for path in (record.MINI, tuned))
    assert scoring.right(base, scenes) > 0.98 and scoring.right(merged, scenes, "stop") > 0.98
    assert scoring.right(base, scenes, "stop") < 0.85 and scoring.right(TorchModel(tiny()), scenes) < 0.02
    tokens, source = scoring.recorded()
    assert "transformers" in source and {len(row) for row in tokens} == {record.TOKENS}
    assert generate(merged, record.scenes(), record.TOKENS) == tokens
