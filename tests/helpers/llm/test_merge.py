"""Out of a multimodal checkpoint into a plain folder: prefixes, fine-tunes, LoRA, shards, and what is refused."""

import contextlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.errors import BadInput
from helpers.llm import folder, merge
from tests.helpers.layers.test_llama import TINY, ids, tiny

TABLE = {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "vocab_size": TINY.vocab_size,
         "hidden_size": TINY.hidden_size, "intermediate_size": TINY.intermediate_size, "num_hidden_layers": 2,
         "num_attention_heads": 8, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "rope_theta": 500000.0}  # fmt: skip
QUERY = "model.layers.1.self_attn.q_proj"


@pytest.fixture
def base(tmp_path):
    path = folder.save(tmp_path / "base", tiny().state_dict(), TABLE)
    (path / "config.json").write_text(json.dumps(TABLE))
    (path / "tokenizer.model").write_bytes(b"pieces")
    return path


def stored(tmp_path, state, name="tuned.pth"):
    torch.save({"state_dict": state}, path := tmp_path / name)
    return path


def lora(rank=4, layer=QUERY, seed=0):
    random = torch.Generator().manual_seed(seed)
    out, width = tiny().get_submodule(layer).weight.shape
    return torch.randn(rank, width, generator=random), torch.randn(out, rank, generator=random)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("prefix", ["lm_head.", "language_model."])
def test_a_fine_tune_within_a_detector_takes_the_place_of_the_base(base, tmp_path, prefix):
    tuned = tiny(seed=7).state_dict()
    whole = {prefix + name: tensor for name, tensor in tuned.items()} | {
        "img_backbone.conv.weight": torch.zeros(1), f"{prefix}weighted_mask": torch.ones(96)}  # fmt: skip
    out = merge.save_language_model(base, tmp_path / "out", stored(tmp_path, whole))
    assert same(folder.load(out).state_dict(), tuned)
    table = json.loads((out / "config.json").read_text())
    assert table["architectures"] == ["LlamaForCausalLM"] and table["model_type"] == "llama"
    assert (out / "tokenizer.model").read_bytes() == b"pieces" and table["rope_theta"] == 500000.0
    with torch.no_grad():
        assert torch.equal(folder.load(out)(ids()), tiny(seed=7)(ids()))


@pytest.mark.parametrize("form", ["adapter", "within"])
def test_the_product_of_lora_is_added_once_and_scaled(base, tmp_path, form):
    a, b = lora()
    if form == "adapter":
        save_file({f"base_model.model.{QUERY}.lora_A.weight": a, f"base_model.model.{QUERY}.lora_B.weight": b},
                  path := tmp_path / "adapter_model.safetensors")  # fmt: skip
        (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16, "r": 4}))
    else:
        names = {name.replace("q_proj", "q_proj.base_layer"): tensor for name, tensor in tiny().state_dict().items()}
        names |= {f"{QUERY}.lora_A.default.weight": a, f"{QUERY}.lora_B.default.weight": b}
        path = stored(tmp_path, {f"lm_head.base_model.model.{name}": tensor for name, tensor in names.items()})
    out = merge.save_language_model(base, tmp_path / "out", path, alpha=None if form == "adapter" else 16)
    found, expected = folder.load(out).state_dict(), tiny().state_dict()
    expected[f"{QUERY}.weight"] = expected[f"{QUERY}.weight"] + 16 / 4 * b @ a
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_rank_stabilized_lora_is_divided_by_the_root(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16, "use_rslora": True}))
    assert merge.adapter_scale(tmp_path / "a.safetensors", 4, None) == 8
    assert merge.adapter_scale(tmp_path / "a.safetensors", 4, 16) == 8  # given as well, it is no other scale


@pytest.mark.parametrize("given", [None, 16.0])
@pytest.mark.parametrize(
    "settings",
    [{"use_dora": True}, {"alpha_pattern": {"q_proj": 8}}, {"fan_in_fan_out": True}, {"alora_invocation_tokens": [5]},
     {"init_lora_weights": "pissa"}, {"init_lora_weights": "olora"}, {"peft_type": "LOHA"}],
)  # fmt: skip
def test_what_is_no_plain_lora_is_refused_alpha_or_not(tmp_path, settings, given):
    """PiSSA and OLoRA train against a base from which their first factors were taken, which the base here is not."""
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16} | settings))
    with pytest.raises(BadInput, match=next(iter(settings))):
        merge.adapter_scale(tmp_path / "a.safetensors", 4, given)


@pytest.mark.parametrize(("given", "said"), [(32, "16, as"), (0, "above 0"), (-16, "above 0"), (np.nan, "above 0")])
def test_an_alpha_that_is_not_that_of_the_training_is_refused(tmp_path, given, said):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16}))
    with pytest.raises(BadInput, match=said):
        merge.adapter_scale(tmp_path / "a.safetensors", 4, given)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"target_modules": ["q_proj"]}, "for some q_proj"), ({"modules_to_save": ["lm_head"]}, "for some lm_head"),
     ({"target_modules": ["q_proj"], "layers_to_transform": [1]}, None), ({"target_modules": "all-linear"}, None)],
)  # fmt: skip
def test_an_adapter_that_lost_some_of_its_tensors_is_refused(base, tmp_path, settings, said):
    a, b = lora()
    path = tmp_path / "adapter_model.safetensors"
    save_file({f"base_model.model.{QUERY}.lora_A.weight": a, f"base_model.model.{QUERY}.lora_B.weight": b}, path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16} | settings))
    with pytest.raises(BadInput, match=said) if said else contextlib.nullcontext():
        merge.save_language_model(base, tmp_path / "out", path)


@pytest.mark.parametrize(
    ("table", "said"),
    [([1], "a list"), ({"lora_alpha": True}, "lora_alpha True"), ({"lora_alpha": float("nan")}, "lora_alpha nan"),
     ({"lora_alpha": 8, "r": 64}, "r 64(.|\n)*rank 4"), ({"r": 4}, "lora_alpha None")],
)  # fmt: skip
def test_settings_of_an_adapter_that_do_not_fit_are_refused(tmp_path, table, said):
    (tmp_path / "adapter_config.json").write_text(json.dumps(table))
    with pytest.raises(BadInput, match=said):
        merge.adapter_scale(tmp_path / "a.safetensors", 4, None)


def test_alpha_without_an_adapter_is_refused(base, tmp_path):
    for checkpoint in (None, stored(tmp_path, tiny(seed=7).state_dict())):
        with pytest.raises(BadInput, match="alpha"):
            merge.save_language_model(base, tmp_path / "out", checkpoint, alpha=16)


def test_shards_are_no_larger_than_asked_and_come_back(tmp_path):
    state = {name: tensor.half() for name, tensor in tiny().state_dict().items()}
    out = folder.save(tmp_path / "out", state, TABLE, shard=500_000)
    files = sorted(out.glob("*.safetensors"))
    assert len(files) > 2 and files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    assert max(path.stat().st_size for path in files) < 510_000 and same(folder.read_weights(out), state)
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in state.values())
    files[1].unlink()
    with pytest.raises(BadInput, match=r"model-00002.*\n.*no such file"):
        folder.load(out)


def test_a_tensor_lies_in_the_file_that_the_index_says_and_in_no_other(tmp_path):
    out = folder.save(tmp_path / "out", tiny().state_dict(), TABLE, shard=2_000_000)
    path = out / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    first, last = (list(index["weight_map"])[k] for k in (0, -1))
    exchanged = {first: index["weight_map"][last], last: index["weight_map"][first]}
    path.write_text(json.dumps({"weight_map": index["weight_map"] | exchanged}))
    with pytest.raises(BadInput, match="in the index or in model-00001"):
        folder.read_weights(out)
    path.write_text(json.dumps(index))
    file = out / index["weight_map"][last]
    save_file(load_file(file) | {first: torch.zeros(96, 256)}, file)
    with pytest.raises(BadInput, match=f"alone, such as {first}"):
        folder.read_weights(out)


@pytest.mark.parametrize("file", ["../secret.safetensors", "/etc/passwd"])
def test_an_index_that_leads_out_of_the_folder_is_refused(base, file):
    (base / "model.safetensors").unlink()
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(BadInput, match="names within the folder"):
        folder.read_weights(base)


def test_a_shard_that_is_absent_is_named(tmp_path):
    out = folder.save(tmp_path / "out", tiny().state_dict(), TABLE, shard=1 << 20)
    shards = sorted(out.glob("model-*.safetensors"))
    shards[1].unlink()
    with pytest.raises(BadInput, match=rf"{shards[1].name}\n(.|\n)*{len(shards)} files(.|\n)*fetch the folder again"):
        folder.load(out)


PACKED = torch.zeros(512, 256, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)


@pytest.mark.parametrize("weight", [torch.ones(512, 256).to(torch.float8_e4m3fn), PACKED])
def test_a_base_of_few_bits_is_refused_for_what_is_merged_would_be_rounded_away(base, tmp_path, weight):
    state = tiny().state_dict() | {"model.layers.0.mlp.up_proj.weight": weight}
    save_file({name: tensor.clone() for name, tensor in state.items()}, base / "model.safetensors")
    for checkpoint in (None, stored(tmp_path, tiny(seed=7).state_dict())):
        with pytest.raises(BadInput, match=r"1 tensors of less than 16 bits, such as .*up_proj"):
            merge.save_language_model(base, tmp_path / "out", checkpoint)
    assert not (tmp_path / "out").exists()


def test_numbers_that_share_a_byte_are_no_weights(base):
    state = tiny().state_dict() | {"model.layers.0.mlp.up_proj.weight": PACKED}
    save_file({name: tensor.clone() for name, tensor in state.items()}, base / "model.safetensors")
    with pytest.raises(BadInput, match=r"packed(.|\n)*up_proj"):
        folder.load(base)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"a": torch.zeros(1)}, "q_proj"),
        ({f"{p}model.embed_tokens.weight": torch.zeros(1) for p in "xy"}, "under"),
        (
            tiny().state_dict() | {"model.layers.2.mlp.up_proj.weight": torch.zeros(1)},
            "1 tensors that the base has not",
        ),
        (
            {name: t for name, t in tiny().state_dict().items() if "layers.1.mlp" not in name},
            "3 tensors fewer than the base has, such as model.layers.1.mlp.down_proj",
        ),
        (tiny().state_dict() | {"lm_head.weight": torch.zeros(97, 256)}, r"lm_head.weight \[97,256\] instead of"),
        (tiny().state_dict() | {"lm_head.weight": torch.full((96, 256), torch.nan)}, "lm_head.weight: not finite"),
        (tiny().state_dict() | {"lm_head.weight": torch.zeros(96, 256).long()}, "lm_head.weight: int64"),
        (tiny().state_dict() | {"lm_head.weight": torch.full((96, 256), torch.nan).to(torch.float8_e4m3fn)}, "finite"),
        (tiny().state_dict() | {"lm_head.weight": torch.ones(96, 256).to_sparse()}, "float32, sparse or packed"),
        (tiny().state_dict() | {f"{QUERY}.base_layer.weight": torch.zeros(256, 256)}, "twice, under PEFT's name"),
        (tiny().state_dict() | {f"{QUERY}.lora_A.weight": torch.zeros(4, 256)}, "their alpha"),
        (tiny().state_dict() | {f"{QUERY}.lora_A.weight": torch.zeros(0, 256)}, r"ranks \[0\]"),
        (tiny().state_dict() | {f"{QUERY}.lora_A.weight": torch.zeros(())}, "their alpha"),
        (tiny().state_dict() | {f"{QUERY}.lora_magnitude_vector": torch.zeros(4)}, "LoRA of linear layers alone"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(base, tmp_path, state, said):
    with pytest.raises(BadInput, match=said if said != "q_proj" else "1 tensors that the base has not"):
        merge.save_language_model(base, tmp_path / "out", stored(tmp_path, state))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "tuned.pth"]


def test_half_an_adapter_and_factors_that_do_not_fit_are_refused():
    (a, b), base = lora(), tiny().state_dict()
    for parts, said in (
        ({"A": a}, "lora_A alone"),
        ({"A": a, "B": b[:, :3]}, "times"),
        ({"A": a, "B": b[:9]}, "9,256"),
        ({"A": a.bool(), "B": b}, "bool"),
        ({"A": a[0], "B": b}, r"A \[256\]"),
        ({"A": a[:0], "B": b[:, :0]}, "times"),
    ):
        with pytest.raises(BadInput, match=said):
            merge.merge(base, {f"{QUERY}.lora_{part}.weight": tensor for part, tensor in parts.items()}, "x", 1.0)


def test_an_output_is_never_an_input(base, tmp_path):
    with pytest.raises(BadInput, match="also an input"):
        merge.save_language_model(base, base)
    assert same(folder.load(base).state_dict(), tiny().state_dict())


def test_a_folder_that_holds_an_input_is_not_replaced(base, tmp_path):
    path = stored(tmp_path, tiny(seed=7).state_dict())
    for out in (tmp_path, path.parent, base.parent):
        with pytest.raises(BadInput, match=r"holds .*, an input"):
            merge.save_language_model(base, out, path)
    assert path.is_file() and (base / "config.json").is_file()


def test_the_folder_of_an_adapter_names_the_file_in_it(base, tmp_path):
    a, b = lora()
    (tmp_path / "adapter").mkdir()
    save_file(
        {f"{QUERY}.lora_A.weight": a, f"{QUERY}.lora_B.weight": b}, tmp_path / "adapter/adapter_model.safetensors"
    )
    with pytest.raises(BadInput, match=r"a folder\n.*\n.*give .*adapter/adapter_model\.safetensors"):
        merge.save_language_model(base, tmp_path / "out", tmp_path / "adapter", alpha=8.0)


def test_only_a_models_folder_is_replaced(base, tmp_path):
    out = folder.save(tmp_path / "out", tiny(seed=7).state_dict(), TABLE, base)
    merge.save_language_model(base, out)
    assert same(folder.load(out).state_dict(), tiny().state_dict())
    (out / "thesis.tex").write_text("years")
    with pytest.raises(BadInput, match=r"thesis.tex' and 0 more"):
        merge.save_language_model(base, out)
    with pytest.raises(BadInput, match=r"thesis.tex"):
        folder.save(out, tiny().state_dict(), TABLE)
    assert (out / "thesis.tex").read_text() == "years"
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "of_a_week.safetensors").write_text("weights")
    with pytest.raises(BadInput, match="of_a_week"):
        merge.save_language_model(base, tmp_path / "kept")


def test_the_type_of_the_weights_is_said_under_both_its_names(tmp_path):
    out = folder.save(tmp_path / "out", tiny().bfloat16().state_dict(), TABLE | {"torch_dtype": "float16"})
    table = json.loads((out / "config.json").read_text())
    assert table["torch_dtype"] == table["dtype"] == "bfloat16"


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"])
def test_frequencies_that_tell_of_another_theta_are_refused(base, name):
    state, power = tiny().state_dict(), torch.arange(0, TINY.head_dim, 2) / TINY.head_dim
    for theta, good in ((500000.0, True), (10000.0, False)):
        save_file(state | {name: theta**-power}, base / "model.safetensors")
        with contextlib.nullcontext() if good else pytest.raises(BadInput, match="rope_theta 500000"):
            assert same(folder.load(base).state_dict(), state)


def test_another_user_may_read_what_the_umask_lets_him(tmp_path):
    before = os.umask(0o022)
    try:
        out = folder.save(tmp_path / "out", tiny().state_dict(), TABLE)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention_bias": True}, "attention_bias"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "llama3"),
        ({"rope_parameters": {"type": "linear", "factor": 4.0}}, "linear"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 7.0}}}, "full_attention"),
        ({"rope_parameters": {"rope_theta": 7.0}}, "500000.0, and 7.0 in rope_parameters"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"num_attention_heads": 7}, "7 heads"),
        ({"hidden_size": "256"}, "hidden_size '256'"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps nan"),
        ({"rms_norm_eps": 5.0}, r"rms_norm_eps 5.0(.|\n)*at most 1"),
        ({"rope_theta": 10**400}, "rope_theta 1000"),
        ({"rope_theta": [7.0]}, r"rope_theta \[7.0\]"),
        ({"rope_theta": None, "rope_parameters": {"rope_theta": [7.0]}}, r"rope_theta \[7.0\]"),
        ({"rope_parameters": [1]}, r"rope_parameters \[1\]"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers 1000000000(.|\n)*at most 1024"),
        ({"vocab_size": 10**10}, "vocab_size 10000000000"),
        ({"model_type": "granite"}, '"model_type": "granite"'),
        ({"model_type": "mistral", "sliding_window": 4096}, "sliding_window"),
        ({"model_type": "mistral"}, "sliding_window"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
    ],
)
def test_a_llama_of_another_kind_is_refused_by_name(base, change, said):
    (base / "config.json").write_text(json.dumps(TABLE | change))
    with pytest.raises(BadInput, match=said):
        folder.load(base)


def test_a_converted_checkpoint_is_no_model_of_hugging_face(base):
    """Its theta has another name, and would be taken for the usual one."""
    table = {key: value for key, value in TABLE.items() if key not in ("architectures", "rope_theta")}
    (base / "config.json").write_text(json.dumps(table | {"architecture": "LlamaForCausalLM", "rotary_base": 500000.0}))
    with pytest.raises(BadInput, match="of a TensorRT-LLM checkpoint"):
        folder.read_config(base)


def test_theta_is_read_where_transformers_5_writes_it(base):
    table = {key: value for key, value in TABLE.items() if key != "rope_theta"} | {
        "rope_parameters": {"rope_theta": 7.0}
    }
    assert folder.llama_config(table, base).rope_theta == 7 and folder.llama_config(TABLE, base).rope_theta == 500000
