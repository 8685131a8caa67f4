"""The cache of engines: found again, keyed by everything, never run damaged, never half written."""

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import engine
from helpers.engine import cache
from helpers.engine.onnxruntime import OnnxRuntime
from helpers.errors import BadInput
from helpers.files import sha256
from tests.builders.graphs import save, value
from tests.helpers.engine.builders import edit_metadata, expected_conv, flip_byte, left_over, save_conv


@pytest.fixture(params=["onnxruntime", "tensorrt_rtx"])
def runtime(request):
    return request.param


def test_cache_hit_does_not_build_again(conv, cached, runtime, monkeypatch):
    first = engine.build(conv, runtime, cached)
    monkeypatch.setattr(type(engine.get_runtime(runtime)), "build", lambda *_: pytest.fail("built again"))
    assert engine.build(conv, runtime, cached) == first


def test_key_depends_on_everything(tmp_path, conv, monkeypatch):
    other = tmp_path / "other" / "conv.onnx"
    other.parent.mkdir()
    shutil.copyfile(conv, other)
    out = tmp_path / "cache"
    assert engine.build(conv, out_dir=out) == engine.build(other, out_dir=out)  # same content, same entry
    built = [engine.build(conv, out_dir=out), engine.build(conv, out_dir=out, threads=1)]
    built += [engine.build(conv, "tensorrt_rtx", out, compute_capability=name) for name in ("8.6", "8.9")]
    save_conv(conv, batch=1)
    built.append(engine.build(conv, out_dir=out))
    monkeypatch.setattr(OnnxRuntime, "version", lambda self: "0.0.1")
    built.append(engine.build(conv, out_dir=out))
    assert len(set(built)) == 6


def test_an_entry_tells_the_seconds_of_its_build(tmp_path, conv, monkeypatch):
    made_from = cache.identity(conv, cache.read_model(conv), "onnxruntime", "1", [], {})
    clock = iter((1000.0, 1002.34567))
    monkeypatch.setattr(cache.time, "perf_counter", lambda: next(clock))
    path = cache.fetch(tmp_path / "cache", conv, made_from, ".engine", lambda part: part.write_bytes(b"x") and {})
    assert cache.read_meta(path)["build_seconds"] == 2.346


def test_of_two_builds_at_once_the_first_one_s_engine_stays(tmp_path, conv):
    made_from = cache.identity(conv, cache.read_model(conv), "onnxruntime", "1", [], {})
    fetch = lambda make: cache.fetch(tmp_path / "cache", conv, made_from, ".engine", make)  # noqa: E731
    first = lambda part: part.write_bytes(b"first") and {}  # noqa: E731
    path = fetch(lambda part: fetch(first) and part.write_bytes(b"second") and {})
    assert path.read_bytes() == b"first" and cache.damage(path, made_from) is None
    assert os.listdir(tmp_path / "cache") == [path.parent.name]


@pytest.mark.parametrize("how", ["flip", "truncate", "remove", "metadata", "no metadata", "edit"])
def test_damaged_entry_is_rebuilt_with_a_notice_and_never_loaded(conv, cached, runtime, how, capsys):
    path = engine.build(conv, runtime, cached)
    whole, metadata = path.read_bytes(), cache.metadata_file(path)
    if how == "flip":
        flip_byte(path, len(whole) // 2)
    elif how == "truncate":
        path.write_bytes(whole[:-10])
    elif how == "remove":
        path.unlink()
    elif how == "metadata":
        metadata.write_text(metadata.read_text()[:-50])
    elif how == "no metadata":
        metadata.unlink()
    else:
        edit_metadata(path, options={"threads": 64})
    if (how, runtime) != ("no metadata", "onnxruntime"):  # then it is a plain ONNX file
        with pytest.raises(BadInput, match=path.name):
            engine.load(path, runtime)
    assert engine.build(conv, runtime, cached) == path
    assert "is rebuilt" in capsys.readouterr().err
    assert cache.damage(path) is None
    engine.build(conv, runtime, cached)
    assert capsys.readouterr().err == ""


def test_engine_of_another_version_is_refused_with_both_sides(conv, cached, runtime, monkeypatch):
    path = engine.build(conv, runtime, cached)
    here = engine.available()[runtime].version
    monkeypatch.setattr(type(engine.get_runtime(runtime)), "version", lambda self: "9.9.9")
    with pytest.raises(BadInput, match=rf"built by {runtime} {here}(.|\n)*built by {runtime} 9\.9\.9"):
        engine.load(path)
    edit_metadata(path, version="9.9.9")  # a forged version does not help
    with pytest.raises(BadInput, match="was changed"):
        engine.load(path)


def test_engine_of_another_runtime_is_refused_with_both_sides(conv, cached):
    path = engine.build(conv, "tensorrt_rtx", cached)
    with pytest.raises(BadInput, match=r"built by tensorrt_rtx (.|\n)*built by onnxruntime "):
        engine.load(path, "onnxruntime")


def test_external_weights_are_kept_and_keyed(tmp_path, x):
    source = tmp_path / "source"
    source.mkdir()
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path, weight = save_conv(source / "conv.onnx", **options)
    built = engine.build(path, out_dir=tmp_path / "cache")
    saved = cache.save_as(built, tmp_path / "elsewhere" / "mine.onnx")
    flip_byte(source / "weights.bin")
    assert engine.build(path, out_dir=tmp_path / "cache") != built
    shutil.rmtree(source)
    for file in (built, saved):
        with engine.load(file) as loaded:
            np.testing.assert_allclose(loaded.run({"x": x})["z"], expected_conv(weight, x), rtol=1e-5, atol=1e-6)
        flip_byte(file.parent / "weights.bin")
        with pytest.raises(BadInput, match=r"weights\.bin is damaged"):
            engine.load(file)


def test_saving_never_replaces_the_engine_or_the_weights_of_another(tmp_path, x):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
        save_conv(tmp_path / name / "conv.onnx", **options)
    flip_byte(tmp_path / "two" / "weights.bin")
    built = engine.build(tmp_path / "one" / "conv.onnx", out_dir=tmp_path / "cache")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for path in (built, f"{built}.json", built.parent / "weights.bin", tmp_path / "two" / "mine.onnx"):
        with pytest.raises(BadInput, match=r"also an input|another content"):
            cache.save_as(built, path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert cache.save_as(built, tmp_path / "one" / "mine.onnx").is_file()  # beside the weights that it needs


def test_external_weights_inside_a_branch_are_found(tmp_path):
    (tmp_path / "branch.bin").write_bytes(np.float32([7]).tobytes())
    weight = numpy_helper.from_array(np.float32([7]), "w")
    onnx.external_data_helper.set_external_data(weight, "branch.bin")
    weight.ClearField("raw_data")
    body = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "branch", [], [value("b", [1])], [weight])
    node = helper.make_node("If", ["c"], ["y"], "choice", then_branch=body, else_branch=body)
    path = save(tmp_path / "if.onnx", [node], [value("c", [], TensorProto.BOOL)], [value("y", [1])])
    built = engine.build(path, out_dir=tmp_path / "cache")
    assert list(engine.inspect(built)["external"]) == ["branch.bin"]
    (tmp_path / "branch.bin").unlink()
    with engine.load(built) as loaded:
        np.testing.assert_array_equal(loaded.run({"c": np.array(True)})["y"], [7])


def test_external_weights_absent_or_outside(tmp_path):
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path, _ = save_conv(tmp_path / "conv.onnx", **options)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BadInput, match=r"weights\.bin\n.*no such file"):
        engine.build(path, out_dir=tmp_path / "cache")
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = "../../etc/passwd"
    onnx.save(model, path)
    with pytest.raises(BadInput, match="passwd"):
        engine.build(path, out_dir=tmp_path / "cache")


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_leaves_nothing(tmp_path, conv, runtime, monkeypatch):
    monkeypatch.setattr(shutil, "copyfile", no_space)
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(BadInput, match=r"disk is full \([\d.,]+ MiB free\)"):
        engine.build(conv, runtime, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_full_disk_while_the_metadata_file_is_written(tmp_path, conv, monkeypatch):
    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(BadInput, match="disk is full"):
        engine.build(conv, out_dir=tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_full_disk_while_saving_elsewhere(tmp_path, conv, cached, monkeypatch):
    path = engine.build(conv, out_dir=cached)
    monkeypatch.setattr(shutil, "copyfile", no_space)
    with pytest.raises(BadInput, match="disk is full"):
        cache.save_as(path, tmp_path / "saved" / "mine.onnx")
    assert left_over(tmp_path / "saved") == []


def test_saving_where_a_folder_is_leaves_nothing(tmp_path, conv, cached):
    path = engine.build(conv, out_dir=cached)
    (tmp_path / "saved" / "mine.onnx").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"found: +a folder"):
        cache.save_as(path, tmp_path / "saved" / "mine.onnx")
    assert [file.name for file in (tmp_path / "saved").iterdir()] == ["mine.onnx"]


@pytest.mark.parametrize(
    "name", ["../{root}/w.bin", "sub/../../w.bin", "{root}/../../w.bin", "/tmp/w.bin", "conv.onnx", ""]
)
def test_names_of_external_weights_do_not_lead_out_of_the_entry(tmp_path, name):
    root = tmp_path / "root"
    root.mkdir()
    options = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    path, _ = save_conv(root / "conv.onnx", **options)
    model = onnx.load(path, load_external_data=False)
    entry = next(entry for entry in model.graph.initializer[0].external_data if entry.key == "location")
    entry.value = name.format(root=root.name)
    onnx.save(model, path)
    before = left_over(tmp_path)
    with pytest.raises(BadInput, match=r"conv\.onnx"):
        engine.build(path, out_dir=tmp_path / "cache")
    assert left_over(tmp_path) == before


@pytest.mark.parametrize("name", ["../stolen", "/tmp/stolen", ".."])
def test_metadata_that_names_files_elsewhere_is_refused(tmp_path, conv, cached, name, capsys):
    path = engine.build(conv, out_dir=cached)
    (tmp_path / "cache" / "stolen").write_text("not part of the entry")
    edit_metadata(path, beside={name: sha256(tmp_path / "cache" / "stolen")})
    for use in (engine.load, engine.inspect, lambda path: cache.save_as(path, tmp_path / "saved" / "a" / "conv.onnx")):
        with pytest.raises(BadInput, match=re.escape(repr(name))):
            use(path)
    assert not (tmp_path / "saved").exists()
    assert engine.build(conv, out_dir=cached) == path and "is rebuilt" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"beside": []}'])
def test_metadata_that_is_not_as_it_was_written(conv, cached, content):
    path = engine.build(conv, out_dir=cached)
    cache.metadata_file(path).write_bytes(content)
    for use in (engine.load, engine.inspect):
        with pytest.raises(BadInput, match=r"conv\.onnx\.json"):
            use(path)
    assert engine.build(conv, out_dir=cached) == path and cache.damage(path) is None
