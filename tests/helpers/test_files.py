"""Atomic files: whole or absent, whatever happens while they are written."""

import errno
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import calibration, engine, files, graph, npz, quantize, records, repository, shared
from helpers.cli import arrays
from helpers.dataset import open_dataset
from helpers.environment import doctor, patches
from helpers.environment.patches import clones
from helpers.errors import BadInput
from helpers.ops import library


def test_a_file_appears_only_when_the_block_succeeds(tmp_path):
    target = tmp_path / "new" / "a.bin"
    with files.atomic(target) as part:
        part.write_bytes(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.atomic(target) as part:
        part.write_bytes(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_an_output_over_an_input_is_refused_whatever_the_spelling(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"weights")
    (tmp_path / "link.onnx").symlink_to("model.onnx")
    monkeypatch.chdir(tmp_path)
    for spelling in ("model.onnx", "./model.onnx", tmp_path / "new" / ".." / "model.onnx", "link.onnx"):
        with pytest.raises(BadInput, match=r"model\.onnx|link\.onnx"):
            files.check_distinct(spelling, None, tmp_path / "model.onnx")
    (tmp_path / "hard.onnx").hardlink_to(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=r"hard\.onnx"):
        files.check_distinct("hard.onnx", tmp_path / "model.onnx")
    files.check_distinct("other.onnx", None, tmp_path / "model.onnx")


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), files.atomic(tmp_path / "a.bin"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(FileNotFoundError), files.atomic(tmp_path / "a.bin"):
        (tmp_path / "absent").read_bytes()


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("write", [files.check_target, lambda *arguments: files.atomic(*arguments).__enter__()])
def test_what_cannot_be_a_target_is_named_before_anything_is_written(tmp_path, folder, write):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    other, here = ("file", "folder") if folder else ("folder", "file")
    with pytest.raises(BadInput, match=rf"^{tmp_path / other}\n +found: +a {other}\n +expected: a {here}"):
        write(tmp_path / other, folder)
    with pytest.raises(BadInput, match=rf"file/sub/a\n +found: .*(exists|directory): {tmp_path / 'file'}"):
        write(tmp_path / "file/sub/a", folder)
    with pytest.raises(BadInput, match=r"^/proc/nope/a\n +found: +\w.*: /proc/nope"):
        write("/proc/nope/a", folder)
    with pytest.raises(BadInput, match="too long"):
        write(tmp_path / ("x" * 300), folder)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", [".", "..", "new/..", "/"])
def test_a_path_without_a_name_is_no_target(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="without a name"), files.atomic(path, folder=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_can_be_written_leaves_no_trace_of_the_question(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    files.check_target(tmp_path / "a.bin")
    files.check_target(tmp_path / "set", folder=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_target_that_cannot_be_replaced_is_named(tmp_path, monkeypatch):
    def fails(source, destination):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(destination))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(BadInput, match=r"a\.bin[\s\S]*not permitted"), files.atomic(tmp_path / "a.bin") as part:
        part.touch()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_replaces_a_folder_and_comes_back_if_that_fails(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)  # as on a file system that cannot
    target = tmp_path / "set"
    for content in ("first", "second"):
        with files.atomic(target, folder=True) as part:
            (part / content).touch()
    assert [path.name for path in target.iterdir()] == ["second"]

    replace = os.replace

    def fails(source, destination):
        if source.name == "set" and destination == target and (source / "third").exists():
            if target.exists() and not exchanges:
                raise OSError(errno.ENOTEMPTY, "Directory not empty")
            raise OSError(errno.EIO, "broken")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(BadInput, match="broken"), files.atomic(target, folder=True) as part:
        (part / "third").touch()
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_is_never_absent_while_many_write_it(tmp_path):
    target, absent = tmp_path / "set", []

    def write(k):
        with files.atomic(target, folder=True) as part:
            (part / "content").write_text(f"{k}" * 1000)
        absent.append(not (target / "content").exists())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(100)))
    assert not any(absent) and len(set((target / "content").read_text())) in (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_digest_covers_content_in_order(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    assert files.sha256(one, two) != files.sha256(two, one)
    assert files.sha256(one, two) == hashlib.sha256(b"ab").hexdigest()
    long = bytes(5 << 20) + b"the end"
    one.write_bytes(long)
    assert files.sha256(one) == hashlib.sha256(long).hexdigest()


def test_a_large_file_is_read_once_for_its_digest_until_it_changes(tmp_path, monkeypatch):
    path, read, opened = tmp_path / "engine", [], files.open_file
    monkeypatch.setattr(files, "open_file", lambda path: read.append(path) or opened(path))
    monkeypatch.setattr(files, "LARGE", 2)
    monkeypatch.setattr(files, "SETTLED", 60.0)

    def digested(content):
        assert files.sha256(path) == hashlib.sha256(content).hexdigest()
        return len(read)

    path.write_bytes(b"ab")
    assert [digested(b"ab"), digested(b"ab")] == [1, 2], "a change at once might leave its times as they are"
    monkeypatch.setattr(files, "SETTLED", 0.03)
    time.sleep(0.05)
    assert [digested(b"ab"), digested(b"ab")] == [3, 3]
    before = path.stat()
    path.write_bytes(b"cd")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as large and as old, by what a user can set
    time.sleep(0.05)
    assert [digested(b"cd"), digested(b"cd")] == [4, 4]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        files.sha256(path)
    path.write_bytes(b"e")
    time.sleep(0.05)
    assert digested(b"e") < digested(b"e"), "a small one is read again"


@pytest.mark.parametrize("folder", [False, True])
def test_what_has_come_meanwhile_stays_where_only_something_new_is_written(tmp_path, folder):
    target = tmp_path / "a"
    refused = pytest.raises(BadInput, match=r"a f\w+ that came meanwhile[\s\S]*a name that is free")
    with refused, files.atomic(target, folder, new=True) as part:
        (part / "mine" if folder else part).write_text("mine")
        with files.atomic(target, folder, new=True) as other:
            (other / "theirs" if folder else other).write_text("theirs")
    assert (target / "theirs" if folder else target).read_text() == "theirs" and os.listdir(tmp_path) == ["a"]
    (tmp_path / "empty").mkdir()
    with files.atomic(tmp_path / "empty", folder=True, new=True) as part:
        (part / "x").touch()
    assert os.listdir(tmp_path / "empty") == ["x"]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"{", "not JSON"), (b"\xff", "not JSON"), (b"[" * 100_000, "nested too deeply"), (None, "no such file")],
)
def test_json_that_cannot_be_read_is_bad_input(tmp_path, content, found):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"a\.json\n  found:    .*{found}") as refusal:
        files.read_json(path, "a table", "make it again")
    assert refusal.value.expected == "a table" and refusal.value.__cause__ is not None


def test_json_that_says_a_name_twice_is_bad_input(tmp_path):
    (tmp_path / "a.json").write_text('{"files": [{"a": 1, "b": 2, "a": 3}]}')
    with pytest.raises(BadInput, match="'a' stands twice in one object"):
        files.read_json(tmp_path / "a.json", "a table", "make it again")


def test_json_is_read_as_utf8(tmp_path):
    (tmp_path / "a.json").write_bytes('{"straße": [1, 2.5]}'.encode())
    assert files.read_json(tmp_path / "a.json", "a table", "") == {"straße": [1, 2.5]}


def test_git_is_asked_in_the_named_folder_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    repository.git(tmp_path, "init", "-q")
    assert repository.git(tmp_path, "rev-parse", "--show-toplevel").strip() == str(tmp_path)
    (tmp_path / "inside").mkdir()
    with pytest.raises(BadInput, match=r"git status\n  found:    .*not a git repository") as refusal:
        repository.git(tmp_path / "inside", "status", fix="clone it")
    assert refusal.value.fix == "clone it"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="git on the PATH"):
        repository.git(tmp_path, "status")


NO_PATHS = ["a\0b", "\ud800", "a" * 300, "a/" * 3000, "ring", "ring/x"]
DOORS = {
    "atomic": lambda path: files.atomic(path).__enter__(),
    "atomic folder": lambda path: files.atomic(path, folder=True).__enter__(),
    "write_new": lambda path: shared.write_new(path, "text"),
    "alone": lambda path: shared.alone(path, "work", "wait").__enter__(),
    "check_target": files.check_target,
    "check_distinct": lambda path: files.check_distinct(path, "x"),
    "check_distinct of an input": lambda path: files.check_distinct("x", path),
    "read_json": lambda path: files.read_json(path, "JSON", "correct it"),
    "graph.load": graph.load,
    "graph.parse": graph.parse,
    "graph.postprocess": graph.postprocess,
    "engine.build": engine.build,
    "engine.load": engine.load,
    "engine.inspect": engine.inspect,
    "engine.runtime_of": engine.runtime_of,
    "quantize": lambda path: quantize.quantize(path, "out.onnx"),
    "quantize to": lambda path: quantize.quantize("absent.onnx", path),
    "npz": npz.members,
    "arrays": lambda path: arrays.load(path, {}),
    "calibration": lambda path: calibration.check_calibration(path, {"x": (1,)}),
    "calibration to": lambda path: calibration.noise(path, {"x": (1,)}, 1),
    "records": records.read_all,
    "record": records.read,
    "data set": open_dataset,
    "plugins": lambda path: library.identity([path]),
    "site": lambda path: patches.status(path),
    "clone": clones.revert_clone,
    "lock": lambda path: doctor.examine(lock=path),
}


@pytest.mark.parametrize("path", NO_PATHS, ids=range(len(NO_PATHS)))
@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_path_is_bad_input_at_every_door(tmp_path, monkeypatch, door, path):
    monkeypatch.chdir(tmp_path)
    os.symlink("ring", "ring")
    with pytest.raises(BadInput) as caught:
        DOORS[door](path)
    assert path[:20] in caught.value.where and os.listdir() == ["ring"]


@pytest.mark.parametrize("path", ["", "absent", "file/x", "caf\udce9"])
def test_that_nothing_is_there_is_no_error_of_a_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert files.as_path(path) == Path(path)


def test_words_that_no_program_can_be_given_are_not_given_to_git(tmp_path):
    for word in ("a\0b", "\ud800"):
        with pytest.raises(BadInput, match="git rev-parse"):
            repository.git(tmp_path, "rev-parse", word)


@pytest.mark.parametrize("use", [engine.load, engine.inspect, engine.build])
def test_a_file_that_cannot_be_read_is_no_engine(use):
    with pytest.raises(BadInput, match="/proc/self/mem"):
        use("/proc/self/mem")


def test_what_comes_while_it_is_asked_for_is_no_device(tmp_path, monkeypatch):
    """One look: a file that comes after it was not there is either absent or a file."""
    path, look = tmp_path / "late", Path.stat
    late = path.touch

    def once(self, **options):
        try:
            return look(self, **options)
        finally:
            late()

    monkeypatch.setattr(Path, "stat", once)
    assert files.found_at(path) in (files.NOTHING, "a file")
