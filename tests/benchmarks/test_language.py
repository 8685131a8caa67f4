"""The stage `language`: graphs, engines on recorded APIs of TensorRT, times, the table and its records."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import report
from benchmarks.frames import save
from benchmarks.language import engines, pytorch, sizes, spoken, table, weights
from benchmarks.language.agreement import compared, same_until
from benchmarks.session import Session
from ci.results.language import language
from ci.results.recorded import Recorded
from helpers import records
from helpers.engine.tensorrt.graph import for_version, keep_half
from helpers.errors import BadInput
from helpers.graph import PLUGINS
from helpers.graph.file import parse
from helpers.graph.walk import attributes, shape_of
from helpers.llm.pytorch import TorchModel
from tests.fakes import tensorrt as fake_tensorrt

SIZE = sizes.SIZES["tiny"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """What the part with torch leaves, but for what needs transformers: the reference is our own network's."""
    work = tmp_path_factory.mktemp("work")
    session = Session(work, ["export"])
    pytorch.run(session, options(), "tiny")
    assert session.failed == []
    model, ids = TorchModel(weights.llama(SIZE).float()), sizes.prompt(SIZE)
    logits = [model.prefill([ids])[0]]
    for _ in range(sizes.STEPS):
        logits.append(model.decode([logits[-1].argmax()])[0])
    exact = np.stack(logits)
    kept = {"prompt": ids, "forced": exact.argmax(1)[:-1], "fp32": exact, "fp16": exact}
    save(sizes.folder(work, "tiny") / "reference_fp16.npz", kept)
    return work


def options(**changed):
    given = {"tiny": True, "only": None, "plugin": None, "runtime": "tensorrt", "level": None, "workspace": 512,
             "tactic_sources": []}  # fmt: skip
    return SimpleNamespace(**given | changed)


def of_language(metrics):
    return records.Record("language-tinyllama-tensorrt-fp16", "recorded", "NVIDIA H200, driver 1", {"python": "3"},
                          "x", "abc", "2026-11-29T00:00:00+00:00", metrics | {"finite": "True"})  # fmt: skip


def test_engines_are_built_checked_and_timed(work, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "COPIED", 1 << 20)
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as trt:
        session = Session(work)
        engines.run(session, options(), "tiny")
        assert session.failed == [] and [len(config._profiles) for _, config in trt._built] == [0, 0]
    checked = session.result("language/tiny/tensorrt/check/fp16")
    assert checked["finite"] and checked["decode_rel"] < 5e-3 and checked["queued_same_until"] == sizes.STEPS + 1
    ((name, metrics, _),) = report.steps(session.pieces())
    assert name == "language-tiny-tensorrt-fp16-profile" and metrics["sum_ms"] > 0 and metrics["type/MatMul_ms"] > 0
    (row,) = table.rows(session.pieces())
    size, runtime, name, metrics, entry = row
    assert (size, runtime, name) == ("tiny", "tensorrt", "fp16") and len(entry["artifacts"]) == 2
    assert metrics["tpot_ms_n"] == metrics["graph_tpot_ms_n"] == 2 * (SIZE.tokens - 1)
    read = metrics["bytes_read"] / metrics["copy_gb_s"] / 1e6
    assert metrics["floor_ms"] == pytest.approx(read) and metrics["tpot_over_floor"] > 0
    assert len(table.text(session.pieces())) == 3 and not list(table.records(session.pieces()))
    named = {key.replace("/tiny/", "/tinyllama/"): entry for key, entry in session.pieces().items()}
    assert [name for name, *_ in table.records(named)] == ["language-tinyllama-tensorrt-fp16"]
    assert language(Recorded(tmp_path)) == "Nothing is recorded yet."
    records.write(of_language(metrics), tmp_path)
    page = language(Recorded(tmp_path))
    assert "a prompt of 12 tokens" in page and page.count("H200") == 2 and "same as CUDA graphs" in page
    assert "token by token" not in page


def test_the_floor_is_that_of_any_exported_form_with_the_same_weights():
    times = {"compile": {kind: {"p50": 2.0, "n": 1} for kind in ("ttft", "tpot")}}
    timed = {"result": {"times": times, "rounds": 1, "copy_gb_s": 1e3}}
    pieces = {"language/tiny/pytorch/compile": timed}
    pieces["language/tiny/export/w4a16_plugins"] = {"result": {"bytes_read": 1}}
    ((*_, metrics, _),) = table.rows(pieces)
    assert "floor_ms" not in metrics
    pieces |= {
        "language/tiny/export/fp16": {"error": "x"},
        "language/tiny/export/fp16_plugins": {"result": {"bytes_read": 10**6}},
    }
    ((*_, metrics, _),) = table.rows(pieces)
    floor = (10**6 + table.cache_bytes(SIZE)) / 1e9
    assert metrics["floor_ms"] == pytest.approx(floor) and metrics["tpot_over_floor"] == pytest.approx(2 / floor)


def test_steps_are_timed_before_there_is_an_engine_for_the_prompt(work, monkeypatch, tmp_path):
    monkeypatch.setattr(engines, "COPIED", 1 << 20)
    shutil.copytree(work / "language", tmp_path / "language")
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        session = Session(tmp_path, ["decode$", "check", "steps"])
        engines.run(session, options(level=1), "tiny")
        assert session.failed == []
        checked = session.result("language/tiny/tensorrt/check/fp16")
        assert checked["decode_rel"] < 5e-3 and checked["queued_same_until"] == sizes.STEPS + 1
        ((_, _, name, metrics, entry),) = table.rows(session.pieces())
        assert name == "fp16" and len(entry["artifacts"]) == metrics["decode_builder_level"] == 1
        assert metrics["tpot_ms_n"] == 2 * (SIZE.tokens - 1) and not {"ttft_ms_p50", "frame_ms_p50"} & metrics.keys()
        assert len(table.text(session.pieces())) == 3
        records.write(of_language(metrics), tmp_path / "records")
        page = language(Recorded(tmp_path / "records"))
        assert "token by token" in page and "nan" not in page
        engines.run(Session(tmp_path), options(), "tiny")
        ((*_, metrics, entry),) = table.rows(Session(tmp_path).pieces())
        assert "ttft_ms_p50" in metrics and len(entry["artifacts"]) == 2 and "prefill_builder_level" not in metrics


def test_steps_alone_take_the_prompt_in_once_queued_and_once_as_a_graph(work, monkeypatch):
    monkeypatch.setattr(engines, "COPIED", 1 << 20)
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as trt:
        made = engines.Engines(Session(work), options(), "tiny")
        built = {"decode": made.build("fp16", "decode")["engine"]}
        trt._driver.log.clear()
        found = made.steps("fp16", built)["times"]
        steps, rounds = SIZE.tokens - 1, 2
        before = 2 * (SIZE.prompt + 3) + 1  # a graph's first run comes before it is captured
        assert trt._driver.log.count("execute") == before + 2 * rounds * 3 * steps
    assert {kind: timing["n"] for kind, timing in found["fp16_graph"].items()} == {
        "tpot": rounds * steps,
        "gpu_step": rounds * steps,
    }


def test_layers_of_a_step_need_no_engine_for_the_prompt(work, monkeypatch):
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        made = engines.Engines(Session(work), options(), "tiny")
        engine = made.build("fp16", "decode")["engine"]
        assert made.layers("fp16", {"decode": engine, "prefill": "none"})["ms"] > 0


def test_a_form_that_does_not_load_leaves_the_others_their_times(work, monkeypatch):
    monkeypatch.setattr(engines, "COPIED", 1 << 20)
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        made = engines.Engines(Session(work), options(), "tiny")
        built = {part: made.build("fp16", part)["engine"] for part in sizes.PARTS}
        found = made.time({"fp16_plugins": built | {"prefill": "none"}, "fp16": built})
        assert list(found["times"]) == ["fp16", "fp16_graph"] and "BadInput" in found["failed"]["fp16_plugins"]
        with pytest.raises(BadInput, match="none"):
            made.time({"fp16": built | {"prefill": "none"}})


def test_what_leaves_the_builder_least_to_choose_is_built_first():
    order = sizes.order(options(plugin="x.so"))
    assert [part for _, part in order] == ["decode"] * 3 + ["prefill"] * 3
    assert [form for form, _ in order] == ["fp16_plugins", "w4a16_plugins", "fp16"] * 2


@pytest.mark.parametrize("form", ["fp16_plugins", "w4a16_plugins"])
def test_graphs_are_of_fixed_sizes(tmp_path, form):
    made = pytorch.Torch(Session(tmp_path), options(plugin="library.so"), "tiny")
    decode, prefill = (parse(made.folder / name) for name in made.export(form)["graphs"].values())
    ids = [shape_of(model.graph.input[0]) for model in (decode, prefill)]
    assert ids == [(1, 1), (1, SIZE.prompt)]
    free = [size for model in (decode, prefill) for value in model.graph.input for size in shape_of(value) if not size]
    assert not free
    rewritten = for_version(decode, "8.6.0", plugins=True)
    assert {"MatVecTRT2", "CachedAttentionTRT2"} <= {node.op_type for node in rewritten.graph.node}
    plugins = [node for node in keep_half(rewritten).graph.node if node.op_type in PLUGINS]
    assert all(attributes(node).get("half") for node in plugins), "no builder keeps a weight in FP32"


def test_exporting_cures_what_the_engines_do_not_find(tmp_path, monkeypatch):
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        session = Session(tmp_path, ["build"])
        engines.run(session, options(), "tiny")
        assert session.failed == [f"language/tiny/tensorrt/build/fp16/{part}" for part in sizes.PARTS]
        told = session.pieces()[session.failed[0]]["error"]
        (pattern,) = re.findall(r"python -m benchmarks language --only (\S+),", told)
        pytorch.run(Session(tmp_path, [pattern]), options(), "tiny")
        again = Session(tmp_path, ["build"], retry=True)
        engines.run(again, options(), "tiny")
        assert again.failed == [] and again.result("language/tiny/tensorrt/build/fp16/decode")


def test_bytes_of_a_step_are_those_of_the_weights_without_the_embeddings():
    full, four = weights.llama(SIZE), weights.llama(SIZE, "w4a16")
    model = SIZE.model
    assert weights.bytes_read(full) == 2 * sum(
        tensor.numel() for name, tensor in full.named_parameters() if "embed" not in name
    )
    head = 2 * model["vocab_size"] * model["hidden_size"]
    linear = weights.bytes_read(full) - head
    assert 0.25 < (weights.bytes_read(four) - head) / linear < 0.28
    assert weights.state(four).keys() == weights.state(full).keys()
    assert table.cache_bytes(SIZE) == 2 * 2 * 2 * (2 * 64) * (12 + 5)


def test_logits_that_are_off_are_told():
    exact = np.random.default_rng(0).standard_normal((9, 50))
    wrong = exact.copy()
    wrong[4] = -exact[4]
    found = compared(wrong, exact)
    assert found["prefill_rel"] == 0 and found["decode_rel"] > 1 and found["same_token"] == 8
    wrong[0, 0] = np.nan
    assert compared(wrong, exact) == {"finite": False}
    tokens = exact.argmax(1).tolist()
    assert same_until([*tokens, 3], exact) == 9 and same_until([*tokens[:4], -1, *tokens[5:]], exact) == 4


def test_a_size_is_asked_for_by_name():
    assert sizes.asked(options(tiny=False)) == ["tinyllama"]
    assert sizes.asked(options(tiny=False, only=["language/llama2/build"])) == ["llama2"]
    assert list(sizes.forms(options())) == ["fp16"] and len(sizes.forms(options(plugin="x.so"))) == 3


class Counting(spoken.Spoken):
    """Takes 4 ms for a prompt and 1 for a step, by its own clock; counts the prompts that it took in."""

    def __init__(self):
        self.now, self.tokens, self.prompts = 0, 0, 0

    def begin(self, prompt):
        self.now, self.tokens, self.prompts = self.now + 4, 1, self.prompts + 1

    def advance(self):
        self.now, self.tokens = self.now + 1, self.tokens + 1

    def chosen(self):
        return list(range(self.tokens))

    def mark(self):
        return self.now

    def between(self, earlier, later):
        return later - earlier


def test_times_of_the_device_are_between_marks():
    found = spoken.measure({"a": Counting(), "b": Counting()}, [1], 5, 3)["b"]
    assert found["gpu_prefill"]["mean"] == 4 and found["gpu_step"]["mean"] == 1
    assert [found[kind]["n"] for kind in ("ttft", "tpot", "frame", "gpu_step")] == [3, 12, 3, 12]
    assert json.dumps(found)


class Rewinding(Counting):
    """Need not take in a prompt again."""

    def rewind(self, prompt):
        self.tokens = 1


def test_steps_alone_are_timed_behind_a_prompt_that_is_taken_in_once():
    speakers = {"a": Counting(), "b": Rewinding()}
    found = spoken.measure(speakers, [1], 5, 3, alone=True)
    for times in found.values():
        assert {kind: times[kind]["n"] for kind in times} == {"tpot": 12, "gpu_step": 12}
        assert times["gpu_step"]["mean"] == 1
    assert [one.prompts for one in speakers.values()] == [1 + 3 * 3, 1]
    assert speakers["b"].now == 4 + 3 + 3 * 3 * 4  # one prompt, three steps before, and in each turn thrice four
