"""Names in files and links in folders never lead a program to write, or take, anything outside its own folder."""

import json
import subprocess
import zipfile

import numpy as np
import pytest

from helpers import engine, records
from helpers.calibration import archive as calibration
from helpers.cli import arrays
from helpers.engine import cache
from helpers.environment.patches import clones
from helpers.errors import BadInput
from helpers.files import sha256, stays_inside
from tests.helpers.engine.builders import edit_metadata, save_conv

OUTSIDE = ("../x", "a/../x", "a/../../x", "/tmp/x", "", ".", "..", "link/x", "ring/x", "a\0b", "dangling")


@pytest.fixture
def folder(tmp_path):
    """A folder `own` with links to its neighbor `other`, to nothing outside, and to itself."""
    for name in ("own", "own/a", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "own/link").symlink_to("../other")
    (tmp_path / "own/dangling").symlink_to("../absent")
    (tmp_path / "own/ring").symlink_to("ring")
    (tmp_path / "own/within").symlink_to("a")
    (tmp_path / "other/x").write_text("another's")
    return tmp_path / "own"


def tree(folder):
    """What is in a folder: names, contents and links."""
    return {
        path.relative_to(folder): path.readlink() if path.is_symlink() else path.is_dir() or path.read_bytes()
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_outside(folder, name):
    assert not stays_inside(name, folder)


@pytest.mark.parametrize("name", ["x", "a/x", "./a/x", "within/x", "..x", "日本/x y"])
def test_names_that_stay(folder, name):
    assert stays_inside(name, folder) and stays_inside(name, folder.parent / "other/../own")


@pytest.mark.parametrize("name", ["link/x", "conv.onnx", "conv.onnx.json"])
def test_an_entry_of_the_cache_takes_nothing_from_elsewhere(folder, name):
    path, _ = save_conv(folder / "conv.onnx")
    built = engine.build(path, out_dir=folder / "cache")
    (built.parent / "link").symlink_to(folder.parent / "other")
    edit_metadata(built, beside={name: sha256(built.parent / name)})
    before = tree(folder.parent)
    for use in (engine.load, engine.inspect, lambda path: cache.save_as(path, folder / "a/conv.onnx")):
        with pytest.raises(BadInput, match="files beside the engine"):
            use(built)
    assert tree(folder.parent) == before


def test_an_engine_is_not_saved_through_a_link(folder):
    (folder / "model/link").mkdir(parents=True)
    options = {"save_as_external_data": True, "location": "link/x", "size_threshold": 0}
    path, _ = save_conv(folder / "model/conv.onnx", **options)
    built = engine.build(path, out_dir=folder / "cache")
    before = tree(folder.parent)
    with pytest.raises(BadInput, match="a link out of this folder"):
        cache.save_as(built, folder / "conv.onnx")
    assert tree(folder.parent) == before
    assert cache.save_as(built, folder / "a/conv.onnx").is_file() and (folder / "a/link/x").is_file()


def test_an_entry_that_became_a_link_is_rebuilt_and_what_it_leads_to_stays(folder, capsys):
    path, _ = save_conv(folder / "conv.onnx")
    built = engine.build(path, out_dir=folder / "cache")
    built.parent.rename(folder / "gone")
    built.parent.symlink_to(folder.parent / "other")
    assert engine.build(path, out_dir=folder / "cache") == built and cache.damage(built) is None
    assert not built.parent.is_symlink() and tree(folder.parent / "other") == {}.fromkeys([]) | tree(
        folder.parent / "other"
    )
    assert [file.name for file in (folder.parent / "other").iterdir()] == [
        "x"
    ] and "is rebuilt" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x.npy", "/tmp/onramp-x.npy", "link/x.npy"])
def test_an_archive_of_arrays_is_read_and_never_unpacked(folder, monkeypatch, name):
    with zipfile.ZipFile(folder / "feed.npz", "w") as archive, archive.open(name, "w") as member:
        np.lib.format.write_array(member, np.zeros((1, 3), np.float32))
    monkeypatch.chdir(folder)
    before = tree(folder.parent)
    arrays.load("feed.npz", {name.removesuffix(".npy"): (1, 3)})
    calibration.check_calibration("feed.npz", {name.removesuffix(".npy"): (1, 3)})
    assert tree(folder.parent) == before


def clone(folder, files):
    """A git clone with one commit of `files`."""
    for name, text in files.items():
        (folder / name).write_text(text)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=n@n", *words], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("name", ["../other/x", "link/x", "a/../../other/x"])
def test_a_patch_changes_files_of_the_clone_alone(folder, name):
    clone(folder, {"kernel.cu": "int\n"})
    patch = folder.parent / "reader.patch"
    patch.write_text(f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-another's\n\\ No newline at end of file\n+mine\n")
    before = tree(folder.parent / "other")
    with pytest.raises(BadInput):
        clones.apply_to_clone(folder, patch, "HEAD")
    assert tree(folder.parent / "other") == before


@pytest.mark.parametrize("name", ["../other/x", "link/x", "/tmp/x"])
def test_a_journal_takes_back_files_of_the_clone_alone(folder, name):
    clone(folder, {"kernel.cu": "int\n"})
    journal = folder / ".git/onramp-patch/journal.json"
    journal.parent.mkdir()
    journal.write_text(json.dumps({"stage": "applying", "previous": "main", "files": {name: None}}))
    before = tree(folder.parent / "other")
    with pytest.raises(BadInput, match="files of this clone"):
        clones.revert_clone(folder)
    assert tree(folder.parent / "other") == before and journal.is_file()


@pytest.mark.parametrize("name", ["../x", "a/x", "/tmp/x", "..", "link/x"])
def test_a_record_has_no_name_of_another_folder(folder, name):
    with pytest.raises(BadInput, match="name = "):
        records.record(name, {"NDS": 0.5}, "none", [__file__])
