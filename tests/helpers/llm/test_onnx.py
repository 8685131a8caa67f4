"""One graph for prefill and decode, in every flavor, against PyTorch; and what TensorRT-RTX builds of it."""

import errno
import json
import os

import numpy as np
import onnx
import pytest
import torch

from helpers import engine, graph
from helpers.errors import BadInput
from helpers.llm.generate import generate
from helpers.llm.onnx import FLAVORS, INPUTS, OnnxModel, export, flavor_for, greedy, profile, profiles
from helpers.llm.onnx.graph import ABOUT
from helpers.llm.pytorch import TorchModel, embeddings
from helpers.llm.tensorrt_llm import FORMATS, quantize
from tests.helpers.layers.test_llama import TINY, ids, tiny
from tests.helpers.llm import record_generation as record

MODEL = tiny()
WORDS = embeddings(MODEL)
RECORDED = json.loads(record.RECORD.read_text())


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Function of flavor and further arguments of `export` -> OnnxModel, each made once."""
    kept, folder = {}, tmp_path_factory.mktemp("onnx")

    def make(flavor, **options):
        key = f"{flavor} {options}"
        if key not in kept:
            words = WORDS if options.get("inputs") == "embeds" else None
            kept[key] = OnnxModel(export(MODEL, folder / f"{len(kept)}.onnx", flavor, **options), words)
        return kept[key]

    return make


@pytest.mark.parametrize("flavor", FLAVORS)
def test_fifty_prompts_go_on_as_in_transformers_token_for_token(opened, flavor):
    """Unequal prompts in one batch, which are filled up."""
    assert generate(opened(flavor), record.prompts(), record.TOKENS, {record.STOP}) == RECORDED["tokens"]


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_step_gives_the_logits_of_pytorch(opened, flavor, inputs):
    found, expected = opened(flavor, inputs=inputs), TorchModel(MODEL)
    rows = [ids(1, length, seed=length)[0].numpy() for length in (4, 9, 1)]
    np.testing.assert_allclose(found.prefill(rows), expected.prefill(rows), atol=1e-5)
    for step in range(4):
        np.testing.assert_allclose(found.decode([step, 5, 6]), expected.decode([step, 5, 6]), atol=1e-5)


@pytest.mark.parametrize("inputs", ["table", "embeds"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_of_the_table_are_what_was_spliced_in(opened, flavor, inputs):
    """Two prompts with their own pictures, against PyTorch with the embeddings put in by hand."""
    pictures = np.random.default_rng(3).standard_normal((5, TINY.hidden_size)).astype(np.float32) * 0.05
    first, second = ([1, 2, 96, 97, 98, 3], [4, 99, 100, 5, 6, 7])
    found = opened(flavor, inputs=inputs).prefill([first, second], pictures)
    with torch.no_grad():
        spliced = torch.from_numpy(np.concatenate([WORDS, pictures])[[first, second]])
        expected = MODEL(inputs_embeds=spliced)[:, -1].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(opened(flavor, inputs=inputs).prefill([first, second], pictures[::-1].copy()) - expected).max() > 1e-2


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_full_cache_is_refused_and_not_overwritten(opened, flavor):
    model = opened(flavor, capacity=6)
    model.prefill([[1, 2, 3, 4]])
    for token in (5, 6):
        model.decode([token])
    before = {name: value.numpy().copy() for name, value in model.cache.items()}
    assert {value.shape for value in before.values()} == {(1, 4, 6, 32)}
    with pytest.raises(BadInput, match=r"7 tokens\n.*at most 6"):
        model.decode([7])
    with pytest.raises(BadInput, match="7 tokens"):
        model.prefill([[1] * 7])
    assert all(np.array_equal(before[name], value.numpy()) for name, value in model.cache.items())


def test_the_graph_itself_refuses_to_write_past_its_end(opened):
    model = opened("scatter", capacity=6)
    model.prefill([[1, 2, 3]])
    model.lengths, model.capacity = np.array([6]), 7
    with pytest.raises(BadInput, match="TensorScatter node"):
        model.decode([1])
    model.capacity = 6


def test_a_static_cache_stays_in_its_buffers(opened):
    model = opened("scatter")
    model.prefill([[1, 2, 3]])
    addresses = {name: value.data_ptr() for name, value in model.cache.items()}
    model.decode([4])
    assert {name: value.data_ptr() for name, value in model.cache.items()} == addresses
    assert [bool(slot.any()) for slot in model.cache["past_key_values.0.key"].numpy()[0, 0]] == [True] * 4 + [
        False
    ] * 60
    assert not model.cache["past_key_values.1.value"].numpy()[0, 0, 4:].any()


@pytest.mark.parametrize(("name", "most"), [(name, 0.05 if name in ("fp8", "int8_sq") else 1e-5) for name in FORMATS])
def test_quantized_weights_stay_quantized_in_the_graph(tmp_path, name, most):
    """FP8 and INT8 SmoothQuant round activations too; a step changed by 1e-7 alone moves these logits by 1e-2."""
    model = quantize(MODEL, name, ids(4, 16))
    path = export(model, tmp_path / "q.onnx", "scatter")
    expected, prompt = TorchModel(model).prefill(ids(4, 16, seed=5)), ids(4, 16, seed=5)
    found = OnnxModel(path).prefill(prompt)
    assert np.abs(found - expected).max() <= most * np.abs(expected).max()
    assert np.abs(found - TorchModel(MODEL).prefill(prompt)).max() > 1e-3  # and it is quantized
    types = [t.data_type for t in graph.load(path).graph.initializer if t.name.endswith("q_proj.weight")]
    kinds = {"w4a16": "INT4", "awq": "INT4", "w8a16": "INT8", "int8_sq": "INT8", "fp8": "FLOAT8E4M3FN"}
    assert set(types) == {onnx.TensorProto.DataType.Value(kinds.get(name, "FLOAT"))}


@pytest.mark.parametrize("flavor", ["plugins", "matvec"])
@pytest.mark.parametrize("name", ["w8a16", "w4a16", "awq"])
def test_with_plugins_four_bits_are_words_for_a_token_and_plain_weights_for_a_prompt(tmp_path, flavor, name):
    model, prompt = quantize(MODEL, name, ids(4, 16)), ids(3, 8, seed=5)
    path, expected = export(model, tmp_path / "q.onnx", flavor), TorchModel(model).prefill(prompt)
    np.testing.assert_allclose(OnnxModel(path).prefill(prompt), expected, atol=1e-5)
    written = graph.load(path)
    words = [tensor.dims for tensor in written.graph.initializer if tensor.data_type == onnx.TensorProto.INT32]
    four = flavor == "matvec" and name != "w8a16"
    assert words == ([[512, 32], [256, 32], [1024, 32], [256, 64]] * 2 if four else [])
    assert {entry.version for entry in written.opset_import if not entry.domain} == {17}


@pytest.mark.parametrize("name", ["fp8", "int8_sq"])
def test_with_plugins_activations_stay_as_they_are(tmp_path, name):
    with pytest.raises(BadInput, match="eight bits"):
        export(quantize(MODEL, name, ids(4, 16)), tmp_path / "q.onnx", "plugins")


def test_a_layer_of_a_step_is_seven_plugins_and_nothing_else(opened):
    """So a decode step has few kernels: attention has two, each of the others one."""
    nodes = [node for node in graph.load(opened("matvec").path).graph.node if node.name.startswith("/model/layers.1/")]
    assert [node.op_type.removesuffix("TRT2") for node in nodes] == [
        "AddRmsNorm", "MatVec", "CachedAttention", "MatVec", "AddRmsNorm", "MatVec", "MatVec",
    ]  # fmt: skip


def test_a_prompt_of_one_flavor_is_gone_on_with_by_another(opened):
    """The cache has one layout in all flavors that write into it."""
    prompt, first, second = ids(2, 9).numpy(), opened("plugins"), opened("matvec")
    first.prefill(prompt)
    second.prefill(prompt[:, :1])
    second.cache, second.lengths = dict(first.cache), first.lengths
    np.testing.assert_allclose(second.decode([3, 4]), first.decode([3, 4]), atol=1e-5)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_half_precision_is_close(opened, flavor):
    model, prompt = opened(flavor, dtype="float16"), ids(4, 16)
    expected = TorchModel(MODEL).prefill(prompt)
    difference = np.abs(model.prefill(prompt) - expected).max() / np.abs(expected).max()
    assert 1e-5 < difference < 4e-3 and next(iter(model.cache.values())).numpy().dtype == np.float16


def test_tensorrt_rtx_parses_every_flavor(opened):
    layers = {
        flavor: engine.get_runtime("tensorrt_rtx").layers(opened(flavor, dtype="float16").path) for flavor in FLAVORS
    }
    kinds = {flavor: {layer["type"] for layer in found} for flavor, found in layers.items()}
    assert {"KV_CACHE_UPDATE", "ATTENTION_INPUT", "ROTARY_EMBEDDING"} <= kinds["scatter"]
    assert {"CONCATENATION", "ATTENTION_INPUT"} <= kinds["concat"] and "KV_CACHE_UPDATE" not in kinds["concat"]
    assert "SOFTMAX" in kinds["decomposed"] and "ATTENTION_INPUT" not in kinds["decomposed"]


def test_tensorrt_rtx_builds_what_is_picked_for_it(opened, tmp_path):
    version = engine.available()["tensorrt_rtx"].version
    model = opened(flavor_for("tensorrt_rtx", version, "float16"), dtype="float16")
    one, two = (shapes(graph.load(model.path), batch=2, tokens=16) for shapes in (profile, profiles))
    made = [engine.build(model.path, "tensorrt_rtx", tmp_path, compute_capability="8.9", shapes=x) for x in (one, two)]
    assert 1_000_000 < made[0].stat().st_size < made[1].stat().st_size
    (alone,), (decode, prefill) = (engine.inspect(path)["profiles"] for path in made)
    assert alone["input_ids"] == [[1, 1], [1, 1], [2, 16]]
    assert decode["input_ids"] == decode["position_ids"] == [[1, 1], [1, 1], [2, 1]]
    assert prefill["input_ids"] == prefill["position_ids"] == [[1, 2], [1, 16], [2, 16]]
    prompt = np.int64([1, 16]).tobytes()
    assert [path.read_bytes().count(prompt) for path in made] == [
        0,
        2,
    ]  # no GPU deserializes it here; the plan's bytes do
    assert alone.keys() == decode.keys() and decode["past_key_values.0.key"] == prefill["past_key_values.0.key"]


@pytest.mark.parametrize(
    ("runtime", "version", "dtype", "flavor"),
    [
        ("tensorrt", "8.6.0", "float16", "fixed"),
        ("tensorrt", "10.14.1", "float16", "fixed"),
        ("tensorrt", "10.15.0", "float16", "scatter"),
        ("tensorrt", "11.0", "float32", "fixed"),
        ("tensorrt_rtx", "1.7.1.116", "float16", "scatter"),
        ("tensorrt_rtx", "1.7.1.116", "float32", "decomposed"),
        ("onnxruntime", "1.31.1", "float32", "scatter"),
        ("onnxruntime", "1.16.3", "float32", "decomposed"),
    ],
)
def test_the_flavor_is_picked_for_the_runtime(runtime, version, dtype, flavor):
    assert flavor_for(runtime, version, dtype) == flavor


def test_profiles_reach_from_an_empty_cache_to_its_end(opened):
    model = opened("decomposed", inputs="table", capacity=32)
    shapes = profile(graph.load(model.path), batch=2, tokens=16, rows=8)
    assert shapes["past_key_values.1.value"] == [[1, 4, 0, 32], [1, 4, 15, 32], [2, 4, 31, 32]]
    assert shapes["attention_mask"] == [[1, 1], [1, 16], [2, 32]] and shapes["prompt_table"][2] == [8, 256]


def test_no_rows_and_no_tokens_are_no_sizes(opened, tmp_path):
    path = opened("fixed").path
    model = onnx.load(path)
    for call, said in (
        (lambda: profiles(model, 0, 8), "batch"),
        (lambda: profiles(model, 1, 8, rows=0), "rows"),
        (lambda: greedy(path, tmp_path / "greedy.onnx", tokens=0), "tokens"),
        (lambda: greedy(path, path), "also an input"),
    ):
        with pytest.raises(BadInput, match=said):
            call()
    assert not (tmp_path / "greedy.onnx").exists()


def test_a_prompt_of_one_token_is_no_prompt(opened):
    with pytest.raises(BadInput, match="tokens"):
        profiles(graph.load(opened("decomposed").path), batch=1, tokens=1)


def test_weights_that_are_too_large_for_one_file_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.llm.onnx.graph.LARGEST", (64 << 20) + 100_000)
    path = export(quantize(MODEL, "w4a16"), tmp_path / "big.onnx")
    assert sorted(os.listdir(tmp_path)) == ["big.onnx", "big.onnx.data"] and path.stat().st_size < 100_000
    prompt = ids(2, 8)
    expected = TorchModel(quantize(MODEL, "w4a16")).prefill(prompt)
    np.testing.assert_allclose(OnnxModel(path).prefill(prompt), expected, atol=1e-5)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(onnx, "save", no_space)
    with pytest.raises(BadInput, match=r"big\.onnx[\s\S]*the disk is full"):
        export(quantize(MODEL, "w4a16"), path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), "float32"), (1e5, "float16")])
def test_weights_that_the_type_cannot_hold_are_not_written(tmp_path, value, dtype):
    broken = tiny()
    broken.model.embed_tokens.weight.data[3, 3] = value
    with pytest.raises(BadInput, match=r"embed_tokens.weight\n.*not finite"):
        export(broken, tmp_path / "x.onnx", dtype=dtype)
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_exported_or_run_is_refused(opened, tmp_path):
    every = export(MODEL, tmp_path / "every.onnx", every=True)
    foreign = opened("scatter").path.with_name("foreign.onnx")
    other, changed = graph.load(opened("decomposed").path), opened("scatter").path.with_name("changed.onnx")
    about = {entry.key: entry.value for entry in other.metadata_props}[ABOUT]
    onnx.helper.set_model_props(other, {ABOUT: about.replace("decomposed", "static")})
    graph.save(other, changed)
    del other.metadata_props[:]
    graph.save(other, foreign)
    for call, said in (
        (lambda: export(MODEL, tmp_path / "x.onnx", "static"), "one of scatter, concat, decomposed"),
        (lambda: export(MODEL, tmp_path / "x.onnx", inputs="text"), "one of ids, embeds, table"),
        (lambda: export(MODEL, tmp_path / "x.onnx", dtype="bfloat16"), "float32 or float16"),
        (lambda: export(MODEL, tmp_path / "x.onnx", capacity=65), "1 to 64 tokens"),
        (lambda: flavor_for("tensorflow", "2"), "one of onnxruntime"),
        (lambda: OnnxModel(every), "logits of every token"),
        (lambda: OnnxModel(foreign), "a graph of python -m helpers llm export"),
        (lambda: OnnxModel(changed), "metadata {'flavor': 'static'"),
        (lambda: profile(other, 1, 1), "the model\n"),
        (lambda: OnnxModel(opened("scatter", inputs="embeds").path), "embeddings\n  found:    none"),
        (lambda: OnnxModel(opened("scatter", inputs="embeds").path, WORDS.astype(int)), "int64"),
        (lambda: OnnxModel(opened("scatter", inputs="embeds").path, WORDS * np.nan), "NaN"),
        (lambda: OnnxModel(opened("scatter").path, WORDS), "which takes ids"),
        (lambda: opened("scatter").prefill([[96]], np.zeros((1, 256), np.float32)), "at most 0"),
    ):
        with pytest.raises(BadInput, match=said):
            call()
    assert os.listdir(tmp_path) == ["every.onnx"]
