"""A small package with a patch for it, and a clone with a reader's patch."""

import subprocess

import pytest

from tests.helpers.environment.patches.builders import NEW, OLD, PROBE, commit, digest, git, make_site, write

FILES = {
    "plugin/kernel.cu": "int dims;\nint size;\n",
    "tools/old.py": "import tensorrt\n",
    "README.md": "first\n",
    "LICENSE": "free\n",
}


@pytest.fixture
def pinned(tmp_path):
    """Clone with two commits on main, of which the patch fits the first; returns (clone, patch, commit)."""
    repo = tmp_path / "clone"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    write(repo, FILES)
    (repo / "tools/old.py").chmod(0o755)
    first = commit(repo, "first")
    write(repo, {"plugin/kernel.cu": "long dims;\nint size;\n", "README.md": "second\n"})
    commit(repo, "second")
    git(repo, "checkout", "-q", first)
    write(repo, {"plugin/kernel.cu": "int64_t dims;\nint size;\n", "plugin/new/added.cu": "added\n"})
    (repo / "tools/old.py").unlink()
    git(repo, "add", "-A")
    (tmp_path / "reader.patch").write_text(git(repo, "diff", "--cached", "--no-renames"))
    git(repo, "reset", "-q", "--hard")
    git(repo, "checkout", "-q", "main")
    return repo, tmp_path / "reader.patch", first


@pytest.fixture
def patches(tmp_path):
    """A manifest of one patch of two files and one setting, for the package `demo` 1.x."""
    folder, work = tmp_path / "patches", tmp_path / "work"
    write(work / "a", OLD)
    write(work / "b", NEW)
    diff = subprocess.run(
        ["git", "-c", "core.autocrlf=false", "diff", "--no-index", "--no-prefix", "a", "b"],
        cwd=work,
        capture_output=True,
    )
    entry = 'id = "demo-value"\nkind = "patch"\nfile = "demo.patch"\npackage = "Demo_Package"\nversions = ">=1,<2"\n'
    entry += 'drop_when = "demo is right"\n'
    for name in OLD:
        entry += f'[[patch.files]]\npath = "{name}"\nbefore = "{digest(OLD[name])}"\nafter = "{digest(NEW[name])}"\n'
    setting = 'id = "demo-setting"\nkind = "setting"\npackage = "demo-package"\nversions = "==1.0"\n'
    setting += 'avoided_by = "demo(x=1)"\ndrop_when = "never"\n'
    manifest = f"[[patch]]\n{entry}[[patch]]\n{setting}"
    write(
        folder, {"demo.patch": diff.stdout, "manifest.toml": manifest.encode(), "probes/demo-value.py": PROBE.encode()}
    )
    return folder


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path / "site")
