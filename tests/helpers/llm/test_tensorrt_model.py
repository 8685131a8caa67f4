"""A language model on recorded APIs of TensorRT: its cache stays on the device, and a step is one CUDA graph."""

import numpy as np
import pytest

from helpers import engine
from helpers.engine.tensorrt import messages
from helpers.errors import BadInput
from helpers.graph.file import parse
from helpers.llm.generate import generate
from helpers.llm.onnx import OnnxModel, export, greedy, profiles
from helpers.llm.pytorch import TorchModel
from helpers.llm.tensorrt import TensorRtModel
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt
from tests.helpers.layers.test_llama import tiny

MODEL, PROMPT, CAPACITY, TOKENS = tiny(), [5, 3, 8, 1, 9], 16, 9


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = export(MODEL, tmp_path_factory.mktemp("fixed") / "fixed.onnx", "fixed", capacity=CAPACITY)
    return greedy(path, path.with_name("greedy.onnx"))


@pytest.fixture(params=["8.6.0", "10.13.0"])
def built(graph, tmp_path, monkeypatch, request):
    with fake_cuda.installed(monkeypatch) as driver:
        fake_tensorrt.install(monkeypatch, request.param, driver)
        shapes = profiles(parse(graph, weights=False), 1, 8)
        yield engine.build(graph, "tensorrt", tmp_path, shapes=shapes), driver
    messages.logger.cache_clear()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_tokens_are_those_of_pytorch(built, cuda_graph):
    path, driver = built
    (expected,) = generate(TorchModel(MODEL), [PROMPT], TOKENS)
    before = len(driver.memory)
    model = TensorRtModel(path, cuda_graph=cuda_graph)
    for _ in range(2):  # the second time over a cache that is full of the first
        model.begin(PROMPT)
        driver.log.clear()
        for _ in range(TOKENS - 1):
            model.advance()
        assert not any(name.startswith("cuStreamSynchronize") for name in driver.log[len(PROMPT) :])
        assert model.latest() == expected[-1] and model.chosen() == expected
    assert [generate(model, [PROMPT], TOKENS)[0], model.lengths[0]] == [expected, len(PROMPT) + TOKENS - 1]
    model.close()
    model.close()
    assert len(driver.memory) == before + 1  # the engine's own, which the stand-in keeps


def test_logits_are_those_of_pytorch(built):
    model, expected = TensorRtModel(built[0]), TorchModel(MODEL)
    np.testing.assert_allclose(model.prefill([PROMPT]), expected.prefill([PROMPT]), atol=1e-5)
    for token in (4, 7):
        np.testing.assert_allclose(model.decode([token]), expected.decode([token]), atol=1e-5)
    np.testing.assert_allclose(model.prefill([[6]]), expected.prefill([[6]]), atol=1e-5)
    model.close()


def test_another_engine_may_take_the_prompt(built, graph, tmp_path):
    """As where decoding has kernels of its own, for one token alone."""
    one = greedy(graph.with_name("fixed.onnx"), graph.with_name("one.onnx"), tokens=1)
    decode = engine.build(one, "tensorrt", tmp_path)
    prefill = engine.build(graph, "tensorrt", tmp_path, shapes=profiles(parse(graph, weights=False), 1, 8)[1])
    model = TensorRtModel(decode, prefill)
    assert generate(model, [PROMPT], TOKENS) == generate(TorchModel(MODEL), [PROMPT], TOKENS)
    model.close()


@pytest.mark.parametrize("built", ["8.6.0"], indirect=True)
def test_steps_take_the_prompt_where_no_engine_does(built, graph, tmp_path):
    one = greedy(graph.with_name("fixed.onnx"), graph.with_name("one.onnx"), tokens=1)
    path, expected = engine.build(one, "tensorrt", tmp_path), TorchModel(MODEL)
    model = TensorRtModel(path)
    for prompt in (PROMPT, [6], PROMPT[::-1]):
        np.testing.assert_allclose(model.prefill([prompt]), expected.prefill([prompt]), atol=1e-5)
    for _ in range(2):
        model.begin(PROMPT)
        for _ in range(TOKENS - 1):
            model.advance()
        assert [model.chosen()] == generate(expected, [PROMPT], TOKENS)
    with pytest.raises(BadInput, match="17 tokens"):
        model.begin([1] * 17)
    model.close()


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("built", ["8.6.0"], indirect=True)
def test_after_rewinding_all_is_as_behind_the_prompt(built, graph, tmp_path, alone, cuda_graph):
    path, driver = built
    if alone:
        one = greedy(graph.with_name("fixed.onnx"), graph.with_name("one.onnx"), tokens=1)
        path = engine.build(one, "tensorrt", tmp_path)
    model = TensorRtModel(path, cuda_graph=cuda_graph)
    with pytest.raises(BadInput, match="no prompt that was begun"):
        model.rewind()
    model.begin(PROMPT)
    logits = [model.decode([token]) for token in (4, 7)]
    model.begin(PROMPT)
    for _ in range(TOKENS - 1):
        model.advance()
    expected = model.chosen()
    for token in (2, 9):  # other ones than those that were chosen
        model.decode([token])
    driver.log.clear()
    for _ in range(2):  # the second time behind what is still queued
        model.rewind()
        for _ in range(TOKENS - 1):
            model.advance()
    assert "synchronize" not in driver.log and model.chosen() == expected
    assert driver.log.count("execute") == 2 * (TOKENS - 1) and model.lengths[0] == len(PROMPT) + TOKENS - 1
    model.rewind()
    for token, found in zip((4, 7), logits, strict=True):
        np.testing.assert_array_equal(model.decode([token]), found)
    model.prefill([PROMPT])
    with pytest.raises(BadInput, match="no prompt that was begun"):
        model.rewind()
    model.close()


@pytest.mark.parametrize("built", ["8.6.0"], indirect=True)
def test_an_engine_of_one_length_takes_no_other(built, graph, tmp_path):
    sides = [greedy(graph.with_name("fixed.onnx"), graph.with_name(f"{n}.onnx"), tokens=n) for n in (1, len(PROMPT))]
    model = TensorRtModel(*(engine.build(one, "tensorrt", tmp_path) for one in sides))
    assert generate(model, [PROMPT], TOKENS) == generate(TorchModel(MODEL), [PROMPT], TOKENS)
    for wrong, expected in ((PROMPT[:-1], "at least 5"), ([*PROMPT, 2], "at most 5")):
        with pytest.raises(BadInput, match=f"{len(wrong)} tokens\n.*{expected}"):
            model.begin(wrong)
    model.close()


def test_slots_behind_the_new_tokens_are_left(graph):
    model = OnnxModel(graph.with_name("fixed.onnx"))
    model.prefill([PROMPT])
    model.decode([2])
    for value in model.cache.values():
        assert value.numpy()[:, :, : len(PROMPT) + 1].all() and not value.numpy()[:, :, len(PROMPT) + 1 :].any()


def test_what_does_not_fit_is_refused(built, graph, tmp_path):
    model = TensorRtModel(built[0])
    with pytest.raises(BadInput, match=r"9 tokens\n.*at most 8"):
        model.begin([1] * 9)
    with pytest.raises(BadInput, match="2 rows"):
        model.prefill([[1], [2]])
    model.begin([1] * 8)
    with pytest.raises(BadInput, match=r"17 tokens\n.*at most 16"):
        for _ in range(9):
            model.advance()
    grows = export(MODEL, tmp_path / "grows.onnx", "decomposed", capacity=CAPACITY)
    grows = greedy(grows, tmp_path / "greedy.onnx")
    path = engine.build(grows, "tensorrt", tmp_path, shapes=profiles(parse(grows, weights=False), 1, 8))
    with pytest.raises(BadInput, match="write_indices"):
        TensorRtModel(path)
    with pytest.raises(BadInput, match=r"logits \[batch"):
        greedy(export(MODEL, tmp_path / "every.onnx", every=True), tmp_path / "no.onnx")


@pytest.mark.parametrize("built", ["8.6.0"], indirect=True)
def test_what_is_refused_leaves_the_cache_as_it_was(built):
    model, expected = TensorRtModel(built[0]), TorchModel(MODEL)
    model.prefill([PROMPT])
    for prompts in ([[1] * 9], [[1], [2]], [[]], [["a"]], [[96]]):
        with pytest.raises(BadInput):
            model.prefill(prompts)
    expected.prefill([PROMPT])
    np.testing.assert_allclose(model.decode([4]), expected.decode([4]), atol=1e-5)
    model.begin(PROMPT)
    for prompt in ([1] * 9, [], "ab", [[1, 2], [3, 4]], [[1], [2, 3]], None):
        with pytest.raises(BadInput):
            model.begin(prompt)
    for _ in range(TOKENS - 1):
        model.advance()
    assert [model.chosen()] == generate(expected, [PROMPT], TOKENS)
    model.close()


@pytest.mark.parametrize("built", ["8.6.0"], indirect=True)
def test_nothing_goes_on_before_a_prompt_or_after_the_end(built):
    model = TensorRtModel(built[0])
    for closed in (False, True):
        for call in (model.advance, model.rewind, model.latest, model.profile):
            with pytest.raises(BadInput, match="call begin first"):
                call()
        assert model.chosen() == []
        if not closed:
            model.begin(PROMPT)
            model.close()
    for call in (lambda: model.begin(PROMPT), lambda: model.prefill([PROMPT])):
        with pytest.raises(BadInput, match="one that was closed"):
            call()
