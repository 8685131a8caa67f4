"""`python -m helpers engine`."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from helpers import __main__ as cli
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
    assert meta["options"] == {"shapes": [{"x": [[1, 2], [2, 2], [8, 2]]}], "optimization_level": 1, "workspace": 64.0}
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
    assert run("engine", "build", *arguments, *shapes, "--computeCapability=1.0") == 2
    assert run("engine", "build", *arguments, *shapes, f"--saveEngine={tmp_path}") == 2
    assert "building" not in capsys.readouterr().err
    for said in (True, False):  # built, then found in the cache
        assert run("engine", "build", *arguments, *shapes) == 0
        assert ("building" in capsys.readouterr().err) == said


def test_bad_option_exits_2(capsys):
    for arguments in (
        ["engine", "build"],
        ["engine", "fly"],
        ["engine", "build", "--onnx=a", "--minShapes=x:1xtwo"],
        ["engine", "build", "--onnx=a", "--builderOptimizationLevel=99"],
    ):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "argument",
    ["--warmUp=inf", "--warmUp=nan", "--duration=inf", "--duration=-1", "--iterations=0", "--percentile=200",
     "--seed=-1", "--shapes=x:-2x2", "--shapes=x", "--shapes=x:2x2,x:3x2", "--threads=0"],
)  # fmt: skip
def test_numbers_that_no_measurement_can_use(tmp_path, double, capsys, argument):
    with pytest.raises(SystemExit) as stop:
        run("engine", "bench", f"--onnx={double}", f"--cache={tmp_path / 'cache'}", argument)
    assert stop.value.code == 2 and argument.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("shapes", "named"),
    [("y:2x2", "['x']"), ("x:2x3", "[n, 2]"), ("x:2", "[n, 2]"), ("x:100000000000x2", "4 GiB")],
)
def test_shapes_that_fit_no_input(tmp_path, double, capsys, shapes, named):
    arguments = f"--onnx={double}", f"--cache={tmp_path / 'cache'}", f"--shapes={shapes}"
    assert run("engine", "run", *arguments) == 2 and named in capsys.readouterr().err


def test_shapes_hold_for_the_arrays_of_a_file_too(tmp_path, double, capsys):
    np.savez(tmp_path / "in.npz", x=np.ones((3, 2), np.float32))
    arguments = f"--onnx={double}", f"--cache={tmp_path / 'cache'}", f"--loadInputs={tmp_path / 'in.npz'}"
    assert run("engine", "run", *arguments, "--shapes=x:3x2") == 0
    assert run("engine", "run", *arguments, "--shapes=x:4x2") == 2 and "[4, 2]" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["--saveEngine", "--saveOutputs", "--exportTimes"])
@pytest.mark.parametrize("taken", ["double.onnx", "in.npz", "sub/../double.onnx", "link.onnx"])
def test_an_output_over_an_input_is_refused_before_any_work(tmp_path, double, capsys, output, taken):
    np.savez(tmp_path / "in.npz", x=np.ones((3, 2), np.float32))
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.onnx").symlink_to(double)
    command = "bench" if output == "--exportTimes" else "run"
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    arguments = f"--onnx={double}", f"--cache={tmp_path / 'cache'}", f"--loadInputs={tmp_path / 'in.npz'}"
    assert run("engine", command, *arguments, f"{output}={tmp_path / taken}") == 2
    assert "also an input" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_outputs_and_external_weights_are_kept_apart(tmp_path, double, capsys):
    model, taken = onnx.load(double), tmp_path / "weights.bin"
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "w"))
    onnx.save(model, tmp_path / "large.onnx", save_as_external_data=True, location=taken.name, size_threshold=0)
    before = taken.read_bytes()
    for option in ("--saveOutputs", "--saveEngine"):
        arguments = f"--onnx={tmp_path / 'large.onnx'}", f"--cache={tmp_path / 'cache'}", "--shapes=x:1x2"
        assert run("engine", "run", *arguments, f"{option}={taken}") == 2
        assert "also an input" in capsys.readouterr().err
    assert taken.read_bytes() == before


def test_outputs_and_the_metadata_of_engines_are_kept_apart_too(tmp_path, double, capsys):
    engine = tmp_path / "mine.onnx"
    assert run("engine", "build", f"--onnx={double}", f"--cache={tmp_path / 'cache'}", f"--saveEngine={engine}") == 0
    before = (tmp_path / "mine.onnx.json").read_bytes()
    other = tmp_path / "a"
    for arguments in (
        (f"--loadEngine={engine}", f"--exportTimes={engine}.json"),
        (f"--onnx={double}", f"--exportTimes={other}", f"--saveEngine={other}"),
    ):
        assert run("engine", "bench", f"--cache={tmp_path / 'cache'}", "--shapes=x:1x2", *arguments) == 2
        assert "also an input" in capsys.readouterr().err
    assert (tmp_path / "mine.onnx.json").read_bytes() == before and not other.exists()


def test_layers_are_refused_where_the_runtime_does_not_tell_them(tmp_path, double, capsys):
    engine = tmp_path / "mine.onnx"
    cache = f"--cache={tmp_path / 'cache'}"
    assert run("engine", "build", f"--onnx={double}", cache, "--dumpLayerInfo") == 2
    assert run("engine", "build", f"--onnx={double}", cache, f"--saveEngine={engine}") == 0
    assert run("engine", "inspect", f"--loadEngine={engine}", "--dumpLayerInfo") == 2
    assert capsys.readouterr().err.count("['--dumpLayerInfo']") == 2


# ------------------------------------------------------------------------------------- engine, TensorRT's own options


@pytest.fixture
def trt(monkeypatch):
    """TensorRT 8.6's recorded API with a stand-in for the driver."""
    with fake_tensorrt.installed(monkeypatch, "8.6.0") as module:
        yield module


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
    for option in ("--useCudaGraph", "--dumpLayerInfo"):
        assert run("engine", "bench", *arguments, option) == 2
        assert option in capsys.readouterr().err


def test_engine_bench_of_onnx_runtime_tells_the_time_of_every_kernel(tmp_path, double, capsys):
    arguments = f"--onnx={double}", f"--cache={tmp_path / 'cache'}", "--shapes=x:4x2", "--iterations=1", "--warmUp=0"
    profile = tmp_path / "profile.json"
    assert run("engine", "bench", *arguments, "--dumpProfile", f"--exportProfile={profile}") == 0
    (row,) = json.loads(profile.read_text())
    assert row["layer"] == "double" and row["share"] == pytest.approx(1)
    assert "100.0%  Add" in capsys.readouterr().out
