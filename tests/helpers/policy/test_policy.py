"""A policy from a folder in the public form: pictures enter, actions leave, and what is no action is refused."""

import json
import shutil

import numpy as np
import pytest
import torch

from helpers import models, policy
from helpers.errors import BadInput
from helpers.llm import folder as hugging_face
from helpers.llm.tokenizer import SPACE, table_of
from helpers.systems.openvla.decode import NoAction, decode, unnormalize
from tests.helpers.systems.openvla.tiny import FUSED, SINGLE, STATISTICS

LETTERS = "abcdefghijklmnopqrstuvwxyzACEINORSTUV:?.,'\n"
VOCAB = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", SPACE, *LETTERS, *map(str, range(593))])}
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Configuration name -> folder, one in shards and one in a file."""
    root = tmp_path_factory.mktemp("policies")
    (root / "words").mkdir()
    (root / "words" / "tokenizer.json").write_text(json.dumps(table_of(VOCAB, [])))
    for config, shard in ((FUSED, 100_000), (SINGLE, 1 << 30)):
        network = models.create("openvla", config, seed=2)
        policy.save(root / config.name, network, {"toy": STATISTICS}, root / "words", shard)
    return root


def preferring(loaded, ids):
    """The policy, made to generate these tokens whatever it sees."""
    steps = iter(ids)
    head = loaded.language.model.lm_head

    def forced(module, inputs, output):
        output[..., :] = 0
        output[..., next(steps)] = 1
        return output

    head.register_forward_hook(forced)
    return loaded


@pytest.mark.parametrize("name", ["tiny", "single"])
def test_a_folder_becomes_the_network_that_was_saved(folders, name):
    loaded, config = policy.load(folders / name), {"tiny": FUSED, "single": SINGLE}[name]
    network = models.create("openvla", config, seed=2)
    feeds = {
        "pixel_values": np.random.default_rng(1).standard_normal(config.input_shapes()["pixel_values"], np.float32)
    }
    with torch.no_grad():
        (expected,) = network(torch.from_numpy(feeds["pixel_values"]))
    assert np.array_equal(loaded.vision(feeds), expected.numpy())
    assert (loaded.config.towers, loaded.config.language) == (config.towers, config.language)
    assert (loaded.config.resize, loaded.config.prompt, loaded.config.reasoning) == (
        config.resize, config.prompt, config.reasoning)  # fmt: skip
    assert len(list((folders / name).glob("*.safetensors"))) == (6 if name == "tiny" else 1)


def test_an_action_is_in_the_units_of_its_data_set(folders):
    ids = [640 - k for k in (1, 30, 100, 128, 200, 255, 60)]
    found = preferring(policy.load(folders / "tiny"), ids).predict(IMAGE, "Lift it")
    assert found.ids.tolist() == ids and found.reasoning == ""
    assert found.action == pytest.approx(unnormalize(decode(ids, FUSED), STATISTICS["action"]))
    assert found.action.dtype == np.float64


def test_reasoning_comes_before_the_action_and_ends_with_a_stop(folders):
    ids = [*(VOCAB[token] for token in (SPACE, *"up")), *range(500, 507), VOCAB["</s>"], 9, 9]
    found = preferring(policy.load(folders / "single"), ids).predict(IMAGE, "lift")
    assert found.reasoning == "up" and found.ids.tolist() == ids[:-2]
    assert found.action == pytest.approx(unnormalize(decode(range(500, 507), FUSED), STATISTICS["action"]))


@pytest.mark.parametrize(
    ("name", "ids", "said"),
    [
        ("tiny", [600] * 6 + [5], "1 of 7 tokens are no action's, such as 5"),
        ("single", [600] * 7 + [9, 2], "1 of 7 tokens are no action's, such as 9"),  # text behind the action
        ("single", [600] * 3 + [2], "3 of them"),
        ("single", [9, 10] + [600] * 8 + [2], "8 of actions"),
        ("single", [9, 600, 10] + [600] * 7 + [2], "8 of actions"),
    ],
)
def test_what_is_no_action_is_refused(folders, name, ids, said):
    with pytest.raises(NoAction, match=said):
        preferring(policy.load(folders / name), ids).predict(IMAGE, "lift")


def test_a_prompt_holds_a_row_of_the_table_for_each_patch(folders):
    loaded = policy.load(folders / "tiny")
    row = loaded.prompt("lift", row=1)
    assert row[0] == VOCAB["<s>"] and row[1:5] == [708, 709, 710, 711] and row[-1] == VOCAB[SPACE]
    assert policy.load(folders / "single").prompt("lift")[-1] == VOCAB[":"]


def test_rows_of_a_batch_see_their_own_pictures(folders):
    loaded, pictures = policy.load(folders / "tiny"), [IMAGE, 255 - IMAGE]
    alone = [loaded.generate([picture], ["lift"])[0] for picture in pictures]
    assert loaded.generate(pictures, ["lift", "lift"]) == alone


@pytest.mark.parametrize("instruction", ["", "  ", None, "x" * 400])
def test_an_instruction_that_cannot_be_used_is_named(folders, instruction):
    with pytest.raises(BadInput, match="instruction"):
        policy.load(folders / "tiny").predict(IMAGE, instruction)


def test_statistics_beside_a_fine_tune_go_first(folders, tmp_path):
    table = json.loads((folders / "tiny" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(table))
    (tmp_path / "dataset_statistics.json").write_text(json.dumps({"mine": STATISTICS}))
    assert policy.read_config(tmp_path)[1] == {"mine": STATISTICS}


def test_the_published_config_leaves_out_what_is_usual(tmp_path):
    table = {
        "model_type": "openvla", "use_fused_vision_backbone": True, "image_resize_strategy": "resize-naive",
        "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
        "image_sizes": [224, 224], "n_action_bins": 256, "pad_to_multiple_of": 64, "norm_stats": {"toy": STATISTICS},
        "text_config": {"model_type": "llama", "vocab_size": 32064, "pad_token_id": 32000},
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(table))
    config, _ = policy.read_config(tmp_path)
    published = models.config("openvla", "published")
    assert (config.towers, dict(config.language), config.action_vocab) == (
        published.towers, dict(published.language), 32000)  # fmt: skip
    assert config.language["rms_norm_eps"] == 1e-6 and not config.reasoning
    path.write_text(json.dumps(table | {"text_config": {"rms_norm_eps": 1e-5}}))
    assert policy.read_config(tmp_path)[0].language["rms_norm_eps"] == 1e-5
    for change, said in (
        ({"model_type": "llava"}, "'llava'"), ({"use_fused_vision_backbone": False}, "two towers if fused"),
        ({"timm_model_ids": ["resnet50"]}, "resnet50"), ({"image_sizes": [224, 384]}, "384"),
        ({"norm_stats": None}, "norm_stats"), ({"image_resize_strategy": "resize-crop"}, "resize-crop"),
        ({"text_config": {"hidden_act": "gelu"}}, "hidden_act"), ({"n_action_bins": 0}, "n_action_bins"),
        ({"timm_override_act_layers": ["quick_gelu", None]}, "quick_gelu"), ({"image_sizes": [14 * 10**6] * 2}, "8192"),
    ):  # fmt: skip
        path.write_text(json.dumps(table | change))
        with pytest.raises(BadInput, match=said):
            policy.read_config(tmp_path)


def test_what_the_text_config_says_goes_into_the_network(tmp_path, folders):
    table = json.loads((folders / "tiny" / "config.json").read_text())
    del table["text_config"]["rope_theta"]
    table["text_config"] |= {
        "num_key_value_heads": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": 7.0},
    }
    (tmp_path / "config.json").write_text(json.dumps(table))
    language = policy.read_config(tmp_path)[0].language
    assert language["rope_theta"] == 7 and language["num_key_value_heads"] == language["num_attention_heads"]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"heads": 5}, "5 heads"), ({"width": "96"}, "width '96'"), ({"depth": 10**9}, "depth 1000000000"),
     ({"registers": -1}, "registers -1")],
)  # fmt: skip
def test_sizes_of_a_tower_are_looked_at_before_one_is_made(tmp_path, folders, change, said):
    table = json.loads((folders / "tiny" / "config.json").read_text())
    table["towers"][0] |= change
    (tmp_path / "config.json").write_text(json.dumps(table))
    with pytest.raises(BadInput, match=said):
        policy.read_config(tmp_path)


def test_a_tokenizer_of_fewer_tokens_than_the_actions_are_counted_from_is_refused(tmp_path, folders):
    """It fits the model but for the rows that fill up, of which nothing is told elsewhere."""
    shutil.copytree(folders / "tiny", tmp_path / "copy")
    fewer = {token: number for token, number in VOCAB.items() if number < len(VOCAB) - 1}
    (tmp_path / "copy" / "tokenizer.json").write_text(json.dumps(table_of(fewer, [])))
    with pytest.raises(BadInput, match=f"tokenizer of {len(fewer)} tokens"):
        policy.load(tmp_path / "copy")


def test_a_folder_that_lacks_a_tensor_is_refused(folders, tmp_path):
    network = models.create("openvla", SINGLE)
    del network.vision_backbone.featurizer.blocks[0].attn.proj.bias
    network.vision_backbone.featurizer.blocks[0].attn.proj.bias = None
    policy.save(tmp_path / "cut", network, {"toy": STATISTICS}, folders / "words")
    with pytest.raises(BadInput, match=r"missing \(1\): vision_backbone.featurizer.blocks.0.attn.proj.bias"):
        policy.load(tmp_path / "cut")


def test_the_parts_apart_are_the_same_policy(folders, tmp_path):
    out = policy.save_backbone(folders / "tiny", tmp_path / "parts", shard=100_000)
    assert {path.name for path in out.iterdir()} == {
        "LLM_backbone", "vision_backbone.pth", "projector.pth", "openvla_config.json"}  # fmt: skip
    whole, parts = policy.load(folders / "tiny"), policy.load_backbone(out)
    assert parts.generate([IMAGE], ["lift"]) == whole.generate([IMAGE], ["lift"])
    assert parts.norm_stats == whole.norm_stats and parts.tokenizer.vocab == whole.tokenizer.vocab
    llama = hugging_face.load(out / "LLM_backbone")  # as any tool for a Llama does
    assert all(torch.equal(t, llama.state_dict()[name]) for name, t in whole.language.model.state_dict().items())
    assert llama.config.rms_norm_eps == 1e-6
    names = torch.load(out / "vision_backbone.pth", weights_only=True)
    assert "fused_featurizer.attn_pool.kv.bias" in names and "featurizer.blocks.0.ls1.scale_factor" in names
    assert set(torch.load(out / "projector.pth", weights_only=True)) == {
        f"fc{k}.{kind}" for k in (1, 2, 3) for kind in ("weight", "bias")}  # fmt: skip


def test_parts_of_two_policies_are_refused(folders, tmp_path):
    out = policy.save_backbone(folders / "tiny", tmp_path / "parts")
    other = policy.save_backbone(folders / "single", tmp_path / "other")
    (out / "projector.pth").write_bytes((other / "projector.pth").read_bytes())
    with pytest.raises(BadInput, match=r"missing \(2\): projector.fc3.weight, projector.fc3.bias"):
        policy.load_backbone(out)
    with pytest.raises(BadInput, match="no parts of a policy"):
        policy.load_backbone(folders / "tiny")
    with pytest.raises(BadInput, match="tiny"):
        policy.save_backbone(folders / "tiny", folders / "tiny")
    with pytest.raises(BadInput, match=r"holds .*tiny, an input"):
        policy.save_backbone(folders / "tiny", folders)
    (out / "thesis.tex").write_text("years")
    with pytest.raises(BadInput, match="thesis"):
        policy.save_backbone(folders / "tiny", out)
    assert policy.load(folders / "tiny") and (out / "thesis.tex").read_text() == "years"


def test_of_several_each_is_an_action_or_none(folders):
    loaded = policy.load(folders / "tiny")
    loaded.generate = lambda images, instructions, count: [[600] * 7, [600] * 6 + [5], [601] * 7]
    found = loaded.predict_each([IMAGE] * 3, ["lift"] * 3)
    assert found[1] is None
    expected = [unnormalize(decode([token] * 7, FUSED), STATISTICS["action"]) for token in (600, 601)]
    assert np.array_equal([found[0].action, found[2].action], expected)


@pytest.mark.parametrize(("pictures", "instructions"), [(0, 0), (1, 2), (2, 1)])
def test_each_picture_has_an_instruction(folders, pictures, instructions):
    with pytest.raises(BadInput, match=f"{pictures} pictures, {instructions} instructions"):
        policy.load(folders / "tiny").predict_each([IMAGE] * pictures, ["lift"] * instructions)
