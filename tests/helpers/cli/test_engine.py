"""`python -m helpers engine`."""

import argparse
import json

import numpy as np
import pytest
from onnx import helper

from helpers import __main__ as cli
from helpers.cli import engine_options
from helpers.errors import BadInput
from tests.builders.graphs import save
from tests.fakes import tensorrt as fake_tensorrt


@pytest.fixture
def double(tmp_path):
    """An ONNX file with y = x + x, x [n, 2] float32."""
    add = helper.make_node("Add", ["x", "x"], ["y"], "double")
    return save(tmp_path / "double.onnx", [add], {"x": ["n", 2]}, {"y": ["n", 2]})


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_engine_run_reads_and_writes_arrays(tmp_path, double, capsys):
    x = np.float32([[1, 2], [3, 4], [5, 6]])
    np.savez(tmp_path / "in.npz", x=x)
    files = f"--loadInputs={tmp_path / 'in.npz'}", f"--saveOutputs={tmp_path / 'out.npz'}"
    assert run("engine", "run", f"--onnx={double}", f"--cache={tmp_path / 'cache'}", *files) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["y"], 2 * x)
    assert "y  float32 [3, 2]  min 2  mean 7  max 12" in capsys.readouterr().out


def test_engine_noise_needs_shapes_and_follows_the_seed(tmp_path, double, capsys):
    where = f"--cache={tmp_path / 'cache'}"
    assert run("engine", "run", f"--onnx={double}", where) == 2
    assert "--shapes=x:" in capsys.readouterr().err
    seen = []
    for seed in (0, 0, 1):
        assert run("engine", "run", f"--onnx={double}", where, "--shapes=x:4x2", f"--seed={seed}") == 0
        seen.append(capsys.readouterr().out)
    assert seen[0] == seen[1] != seen[2] and "[4, 2]" in seen[0]


def test_engine_bench_times_what_was_asked(tmp_path, double, capsys):
    arguments = "--shapes=x:4x2", "--iterations=7", "--warmUp=1", f"--cache={tmp_path / 'cache'}", "--threads=1"
    assert run("engine", "bench", f"--onnx={double}", *arguments) == 0
    out = capsys.readouterr().out
    assert "(n = 7)" in out and "1 threads" in out


def test_engine_build_and_inspect_tensorrt_rtx(tmp_path, double, capsys):
    saved = tmp_path / "out" / "double.engine"
    shapes = "--minShapes=x:1x2", "--optShapes=x:2x2", "--maxShapes=x:8x2", "--memPoolSize=workspace:64"
    options = (
        f"--cache={tmp_path / 'cache'}",
        "--runtime=tensorrt_rtx",
        "--computeCapability=8.6,12.0",
        f"--saveEngine={saved}",
    )
    assert run("engine", "build", f"--onnx={double}", *options, *shapes, "--builderOptimizationLevel=1") == 0
    assert "1 layers: 1 ELEMENTWISE" in capsys.readouterr().out
    assert run("engine", "inspect", f"--loadEngine={saved}") == 0
    meta = json.loads(capsys.readouterr().out)
    assert meta["compute_capabilities"] == ["8.6", "12.0"]
    assert meta["options"] == {"shapes": {"x": [[1, 2], [2, 2], [8, 2]]}, "optimization_level": 1, "workspace": 64.0}
    assert run("engine", "inspect", f"--loadEngine={saved}", "--dumpLayerInfo") == 0
    assert "ELEMENTWISE          FLOAT  -1x2 -1x2 -> -1x2  double" in capsys.readouterr().out
    assert run("engine", "run", f"--loadEngine={saved}") == 2
    assert "8.6, 12.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--memPoolSize=tactic:5", "--runtime=tensorrt_rtx"], "--memPoolSize"),
        (["--minShapes=x:1x2", "--runtime=tensorrt_rtx"], "input 'x'"),
        (["--computeCapability=8.6"], "options of tensorrt_rtx"),
        (["--threads=2", "--runtime=tensorrt_rtx"], "options of onnxruntime"),
    ],
)
def test_engine_options_that_do_not_fit(double, arguments, named, capsys):
    assert run("engine", "build", f"--onnx={double}", *arguments) == 2
    assert named in capsys.readouterr().err


def test_engine_wants_one_file_and_arrays_it_can_read(tmp_path, double, capsys):
    assert run("engine", "run") == 2
    assert run("engine", "run", f"--onnx={double}", f"--loadEngine={double}") == 2
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object))
    capsys.readouterr()
    assert run("engine", "run", f"--loadEngine={double}", f"--loadInputs={tmp_path / 'pickled.npz'}") == 2
    assert "pickled.npz" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["/proc/nope/e.engine", "folder", "file/e.engine"])
@pytest.mark.parametrize("option", ["--saveEngine", "--cache"])
def test_engine_build_names_where_it_cannot_write(tmp_path, double, capsys, monkeypatch, option, where):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    if option == "--cache" and where == "folder":  # a cache is a folder
        where = "file"
    before = sorted(tmp_path.iterdir())
    assert run("engine", "build", f"--onnx={double}", f"{option}={where}") == 2
    assert where in (error := capsys.readouterr().err) and "found: " in error and "fix: " in error
    assert sorted(tmp_path.iterdir()) == before


def test_engine_build_says_that_it_builds_only_when_it_does(tmp_path, double, capsys):
    arguments = f"--onnx={double}", "--runtime=tensorrt_rtx", f"--cache={tmp_path / 'cache'}"
    shapes = "--minShapes=x:1x2", "--optShapes=x:2x2", "--maxShapes=x:8x2"
    assert run("engine", "build", *arguments, *shapes, "--builderOptimizationLevel=99") == 2
    assert run("engine", "build", *arguments, *shapes, "--computeCapability=1.0") == 2
    assert run("engine", "build", *arguments, *shapes, f"--saveEngine={tmp_path}") == 2
    assert "building" not in capsys.readouterr().err
    for said in (True, False):  # built, then found in the cache
        assert run("engine", "build", *arguments, *shapes) == 0
        assert ("building" in capsys.readouterr().err) == said


def test_bad_option_exits_2(capsys):
    for arguments in (["engine", "build"], ["engine", "fly"], ["engine", "build", "--onnx=a", "--minShapes=x:1xtwo"]):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


# ------------------------------------------------------------------------------------- engine, TensorRT's own options


@pytest.fixture
def trt(monkeypatch):
    """TensorRT 8.6's recorded API with a stand-in for the driver."""
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as module:
        yield module


def parsed(*arguments):
    """Options for `engine.build` from the command line of the runtime tensorrt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime", default="tensorrt")
    engine_options.add_build(parser)
    engine_options.add_plugins(parser)
    return engine_options.build_options(parser.parse_args(arguments))


@pytest.mark.parametrize(
    "arguments, options",
    [
        ([], {"precision": "fp32"}),
        (["--fp16"], {"precision": "fp16"}),
        (["--fp16", "--int8"], {"precision": "best"}),
        (["--best", "--noTF32"], {"precision": "best", "tf32": False}),
        (["--int8"], {"precision": "explicit"}),
        (["--int8", "--calib=c.npz"], {"precision": "int8-implicit", "calibration": "c.npz"}),
        (["--stronglyTyped"], {"precision": "strong"}),
        (
            ["--fp16", "--precisionConstraints=obey", "--layerPrecisions=/a:b/*:fp32,c:fp16"],
            {"precision": "fp16", "layer_precisions": {"/a:b/*": "fp32", "c": "fp16"}},
        ),
        (["--memPoolSize=workspace:64", "--timingCacheFile=t"], {"workspace": 64.0, "timing_cache": "t"}),
        (["--staticPlugins=a.so", "--dynamicPlugins=b.so"], {"plugins": ["a.so", "b.so"]}),
        (
            ["--versionCompatible", "--hardwareCompatibilityLevel=ampere+"],
            {"version_compatible": True, "hardware_compatible": "AMPERE_PLUS"},
        ),
        (["--markOutputs=a,b", "--decompose=GridSample"], {"mark_outputs": ["a", "b"], "decompose": ["GridSample"]}),
        (["--tacticSources=+CUDNN"], {"tactic_sources": ["CUDNN"]}),
        (
            ["--tacticSources=-CUBLAS,-CUBLAS_LT,-CUDNN"],
            {"tactic_sources": ["EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"]},
        ),
        (
            ["--minShapes=x:1x2", "--optShapes=x:2x2", "--maxShapes=x:8x2"],
            {"shapes": {"x": ((1, 2), (2, 2), (8, 2))}},
        ),
    ],
)
def test_tensorrt_options(trt, arguments, options):
    assert parsed(*arguments) == {"precision": "fp32"} | options


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--runtime=onnxruntime", "--fp16"], "options of tensorrt: ['--fp16']"),
        (["--runtime=tensorrt_rtx", "--noTF32"], "options of tensorrt: ['--noTF32']"),
        (["--runtime=onnxruntime", "--plugins=a.so"], "options of tensorrt: ['--plugins']"),
        (["--computeCapability=8.6"], "options of tensorrt_rtx: ['--computeCapability']"),
        (["--layerPrecisions=a:fp32"], "--precisionConstraints=obey"),
        (["--precisionConstraints=prefer"], "--precisionConstraints"),
        (["--stronglyTyped", "--fp16"], "--stronglyTyped"),
        (["--tacticSources=CUBLAS"], "--tacticSources"),
        (["--tacticSources=-NONE"], "'NONE'"),
        (["--memPoolSize=tactic:1"], "workspace:MiB"),
    ],
)
def test_tensorrt_options_that_do_not_fit(trt, arguments, named):
    with pytest.raises(BadInput) as refusal:
        parsed(*arguments)
    assert named in str(refusal.value)


def test_engine_bench_of_tensorrt_tells_gpu_host_and_enqueue(trt, tmp_path, double, capsys):
    shapes = [f"--{name}Shapes=x:{size}x2" for name, size in (("min", 1), ("opt", 2), ("max", 8))]
    saved, times, profile = (tmp_path / name for name in ("d.engine", "times.json", "profile.json"))
    arguments = "--runtime=tensorrt", f"--cache={tmp_path / 'cache'}", f"--saveEngine={saved}", "--fp16"
    assert run("engine", "build", f"--onnx={double}", *arguments, *shapes, "--skipInference", "--dumpLayerInfo") == 0
    assert "tensorrt 8.6.0" in (out := capsys.readouterr().out) and out.splitlines()[0].endswith("  double")
    exports = f"--exportTimes={times}", f"--exportProfile={profile}", "--dumpProfile", "--dumpLayerInfo"
    assert run("engine", "bench", f"--loadEngine={saved}", "--shapes=x:2x2", "--iterations=7", "--warmUp=1",
               "--percentile=75,99.5", "--useCudaGraph", *exports) == 0  # fmt: skip
    out = capsys.readouterr().out
    for kind in ("GPU compute", "host", "enqueue"):
        line = next(line for line in out.splitlines() if line.startswith(kind))
        assert all(mark in line for mark in ("median", "p75 ", "p99.5 ", "(n = 7)"))
    assert "CUDA graph" in out and "engine_file" in out and "100.0%" in out
    assert {kind: len(samples) for kind, samples in json.loads(times.read_text()).items()} == {
        "gpu": 7, "host": 7, "enqueue": 7}  # fmt: skip
    assert json.loads(profile.read_text())[0]["layer"] == "double"


def test_engine_bench_goes_on_for_the_duration(tmp_path, double, capsys):
    arguments = "--shapes=x:4x2", "--iterations=2", "--warmUp=1", "--duration=0.2", f"--cache={tmp_path / 'cache'}"
    assert run("engine", "bench", f"--onnx={double}", *arguments, f"--exportTimes={tmp_path / 't.json'}") == 0
    samples = json.loads((tmp_path / "t.json").read_text())["host"]
    assert len(samples) > 2 and "GPU compute" not in capsys.readouterr().out


def test_engine_options_of_another_runtime_are_refused_when_loading(tmp_path, double, capsys):
    arguments = f"--onnx={double}", f"--cache={tmp_path / 'cache'}", "--shapes=x:4x2"
    for option in ("--useCudaGraph", "--dumpProfile", "--dumpLayerInfo"):
        assert run("engine", "bench", *arguments, option) == 2
        assert option in capsys.readouterr().err
