"""The measuring script: its pieces, and every stage on a toy network with ONNX Runtime and recorded TensorRT APIs."""

import contextlib
import dataclasses
import errno
import json
import pickle
import shlex
import shutil
import sys
import time
import types

import numpy as np
import pytest

from benchmarks import __main__ as measure_gpu
from benchmarks import comparison, divergence, engines, evaluate, frames, gridsample, measured, report, rows
from benchmarks.session import Session, gpu_state, provenance
from benchmarks.systems import SYSTEMS
from helpers import benchmark, records
from helpers.dataset import open_dataset
from helpers.dataset.layout import MARKER
from helpers.errors import BadInput
from helpers.systems.bevformer.config import CONFIGS
from helpers.systems.bevformer.inputs import geometry
from tests.builders.bevformer import ring_of_cameras
from tests.builders.measured import SYSTEM, call, result, toy
from tests.builders.waiting import HANG

# ------------------------------------------------------------------------------------------------------------ pieces


def test_a_finished_piece_is_not_repeated(tmp_path):
    calls = []
    for _ in range(2):
        assert Session(tmp_path).piece("a/b", lambda: calls.append(1) or {"x": 1}) == {"x": 1}
    assert len(calls) == 1
    assert Session(tmp_path).piece("a/b", lambda: {"x": 2}, depends=["other"]) == {"x": 2}


def test_a_failure_is_kept_as_text_and_repeated_when_asked(tmp_path):
    session = Session(tmp_path)
    assert session.piece("a", lambda: 1 / 0) is None and session.failed == ["a"]
    entry = json.loads(session.path("a").read_text())
    assert entry["error"].startswith("ZeroDivisionError") and "result" not in entry
    again = Session(tmp_path)
    assert again.piece("a", lambda: {"x": 1}) is None and again.failed == ["a"]
    assert Session(tmp_path, retry=True).piece("a", lambda: {"x": 1}) == {"x": 1}


def test_a_piece_whose_own_process_ended_is_no_failure_and_repeated_when_asked(tmp_path):
    told = {"ended": "by SIGSEGV"}
    for given, retry, expected in ((told, False, told), ({"x": 1}, False, told), ({"x": 1}, True, {"x": 1})):
        session = Session(tmp_path, retry=retry)
        assert session.piece("a", lambda given=given: given) == expected and not session.failed


def test_a_full_disk_is_no_failure_of_a_piece(tmp_path):
    def writes():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Session(tmp_path).piece("a", writes)
    assert Session(tmp_path).piece("a", lambda: {"x": 1}) == {"x": 1}


def test_budget_leaves_what_does_not_fit_and_takes_what_does(tmp_path):
    session = Session(tmp_path, budget=1000)
    assert session.piece("long", lambda: {}, seconds=2000) is None and session.left == ["long"]
    assert session.piece("short", lambda: {"x": 1}, seconds=5) == {"x": 1}
    assert not session.path("long").exists()


def test_a_piece_is_kept_where_another_process_works_on_it_too(tmp_path):
    session = Session(tmp_path)

    def make():
        session.path("a/b").with_suffix(".started").unlink()  # the other one is done
        return {"x": 1}

    assert session.piece("a/b", make) == {"x": 1} and session.failed == []


def test_a_piece_that_ended_the_process_is_not_tried_again_unasked(tmp_path):
    class Killed(BaseException):
        pass

    def dies():
        raise Killed

    with pytest.raises(Killed):
        Session(tmp_path).piece("a", dies)
    session = Session(tmp_path)
    assert session.piece("a", lambda: {"x": 1}) is None and session.failed == ["a"]
    assert "ended" in session.pieces()["a"]["error"]
    assert Session(tmp_path, retry=True).piece("a", lambda: {"x": 1}) == {"x": 1}
    with pytest.raises(KeyboardInterrupt):
        Session(tmp_path).piece("b", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert Session(tmp_path).piece("b", lambda: {"x": 1}) == {"x": 1}


def test_gpu_state_does_without_what_nvidia_smi_does_not_know(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *reasons*) echo "Field is not a valid field to query."; exit 2;; esac\n'
        'echo "NVIDIA H200, 580.159, 1980, 3201, 1980, 30, 76.5"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_state()["clocks.sm"] == "1980"
    assert provenance(gpu_state())["device"] == "NVIDIA H200, driver 580.159"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_state() is None and provenance(None)["device"] is None


@pytest.mark.parametrize(("shown", "asked"), [(None, "0"), ("1", "1"), ("3,1", "3"), ("", "0")])
def test_gpu_state_is_that_of_the_gpu_that_cuda_is_shown(tmp_path, monkeypatch, shown, asked):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\nfor given; do case $given in --id=*) echo "${given#--id=}, 0, 0, 0, 0, 0, 0, 0"; esac; done\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if shown is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert gpu_state()["name"] == asked


def test_only_takes_names_with_the_pattern(tmp_path):
    session = Session(tmp_path, only=["build/fp*"])
    assert session.piece("tensorrt/mini/build/fp16", lambda: {"x": 1}) == {"x": 1}
    assert session.piece("tensorrt/mini/build/qdq", lambda: {"x": 1}) is None and not session.left
    session = Session(tmp_path, only=["mini/ends$"])
    assert session.wants("prepare/mini/ends") and not session.wants("prepare/mini/ends_qdq")


# ------------------------------------------------------------------------------------------------------------ stages


def test_history_goes_from_frame_to_frame_and_ends_with_the_scene(work):
    with np.load(work / "outputs" / "mini" / "onnxruntime-fp32.npz") as arrays:
        sums = arrays["outputs_classes"][:, 0, 0, 0, 0]
    np.testing.assert_allclose(sums, [8, 16, 24, 32] * 2)


def test_onnxruntime_stands_in(work, minidrive, capsys):
    Session(work).piece("prepare/mini/preprocess", lambda: {"ms_p50": 1000.0})
    for stage in ("tensorrt", "evaluate", "records"):
        assert call(stage, work, minidrive, "--runtime=onnxruntime") == 0
    out = capsys.readouterr().out
    assert "onnxruntime fp32" in out and "onnxruntime qdq" in out
    found = {record.name: record for record in records.read_all(work / "records")}
    assert set(found) == {"bevformer-inputs-mini-onnxruntime-fp32", "bevformer-inputs-mini-onnxruntime-qdq"}
    assert all(record.artifacts for record in found.values())
    fp32 = found["bevformer-inputs-mini-onnxruntime-fp32"]
    assert fp32.kind == "measured" and fp32.device == records.cpu()
    assert (
        fp32.metrics["speedup_over_fp32"] == 1 and fp32.metrics["host_ms_n"] == 4 and "gpu_ms_p50" not in fp32.metrics
    )
    assert fp32.metrics["end_to_end_ms"] == 1000 + fp32.metrics["host_ms_p50"]
    assert fp32.metrics["outputs_classes_rel"] == 0 and fp32.metrics["frames"] == 8 and fp32.metrics["mAP"] == 0
    assert fp32.metrics["finite"] == "True" and fp32.command.startswith("python -m benchmarks tensorrt")


def test_tensorrt_engines(trt, work, minidrive, capsys):
    options = ("--tacticSources=none", "--projection=published")
    made = [name for name in rows.ENGINES if name != "smallest"]  # no search was made for this system
    assert call("tensorrt", work, minidrive, *options, "--commit=0123abc") == 0
    assert [network.num_layers > 0 for network, _ in trt._built] == [True] * len(made)
    flags = {name: set(result(work, f"tensorrt/mini/build/{name}")["flags"]) for name in made}
    assert flags["fp32"] == flags["tf32"] == set() and "FP16" in flags["fp16_all"]
    for name in ("fp16", "best", "qdq"):
        assert "OBEY_PRECISION_CONSTRAINTS" in flags[name] and "FP16" in flags[name]
        assert ("INT8" in flags[name]) == (name != "fp16")
        assert result(work, f"tensorrt/mini/build/{name}")["constrained_layers"] == 2  # projection and sampling
    assert "INT8" in flags["qdq_tf32"] and "FP16" not in flags["qdq_tf32"]
    assert result(work, "tensorrt/mini/build/fp16_all")["constrained_layers"] == 0
    assert len(trt._batches) == 2  # the implicit engine alone is calibrated, on both samples

    timed = result(work, "tensorrt/mini/time")
    names = {name + graph for name in made if name != rows.CONTROL for graph in ("", "_graph")}
    assert set(timed["gpu"]) == set(timed["host"]) == set(timed["enqueue"]) == names
    assert all(timing["n"] == 4 for timing in timed["gpu"].values()) and timed["frames"] == 4
    assert result(work, "tensorrt/mini/stream/fp32")["outputs_classes_rel"] == 0
    profile = result(work, "tensorrt/mini/profile/fp32")
    assert profile["ms"] == pytest.approx(sum(profile["ms_by_type"].values()))
    assert profile["top"][0]["ms"] == max(row["ms"] for row in profile["top"])
    whole = json.loads((work / profile["file"]).read_text())
    assert len(whole["profile"]) == profile["layers"]

    built = len(trt._built)
    assert call("tensorrt", work, minidrive, *options) == 0 and len(trt._built) == built
    for stage in ("evaluate", "records"):
        assert call(stage, work, minidrive, "--projection=published") == 0
    found = {record.name: record for record in records.read_all(work / "records")}
    assert "bevformer-mini-tensorrt-fp16-all" in found and "bevformer-mini-tensorrt-qdq-profile" in found
    assert all(record.artifacts for record in found.values())
    assert found["bevformer-mini-tensorrt-qdq"].metrics["graph_gpu_ms_n"] == 4
    assert found["bevformer-mini-tensorrt-qdq"].commit == "0123abc"  # of the measurement, not of its table
    assert "6.020" in capsys.readouterr().out  # the published figure beside ours


def test_a_new_engine_makes_the_timing_anew(trt, work, minidrive):
    assert call("tensorrt", work, minidrive, "--only", "build/fp32", "mini/time") == 0
    assert set(result(work, "tensorrt/mini/time")["gpu"]) == {"fp32", "fp32_graph"}
    assert call("tensorrt", work, minidrive, "--only", "build/tf32", "mini/time") == 0
    assert set(result(work, "tensorrt/mini/time")["gpu"]) == {"fp32", "fp32_graph", "tf32", "tf32_graph"}


def test_engines_that_are_left_put_the_timing_off(trt, work, minidrive):
    assert call("tensorrt", work, minidrive, "--only", "build/fp32") == 0
    assert call("tensorrt", work, minidrive, "--budget=70") == 3  # a build is expected to take longer
    assert result(work, "tensorrt/mini/time") is None and len(trt._built) == 1
    assert call("tensorrt", work, minidrive) == 0 and result(work, "tensorrt/mini/time")


@pytest.fixture
def sizes(work, minidrive):
    """A function that runs the stage `tensorrt` for three sizes of the published network."""
    (work / "frames" / "mini").rename(work / "frames" / "published")
    for name in ("base", "batch_2", "image_736x1280"):
        toy(work / "models" / "variants" / f"{name}.onnx")

    def run(*only):
        arguments = ["tensorrt", f"--work={work}", f"--data={minidrive}", "--shapes", "published", "--only", *only]
        return measure_gpu.main([str(argument) for argument in arguments])

    return run


TIME_SIZES = ("scale/b[!u]", "scale/image")  # and none of scale/build


def test_sizes_are_measured_on_noise_with_a_scaled_calibration(trt, work, sizes):
    assert sizes("scale/") == 0
    found = result(work, "tensorrt/scale/base")
    assert found["gpu"]["n"] == 100 and "level 0" in found["settings"]
    assert [config.builder_optimization_level for _, config in trt._built] == [0, 0, 0]
    ((_, metrics, entry),) = report.scaling(Session(work).pieces(), SYSTEM.name)
    assert len(entry["artifacts"]) == 3
    assert metrics["base_gpu_ms_p50"] == found["gpu"]["p50"] and metrics["base_activations_mib"] >= 0
    assert {key.rsplit("_gpu", 1)[0] for key in metrics if key.endswith("p50")} == {"base", "batch_2", "image_736x1280"}


def test_sizes_are_built_apart_and_timed_together(trt, work, sizes, capsys):
    for count, name in enumerate(("base", "batch", "image"), 1):
        assert sizes(f"scale/build/{name}") == 0 and len(trt._built) == count
    assert "scale" not in "".join(path.name for path in (work / "pieces/tensorrt").glob("*.json"))
    assert [path.name for path in (work / "pieces/tensorrt/scale").iterdir()] == ["build"]
    assert not (work / "timing.cache").exists()  # processes beside each other would overwrite it
    assert "skipped" not in capsys.readouterr().out
    assert sizes(*TIME_SIZES) == 0 and len(trt._built) == 3
    assert len(list((work / "pieces/tensorrt/scale").glob("*.json"))) == 3


def test_a_size_without_its_engine_is_not_timed(trt, work, sizes, capsys):
    assert sizes("scale/build/base") == 0
    trt._refuse = "out of luck"
    assert sizes("scale/build/batch") == 1
    trt._refuse = ""
    capsys.readouterr()
    assert sizes(*TIME_SIZES) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "skipped" in line]
    assert [line.split(":")[0] for line in lines] == ["tensorrt/scale/batch_2", "tensorrt/scale/image_736x1280"]
    timed = sorted(name for name in Session(work).pieces() if "scale" in name and "build" not in name)
    assert timed == ["tensorrt/scale/base"]


def test_all_sizes_are_built_before_one_is_timed(trt, work, sizes, capsys):
    assert sizes("scale/") == 0
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("tensorrt/scale")]
    assert ["build" in line for line in lines] == [True] * 3 + [False] * 3


def test_sizes_of_other_settings_are_not_put_side_by_side(tmp_path):
    session, timing = Session(tmp_path), {"gpu": {"p50": 1.0, "p99": 2.0}}
    for name, settings in (("base", "level 1"), ("batch_2", "level 0")):
        session.piece(f"tensorrt/scale/{name}", lambda s=settings: timing | {"settings": s})
    pieces = session.pieces()
    pieces["tensorrt/scale/base"]["date"] = "2026-01-31T12:00:00+00:00"
    ((_, metrics, _),) = report.scaling(pieces, SYSTEM.name)
    assert metrics == {"settings": "level 0", "batch_2_gpu_ms_p50": 1.0, "batch_2_gpu_ms_p99": 2.0}


def test_an_engine_that_does_not_build_leaves_the_others(trt, work, minidrive, capsys):
    trt._refuse = "out of luck"
    assert call("tensorrt", work, minidrive, "--only", "build/qdq") == 1
    trt._refuse = ""
    assert call("tensorrt", work, minidrive) == 1
    assert "tensorrt/mini/build/qdq: failed before, --retry repeats it" in capsys.readouterr().out
    assert "qdq" not in result(work, "tensorrt/mini/time")["gpu"]
    call("records", work, minidrive)
    assert "out of luck" in capsys.readouterr().out


def test_an_engine_that_does_not_run_leaves_the_times_of_the_others(trt, work, minidrive, monkeypatch, capsys):
    def tried(shape, path, options, whole=engines.Shape.tried):
        if "tf32" not in str(path) and options.get("cuda_graph"):
            raise RuntimeError("not to be captured")
        return whole(shape, path, options)

    monkeypatch.setattr(engines.Shape, "tried", tried)
    only = ("--only", "build/fp32", "build/tf32", "mini/time")
    assert call("tensorrt", work, minidrive, *only) == 0
    timed = result(work, "tensorrt/mini/time")
    assert set(timed["gpu"]) == {"fp32", "tf32"} and set(timed["refused"]) == {"fp32_graph", "tf32_graph"}
    call("records", work, minidrive)
    assert "tensorrt/mini/time/fp32_graph: RuntimeError: not to be captured" in capsys.readouterr().out


def test_the_record_of_an_engine_tells_what_its_builder_was_told(trt, work, minidrive):
    built = ("--only", "build/fp32", "--builderOptimizationLevel=2", "--tacticSources=none")
    assert call("tensorrt", work, minidrive, *built) == 0
    assert call("tensorrt", work, minidrive, "--only", "mini/time") == 0  # which says nothing of a level
    found = measured.metrics_of(Session(work).pieces(), "tensorrt", "mini", "fp32")
    assert (found["builder_level"], found["tactic_sources"]) == (0, "none")  # a trial has level 0


def test_a_build_that_takes_too_long_is_ended_and_the_next_one_begins(work, minidrive, capsys):
    only = ("--runtime=onnxruntime", "--only", "build/fp32", "build/qdq", "mini/time")
    assert call("tensorrt", work, minidrive, *only, "--limit=0.01") == 1
    said = capsys.readouterr().out
    assert all(f"onnxruntime/mini/build/{name}" in said for name in ("fp32", "qdq")), said
    assert "TimeoutError: not ready after 0.01 s" in said and not list((work / "engines").glob("*"))
    assert call("tensorrt", work, minidrive, *only, "--limit=100", "--retry") == 0
    assert set(result(work, "onnxruntime/mini/time")["host"]) == {"fp32", "qdq"}


def test_times_without_an_engine_are_told_as_such(work, minidrive, capsys):
    assert call("tensorrt", work, minidrive, "--runtime=onnxruntime", "--only=mini/time") == 1
    told = capsys.readouterr()
    assert "mini/time: no engine is built yet" in told.out and not told.err


def test_options_that_could_do_nothing_are_refused(work, minidrive, tmp_path, capsys):
    assert call("evaluate", work, minidrive, "--only", "nowhere") == 2
    assert "fits no piece" in capsys.readouterr().err
    for option in ("--budget=nan", "--workspace=-5", "--builderOptimizationLevel=9", f"--plugin={tmp_path / 'no.so'}"):
        with pytest.raises(SystemExit):
            measure_gpu.parse(["prepare", option])
    for system, told in (("bevformer", "published, operator, inputs"), ("fbocc", "fbocc has no choice")):
        with pytest.raises(SystemExit):
            measure_gpu.parse(["prepare", f"--system={system}", "--projection=host"])
        assert f"--projection host: not one of its ways ({told})" in capsys.readouterr().err
    assert call("prepare", work, minidrive, "--checkpoint", tmp_path / "no.safetensors") == 2
    assert "the weights of the mini" in capsys.readouterr().err


def test_other_weights_make_the_graphs_anew(tmp_path, monkeypatch):
    from benchmarks import prepare

    seen = []

    class Noted(Session):
        def piece(self, name, make, seconds=5, depends=None):
            seen.append((name.rpartition("/")[2], str(depends)))

    for content in ("one", "another"):
        (tmp_path / "weights").write_text(content)
        options = measure_gpu.parse(["prepare", "--tiny", "--data", str(tmp_path), f"--checkpoint={tmp_path}/weights"])
        prepare.run(Noted(tmp_path), options)
    first, second = (dict(half) for half in (seen[: len(seen) // 2], seen[len(seen) // 2 :]))
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"export", "ends", "cost", "reference", "calibration", "qdq"}


def test_frames_of_another_data_set_are_prepared_and_run_anew(work, tmp_path, minidrive):
    """A MiniDrive of another generator has the same tokens."""
    from benchmarks import prepare

    data, seen = tmp_path / "data", []
    (data / "v1.0-mini").mkdir(parents=True)

    class Noted(Session):
        def piece(self, name, make, seconds=5, depends=None):
            seen.append((name.rpartition("/")[2], str(depends)))

    for content in ("one", "another"):
        (data / MARKER).write_text(content)
        options = measure_gpu.parse(["prepare", "--tiny", "--data", str(data), f"--checkpoint={work}/models/mini.onnx"])
        prepare.run(Noted(tmp_path), options)
    first, second = (dict(half) for half in (seen[: len(seen) // 2], seen[len(seen) // 2 :]))
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"frames", "ends", "preprocess", "reference", "calibration", "qdq"}

    only, path = ("--runtime=onnxruntime", "--only", "build/fp32$", "stream/fp32$"), "onnxruntime/mini/stream/fp32"
    depends = []
    for content in ("one", "another"):
        Session(work).piece("prepare/mini/frames", dict, depends={"tiny": True, "data": content})
        assert call("tensorrt", work, minidrive, *only) == 0
        depends.append(Session(work).depends(path))
    assert [one[1]["data"] for one in depends] == ["one", "another"] and depends[0][0] == depends[1][0]


def test_stages_without_their_machine_are_refused(work, minidrive, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for stage in ("tensorrt", "gridsample", "pytorch"):
        assert call(stage, work, minidrive) == 2
    error = capsys.readouterr().err
    assert "--runtime=onnxruntime" in error and "no GPU that PyTorch can use" in error


READERS = {  # piece of `prepare`: what reads it
    "prepare/mini/frames": lambda session, options: frames.Frames(session.work / "frames" / "mini", options.preparing),
    "prepare/mini/export": lambda session, options: divergence.graph(
        session.work, divergence.CASES["fp32"], options.preparing
    ),
    "prepare/gridsample": gridsample.run,
}


@pytest.mark.parametrize("piece", READERS)
def test_preparing_cures_what_a_stage_does_not_find(tmp_path, minidrive, monkeypatch, piece):
    from benchmarks import prepare

    work = tmp_path / "a work folder"
    options = measure_gpu.parse(["gridsample", f"--work={work}", "--runtime=onnxruntime"])
    with pytest.raises(BadInput) as caught:
        READERS[piece](Session(work), options)
    *command, stage, place = shlex.split(caught.value.fix)
    assert command == ["python", "-m", "benchmarks"]
    monkeypatch.setattr(prepare, "_export", lambda model, path: toy(path))
    assert measure_gpu.main([stage, place, "--tiny", f"--data={minidrive}", "--only", piece]) == 0
    READERS[piece](Session(work, only=["nothing more"]), options)


def test_a_work_folder_is_of_one_system(tmp_path, minidrive, monkeypatch, capsys):
    ran, prepare = [], pytest.importorskip("benchmarks.prepare")
    monkeypatch.setattr(prepare, "run", lambda session, options: ran.append(options.system.name))
    assert call("prepare", tmp_path, minidrive, "--system=fbocc") == 0
    assert call("prepare", tmp_path, minidrive, "--system=fbocc") == 0
    for stage in ("prepare", "tensorrt", "evaluate", "records"):
        assert call(stage, tmp_path, minidrive) == 2
        said = capsys.readouterr().err
        assert f"{tmp_path}" in said and "the work folder of fbocc" in said and "one of bevformer" in said
    assert ran == ["fbocc"] * 2
    assert call("tensorrt", tmp_path, minidrive, "--system=fbocc", "--runtime=onnxruntime") == 2
    assert f"python -m benchmarks prepare --system=fbocc --work={tmp_path}" in capsys.readouterr().err
    (tmp_path / "system.json").write_text('"fbo')
    assert call("records", tmp_path, minidrive, "--system=fbocc") == 2
    assert "system.json" in capsys.readouterr().err


def test_a_stage_before_prepare_names_it(tmp_path, minidrive, capsys):
    for stage in ("tensorrt", "endtoend", "gridsample", "divergence", "evaluate"):
        assert call(stage, tmp_path, minidrive, "--runtime=onnxruntime") == 2
        assert f"python -m benchmarks prepare --work={tmp_path}" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- judgement


def test_outputs_that_are_not_finite_are_no_detections(work, minidrive):
    path = work / "outputs" / "mini" / "onnxruntime-fp32.npz"
    with np.load(path) as arrays:
        kept = {name: arrays[name].copy() for name in arrays}
    kept["outputs_coords"][3] = np.nan
    frames.save(path.with_name("bad.npz"), kept)
    dataset = open_dataset(minidrive, "v1.0-mini", "mini_val")
    tokens = frames.Frames(work / "frames" / "mini", "the fix").tokens
    assert evaluate.score(path.with_name("bad.npz"), tokens, dataset, SYSTEM)["frames_not_finite"] == 1
    assert evaluate.score(path, tokens, dataset, SYSTEM)["finite"]
    assert frames.parity(path.with_name("bad.npz"), path)["outputs_coords_rel"] == "not finite"


@pytest.mark.parametrize("way", ["published", "inputs"])
def test_batched_variants_are_the_streams_side_by_side(way):
    torch = pytest.importorskip("torch")
    from helpers.models import create

    config = SYSTEM.projected(way).variant("batch_2", "mini")
    small = {"image_size": (64, 96), "bev_h": 6, "bev_w": 6}
    config = dataclasses.replace(config, **small)
    one = dataclasses.replace(CONFIGS["mini"].with_projection(way), **small)
    feeds = {name: torch.randn(shape) for name, shape in config.input_shapes().items()}
    both, single = create("bevformer", config), create("bevformer", one)
    axes = dict.fromkeys(feeds, 0) | {"prev_bev": 1}
    with torch.no_grad():
        together = both(**feeds)
        second = single(**{name: tensor.tensor_split(2, axes[name])[1] for name, tensor in feeds.items()})
    for (name, shape), whole, part in zip(config.output_shapes().items(), together, second, strict=True):
        assert tuple(whole.shape) == shape, name
        torch.testing.assert_close(whole[:, 1:], part, rtol=1e-3, atol=1e-3)


def test_frames_of_other_sizes_keep_what_a_cell_sees():
    """The geometry of a finer map and of two streams: every cell has what the nearest one of the frame has."""
    system = SYSTEMS["bevformer"]
    base = system.config("mini")
    feeds = {"image": np.zeros(base.input_shapes()["image"]), "can_bus": np.zeros(18, np.float32)}
    feeds |= geometry(ring_of_cameras(base.image_size, 316), base)
    for name, fine in (("bev_100", 2), ("batch_2", 1), ("bev_150", 3)):
        config = system.variant(name, "mini")
        found = system.resized(feeds, config.input_shapes())
        assert {key: array.shape for key, array in found.items()} == {
            key: shape for key, shape in config.input_shapes().items() if key != "prev_bev"
        }
        mask, old = (
            found["bev_mask"][-1, :, :, 0].reshape(6, 50 * fine, 50 * fine),
            feeds["bev_mask"].reshape(6, 50, 50),
        )
        assert all((mask[:, y::fine, x::fine] == old).all() for y in range(fine) for x in range(fine))
        cells = found["reference_points_cam"][-6:].reshape(6, 50 * fine, 50 * fine, 8)
        assert (cells[:, ::fine, ::fine] == feeds["reference_points_cam"].reshape(6, 50, 50, 8)).all()


def test_half_model_is_near_and_its_projection_stays_fp32(monkeypatch):
    torch = pytest.importorskip("torch")
    from helpers.models import create

    for kind in (torch.Tensor, torch.nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self, *arguments: self)
    config = dataclasses.replace(CONFIGS["mini"], image_size=(64, 96), bev_h=6, bev_w=6)
    model = create("bevformer", config)
    feeds = {name: torch.randn(shape) for name, shape in config.input_shapes().items()}
    feeds["lidar2img"] *= 300
    with torch.inference_mode():
        expected = model(**feeds)
        half = SYSTEM.half(model)
        found = half(**{n: t if n == "lidar2img" else t.half() for n, t in feeds.items()})
    assert found[0].dtype == torch.float16
    assert half.pts_bbox_head.transformer.encoder.projection.points.dtype == torch.float32
    for a, b in zip(found, expected, strict=True):
        assert (a.float() - b).abs().max() < 0.02 * b.abs().max()


@pytest.fixture
def pytorch(monkeypatch):
    """The stage `pytorch` on a machine without a GPU; its network counts frames and is 1 % off when compiled."""
    torch = pytest.importorskip("torch")
    from benchmarks import pytorch

    class Counter:
        def __init__(self, settings=None):
            self.frames, self.factor = 0, 1.01 if settings is not None else 1.0

        def reset(self):
            self.frames = 0

        def run(self, feeds):
            self.frames += 1
            return {"bev_embed": np.float32([self.frames, -200]) * self.factor, "outputs_classes": np.zeros(2)}

        def time(self, feeds, warmup, iterations):
            return {"gpu": benchmark.Timing([2 / self.factor] * iterations)}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    monkeypatch.setattr(pytorch, "Runner", Counter)
    monkeypatch.setattr(pytorch, "run_spawned", lambda function, *given: function(*pickle.loads(pickle.dumps(given))))
    return pytorch


@pytest.mark.parametrize(("budget", "left"), [
    (58, {"eager", "compile_fp16_reduce_overhead", "compile_fp16_max_autotune"}), (100, {"compile_fp16_max_autotune"})
])  # fmt: skip
def test_a_budget_cuts_off_the_longest_compilers_first(pytorch, work, monkeypatch, budget, left):
    shutil.copytree(work / "frames" / "mini", work / "frames" / "published")
    monkeypatch.setattr(type(SYSTEM), "network", lambda *_: None)
    for name in ("ceilings", "eager_of", "stream", "scale", "compiled"):
        monkeypatch.setattr(pytorch, name, lambda *_: {})
    names = []

    class Noted(Session):
        def piece(self, name, *others):
            names.append(name)
            return super().piece(name, *others)

    monkeypatch.setattr("benchmarks.session.time", types.SimpleNamespace(monotonic=lambda: 0.0))  # nothing takes time
    session = Noted(work, budget=budget)
    pytorch.run(session, measure_gpu.parse(["pytorch", f"--work={work}"]))
    assert {name.rsplit("/", 1)[1] for name in session.left} == left
    compiled = [name for name in names if "/compile" in name]
    assert names[-len(compiled) :] == compiled and len(names) > len(compiled) + 10
    assert [name for name in compiled if "mini" in name] == [
        f"pytorch/mini/compile_{kind}" for kind in ("fp16", "fp32", "tf32", "fp16_reduce_overhead", "fp16_max_autotune")
    ]


MODES = {"compile_fp16": ("fp16", {}, 1), "compile_bf16": ("bf16", {}, 1),
         "compile_tf32_graph": ("tf32", {"mode": "reduce-overhead"}, 1)}  # fmt: skip


def test_pytorch_runs_without_the_kernels_and_once_more_with_those_of_the_plugin(pytorch, work, tmp_path, monkeypatch):
    chosen, plugin = [], tmp_path / "plugin.so"
    plugin.write_bytes(b"library")
    monkeypatch.setattr(pytorch.library, "load", lambda path: path)
    monkeypatch.setattr(type(SYSTEM), "network", lambda *_: None)
    timing = {"p50": 2.0, "p99": 2.0, "n": 1}

    def eager(*_, suffix=""):
        chosen.append((pytorch.library._chosen, suffix))
        return {"gpu": {f"fp32{suffix}": timing}, "memory_mib": {f"fp32{suffix}": 3.0}}

    monkeypatch.setattr(pytorch, "eager", eager)
    compiled = lambda network, kept, precision, *_: chosen.append(precision) or {"gpu": {"compiled": timing}}  # noqa: E731
    monkeypatch.setattr(pytorch, "compiled", compiled)
    monkeypatch.setattr(pytorch, "COMPILED", MODES)
    monkeypatch.setattr(pytorch, "OF_KERNELS", ("compile_fp16",))
    monkeypatch.setattr(pytorch, "stream", lambda *_: {})
    monkeypatch.setattr(pytorch, "ceilings", lambda: {"bandwidth": 1})
    before = pytorch.library._chosen
    of_itself, alone = pytorch.run_spawned, []
    monkeypatch.setattr(pytorch, "run_spawned", lambda *given: alone.append(given[0]) or of_itself(*given))
    session = Session(work, command="make run")
    pytorch.run(session, measure_gpu.parse(["pytorch", "--tiny", f"--work={work}", f"--plugin={plugin}"]))
    assert alone == [
        pytorch.eager_of,
        pytorch.compiled_of,
        pytorch.eager_of,
    ]  # what a refused capture leaves is not what a compiler meets
    assert chosen == [(None, ""), "fp16", "bf16", "tf32", (str(plugin), "_kernels"), "fp16"]
    assert session.result("pytorch/mini/compile_fp16_kernels") and pytorch.library._chosen == before
    found = {name: metrics for name, metrics, _ in report.engines(session.pieces(), SYSTEM.name)}
    plain, kernels = (found[f"bevformer-mini-pytorch-fp32{end}"] for end in ("", "_kernels"))
    assert (plain["operators"], kernels["operators"]) == ("composed in PyTorch", "compiled kernels")
    assert kernels["memory_peak_mib"] == 3 and kernels["gpu_ms_p50"] == 2
    options = measure_gpu.parse(["records", "--tiny", f"--work={work}"])
    report.run(session, options)
    made_of = {one.name.rpartition("-")[2]: set(one.artifacts) for one in records.read_all(options.out)}
    weights = SYSTEM.checkpoint
    assert made_of["fp32"] == {weights} and made_of["kernels"] == {weights, plugin.name}
    names = {one.name for one in records.read_all(options.out)} - {"gpu-ceilings"}
    assert all(name.startswith("bevformer-inputs-mini-") for name in names)  # apart from those of other projections
    report.run(session, measure_gpu.parse(["records", "--tiny", f"--work={work}", "--projection=published"]))
    others = {one.name for one in records.read_all(options.out)} - names - {"gpu-ceilings"}
    assert others and all(name.startswith("bevformer-mini-") for name in others)


def test_a_compiled_network_is_held_against_eager(pytorch, tmp_path):
    session = Session(tmp_path)
    session.piece("pytorch/mini/compile_fp16", lambda: pytorch.compiled(pytorch.Runner, [{}], "fp16", {}))
    ((name, metrics, _),) = report.engines(session.pieces(), SYSTEM.name)
    assert name == "bevformer-mini-pytorch-compile_fp16"
    assert metrics["bev_embed_rel_to_eager"] == pytest.approx(0.01) and metrics["outputs_classes_rel_to_eager"] == 0
    assert metrics["speedup_over_eager"] == pytest.approx(1.01) and 0 <= metrics["compile_seconds"] < HANG

    class Broken:
        reset = print

        def run(self, feeds):
            return {"bev_embed": np.float32([np.nan, 1])}

    whole = pytorch.Runner()
    assert pytorch.to_eager(whole, Broken(), {}) == {"bev_embed_rel_to_eager": "not finite"}


def test_a_compiler_ends_with_the_budget(pytorch, monkeypatch):
    class Slow(pytorch.Runner):
        def run(self, feeds):
            for _ in range(3):
                with contextlib.suppress(Exception):  # as compilers do
                    time.sleep(1)

    with pytest.raises(TimeoutError, match="not ready after 1 s"):
        pytorch.compiled(Slow, [{}], "fp16", {}, time.monotonic() + pytorch.COMPILED_TIMING)


def test_ratios_and_table_name_both_sides():
    timing = lambda ms: {"p50": ms, "p99": ms, "n": 1}  # noqa: E731
    entry = {
        "device": "GPU",
        "cpu": "CPU",
        "versions": {"python": "3"},
        "command": "c",
        "date": "2026-01-31T12:00:00+00:00",
    }
    pieces = {
        "tensorrt/published/time": entry | {"result": {"gpu": {"fp32": timing(12.0), "qdq": timing(3.0)}}},
        "pytorch/published/eager": entry | {"result": {"gpu": {"fp32": timing(24.0)}}},
    }
    lines = comparison.ratios(pieces, SYSTEM)
    assert any("FP32 / qdq (native): 4.00 (published 3.13)" in line for line in lines)
    assert any("PyTorch eager FP32" in line and "/ qdq (native): 8.00" in line for line in lines)
    pieces["tensorrt/published/time"]["result"]["gpu"] |= {"fp32_plugin": timing(6.0), "qdq_plugin": timing(2.0)}
    metrics = measured.metrics_of(pieces, "tensorrt", "published", "qdq_plugin")
    assert (metrics["speedup_over_fp32"], metrics["speedup_over_fp32_plugin"]) == (6, 3)
    row = next(row for row in comparison.table(pieces, "published", SYSTEM) if row["engine"] == "tensorrt qdq")
    assert row["ms, published"] == 6.02 and row["over FP32, published"] == pytest.approx(3.126, abs=1e-3)
