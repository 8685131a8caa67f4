"""What errors of patches and of clones name as their fix is carried out as it stands, in a shell, and cures."""

import shlex
import shutil
import sys
import zipfile

import pytest

from helpers import __main__ as cli
from helpers.cli import patch as patch_command
from helpers.environment import patches as patching
from helpers.environment.patches import clones, patch, unpatch, upstream
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.helpers.environment.patches.builders import NEW, OLD, carry_out, commit, git, make_site, tree, write


def fix_of(function, *arguments, **options):
    with pytest.raises(BadInput) as caught:
        function(*arguments, **options)
    return caught.value.fix


@pytest.fixture
def clone(pinned, tmp_path):
    """As `pinned`, in a folder whose name has a space and a quote."""
    repo, file, first = pinned
    return repo.rename(tmp_path / "reader's clone"), file, first


@pytest.fixture
def applied(clone):
    clones.apply_to_clone(*clone)
    return clone


@pytest.fixture
def index(tmp_path):
    """Variables for pip by which the wheel of `demo-package` 1.0 is all that there is."""
    source = make_site(tmp_path / "wheel source")
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    write(source, {"demo_package-1.0.dist-info/WHEEL": wheel})
    (folder := tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(folder / "demo_package-1.0-py3-none-any.whl", "w") as file:
        for name, content in tree(source).items():
            file.writestr(name, content)
    links = folder.as_uri()
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": links, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_COMPILE": "1"}


@pytest.mark.parametrize("there", ["nothing", "damaged"])
def test_installing_the_package_of_a_patch_cures(tmp_path, patches, index, there):
    site = tmp_path / "a site"
    site.mkdir()
    if there == "damaged":
        write(make_site(site), {"demo/b.txt": "mine"})
    fix = fix_of(patch, "demo-value", site, patches=patches)
    assert fix.startswith("python -m pip install ") and ("==1.0" in fix) == (there == "damaged")
    carry_out(fix.replace("python", shlex.quote(sys.executable), 1), tmp_path, **index)
    assert patch("demo-value", site, patches=patches)["changed"] == [*OLD] and tree(site).items() >= NEW.items()


def test_without_a_folder_the_package_is_installed_where_this_python_looks(site, patches, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    (site / "demo/b.txt").write_bytes(b"mine")
    fix = fix_of(patch, "demo-value", patches=patches)
    assert fix == "python -m pip install --force-reinstall --no-deps Demo_Package==1.0"


@pytest.mark.parametrize("damage", ["another line", "nonsense"])
def test_restoring_the_patches_cures(tmp_path, site, patches, damage):
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "patches")
    git(tmp_path, "commit", "-q", "-m", "patches")
    file = patches / "demo.patch"
    file.write_bytes(file.read_bytes().replace(b"return 22", b"return 23") if damage == "another line" else b"nonsense")
    carry_out(fix_of(patch, "demo-value", site, patches=patches), "/")
    assert patch("demo-value", site, patches=patches)["changed"] == [*OLD]


def test_restoring_the_example_cures(tmp_path, monkeypatch):
    upstream.scratch("rotate-plugin-v3", root := tmp_path / "the course")
    git(root, "init", "-q")
    commit(root, "the example")
    file = root / patching.find("rotate-plugin-v3")["files"][0]["path"]
    file.write_text("mine")
    monkeypatch.setattr(patching, "ROOT", root)
    fix = fix_of(unpatch, "rotate-plugin-v3")
    assert "git -C" in fix
    carry_out(fix, "/")
    assert patch("rotate-plugin-v3")["changed"]


def test_restoring_a_copy_of_the_example_cures(tmp_path):
    root = upstream.scratch("rotate-plugin-v3", tmp_path / "a copy")
    (root / patching.find("rotate-plugin-v3")["files"][0]["path"]).write_text("mine")
    fix = fix_of(patch, "rotate-plugin-v3", root)
    assert fix.startswith(f"cp {ROOT}")
    carry_out(fix, "/")
    assert patch("rotate-plugin-v3", root)["changed"]


@pytest.mark.parametrize("name", ["commit", "tag"])
def test_fetching_what_the_patch_is_for_cures(clone, tmp_path, name):
    origin, file, _ = clone
    mine = tmp_path / "my clone"
    git(tmp_path, "clone", "-q", str(origin), str(mine))
    git(origin, "checkout", "-q", "--detach", "main~1")
    write(origin, {"LICENSE": "freer\n"})
    late = commit(origin, "on no branch")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub has it
    if name == "tag":
        git(origin, "tag", "release", late)
    git(origin, "checkout", "-q", "main")
    wanted = {"commit": late, "tag": "release"}[name]
    command, *_ = fix_of(clones.apply_to_clone, mine, file, wanted).split(", or ")
    carry_out(command, "/")
    assert clones.apply_to_clone(mine, file, wanted)["commit"] == late


def test_cloning_into_a_folder_and_giving_it_cures(clone, tmp_path):
    origin, file, first = clone
    for fix in (fix_of(clones.apply_to_clone, tmp_path / "absent", file, first), fix_of(clones.revert_clone, tmp_path)):
        assert fix.startswith("git clone URL FOLDER, and give that folder; ") and fix.endswith(" shows the URL")
    command = fix.split(", ")[0].replace("URL", shlex.quote(str(origin))).replace("FOLDER", "new")
    carry_out(command, tmp_path)
    assert clones.apply_to_clone(tmp_path / "new", file, first)["changed"]
    assert fix_of(clones.revert_clone, tmp_path / "new/plugin") == f"give {tmp_path / 'new'}"


def test_the_list_of_patches_shows_the_address_of_every_clone(capsys):
    cli.main(shlex.split(clones.LIST)[3:])
    listed = capsys.readouterr().out
    assert all(entry["repository"] in listed for entry in clones.procedures().values())


@pytest.mark.parametrize("interrupted", [False, True])
def test_reverting_another_patch_cures(applied, monkeypatch, capsys, interrupted):
    repo, file, first = applied
    if interrupted:
        journal = repo / ".git/onramp-patch/journal.json"
        journal.write_text(journal.read_text().replace('"applied"', '"applying"'))
    else:
        file.write_text(file.read_text() + "\n")
    fix = fix_of(clones.apply_to_clone, repo, file, first)
    assert cli.main(shlex.split(fix)[3:]) == 0
    assert clones.apply_to_clone(repo, file, first)["changed"]


def test_a_procedure_is_applied_and_reverted_by_what_the_fix_names(clone):
    repo, file, first = clone
    for action in ("apply", "revert"):
        fix = fix_of(patch_command.main, [action, "bevformer-trt10"])
        words = [{"CLONE": str(repo), "PATCH": str(file)}.get(word, word) for word in shlex.split(fix)]
        assert cli.main([*words[3:], *["--commit", first] * (action == "apply")]) == 0
        assert bool(git(repo, "status", "--porcelain")) == (action == "apply")


def test_a_patch_is_applied_by_what_the_fix_names(tmp_path):
    root = upstream.scratch("rotate-plugin-v3", tmp_path / "a copy")
    with pytest.raises(BadInput) as caught:
        patch_command.main(["apply", "--site", str(root)])
    _, known, *_ = caught.value.expected.split(", ")
    assert cli.main([*shlex.split(caught.value.fix.replace("ID", known))[3:], "--site", str(root)]) == 0


@pytest.mark.parametrize("name", ["plugin/kernel.cu", "plugin/new/added.cu", "tools/old.py"])
def test_putting_a_file_back_as_the_patch_left_it_cures(applied, name):
    repo, _, _ = applied
    write(repo, {name: "mine\n"})
    _, command = fix_of(clones.revert_clone, repo).split("keep what is yours elsewhere, then ")
    carry_out(command, "/")
    assert clones.revert_clone(repo)["state"] == "not applied"


def test_putting_other_changes_aside_cures(applied):
    repo, _, _ = applied
    write(repo, {"README.md": "mine\n", "LICENSE": "mine\n"})
    carry_out(fix_of(clones.revert_clone, repo), "/", GIT_AUTHOR_NAME="n", GIT_AUTHOR_EMAIL="n@n",
              GIT_COMMITTER_NAME="n", GIT_COMMITTER_EMAIL="n@n")  # fmt: skip
    assert len(clones.revert_clone(repo)["changed"]) == 3 and "mine" in git(repo, "stash", "show", "-p")


def test_going_back_to_the_commit_of_the_patch_cures(applied):
    repo, _, _ = applied
    git(repo, "commit", "-q", "--allow-empty", "-m", "mine")
    carry_out(fix_of(clones.revert_clone, repo), "/")
    assert clones.revert_clone(repo)["state"] == "not applied"


def test_a_patch_without_renames_cures(clone):
    repo, file, first = clone
    git(repo, "checkout", "-q", first)
    (repo / "LICENSE").rename(repo / "COPYING")
    git(repo, "add", "-A")

    def diff(command):
        file.write_text(git(repo, *shlex.split(command)[1:], "HEAD"))
        git(repo, "reset", "-q", "--hard")
        git(repo, "clean", "-fdq")

    diff("git diff --find-renames")
    _, command = fix_of(clones.apply_to_clone, repo, file, first).split("again: ")
    (repo / "LICENSE").rename(repo / "COPYING")
    git(repo, "add", "-A")
    diff(command)
    assert sorted(clones.apply_to_clone(repo, file, first)["changed"]) == ["COPYING", "LICENSE"]


def test_a_damaged_journal_is_left_behind_by_its_fix(applied):
    repo, file, first = applied
    (repo / ".git/onramp-patch/journal.json").write_text("{")
    carry_out(fix_of(clones.revert_clone, repo), "/")
    assert git(repo, "status", "--porcelain").split() == ["??", "plugin/new/"]  # which the fix has named
    shutil.rmtree(repo / "plugin/new")
    assert clones.apply_to_clone(repo, file, first)["changed"]


def test_updating_the_submodules_cures(clone, tmp_path):
    repo, file, first = clone
    write(library := tmp_path / "library", {"a.h": "\n"})
    git(library, "init", "-q")
    commit(library, "library")
    git(repo, "checkout", "-q", first)
    git(repo, "submodule", "add", "-q", str(library), "3rdparty/library")
    pinned = commit(repo, "with a submodule")
    mine = tmp_path / "my clone"
    git(tmp_path, "clone", "-q", str(repo), str(mine))
    (note,) = clones.apply_to_clone(mine, file, pinned)["notes"]
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    carry_out(note.split("): ")[1], "/", **settings)
    assert (mine / "3rdparty/library/a.h").is_file() and clones._submodules(mine) == []
