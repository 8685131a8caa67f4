"""TensorRT-LLM's checkpoints of a tiny Llama: the proof of every format, the published layout, and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.errors import BadInput
from helpers.layers.llama import Llama
from helpers.llm.tensorrt_llm import FORMATS, correct, prove, quantize, read, write
from helpers.llm.tensorrt_llm.proof import agreement, error
from tests.helpers.layers.test_llama import TINY, ids, tiny
from tests.helpers.llm import record_modelopt

LAYER = "transformer.layers.1."
MOST_NOISE = {"fp16": 3e-3, "bf16": 2e-2, "w8a16": 5e-2, "w4a16": 0.8, "awq": 0.6, "fp8": 0.25, "int8_sq": 0.1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Function of format and tp -> (quantized model, folder), each made once; not to be written to."""
    models, folders = {}, {}

    def make(name, tp=1):
        if name not in models:
            models[name] = quantize(tiny(), name, ids(4, 16))
        if (name, tp) not in folders:
            folders[name, tp] = write(models[name], tmp_path_factory.mktemp(name) / "out", name, tp)
        return models[name], folders[name, tp]

    return make


@pytest.fixture
def copied(made, tmp_path):
    """Function of format, change of config.json, change of tensors -> a folder of its own."""

    def copy(name, config=lambda table: None, tensors=lambda state: None):
        source = made(name)[1]
        (out := tmp_path / "copy").mkdir()
        config(table := json.loads((source / "config.json").read_text()))
        tensors(state := load_file(source / "rank0.safetensors"))
        (out / "config.json").write_text(json.dumps(table))
        save_file(state, out / "rank0.safetensors")
        return out

    return copy


def test_calibration_may_be_embeddings_as_pictures_are():
    model = tiny()
    embedded = model.model.embed_tokens(ids(2, 8)).detach().half().float()  # as the weights are rounded
    same, other = (quantize(model, "fp8", rows) for rows in (embedded, 9 * embedded.flip(2)))
    assert error(same(ids()), quantize(model, "fp8", ids(2, 8))(ids())) == 0
    assert error(other(ids()), same(ids())) > 0
    for wrong in (embedded[..., 1:], embedded[0], embedded * float("nan"), embedded[:0]):
        with pytest.raises(BadInput, match="embeddings"):
            quantize(model, "fp8", wrong)


def test_every_format_is_proven_for_one_gpu_and_two(tmp_path):
    rows = prove(tiny(), ids(2, 8), tmp_path)
    assert {(row.format, row.tp) for row in rows} == {(name, tp) for name in FORMATS for tp in (1, 2)}
    assert len(rows) == 18 and {row.sm for row in rows if row.format == "w4a16"} == {80, 90}
    for row in rows:
        assert row.error <= 1e-6 and row.agreement == 1, row
        assert 0 < row.noise < MOST_NOISE[row.format], row  # so something was quantized, and not destroyed
    size = {row.format: row.bytes for row in rows if row.tp == 1}
    assert size["fp16"] > 1.8 * size["w8a16"] > 1.8 * 1.6 * size["w4a16"]


@pytest.mark.parametrize("name", ["w8a16", "w4a16"])
def test_a_folder_read_for_another_gpu_is_refused_or_fails_the_proof(made, copied, name):
    model, folder = made(name)
    expected, wrong = model(ids()), read(copied(name), sm=90)(ids())  # whose files say nothing
    assert error(wrong, expected) > 0.5 and error(read(folder)(ids()), expected) <= 1e-6
    with pytest.raises(BadInput, match=r"rank0\.safetensors\n  found: +order sm80\n  expected: order sm90"):
        read(folder, sm=90)
    assert error(read(folder, sm=86)(ids()), expected) <= 1e-6


def test_files_of_gpus_that_were_exchanged_are_refused(made, tmp_path):
    """Their shapes are the same, and what both hold is: nothing else would tell."""
    folder = shutil.copytree(made("fp16", 2)[1], tmp_path / "out")
    first, second = (folder / f"rank{rank}.safetensors" for rank in (0, 1))
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    with pytest.raises(BadInput, match=r"rank0\.safetensors\n  found: +rank 1\n  expected: rank 0"):
        read(folder)
    for path in (first, second):
        save_file(load_file(path), path)
    assert error(read(folder)(ids()), made("fp16", 2)[0](ids())) > 1e-2


def test_gate_and_up_changed_for_each_other_fail_the_proof(copied, made):
    def swap(state):
        one, other = f"{LAYER}mlp.fc.weight", f"{LAYER}mlp.gate.weight"
        state[one], state[other] = state[other], state[one]

    assert error(read(copied("fp16", tensors=swap))(ids()), made("fp16")[0](ids())) > 1e-2


def test_layout_and_fields_are_the_published_ones(made):
    model, folder = made("fp16")
    state, table = load_file(folder / "rank0.safetensors"), json.loads((folder / "config.json").read_text())
    layer = model.model.layers[1]
    assert len(state) == 17
    q, k, v = (getattr(layer.self_attn, f"{name}_proj").weight for name in "qkv")
    assert torch.equal(state[f"{LAYER}attention.qkv.weight"].float(), torch.cat([q, k, v]))
    assert torch.equal(state[f"{LAYER}mlp.fc.weight"].float(), layer.mlp.gate_proj.weight)
    assert torch.equal(state[f"{LAYER}post_layernorm.weight"].float(), layer.post_attention_layernorm.weight)
    assert table["rotary_base"] == TINY.rope_theta and table["norm_epsilon"] == TINY.rms_norm_eps
    assert table["logits_dtype"] == "float32" and table["mapping"] == {"world_size": 1, "tp_size": 1, "pp_size": 1}


@pytest.mark.parametrize(
    ("name", "tensors"),
    [
        ("w8a16", {"weight": (torch.int8, (256, 512)), "per_channel_scale": (torch.float16, (512,))}),
        ("w4a16", {"weight": (torch.int8, (256, 256)), "per_channel_scale": (torch.float16, (512,))}),
        (
            "awq",
            {
                "weight": (torch.int8, (256, 256)),
                "weights_scaling_factor": (torch.float32, (512, 2)),
                "prequant_scaling_factor": (torch.float16, (256,)),
            },
        ),
        (
            "fp8",
            {
                "weight": (torch.float8_e4m3fn, (512, 256)),
                "weights_scaling_factor": (torch.float32, (1,)),
                "activation_scaling_factor": (torch.float32, (1,)),
            },
        ),
        (
            "int8_sq",
            {
                "weight": (torch.int8, (512, 256)),
                "weights_scaling_factor": (torch.float32, (512,)),
                "activation_scaling_factor": (torch.float32, (1,)),
                "prequant_scaling_factor": (torch.float16, (256,)),
            },
        ),
    ],
)
def test_tensors_have_the_published_types_and_shapes(made, name, tensors):
    state = load_file(made(name)[1] / "rank0.safetensors")
    prefix = f"{LAYER}attention.qkv."
    found = {key.removeprefix(prefix): (t.dtype, tuple(t.shape)) for key, t in state.items() if key.startswith(prefix)}
    assert found == tensors
    assert (f"{LAYER}attention.kv_cache_scaling_factor" in state) == (name == "fp8")


def test_two_gpus_hold_heads_of_their_own(made):
    model, folder = made("fp16", 2)
    q, k, v = (getattr(model.model.layers[1].self_attn, f"{name}_proj").weight for name in "qkv")
    second = load_file(folder / "rank1.safetensors")
    assert torch.equal(second[f"{LAYER}attention.qkv.weight"].float(), torch.cat([q[128:], k[64:], v[64:]]))
    dense = model.model.layers[1].self_attn.o_proj.weight
    assert torch.equal(second[f"{LAYER}attention.dense.weight"].float(), dense[:, 128:])


def test_awq_changes_less_than_rounding_does(made):
    from helpers.llm.tensorrt_llm.quantized import QuantizedLinear, in_groups

    exact, rounded = tiny()(ids()), quantize(tiny(), "fp16")
    for layer in rounded.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, linear in list(block.named_children()):
                if isinstance(linear, torch.nn.Linear):
                    setattr(block, name, QuantizedLinear(in_groups(linear.weight.data)))
    squared = [(model(ids()) - exact).square().mean() for model in (made("awq")[0], rounded)]
    assert squared[0] < squared[1]


def test_an_odd_vocabulary_is_padded_and_cut(tmp_path):
    from dataclasses import replace

    model = tiny(config=replace(TINY, vocab_size=97))
    folder = write(quantize(model, "bf16"), tmp_path / "out", "bf16", tp=2)
    assert load_file(folder / "rank1.safetensors")["lm_head.weight"].shape == (49, 256)
    assert error(read(folder)(ids()), quantize(model, "bf16")(ids())) == 0


@torch.no_grad()
@pytest.mark.parametrize(("name", "most"), [("awq", 1e-5), ("fp8", 3e-2), ("int8_sq", 1e-2)])
def test_what_modelopt_exports_is_read_back(name, most):
    """Checkpoints of ModelOpt 0.47 itself, and the logits of what it exported (record_modelopt).

    Of FP8, 18 weights of o_proj lie halfway between two codes: w / scale is 168, w * (448 / amax) is 168.00001, and the
    file has the one, the layer that was exported the other. Of SmoothQuant, activations do so.
    """
    expected = load_file(record_modelopt.RECORDS / record_modelopt.LOGITS)[name]
    exact = record_modelopt.small()(record_modelopt.sentences())
    found = read(record_modelopt.RECORDS / name)(record_modelopt.sentences())
    assert error(found, expected) < min(most, error(expected, exact) / 2)
    assert agreement(found, expected) == 1


def test_what_modelopt_mislabels_is_put_right(copied):
    def modelopt(table):
        del table["rotary_base"], table["rotary_scaling"]
        table["logits_dtype"], table["architecture"] = "float16", "LlavaLlamaForCausalLM"

    def unscaled(state):
        for name in [name for name in state if name.endswith("prequant_scaling_factor")]:
            del state[name]

    folder = copied("awq", modelopt, unscaled)
    table = json.loads((folder / "config.json").read_text())
    changed, found = correct(table, load_file(folder / "rank0.safetensors"), {"rope_parameters": {"rope_theta": 5e5}})
    assert {each.field: each.now for each in found} == {
        "architecture": "LlamaForCausalLM",
        "logits_dtype": "float32",
        "rotary_base": 5e5,
        "rotary_scaling": None,
        "pre_quant_scale": False,
    }
    assert changed["quantization"]["pre_quant_scale"] is False and table["logits_dtype"] == "float16"
    assert read(folder, base={"rope_theta": 7.0}).config.rope_theta == 7
    assert correct(changed, [], None)[1] == []


@pytest.mark.parametrize("field", ["rope_parameters", "rope_scaling"])
def test_a_base_whose_rotation_is_scaled_is_refused(made, field):
    base = {field: {"rope_type": "llama3", "factor": 8.0}}
    with pytest.raises(BadInput, match=r"scaled: .*llama3"):
        read(made("fp16")[1], base=base)


def test_the_cache_scale_is_the_larger_of_those_of_keys_and_values(copied, made):
    name = f"{LAYER}attention.{{}}_cache_scaling_factor"

    def scales(kv, v=2.0):
        def change(state):
            state.update({name.format(key): torch.tensor([x]) for key, x in (("kv", kv), ("k", 1.0), ("v", v))})

        return change

    assert read(copied("fp8", tensors=scales(2.0))).model.layers[1].self_attn.cached.scale.item() == 2
    assert made("fp8")[0].model.layers[1].self_attn.cached.scale.item() == 1


def test_a_cache_scale_that_is_not_the_larger_is_refused(copied):
    with pytest.raises(BadInput, match="larger of k's and v's"):
        state = {f"{LAYER}attention.{letter}_cache_scaling_factor": torch.tensor([3.0]) for letter in "kv"}
        read(copied("fp8", tensors=lambda tensors: tensors.update(state)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "MambaForCausalLM"}, "MambaForCausalLM"),
        ({"quantization": {"quant_algo": "NVFP4"}}, "NVFP4"),
        ({"quantization": {"quant_algo": "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN"}}, "PER_TOKEN_PLUGIN"),
        ({"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "INT8"}}, "kv_cache_quant_algo 'INT8'"),
        ({"mapping": {"world_size": 2, "tp_size": 1, "pp_size": 2}}, "pp_size 2"),
        ({"mapping": {"world_size": 4, "tp_size": 2}}, "tp_size 2 of 4"),
        ({"rotary_scaling": {"type": "linear"}}, "rotary_scaling"),
        ({"attn_bias": True}, "attn_bias True"),
        ({"embedding_multiplier": 12.0}, "embedding_multiplier 12.0"),
        ({"qk_layernorm": True}, "qk_layernorm True"),
        ({"hidden_size": -1}, "hidden_size -1"),
        ({"num_hidden_layers": 10**8}, "num_hidden_layers 100000000"),
        ({"hidden_size": 1 << 20, "head_size": 1 << 17}, r"\[96, 1048576\]"),
        ({"vocab_size": 1 << 21}, r"\[2097152, 256\]"),
        ({"use_parallel_embedding": "no"}, "use_parallel_embedding 'no'"),
        ({"embedding_sharding_dim": 7}, "embedding_sharding_dim 7"),
        ({"quantization": {"quant_algo": "W4A16_AWQ", "group_size": 64}}, "group_size 64"),
        ({"head_size": 64}, "heads of 64"),
        ({"quantization": []}, r"quantization \[\]"),
    ],
)
def test_what_cannot_be_handled_is_refused_by_name(copied, change, said):
    with pytest.raises(BadInput, match=said):
        read(copied("fp16", lambda table: table.update(change)))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("fp16", lambda state: state.pop("lm_head.weight"), "no lm_head.weight"),
        ("fp16", lambda state: state.update(extra=torch.zeros(1)), "1 tensors that are not handled, such as extra"),
        ("fp16", lambda state: state.update({"lm_head.weight": torch.zeros(1, 256).half()}), r"\[1,256\]"),
        ("fp16", lambda state: state["lm_head.weight"].fill_(torch.inf), "lm_head.weight: not finite"),
        ("w8a16", lambda state: state[f"{LAYER}mlp.fc.per_channel_scale"].fill_(torch.nan), "per_channel_scale: not"),
        ("w8a16", lambda state: state[f"{LAYER}mlp.fc.per_channel_scale"].neg_(), "per_channel_scale: below zero"),
        ("fp8", lambda state: state[f"{LAYER}mlp.fc.activation_scaling_factor"].neg_(), "factor: below zero"),
        ("fp8", lambda state: state.update({f"{LAYER}mlp.fc.weight": torch.zeros(512, 256)}), "torch.float32"),
    ],
)
def test_damaged_tensors_are_named(copied, name, change, said):
    with pytest.raises(BadInput, match=said):
        read(copied(name, tensors=change))


def test_inputs_that_calibration_saw_at_zero_alone_do_not_drown_the_others():
    """What they are divided by is one that FP16 holds one over: infinity would make every input NaN, which is 127."""
    dead = tiny()
    dead.model.layers[0].input_layernorm.weight.data[5] = 0
    quantized = quantize(dead, "int8_sq", ids(4, 16))
    assert error(quantized(ids(4, 16)), dead(ids(4, 16))) < 2 * MOST_NOISE["int8_sq"]


def test_weights_of_zeros_are_of_the_bits_they_were_quantized_to(tmp_path):
    empty = tiny()
    empty.model.layers[0].self_attn.q_proj.weight.data.zero_()
    quantized = quantize(empty, "w8a16")
    assert torch.equal(read(write(quantized, tmp_path / "out", "w8a16"))(ids()), quantized(ids()))


def test_what_is_quantized_is_not_quantized_again(made):
    """Its inputs are scaled, which the weights alone do not say."""
    for name in ("fp8", "w8a16", "fp16"):
        with pytest.raises(BadInput, match="layers that are quantized"):
            quantize(made("int8_sq")[0], name, ids(4, 16))


def test_what_cannot_be_written_is_refused_and_nothing_left(made, tmp_path):
    plain, out = tiny(), tmp_path / "out"
    for model, name, settings, said in (
        (plain, "awq", {}, "not quantized"),
        (made("fp8")[0], "int8_sq", {}, "another format"),
        (made("w8a16")[0], "w4a16", {}, "another format"),
        (plain, "fp16", {"tp": 3}, "num_key_value_heads 4"),
        (made("awq")[0], "awq", {"tp": 4}, "hidden_size 256"),
        (plain, "int3", {}, "one of fp16"),
        (plain, "fp16", {"dtype": "int8"}, "float16 or bfloat16"),
        (made("w8a16")[0], "w8a16", {"sm": 100}, "100"),
    ):
        with pytest.raises(BadInput, match=said):
            write(model, out, name, **settings)
    with pytest.raises(BadInput, match="token ids"):
        quantize(plain, "fp8")
    with pytest.raises(BadInput, match=r"65 tokens in a row(.|\n)*64 positions"):
        quantize(plain, "fp8", torch.zeros(1, 65, dtype=torch.int64))
    plain.model.norm.weight.data[0] = 1e5
    for make in (lambda: quantize(plain, "fp16"), lambda: write(plain, out, "fp16")):
        with pytest.raises(BadInput, match=r"(norm|ln_f)(.|\n)*65504"):
            make()
    assert list(tmp_path.iterdir()) == []


def test_ties_agree_and_other_tokens_do_not():
    expected, tied = torch.tensor([[2.0, 2.0, 0.0]]), torch.tensor([[1.9, 2.0, 0.0]])
    assert agreement(tied, expected) == 1 and agreement(torch.tensor([[2.0, 2.0, 2.1]]), expected) == 1
    assert agreement(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.9, 1.0, 0.0]])) == 1
    assert agreement(torch.tensor([[2.0, 1.9, 0.0]]), torch.tensor([[1.85, 2.05, 0.0]])) == 1
    assert isinstance(tiny(), Llama)
