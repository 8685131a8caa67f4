"""The GridSample stage: groups of cases as branches of one graph, each judged by itself, on ONNX Runtime and a recorded
TensorRT API."""

import json

import numpy as np
import onnx
import pytest

from benchmarks import __main__ as measure_gpu
from benchmarks import gridsample, report
from benchmarks.session import Session
from tests.fakes import tensorrt as fake_tensorrt


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "gridsample"
    gridsample.prepare(folder)
    return folder


@pytest.fixture
def work(tmp_path, prepared):
    """A work folder with a copy of what `prepare` writes."""
    (tmp_path / "gridsample").mkdir()
    for path in prepared.iterdir():
        (tmp_path / "gridsample" / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(params=["8.6.0", "10.13.0"])
def trt(request, monkeypatch):
    with fake_tensorrt.installed(monkeypatch, request.param) as module:
        yield module


def call(work, *more):
    return measure_gpu.main(["gridsample", f"--work={work}", "--commit=0123abc", *more])


def verdicts(work, form, group, precision="fp32"):
    found = Session(work).result(f"gridsample/{form}/{group}")
    return {name: ways[f"{form}_{precision}"]["verdict"] for name, ways in found.items()}


def sampler(model, branch):
    return next(node for node in model.graph.node if node.name.startswith(f"{branch}/GridSample"))


def test_groups_hold_every_case_once_and_no_tensor_is_shared():
    found = gridsample.groups()
    assert sorted(name for group in found.values() for name in group) == sorted(gridsample.cases())
    assert len(gridsample.cases()) == 27 and len(found) == 7
    for group in found.values():
        assert len({(case["opset"], case["padding"] == "border") for case in group.values()}) == 1
        model = gridsample.graph(group)
        onnx.checker.check_model(model)
        for node in model.graph.node:
            branch = node.name.partition("/")[0]
            assert all(tensor.startswith(f"{branch}.") for tensor in (*node.input, *node.output))


def test_reference_is_what_the_name_of_the_case_says(prepared):
    torch = pytest.importorskip("torch")
    checked = 0
    for key, group in gridsample.groups().items():
        with np.load(prepared / f"{key}.npz") as stored:
            arrays = dict(stored)
        for name, case in group.items():
            assert np.abs(arrays[f"{name}.grid"]).max() == pytest.approx(case["reach"], rel=0.02), name
            if case["form"] == "plain":
                image, grid = (torch.from_numpy(arrays[f"{name}.{key}"]) for key in gridsample.INPUTS)
                mode = {"linear": "bilinear"}.get(case["mode"], case["mode"])
                out = torch.nn.functional.grid_sample(image, grid, mode, case["padding"], bool(case["align"]))
                wrong = np.abs(out.numpy() - arrays[f"{name}.out"]) > 1e-3  # nearest: a tie may go either way
                assert wrong.mean() < 1e-3, name
                checked += 1
    assert checked == 24


def test_only_the_branch_in_another_mode_is_called_wrong(work, capsys):
    assert call(work, "--runtime=onnxruntime", "--only", "/wide", "/opset20") == 0
    assert set(verdicts(work, "native", "opset20").values()) == {"agrees"}
    path = work / "gridsample" / "opset20.onnx"
    planted = onnx.load(path)
    attribute = next(one for one in sampler(planted, "wide-opset20").attribute if one.name == "mode")
    assert attribute.s == b"linear"
    attribute.s = b"nearest"
    onnx.save(planted, path)
    for form in gridsample.FORMS:
        Session(work).path(f"gridsample/{form}/opset20").unlink()
    assert call(work, "--runtime=onnxruntime", "--only", "/opset20") == 0
    for precision in gridsample.LIMITS:
        found = verdicts(work, "native", "opset20", precision)
        assert found == {"row-opset20": "agrees", "wide-opset20": "wrong"}
    ((name, metrics, entry),) = report.gridsample(Session(work).pieces())
    assert name == "gridsample-tensorrt" and entry["commit"] == "0123abc"
    assert {"opset20.onnx"} < set(entry["artifacts"])
    assert metrics["cases"] == 6 and metrics["native_fp32_agrees"] == 5 and metrics["native_fp32_refused"] == 0
    assert metrics["native_fp32_wrong_cases"] == "wide-opset20" and metrics["native_fp16_wrong"] == 1
    assert metrics["wide-opset20/native_fp32"] > 0.1 > 1e-3 > metrics["row-opset20/rewrite_fp16"]


def test_cases_of_one_branch_are_judged_by_their_own_inputs(work):
    path = work / "gridsample" / "square.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["square-far.out"] = arrays["square-far.out"] + 1
    np.savez(path, **arrays)
    assert call(work, "--runtime=onnxruntime", "--only", "native/square") == 0
    found = verdicts(work, "native", "square")
    assert len(found) == 7 and [name for name, value in found.items() if value != "agrees"] == ["square-far"]


def test_tensorrt_builds_a_group_once_for_each_form_and_precision(trt, work):
    arguments = ["--tacticSources=none", "--builderOptimizationLevel=1", "--only", "/square", "/wide", "/border"]
    assert call(work, *arguments) == 0
    for _, config in trt._built:
        assert config.builder_optimization_level == 1 and config._tactics == 0 and "TF32" not in config._names()
    assert sum("FP16" in config._names() for _, config in trt._built) == 6
    samplers = [sum(node.op_type == "GridSample" for node in network._model.graph.node) for network, _ in trt._built]
    # native square, border, wide and border-opset20, then square and wide: a border is refused before it is built
    assert samplers == [7, 7, 9, 9, 4, 4, 1, 1, 0, 0, 0, 0]
    for form, group in (("native", "square"), ("native", "border"), ("rewrite", "square"), ("rewrite", "wide")):
        assert set(verdicts(work, form, group).values()) == {"agrees"}, (form, group)
    found = Session(work).result("gridsample/rewrite/border")
    assert len(found) == 9
    for ways in found.values():
        assert ways["rewrite_fp16"]["verdict"] == "refused" and "zeros padding" in ways["rewrite_fp16"]["reason"]


def test_a_refused_group_is_refused_for_all_its_cases_and_no_others(trt, work, monkeypatch):
    parse = trt.OnnxParser.parse

    def strict(self, data, path=None):
        for index, node in enumerate(onnx.load_from_string(bytes(data)).graph.node):
            if any(one.s == b"linear" for one in node.attribute):
                self._errors.append(trt.ParserError(index, "mode linear is unknown"))
        return parse(self, data, path)

    monkeypatch.setattr(trt.OnnxParser, "parse", strict)
    assert call(work, "--only", "/wide", "/opset20") == 0
    native = "refused" if trt.__version__.startswith("10") else "agrees"  # 8.6 gets opset 17's "bilinear"
    for precision in gridsample.LIMITS:
        assert verdicts(work, "native", "opset20", precision) == {"row-opset20": native, "wide-opset20": native}
    for form, group in (("rewrite", "opset20"), ("native", "wide"), ("rewrite", "wide")):
        assert set(verdicts(work, form, group).values()) == {"agrees"}
    ((_, metrics, _),) = report.gridsample(Session(work).pieces())
    assert metrics["native_fp32_refused"] == 2 * (native == "refused") and metrics["rewrite_fp16_refused"] == 0
    if native == "refused":
        entry = json.loads(Session(work).path("gridsample/native/opset20").read_text())
        assert "mode linear is unknown" in entry["result"]["row-opset20"]["native_fp16"]["reason"]
        assert metrics["row-opset20/native_fp16"] == "refused"
