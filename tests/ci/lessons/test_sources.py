"""What a lesson's result depends on: the files that it can read, and the data set."""

import os
import subprocess

import pytest

from ci.lessons import lesson as lessons
from ci.lessons import sources
from ci.lessons.sources import Sources
from tests.ci.lessons.notebooks import lesson

FILES = ("helpers/a.py", "plugins/kernel.cu", "checkpoints/w.npz", "notebooks/01.ipynb", "tests/test_a.py")
MADE = ("build/report.json", ".venv/lib/b.py", "data/x.png", "learner/01.ipynb", "solutions/01.ipynb")


@pytest.fixture(params=["git", "no git"])
def project(tmp_path, request):
    """A project's folder, with a new file that git does not know yet, as a repository and as plain files."""
    for name in (*FILES, *MADE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    if request.param == "git":
        (tmp_path / ".git/info").mkdir(parents=True)
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        (tmp_path / ".git/info/exclude").write_text("".join(f"/{name.split('/')[0]}/\n" for name in MADE))
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    (tmp_path / "helpers/new.py").write_text("new")
    return tmp_path


def shared(project):
    return Sources(project / "out", project).shared


def test_files_are_those_that_a_lesson_can_read(project):
    (project / "out").mkdir()
    (project / "out/report.json").write_text("a result")
    found = {str(name) for name in Sources(project / "out", project).files()}
    assert found == {"helpers/a.py", "helpers/new.py", "plugins/kernel.cu", "checkpoints/w.npz"}


@pytest.mark.parametrize("name", ["plugins/kernel.cu", "checkpoints/w.npz", "helpers/new.py", "helpers/newer.py"])
def test_a_change_of_any_of_them_counts(project, name):
    before = shared(project)
    assert shared(project) == before
    (project / name).write_text("changed")
    assert shared(project) != before


def test_a_file_that_is_gone_counts(project):
    before = shared(project)
    (project / "helpers/a.py").unlink()
    assert shared(project) != before


def test_another_machine_or_number_of_threads_counts(project, monkeypatch, tmp_path):
    found = [Sources(project / "out", project, threads).shared for threads in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    monkeypatch.setattr(sources.records, "cpu", lambda: "another processor")
    assert Sources(project / "out", project, 1).shared != found[0]
    (tmp_path / "driver/gpus/0").mkdir(parents=True)
    (tmp_path / "driver/gpus/0/information").write_text("Model: a GPU")
    assert sources.machine(tmp_path / "driver") == "another processor\nModel: a GPU"


def test_a_folder_that_git_does_not_know_is_not_read(project):
    (project / "nuscenes").mkdir()
    (project / "nuscenes/sweep.bin").write_text("large")
    listed = "nuscenes/sweep.bin" in map(str, Sources(project / "out", project).files())
    assert listed == (not (project / ".git").exists())


def test_files_are_read_once_a_run(project, monkeypatch):
    read, content = [], sources.content
    monkeypatch.setattr(sources, "content", lambda path: read.append(path) or content(path))
    found = Sources(project / "out", project)
    keys = {lessons.key_of(project / f"notebooks/{n}.ipynb", lesson(), {}, None, found) for n in ("01", "02")}
    assert len(keys) == 2
    assert len(read) == len(found.files()) + 2


@pytest.mark.parametrize("change", ["size", "time", "name", "more"])
def test_a_change_of_the_data_counts(tmp_path, change):
    picture, root = tmp_path / "data/samples/x.png", tmp_path / "data"
    picture.parent.mkdir(parents=True)
    picture.write_text("picture")
    (root / "loop").symlink_to(root)
    before = Sources(tmp_path / "out", tmp_path).data("data")
    assert Sources(tmp_path / "out", tmp_path).data("data") == before
    if change == "size":
        times = picture.stat()
        picture.write_text("pictures")
        os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "time":
        os.utime(picture, ns=(0, picture.stat().st_mtime_ns + 1))
    elif change == "name":
        picture.rename(picture.with_name("y.png"))
    else:
        (root / "table.json").write_text("{}")
    assert Sources(tmp_path / "out", tmp_path).data("data") != before


def test_the_data_set_is_the_parameter_or_what_the_lesson_says():
    assert lessons.data_root(lesson(), {}) == "data/minidrive"
    assert lessons.data_root(lesson(), {"DATAROOT": "/data/nuscenes"}) == "/data/nuscenes"
    bare = lesson()
    bare.cells[1].source = "FAST = False"
    assert lessons.data_root(bare, {}) is None
