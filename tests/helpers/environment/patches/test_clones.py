"""A reader's patch on a reader's clone: applied at the pinned commit only, and taken back to the byte."""

import json
import shlex

import pytest

from helpers.cli import patch as patch_command
from helpers.environment.patches import clones
from helpers.errors import BadInput
from tests.helpers.environment.patches.builders import git, write


def tree(root):
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.relative_to(root).parts)
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode) for path in files}


def test_apply_and_revert_are_exact(pinned):
    repo, file, first = pinned
    write(repo, {"build/output.so": "untracked"})
    before = tree(repo)
    result = clones.apply_to_clone(repo, file, first[:8])
    assert result["commit"] == first and result["previous"] == "main" and result["notes"] == []
    assert sorted(result["changed"]) == ["plugin/kernel.cu", "plugin/new/added.cu", "tools/old.py"]
    assert git(repo, "rev-parse", "HEAD").strip() == first
    assert (repo / "plugin/kernel.cu").read_text() == "int64_t dims;\nint size;\n"
    assert (repo / "README.md").read_text() == "first\n" and not (repo / "tools/old.py").exists()
    assert clones.revert_clone(repo)["state"] == "not applied"
    assert tree(repo) == before and not (repo / "plugin/new").exists()
    assert git(repo, "branch", "--show-current").strip() == "main"
    assert clones.revert_clone(repo)["changed"] == []


def test_twice_is_once(pinned):
    repo, file, first = pinned
    clones.apply_to_clone(repo, file, first)
    after = tree(repo)
    assert clones.apply_to_clone(repo, file, first)["changed"] == [] and tree(repo) == after
    other = file.with_name("other.patch")
    other.write_text(file.read_text() + "\n")
    with pytest.raises(BadInput, match="revert --clone"):
        clones.apply_to_clone(repo, other, first)


def test_while_another_run_is_at_work_in_a_clone_nothing_is_applied_or_reverted(pinned):
    repo, file, first = pinned
    before = tree(repo)
    with clones._held(clones._journal(repo)):
        for work in (lambda: clones.apply_to_clone(repo, file, first), lambda: clones.revert_clone(repo)):
            with pytest.raises(BadInput, match="that another process is at"):
                work()
    assert tree(repo) == before and clones.apply_to_clone(repo, file, first)["state"] == "applied"


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_tree_is_refused(pinned, staged):
    """Also where git itself would carry the change along, because both commits have the same file."""
    repo, file, first = pinned
    write(repo, {"LICENSE": "mine\n"})
    if staged:
        git(repo, "add", "LICENSE")
    before = tree(repo)
    with pytest.raises(BadInput, match=r"changes in LICENSE") as refused:
        clones.apply_to_clone(repo, file, first)
    assert tree(repo) == before and git(repo, "branch", "--show-current").strip() == "main"
    command, _ = refused.value.fix.split(", or ")
    git(repo, *shlex.split(command)[1:])
    assert clones.apply_to_clone(repo, file, first)


def test_a_patch_for_another_commit_is_refused(pinned):
    repo, file, _ = pinned
    before, second = tree(repo), git(repo, "rev-parse", "HEAD").strip()
    git(repo, "checkout", "-q", "-b", "work")
    with pytest.raises(BadInput, match="patch does not apply"):
        clones.apply_to_clone(repo, file, second)
    assert tree(repo) == before and git(repo, "branch", "--show-current").strip() == "work"
    assert not (repo / ".git/onramp-patch").exists()


def test_a_detached_clone_goes_back_to_its_commit(pinned, tmp_path, monkeypatch):
    """And the clone is the one that was named, whatever git's variables say."""
    repo, file, first = pinned
    second = git(repo, "rev-parse", "HEAD").strip()
    git(repo, "checkout", "-q", "--detach")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert clones.apply_to_clone(repo, file, first)["previous"] == second
    clones.revert_clone(repo)
    monkeypatch.undo()
    assert git(repo, "rev-parse", "HEAD").strip() == second and git(repo, "status", "--porcelain") == ""


def test_a_file_changed_after_the_patch_is_kept(pinned):
    repo, file, first = pinned
    clones.apply_to_clone(repo, file, first)
    patched = (repo / "plugin/kernel.cu").read_text()
    write(repo, {"plugin/kernel.cu": patched + "int mine;\n"})
    with pytest.raises(BadInput, match="as the patch left it"):
        clones.revert_clone(repo)
    write(repo, {"plugin/kernel.cu": patched, "README.md": "mine\n"})
    with pytest.raises(BadInput, match=r"README\.md"):
        clones.revert_clone(repo)
    assert (repo / "README.md").read_text() == "mine\n"
    write(repo, {"README.md": "first\n"})
    git(repo, "-c", "advice.detachedHead=false", "commit", "-q", "--allow-empty", "-m", "mine")
    with pytest.raises(BadInput, match="checkout --detach"):
        clones.revert_clone(repo)


@pytest.mark.parametrize("moment", ["checked out", "half written", "written"])
def test_an_interrupted_application_is_undone(pinned, monkeypatch, moment):
    """A kill leaves the journal and no tidying: what is on the disk at three moments."""
    repo, file, first = pinned
    before, run = tree(repo), clones.git

    def die(repo, *words, **rest):
        if words[0] != "apply" or "--numstat" in words or ("--check" in words and moment != "checked out"):
            return run(repo, *words, **rest)
        if moment != "checked out":
            run(repo, *words, **rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(clones, "git", die)
    monkeypatch.setattr(clones, "_restore", lambda *arguments: None)
    with pytest.raises(KeyboardInterrupt):
        clones.apply_to_clone(repo, file, first)
    monkeypatch.undo()
    if moment == "half written":
        write(repo, {"plugin/kernel.cu": "int6", "tools/old.py": "import tensorrt\n"})
    assert tree(repo) != before
    with pytest.raises(BadInput, match="interrupted"):
        clones.apply_to_clone(repo, file, first)
    clones.revert_clone(repo)
    assert tree(repo) == before and git(repo, "branch", "--show-current").strip() == "main"


def test_copied_files_in_a_folder_are_patched_and_put_back(pinned, tmp_path):
    """FB-OCC's case: files of another repository are copied into the clone, untracked, and patched there."""
    repo, _, first = pinned
    write(repo, {"deployment/functions/rotate.py": "a = 1\n", "deployment/functions/other.py": "b = 1\n"})
    file, before = tmp_path / "functions.patch", tree(repo)
    file.write_text("--- a/rotate.py\n+++ b/rotate.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n")
    result = clones.apply_to_clone(repo, file, first, directory="deployment/functions")
    assert result["changed"] == ["deployment/functions/rotate.py"]
    assert (repo / "deployment/functions/rotate.py").read_text() == "a = 2\n"
    clones.revert_clone(repo)
    assert tree(repo) == before


def test_a_rename_is_refused_and_undone(pinned, tmp_path):
    repo, _, first = pinned
    file, before = tmp_path / "rename.patch", tree(repo)
    lines = ("diff --git a/README.md b/READ.md", "similarity index 100%", "rename from README.md", "rename to READ.md")
    file.write_text("\n".join((*lines, "")))
    with pytest.raises(BadInput, match="no-renames"):
        clones.apply_to_clone(repo, file, first)
    assert tree(repo) == before


def test_submodules_of_another_version_are_named(pinned):
    repo, file, first = pinned
    git(repo, "checkout", "-q", first)
    write(repo, {".gitmodules": '[submodule "cutlass"]\n\tpath = 3rdparty/cutlass\n\turl = https://example.com/c\n'})
    git(repo, "add", ".gitmodules")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{first},3rdparty/cutlass")
    git(repo, "commit", "-q", "-m", "submodule")
    result = clones.apply_to_clone(repo, file, git(repo, "rev-parse", "HEAD").strip())
    assert "3rdparty/cutlass" in result["notes"][0] and "submodule update --init --recursive" in result["notes"][0]


def test_bad_input_is_named(pinned, tmp_path):
    repo, file, first = pinned
    for arguments, words in (
        ((tmp_path / "absent", file, first), "no such folder"),
        ((repo / "plugin", file, first), rf"top folder of a git clone(.|\n)*give {repo}\b"),
        ((repo, tmp_path / "absent.patch", first), "no such file"),
        ((repo, file, "0" * 40), "fetch origin"),
        ((repo, file, "--all"), "fetch --tags origin"),
    ):
        with pytest.raises(BadInput, match=words):
            clones.apply_to_clone(*arguments)
    (tmp_path / "plain").mkdir()
    with pytest.raises(BadInput, match="git clone"):
        clones.apply_to_clone(tmp_path / "plain", file, first)
    assert git(repo, "branch", "--show-current").strip() == "main"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_journal_is_named_with_the_copies_that_are_left(pinned, content):
    repo, file, first = pinned
    clones.apply_to_clone(repo, file, first)
    (repo / ".git/onramp-patch/journal.json").write_text(content)
    for act in (lambda: clones.revert_clone(repo), lambda: clones.apply_to_clone(repo, file, first)):
        with pytest.raises(BadInput, match=r"journal\.json") as refusal:
            act()
        assert "onramp-patch/before/. " in refusal.value.fix


def test_the_command(pinned, capsys):
    repo, file, first = pinned
    before, place = tree(repo), ["--clone", str(repo), "--file", str(file)]
    assert patch_command.main(["apply", *place, "--commit", first]) == 0
    assert "3 files changed" in capsys.readouterr().out
    assert patch_command.main(["revert", "--clone", str(repo)]) == 0 and tree(repo) == before
    assert ": reverted, at main; 3 files put back\n" in capsys.readouterr().out
    assert patch_command.main(["revert", "--clone", str(repo)]) == 0
    assert ": already not applied, at main; 0 files put back\n" in capsys.readouterr().out
    with pytest.raises(BadInput, match="fetch origin 303d3140c140"):
        patch_command.main(["apply", "bevformer-trt10", *place])
    with pytest.raises(BadInput, match="omnidrive-trtllm-cuda117"):
        patch_command.main(["apply", "unknown", *place])
    with pytest.raises(BadInput, match=r"bevformer_trt10\.patch"):
        patch_command.main(["apply", "bevformer-trt10", "--clone", str(repo)])


def test_the_procedures_are_complete():
    known = clones.procedures()
    assert {"omnidrive-trtllm-cuda117", "bevformer-trt10", "fbocc-functions", "fbocc-aarch64"} <= known.keys()
    for entry in known.values():
        assert {"fixes", "patch", "issue", "before", "verify", "submodules", "tried"} <= entry.keys()
        assert len(entry["commit"]) == 40 and entry["repository"].startswith("https://github.com/")
    assert json.dumps(known)
