"""Patching an installed package: whole or absent, exact both ways, and refused wherever it could do harm."""

import os
import subprocess
import sys
import tempfile
import types

import pytest

from helpers.environment import patches as patching
from helpers.environment.patches import patch, status, unpatch, upstream
from helpers.errors import BadInput
from tests.helpers.environment.patches.builders import NEW, OLD, digest, make_site, tree, write


def state(site, patches, id="demo-value"):
    return next(row["state"] for row in status(site, patches) if row["id"] == id)


def test_patch_and_unpatch_are_exact(site, patches):
    before = tree(site)
    (site / "demo/a.py").chmod(0o755)
    result = patch("demo-value", site, patches=patches)
    assert result["state"] == "applied" and result["changed"] == [*OLD] and result["notes"] == []
    assert tree(site) == before | NEW
    assert (site / "demo/a.py").stat().st_mode & 0o777 == 0o755
    assert state(site, patches) == "applied"
    assert unpatch("demo-value", site, patches=patches)["changed"] == [*OLD]
    assert tree(site) == before and state(site, patches) == "not applied"


def test_twice_is_once(site, patches):
    patch("demo-value", site, patches=patches)
    inode = (site / "demo/a.py").stat().st_ino
    assert patch("demo-value", site, patches=patches)["changed"] == []
    assert (site / "demo/a.py").stat().st_ino == inode
    unpatch("demo-value", site, patches=patches)
    assert unpatch("demo-value", site, patches=patches)["changed"] == []


def test_a_dry_run_tells_and_writes_nothing(site, patches):
    before = tree(site)
    assert patch("demo-value", site, dry_run=True, patches=patches)["changed"] == [*OLD]
    assert tree(site) == before
    (site / "demo/b.txt").write_bytes(b"mine")
    with pytest.raises(BadInput, match="SHA-256"):
        patch("demo-value", site, dry_run=True, patches=patches)


def test_drift_is_refused_with_both_sides_named(site, patches):
    (site / "demo/b.txt").write_bytes(b"mine")
    before = tree(site)
    with pytest.raises(BadInput) as error:
        patch("demo-value", site, patches=patches)
    assert digest(b"mine") in error.value.found and "1.0" in error.value.found
    assert digest(OLD["demo/b.txt"]) in error.value.expected and digest(NEW["demo/b.txt"]) in error.value.expected
    assert tree(site) == before and state(site, patches) == "drifted"
    (site / "demo/b.txt").unlink()
    with pytest.raises(BadInput, match="no such file"):
        unpatch("demo-value", site, patches=patches)


def test_another_version_is_refused_even_with_the_same_files(tmp_path, patches):
    site = make_site(tmp_path / "newer", "2.0")
    with pytest.raises(BadInput) as error:
        patch("demo-value", site, patches=patches)
    assert "2.0" in error.value.found and ">=1,<2" in error.value.expected
    assert state(site, patches) == "other version"


def test_what_is_absent_unknown_or_a_setting_is_refused(tmp_path, site, patches):
    with pytest.raises(BadInput, match="not installed"):
        patch("demo-value", tmp_path / "work", patches=patches)
    assert state(tmp_path / "work", patches) == "not installed"
    with pytest.raises(BadInput, match="demo-value, demo-setting"):
        patch("demo", site, patches=patches)
    with pytest.raises(BadInput, match=r"demo\(x=1\)"):
        patch("demo-setting", site, patches=patches)
    assert state(site, patches, "demo-setting") == "setting"


@pytest.mark.parametrize("done", OLD)
def test_an_interrupted_run_is_completed_or_undone(site, patches, done):
    before = tree(site)
    (site / done).write_bytes(NEW[done])
    assert state(site, patches) == "half applied"
    assert patch("demo-value", site, patches=patches)["changed"] == [name for name in OLD if name != done]
    assert tree(site) == before | NEW
    (site / done).write_bytes(OLD[done])
    unpatch("demo-value", site, patches=patches)
    assert tree(site) == before


def test_a_failure_in_the_middle_leaves_nothing(site, patches, monkeypatch):
    before, write_one = tree(site), patching._write

    def fail(path, content):
        if path.name == "b.txt" and content == NEW["demo/b.txt"]:
            raise OSError("the disk is gone")
        write_one(path, content)

    monkeypatch.setattr(patching, "_write", fail)
    with pytest.raises(OSError, match="disk"):
        patch("demo-value", site, patches=patches)
    assert tree(site) == before


def test_a_hard_link_to_a_cache_leaves_the_cache_alone(tmp_path, site, patches):
    cache = tmp_path / "cached.py"
    os.link(site / "demo/a.py", cache)
    result = patch("demo-value", site, patches=patches)
    assert "hard links" in result["notes"][0]
    assert cache.read_bytes() == OLD["demo/a.py"] and (site / "demo/a.py").read_bytes() == NEW["demo/a.py"]


@pytest.mark.parametrize("shared", ["demo", "demo/a.py"])
def test_a_symbolic_link_to_a_cache_is_refused(tmp_path, site, patches, shared):
    cache = tmp_path / "cache"
    (site / shared).rename(cache)
    (site / shared).symlink_to(cache)
    before = tree(tmp_path)
    with pytest.raises(BadInput, match="symbolic link"):
        patch("demo-value", site, patches=patches)
    assert tree(tmp_path) == before


def test_a_site_reached_through_a_link_is_fine(tmp_path, site, patches):
    (tmp_path / "link").symlink_to(site)
    assert patch("demo-value", tmp_path / "link", patches=patches)["changed"] == [*OLD]


def test_a_read_only_file_is_refused(site, patches):
    (site / "demo/b.txt").chmod(0o444)
    before = tree(site)
    with pytest.raises(BadInput, match="read-only"):
        patch("demo-value", site, patches=patches)
    assert tree(site) == before


def test_a_damaged_patch_file_changes_nothing(site, patches):
    before, file = tree(site), patches / "demo.patch"
    file.write_bytes(file.read_bytes().replace(b"return 22", b"return 23"))
    with pytest.raises(BadInput, match=r"git -C \S+/patches checkout -- \."):
        patch("demo-value", site, patches=patches)
    file.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match=r"git apply(.|\n)*checkout -- \."):
        patch("demo-value", site, patches=patches)
    assert tree(site) == before


def test_the_readers_git_settings_and_repository_do_not_matter(tmp_path, site, patches, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[apply]\n whitespace = fix\n[core]\n autocrlf = true\n")
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "repository/.git"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "repository"))
    patch("demo-value", site, patches=patches)
    assert tree(site).items() >= NEW.items()
    assert unpatch("demo-value", site, patches=patches)["changed"] == [*OLD]


def test_compiled_code_of_the_old_file_is_not_run(site, patches):
    """The patch keeps the file's size, so a time stamp of the same second would hide it from Python."""
    run = [sys.executable, "-c", "import demo.a; print(demo.a.value())"]
    settings = os.environ | {"PYTHONPATH": str(site)}
    settings.pop("PYTHONDONTWRITEBYTECODE", None)
    stamp = (site / "demo/a.py").stat().st_mtime
    assert subprocess.run(run, env=settings, capture_output=True, text=True).stdout == "11\n"
    patch("demo-value", site, patches=patches)
    os.utime(site / "demo/a.py", (stamp, stamp))
    assert subprocess.run(run, env=settings, capture_output=True, text=True).stdout == "22\n"


def test_a_module_already_imported_is_named(site, patches, monkeypatch):
    module = types.ModuleType("demo.a")
    module.__file__ = str(site / "demo/a.py")
    monkeypatch.setitem(sys.modules, "demo.a", module)
    assert patch("demo-value", site, patches=patches)["notes"] == ["demo.a is already imported: restart the kernel"]


def test_scratch_copies_one_package_and_unpatches_the_copy(tmp_path, site, patches):
    patch("demo-value", site, patches=patches)
    copy = upstream.scratch("demo-value", tmp_path / "scratch", site, patches)
    assert tree(copy).items() >= OLD.items() and not (copy / "other").exists()
    assert state(site, patches) == "applied"
    with pytest.raises(BadInput, match="already there"):
        upstream.scratch("demo-value", copy, site, patches)


@pytest.mark.parametrize(
    "version, right, words",
    [("1.0", False, "needed: value 11"), ("1.5", True, "needless with Demo_Package 1.5"), ("2.1", False, "renew")],
)
def test_upstream_is_watched(tmp_path, patches, monkeypatch, version, right, words):
    site = make_site(tmp_path / "watched", version)
    if right:
        write(site, {"demo/a.py": b"def value():\n    return 33\n"})
    monkeypatch.syspath_prepend(str(site))
    result = upstream.check_upstream("demo-value", tmp_path / "scratch", patches)
    assert words in result["message"] and result["found"] == version
    assert (result["needed"], result["in_range"]) == (not right, version != "2.1")


def test_a_broken_probe_is_no_verdict(tmp_path, site, patches):
    (patches / "probes/demo-value.py").write_text("import absent_module")
    with pytest.raises(BadInput, match="absent_module"):
        upstream.probe("demo-value", site, patches)


def test_a_probe_without_an_end_is_no_verdict(tmp_path, site, patches, monkeypatch):
    monkeypatch.setattr(upstream, "SECONDS", 1)
    (patches / "probes/demo-value.py").write_text("import time; time.sleep(60)")
    with pytest.raises(BadInput, match="no end after 1 s"):
        upstream.probe("demo-value", site, patches)


def test_the_projects_manifest_is_complete():
    entries = patching.manifest()
    for id, entry in entries.items():
        assert {"kind", "fixes", "fault", "why", "issue", "see", "drop_when"} <= entry.keys(), id
        assert entry["issue"].startswith(("https://github.com/", "none found; seen with "))
        for file in entry.get("files", ()):
            assert len(file["before"]) == len(file["after"]) == 64 and file["before"] != file["after"]
        if entry["kind"] == "patch":
            text = (patching.PATCHES / entry["file"]).read_text()
            touched = {line[6:] for line in text.splitlines() if line.startswith("+++ b/")}
            assert touched == {file["path"] for file in entry["files"]}
        if "package" in entry:
            assert entry["see"] == f"python patches/probes/{id}.py" and (patching.PATCHES / f"probes/{id}.py").is_file()


def test_the_projects_patches_fit_what_is_installed():
    """Fails when the lock moves to a release that the manifest does not know: run `python -m helpers patch check`."""
    states = {row["id"]: row["state"] for row in status()}
    for id, entry in patching.manifest().items():
        assert states[id] == {"patch": "not applied", "setting": "setting"}[entry["kind"]]
        assert patching.in_range(entry, patching.installed(entry, None))
        if entry["kind"] == "patch":
            assert patch(id, dry_run=True)["changed"] == [file["path"] for file in entry["files"]]
