"""`python -m helpers samples` and `python -m helpers create_engine`."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from onnx import helper

from helpers import __main__ as cli
from helpers import engine, models
from helpers.calibration import samples
from helpers.cli import create_engine
from helpers.engine import cache
from helpers.systems import base
from tests.builders.graphs import save
from tests.fakes import tensorrt as fake_tensorrt


@dataclass(frozen=True, kw_only=True)
class Config(base.Config):
    """y = x + x of n rows; n is free."""

    fp32 = ("dou*",)

    def input_shapes(self):
        return {"x": (4, 2)}

    def output_shapes(self):
        return {"y": (4, 2)}

    def free_axes(self):
        return {"x": {0: base.Free("rows", 1, 8)}}


CONFIG = Config(name="rows", image_scale=1, image_size=(1, 1), image_mean=(0, 0, 0), image_std=(1, 1, 1))


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Arguments for the graph of `CONFIG`, samples of 3 and 5 rows, and a file for a library."""
    monkeypatch.setattr(models, "config", lambda system, name=None: CONFIG)
    save(tmp_path / "double.onnx", [helper.make_node("Add", ["x", "x"], ["y"], "double")], {"x": ["rows", 2]},
         {"y": ["rows", 2]})  # fmt: skip
    for rows in (3, 5):
        (tmp_path / f"samples/{rows}").mkdir(parents=True)
        (tmp_path / f"samples/{rows}/x.dat").write_bytes(np.zeros((rows, 2), np.float32).tobytes())
    (tmp_path / "plugins.so").write_bytes(b"Plugin Twice")
    return {"onnx_path": tmp_path / "double.onnx", "samples": tmp_path / "samples",
            "trt_plugin_path": tmp_path / "plugins.so", "cache": tmp_path / "cache"}  # fmt: skip


def create(given, *more, **changes):
    return cli.main(["create_engine", "toy", *(f"--{name}={at}" for name, at in (given | changes).items()), *more])


@pytest.mark.parametrize("version, flags", [("8.6.0", ["--fp16"]), ("10.13.0", ["--fp16"]), ("11.1.0", [])])
def test_the_engine_has_the_profile_of_the_samples(given, tmp_path, monkeypatch, capsys, version, flags):
    with fake_tensorrt.installed(monkeypatch, version) as trt:
        monkeypatch.setattr("helpers.ops.library.open_globally", lambda path: None)
        assert create(given, *flags, trt_engine_path=tmp_path / "made.engine") == 0
        config = trt._built[0][1]
    assert capsys.readouterr().out.splitlines()[0].split() == ["x", "min", "1x2", "opt", "5x2", "max", "8x2"]
    meta = cache.read_meta(tmp_path / "made.engine")
    assert meta["options"]["shapes"] == [{"x": [[1, 2], [5, 2], [8, 2]]}]
    assert meta["options"]["precision"] == ("fp16" if flags else "fp32")
    assert meta["options"]["layer_precisions"] == ({"dou*": "fp32"} if flags else {})
    assert [entry["file"] for entry in meta["options"]["plugins"]] == ["plugins.so"]
    assert ("FP16" in config._names()) == bool(flags)


def test_how_it_is_built_can_be_told(given, tmp_path, monkeypatch):
    seen = {}
    with fake_tensorrt.installed(monkeypatch, "8.6.0"):
        monkeypatch.setattr(create_engine, "built", lambda arguments, options, announce: seen.update(options))
        told = ("--tacticSources=-CUBLAS,-CUDNN", "--builderOptimizationLevel=1", "--memPoolSize=workspace:64")
        assert create(given, *told, f"--timingCacheFile={tmp_path / 'timing.cache'}") == 0
    assert "CUBLAS_LT" in seen["tactic_sources"] and not {"CUBLAS", "CUDNN"} & set(seen["tactic_sources"])
    told = seen["optimization_level"], seen["workspace"], seen["timing_cache"]
    assert told == (1, 64, tmp_path / "timing.cache") and seen["precision"] == "fp32"


def test_the_engine_lies_beside_the_graph_unless_told_otherwise(given, tmp_path, monkeypatch, capsys):
    with fake_tensorrt.installed(monkeypatch, "10.13.0"):
        assert create(given) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "double.engine")
    assert json.loads((tmp_path / "double.engine.json").read_text())["runtime"] == "tensorrt"


@pytest.mark.parametrize("flags, precision", [([], "explicit"), (["--fp16"], "best")])
def test_a_graph_with_quantized_nodes_gets_int8(given, tmp_path, monkeypatch, flags, precision):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
    ]
    save(tmp_path / "double.onnx", nodes, {"x": ["rows", 2]}, {"y": ["rows", 2]}, {"scale": np.float32(0.1)})
    seen = []
    monkeypatch.setattr(engine, "available", lambda: {"tensorrt": engine.Availability("10.13.0")})
    monkeypatch.setattr(create_engine, "built", lambda arguments, options, starting: seen.append(options))
    assert create(given, *flags) == 0
    assert [options["precision"] for options in seen] == [precision]


def test_a_path_without_a_name_is_told(given, capsys):
    assert create(given, onnx_path="/") == 2
    assert capsys.readouterr().err.startswith("error: /\n  found:    a folder")


def test_without_tensorrt_it_says_what_brings_it(given, tmp_path, monkeypatch, capsys):
    absent = engine.Availability(None, "not installed (No module named 'tensorrt')")
    monkeypatch.setattr(engine, "available", lambda: {"tensorrt": absent})
    assert create(given) == 2
    error = capsys.readouterr().err
    assert "not installed" in error and "fix:      make gpu TIER=trt10" in error
    assert not (tmp_path / "double.engine").exists()


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"trt_plugin_path": "nowhere.so"}, "nowhere.so"),
        ({"samples": "nowhere"}, "nowhere"),
        ({"onnx_path": "nowhere.onnx"}, "nowhere.onnx"),
        ({"trt_engine_path": "samples/3/x.dat"}, "the output is also an input"),
        ({"trt_engine_path": "plugins.so"}, "the output is also an input"),
        ({"trt_engine_path": "double.onnx"}, "the output is also an input"),
    ],
)
def test_what_cannot_be_is_refused_before_tensorrt_is_asked_for(given, monkeypatch, tmp_path, changes, named, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert create(given, **changes) == 2
    error = capsys.readouterr().err
    assert named in error and "fix:" in error and "make gpu" not in error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_graph_of_another_configuration_is_refused(given, tmp_path, capsys):
    node = helper.make_node("Add", ["x", "x"], ["y"], "double")
    save(tmp_path / "double.onnx", [node], {"x": [4, 2]}, {"y": [4, 2]})
    assert create(given) == 2
    assert "a graph for [4, 2]" in (error := capsys.readouterr().err) and "--config" in error
    save(tmp_path / "double.onnx", [helper.make_node("Add", ["z", "z"], ["y"])], {"z": [4, 2]}, {"y": [4, 2]})
    assert create(given) == 2
    assert "differ in ['x', 'z']" in capsys.readouterr().err


def test_a_library_must_be_named(given, capsys):
    del given["trt_plugin_path"]
    with pytest.raises(SystemExit) as ended:
        create(given)
    assert ended.value.code == 2 and "--trt_plugin_path" in capsys.readouterr().err


def test_samples_writes_frames_of_a_dataset(minidrive, tmp_path, capsys):
    out = tmp_path / "samples"
    words = ["samples", "fbocc", "--config=mini", f"--dataroot={minidrive}", "--count=2", f"--out={out}"]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(out.iterdir())) == 2
    size = (out / lines[0].split()[0] / "ranks_bev.dat").stat().st_size // 4
    assert f"  points {size}  intervals " in lines[0]
    assert cli.main(words) == 2
    assert "not empty" in capsys.readouterr().err


def test_more_samples_than_there_are_frames_are_refused_before_one_is_made(minidrive, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(samples, "dump", lambda *given, **named: pytest.fail("made"))
    words = ["samples", "fbocc", "--config=mini", f"--dataroot={minidrive}", "--count=9", f"--out={tmp_path / 'out'}"]
    assert cli.main(words) == 2
    assert "8 frames" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
