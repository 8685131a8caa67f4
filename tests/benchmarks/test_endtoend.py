"""From JPEG files to boxes: before and after on a toy network, with ONNX Runtime and recorded TensorRT APIs."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from onnx import helper

from benchmarks import agreement, endtoend, frames, report, shots
from benchmarks.__main__ import main
from benchmarks.session import Session
from benchmarks.spawned import run_spawned
from benchmarks.systems import SYSTEMS
from helpers import cores, engine, graph, pipeline
from helpers.boxes import Boxes
from helpers.dataset import CLASSES
from helpers.engine import cache
from helpers.engine.tensorrt.replay import Replay
from helpers.graph.ends import add_ends, with_pictures
from helpers.pipeline import Done
from helpers.sequence import Step
from helpers.systems.bevformer.config import CONFIGS
from tests.builders.graphs import model
from tests.builders.measured import call, result

TURBO, SIZE = "libjpeg-turbo", (90, 160)


def on_cpu():
    """Names of the ways with one core, and with all that this process may use."""
    counts = sorted({1, cores.count()})
    return [f"{way}, {number} core{'s' * (number > 1)}" for number in counts for way in ("before", "after")]


@pytest.fixture
def small(monkeypatch, work, tmp_path):
    """The work folder with small pictures, for a configuration of the toy's size."""
    config = dataclasses.replace(CONFIGS["mini"], image_scale=0.025, image_size=(4, 4))
    monkeypatch.setattr(SYSTEMS["bevformer"], "config", {"mini": config}.__getitem__, raising=False)
    random, paths = np.random.default_rng(0), {}
    for camera in range(6):
        paths[camera] = tmp_path / f"{camera}.jpg"
        cv2.imwrite(str(paths[camera]), cv2.resize(random.integers(0, 255, (9, 16, 3), np.uint8), SIZE[::-1]))
    kept = frames.Frames(work / "frames" / "mini", "the fix")
    steps = [Step(kept[index], index == 0, SimpleNamespace(image_paths=paths, token=kept.tokens[index]))
             for index in range(3)]  # fmt: skip
    shots.write(work / "pictures" / "mini", steps, config.pictures)
    add_ends(work / "models/mini.onnx", work / "models/mini_ends.onnx", config, SIZE)
    return work


def check(work, name, ways):
    latency, throughput, stream = (
        result(work, f"{name}/{kind}/{TURBO}") for kind in ("latency", "throughput", "stream")
    )
    assert list(latency["latency"]) == ways and latency["frames"] == 3 and stream["frames"] == 3
    assert list(latency["stages"][ways[0]]) == ["decode", "prepare", "run", "boxes"]
    for way, boxes in latency["boxes"].items():
        assert boxes["frames_of_equal_count"] == 3 and boxes["ranks_of_another_class"] == 0, way
        assert boxes["score_most"] < 1e-6 and boxes["center_m_median"] < 1e-6
    assert list(throughput["throughput"]) == [f"{way}, 1 vehicle" for way in ways]
    for one in throughput["throughput"].values():
        assert 0 < one["least_per_second"] <= one["frames_per_second"] <= one["most_per_second"]
    return latency


def test_on_the_host_with_one_core_and_with_all(small, minidrive):
    before = cores.count()
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime") == 0
    assert cores.count() == before
    found = check(small, "onnxruntime/mini/endtoend/fp32", on_cpu())
    assert found["pixels"]["prepared_most_steps"] < 0.01
    for name, value in (("fp32", 0.5), (endtoend.outputs("fp32", TURBO), 0.4)):
        Session(small).piece(f"evaluate/onnxruntime-{name}", lambda value=value: {"NDS": value})
    assert call("records", small, minidrive, "--runtime=onnxruntime") == 0
    (path,) = (small / "records").glob("*end-to-end*")
    metrics = json.loads(path.read_text())["metrics"]
    assert (metrics["before_NDS"], metrics["after_NDS"]) == (0.5, 0.4)
    assert metrics["before, 1 core, 1 vehicle_frames_per_second"] > 0 and metrics["decoder"] == TURBO


def test_with_tensorrt(trt, small, minidrive, monkeypatch):
    given, build = {}, engine.build
    noted = lambda path, *rest, **options: given.setdefault(path.stem, options) and build(path, *rest, **options)  # noqa: E731
    monkeypatch.setattr(engine, "build", noted)
    assert call("endtoend", small, minidrive) == 0
    for name, plain_graph in (("fp16", "mini"), ("qdq", "mini_qdq")):
        found = check(small, f"tensorrt/mini/endtoend/{name}", ["before", "after"])
        assert list(found["stages"]["after"]) == ["decode", "copy", "compute", "copy back", "boxes"]
        plain, built = (result(small, f"tensorrt/mini/build/{kind}") for kind in (name, f"{name}_ends"))
        pictures, network = (one["engine"] for one in built["before"])
        assert network == plain["engine"] and given[plain_graph]["timing_cache"]
        for path, end in ((pictures, "mini_ends_pictures"), (built["engine"], "mini_ends_boxes")):
            options = cache.read_meta(small / path)["options"]
            assert options["precision"] == "fp32" and not options["layer_precisions"]
            assert given[end]["timing_cache"] is None
    assert call("records", small, minidrive) == 0
    found = sorted((small / "records").glob("*end-to-end*"))
    assert len(found) == 2 and "-fp16-" in found[0].name and "-qdq-" in found[1].name
    for record, name in zip(map(json.loads, map(Path.read_text, found)), ("fp16", "qdq"), strict=True):
        built = result(small, f"tensorrt/mini/build/{name}_ends")
        assert record["metrics"]["before_ms_p50"] > 0
        assert {one["sha256"] for one in (built, *built["before"])} <= {*record["artifacts"].values()}


@pytest.mark.parametrize("trt", ["8.6.0"], indirect=True)
def test_graphs_for_both_places_of_the_states_are_captured_before_the_clock_runs(trt, small, minidrive, monkeypatch):
    """A capture within the measurement would be taken for work of its frames."""
    replays, marks, queue = [], [], Replay.queue
    monkeypatch.setattr(
        Replay, "queue", lambda self, work, side: replays.append((self, side)) or queue(self, work, side)
    )
    monkeypatch.setattr(endtoend.time, "process_time", lambda: marks.append(len(replays)) or 0.0)
    assert call("endtoend", small, minidrive, "--only", "build/fp16", "fp16/throughput") == 0
    for begun, ended in zip(marks[::2], marks[1::2], strict=True):
        assert begun < ended and set(replays[begun:ended]) <= set(replays[:begun])


CODEC = """
import os, signal
HW_GPU_ONLY, HYBRID_CPU_GPU, GPU_ONLY, SRGB, I_RGB = range(5)
Backend = DecodeParams = lambda *given, **named: None


def Decoder(**options):
    {decoder}
"""


@pytest.mark.parametrize(
    ("decoder", "said", "code"),
    [("os.kill(os.getpid(), signal.SIGSEGV)", "it ended its process by SIGSEGV", 0),
     ("raise OSError('no libnvjpeg')", "OSError: no libnvjpeg", 1)],
)  # fmt: skip
def test_a_decoder_that_does_not_work_takes_only_its_own_pieces_along(
    small, minidrive, monkeypatch, decoder, said, code, capsys, tmp_path
):
    """By a package of nvImageCodec's name that really ends the process in which it is used, or raises."""
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia/nvimgcodec.py").write_text(CODEC.format(decoder=decoder))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(endtoend, "decoders", lambda options: ["nvimgcodec", TURBO])
    name, only = "onnxruntime/mini/endtoend/fp32", ("--only", "build", "latency")
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime", *only) == code
    assert said in capsys.readouterr().out
    assert list(result(small, f"{name}/latency/{TURBO}")["latency"]) == on_cpu()
    assert (result(small, f"{name}/latency/nvimgcodec") is None) == code
    assert call("records", small, minidrive, "--runtime=onnxruntime") == 0
    assert said in capsys.readouterr().out.partition("not measured:")[2]
    told = [json.loads(path.read_text())["metrics"] for path in (small / "records").glob("*end-to-end-nvimgcodec*")]
    assert [one["decoder"] for one in told if said in one["ended"]] == ["nvimgcodec"] * (not code)


def test_a_decoder_that_works_is_measured_in_a_process_of_its_own(small, minidrive, monkeypatch):
    monkeypatch.setattr(endtoend, "decoders", lambda options: [TURBO])
    monkeypatch.setattr(endtoend, "TURBO", "another")
    processes = []
    monkeypatch.setattr(endtoend, "run_spawned", lambda *given, **named: processes.append(given) or run_spawned(*given))
    only = "--only", "build", "latency"
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime", *only) == 0
    ((measured, *_),) = processes
    assert measured.__name__ == "latency"
    assert list(result(small, f"onnxruntime/mini/endtoend/fp32/latency/{TURBO}")["latency"]) == on_cpu()


def test_accuracy_alone_is_a_record_where_no_latency_was_measured():
    one = lambda **found: {"result": found, "depends": []}  # noqa: E731
    pieces = {
        "tensorrt/mini/endtoend/fp16/stream/libjpeg-turbo": one(frames=40),
        "tensorrt/mini/endtoend/qdq/throughput/libjpeg-turbo": one(throughput={}),
        "evaluate/tensorrt-fp16": one(NDS=0.7),
        "evaluate/tensorrt-fp16_ends_libjpeg-turbo": one(NDS=0.6),
    }
    ((name, metrics, _),) = report.end_to_end(pieces, "toy")
    assert name == "toy-mini-tensorrt-fp16-end-to-end"
    assert metrics == {"before_NDS": 0.7, "after_NDS": 0.6, "frames": 40}


def test_libjpeg_turbo_goes_first(monkeypatch):
    monkeypatch.setattr(pipeline, "available", lambda: dict.fromkeys(("nvimgcodec", TURBO)))
    options = dataclasses.make_dataclass("Options", ["runtime"])
    assert endtoend.decoders(options("tensorrt")) == [TURBO, "nvimgcodec"]
    assert endtoend.decoders(options("onnxruntime")) == [TURBO]


def test_what_a_graph_prepares_is_held_against_the_host(small, tmp_path):
    """The right graph is within a hundredth of a step; one of another mean is not."""
    config, given = SYSTEMS["bevformer"].config("mini"), shots.read(small / "pictures" / "mini", "the fix")[:1]
    wide, shape = dataclasses.replace(config, image_scale=0.37, image_size=(48, 64)), [1, 6, 3, 48, 64]
    identity = model([helper.make_node("Identity", ["image"], ["y"])], {"image": shape}, {"y": shape})
    found = {}
    for name, other in (("right", wide), ("wrong", dataclasses.replace(wide, image_mean=(0.0, 0.0, 3.0)))):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(with_pictures(identity, other, SIZE).SerializeToString())
        found[name] = agreement.prepared(path, wide, given)
    assert found["right"]["prepared_most_steps"] < 0.01 and found["right"]["prepared_beyond_one_step"] == 0
    assert found["wrong"]["prepared_most_steps"] > 50


def test_boxes_are_compared_rank_by_rank():
    def done(labels, scores, shift=0.0):
        n = len(labels)
        rows = (
            np.full((n, 3), shift),
            np.ones((n, 3)),
            np.zeros(n),
            np.zeros((n, 2)),
            np.array(labels),
            np.array(scores),
        )
        return Done(None, Boxes(*rows, "lidar", CLASSES), {})

    found = agreement.boxes([done([1, 2], [0.9, 0.5]), done([1], [0.5])], [done([1, 3], [0.8, 0.1], 2.0), done([], [])])
    assert found["frames"] == 2 and found["frames_of_equal_count"] == 1 and found["ranks_of_another_class"] == 0.5
    assert found["score_most"] == pytest.approx(0.1) and found["center_m_median"] == 2.0


def test_outputs_of_another_number_of_frames_are_not_scored(small, minidrive):
    """The toy's folder has pictures of three frames, of eight that are scored."""
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime", "--only", "build", "/stream/") == 0
    name = f"evaluate/onnxruntime-{endtoend.outputs('fp32', TURBO)}"
    assert call("evaluate", small, minidrive, "--only", name) == 1
    error = json.loads(Session(small).path(name).read_text())["error"]
    assert "outputs of 3 frames" in error and "8, as the stage prepare wrote" in error


def test_a_system_without_such_ends_says_so(tmp_path, minidrive, capsys):
    assert call("endtoend", tmp_path, minidrive, "--runtime=onnxruntime", "--system=uniad") == 0
    assert "uniad: no graph of it takes pictures" in capsys.readouterr().out


def test_an_engine_is_built_anew_where_its_graph_is_another(small, minidrive):
    """With the same name the old one would be measured, and scored with the new frames."""
    name, only = "onnxruntime/mini", ("--only", "build", "/stream/")
    digests = []
    for times in (1, 2):
        for path in ("mini.onnx", "mini_ends.onnx"):
            made = graph.load(small / "models" / path)
            made.doc_string = f"weights {times}"
            graph.save(made, small / "models" / path)
        for _ in range(2):
            assert call("endtoend", small, minidrive, "--runtime=onnxruntime", *only) == 0
            digests.append([result(small, f"{name}/build/{kind}")["engine"] for kind in ("fp32", "fp32_ends")])
    assert digests[0] == digests[1] and digests[2] == digests[3]
    assert not set(digests[0]) & set(digests[2])


def test_a_trial_is_not_taken_for_a_whole_run(small, minidrive, capsys):
    """`tests.builders.measured.call` is a trial."""
    only = ("--only", "build", "latency")
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime", *only) == 0
    whole = ["endtoend", f"--work={small}", f"--data={minidrive}", "--runtime=onnxruntime", "--shapes=mini"]
    Session(small).piece("prepare/mini/frames", dict, depends={"tiny": True})
    assert main(whole) == 2
    assert "prepare again without --tiny" in capsys.readouterr().err
    Session(small).path("prepare/mini/frames").unlink()
    assert main([*whole, *only]) == 0
    assert result(small, f"onnxruntime/mini/endtoend/fp32/latency/{TURBO}")["rounds"] == 3


def test_a_graph_with_ends_that_is_not_there_is_named(small, minidrive, capsys):
    (small / "models/mini_ends.onnx").unlink()
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime") == 2
    assert "python -m benchmarks prepare" in capsys.readouterr().err


def test_pieces_whose_engine_is_not_built_are_told_of(small, minidrive, capsys):
    """They are pieces of this stage, which --only fits."""
    assert call("endtoend", small, minidrive, "--runtime=onnxruntime", "--only", "latency") == 1
    told = capsys.readouterr()
    assert f"latency/{TURBO}: no engine is built yet" in told.out and "fits no piece" not in told.err
    assert "throughput" not in told.out
