"""`make setup`: .venv from the lock of the CPU tier, on a machine that may have no Python, or another one."""

import fcntl
import os
import re
import shutil
import subprocess

import pytest

from helpers.files import ROOT
from tests.builders.waiting import HANG

FAKE_PYTHON = """#!/bin/bash
# Stands for a Python of version $VERSION and its pip: notes what it is asked, with what stands in a list of a few pins,
# and knows torch only from the CPU index.
case "${@: -1}" in /dev/fd/*) asked="$* [$(cat "${@: -1}")]" ;; *) asked="$*" ;; esac
echo "$asked" >>"$CALLS"
[ -z "$PIP_NO_CACHE_DIR" ] || : >"$CALLS.without-cache"
case "$asked" in
    *"-m venv"*)
        for folder; do :; done
        mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" && cp "$UV" "$folder/bin/uv"
        echo "#!$PWD/$folder/bin/python" >"$folder/bin/pip" ;;
    *"sys.exit("*) [[ "$asked" != *"'3.11'"* || "${VERSION:-3.11}" = 3.11 ]] ;;
    *--index-url*) ;;
    *"[torch=="*) echo "ERROR: No matching distribution found for torch"; exit 1 ;;
esac
"""
FAKE_UV = """#!/bin/bash
# Stands for uv: fetches the interpreter $FETCHED, or nothing where that is not set.
echo "uv $* into $UV_PYTHON_INSTALL_DIR" >>"$CALLS"
case "$*" in
    *install*) [ -n "$FETCHED" ] || { echo "uv: no network" >&2; exit 1; } ;;
    *find*) echo "$FETCHED" ;;
esac
"""
TOOLS = (
    "bash",
    "cat",
    "cmp",
    "cp",
    "dirname",
    "flock",
    "grep",
    "mkdir",
    "mktemp",
    "readlink",
    "rm",
    "sed",
    "tee",
    "uname",
)


@pytest.fixture
def python(tmp_path):
    """Path of a fake Python 3.11."""
    for name, text in (("fake-python", FAKE_PYTHON), ("fake-uv", FAKE_UV)):
        (tmp_path / name).write_text(text)
        os.chmod(tmp_path / name, 0o755)
    return tmp_path / "fake-python"


def set_up(folder, python=None, version="3.11", fetched="", words=(), **environment):
    """Run a copy of ci/setup/cpu.sh on a PATH that has no Python; (exit code, output, the calls of the fake Python)."""
    for name in (
        "ci/setup/alone.sh",
        "ci/setup/cpu.sh",
        "ci/setup/python.sh",
        *(f"requirements/{lock}.txt" for lock in ("build", "cpu", "uv")),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    for tool in TOOLS:
        if not (tools / tool).exists():
            (tools / tool).symlink_to(shutil.which(tool))
    (tools / "df").write_text("#!/bin/bash\necho Filesystem\necho disk 9999 9999 ${FREE:-2800} 1% /\n")
    (tools / "df").chmod(0o755)
    calls = folder / "calls"
    calls.write_text("")
    environment |= {"PATH": str(tools), "CALLS": str(calls), "PYTHON": str(python or ""), "VERSION": version}
    if python:
        environment |= {"UV": str(python.with_name("fake-uv")), "FETCHED": str(fetched)}
    command = ["ci/setup/cpu.sh", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG)
    return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()


def installs(calls):
    return [call for call in calls if " install " in call]


def test_set_up_without_python_says_what_to_do(tmp_path):
    status, text, _ = set_up(tmp_path)
    assert status == 1
    assert "found no Python with venv" in text and "sudo apt install python3.11 python3.11-venv" in text
    assert "sudo apt install python3-venv, then make again" in text


def test_set_up_without_room_says_so_before_anything_is_fetched(tmp_path, python):
    status, text, calls = set_up(tmp_path, python, FREE="2799")
    assert status == 1 and "found 2799 MiB free, but .venv takes 2800 (fix: free space" in text
    assert not installs(calls) and not (tmp_path / ".venv").exists()


def test_set_up_takes_torch_from_the_cpu_index_only_if_need_be_and_runs_once(tmp_path, python):
    status, text, calls = set_up(tmp_path, python)
    assert status == 0, text
    torch = [call for call in installs(calls) if "[torch==" in call]
    assert len(torch) == 2 and "--index-url https://download.pytorch.org/whl/cpu" in torch[1]
    assert any("-r requirements/cpu.txt" in call for call in calls)
    assert not installs(set_up(tmp_path, python)[2])
    (tmp_path / ".venv/installed-from").write_text("another lock")
    assert installs(set_up(tmp_path, python)[2])


def test_whatever_set_up_fetches_is_checked_against_its_hash(tmp_path, python):
    calls = installs(set_up(tmp_path, python)[2])
    fetching = [call for call in calls if not call.endswith(" -e .")]
    assert len(calls) == len(fetching) + 1 and "--no-deps --no-build-isolation" in calls[-1]
    assert all("--no-deps --no-build-isolation --require-hashes" in call for call in fetching)
    first = fetching[0]  # builds what has no wheel, where pip would fetch a builder without a hash
    assert first.endswith("-r requirements/build.txt")


@pytest.mark.parametrize(("cores", "jobs"), [({}, "0"), ({"ONRAMP_CORES": "3"}, "3")])
def test_what_is_installed_is_compiled_on_all_cores_in_the_end(tmp_path, python, cores, jobs):
    status, text, calls = set_up(tmp_path, python, **cores)
    assert status == 0, text
    assert all("--no-compile" in call for call in installs(calls) if not call.endswith(" -e ."))
    assert calls[-1].endswith(f"-m compileall -qq -j {jobs} -x /tests?/ .venv/lib") and calls[-2] == installs(calls)[-1]


def test_what_makes_the_data_is_installed_first_if_asked_for(tmp_path, python):
    status, text, calls = set_up(tmp_path, python, words=["data"])
    assert status == 0 and not (tmp_path / ".venv/installed-from").exists(), text
    (first,) = installs(calls)
    pins = re.findall(r"^(?:.*\[)?(\S+)==", "\n".join(calls), re.MULTILINE)
    assert "--require-hashes" in first and pins == ["numpy", "opencv-python-headless", "tqdm"]
    rest = set_up(tmp_path, python)[2]
    assert not [call for call in rest if "-m venv" in call] and any("-r requirements/cpu.txt" in call for call in rest)
    assert not set_up(tmp_path, python, words=["data"])[2][1:]  # all is there: it asks for no more than that


@pytest.mark.parametrize(("home", "without"), [("/proc/self", True), ("", True), ("home", False)])
def test_a_home_that_cannot_be_written_is_no_place_for_a_cache(tmp_path, python, home, without):
    assert set_up(tmp_path, python, HOME=str(tmp_path / home) if home else "")[0] == 0
    assert (tmp_path / "calls.without-cache").exists() is without


def test_a_copied_folder_sets_itself_up_again_from_nothing(tmp_path, python):
    first, copy, renamed = tmp_path / "first", tmp_path / "copy", tmp_path / "my renamed folder"
    first.mkdir()
    assert set_up(first, python)[0] == 0
    shutil.copytree(first, copy, symlinks=True)
    calls = set_up(copy, python)[2]
    assert any("-m venv --clear .venv" in call for call in calls) and installs(calls)
    assert (copy / ".venv/bin/pip").read_text() == f"#!{copy}/.venv/bin/python\n"
    assert not installs(set_up(first, python)[2])
    first.rename(renamed)
    assert any("-m venv --clear .venv" in call for call in set_up(renamed, python)[2])
    assert not installs(set_up(renamed, python)[2])


def test_of_two_set_ups_at_once_the_second_waits_and_finds_all_done(tmp_path, python):
    assert set_up(tmp_path, python)[0] == 0
    stamp = tmp_path / ".venv/installed-from"
    whole = stamp.read_text()
    stamp.unlink()
    script = tmp_path / "ci/setup/cpu.sh"
    variables = {"PATH": str(tmp_path / "bin"), "CALLS": str(tmp_path / "calls"), "PYTHON": str(python)}
    (tmp_path / "calls").write_text("")
    with open(script) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = subprocess.Popen([script], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
        assert "another one is at work in this folder; waiting" in second.stderr.readline()
        stamp.write_text(whole)
    assert second.wait(HANG) == 0 and not installs((tmp_path / "calls").read_text().splitlines())
    second.stderr.close()


def test_where_there_is_no_flock_set_up_goes_on(tmp_path, python):
    set_up(tmp_path, python)
    (tmp_path / "bin/flock").unlink()
    (tmp_path / ".venv/installed-from").unlink()
    done = subprocess.run(
        ["ci/setup/cpu.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=HANG,
        env={"PATH": str(tmp_path / "bin"), "CALLS": str(tmp_path / "calls"), "PYTHON": str(python)},
    )  # fmt: skip
    assert done.returncode == 0 and "flock" not in done.stderr


def test_a_link_to_another_folder_s_environment_is_left_alone(tmp_path, python):
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
    assert set_up(first, python)[0] == 0
    (other / ".venv").symlink_to(first / ".venv")
    status, text, calls = set_up(other, python)
    assert status == 1 and f".venv is a link to {first}/.venv" in text and "rm .venv" in text
    assert not installs(calls) and not installs(set_up(first, python)[2])


def test_an_environment_of_another_python_is_made_anew(tmp_path, python):
    assert set_up(tmp_path, python)[0] == 0
    (tmp_path / ".venv/installed-from").unlink()
    assert not [call for call in set_up(tmp_path, python)[2] if "-m venv" in call]
    (tmp_path / ".venv/bin/python").write_text(FAKE_PYTHON.replace("${VERSION:-3.11}", "3.12"))
    (tmp_path / ".venv/installed-from").unlink()
    assert [call for call in set_up(tmp_path, python)[2] if "-m venv" in call]


def test_where_there_is_another_python_only_uv_fetches_the_right_one(tmp_path, python):
    fetched = tmp_path / "fetched-python"
    fetched.write_text(FAKE_PYTHON.replace("${VERSION:-3.11}", "3.11"))
    fetched.chmod(0o755)
    status, text, calls = set_up(tmp_path, python, "3.13", fetched)
    assert status == 0, text
    assert f"creating .venv with {fetched}" in text
    uv = next(call for call in installs(calls) if "requirements/uv.txt" in call)
    assert "--no-deps --require-hashes" in uv
    assert f"uv python install --managed-python --no-bin 3.11 into {tmp_path}/.venv-uv/python" in calls
    shutil.rmtree(tmp_path / ".venv")
    assert not [call for call in set_up(tmp_path, python, "3.13", fetched)[2] if "uv.txt" in call]  # uv is there by now


def test_where_none_can_be_fetched_set_up_says_so(tmp_path, python):
    status, text, calls = set_up(tmp_path, python, "3.12")
    assert status == 1 and "uv: no network" in text and "could not be fetched" in text
    assert "make UV_PYTHON_INSTALL_MIRROR=file:///" in text and "make PYTHON=/path/to/python3.11" in text
    assert "apt install" not in text
    assert not (tmp_path / ".venv").exists() and not [call for call in calls if "cpu.txt" in call]


def test_where_uv_cannot_be_had_set_up_says_so(tmp_path, python):
    python.write_text(
        FAKE_PYTHON.replace('case "$asked" in', 'case "$asked" in *uv.txt*) echo no index >&2; exit 1 ;;', 1)
    )
    status, text, calls = set_up(tmp_path, python, "3.13", "never")
    assert status == 1 and "no index" in text and "uv, which fetches Python 3.11, could not be installed" in text
    assert not [call for call in calls if call.startswith("uv python")]


def test_a_lock_that_names_no_python_is_refused(tmp_path, python):
    assert set_up(tmp_path, python)[0] == 0
    script = (tmp_path / "ci/setup/cpu.sh").read_text().replace("requirements/cpu.txt", "requirements/other.txt")
    (tmp_path / "ci/setup/cpu.sh").write_text(script)
    (tmp_path / "requirements/other.txt").write_text("six==1.17.0\n")
    environment = {"PATH": str(tmp_path / "bin"), "CALLS": str(tmp_path / "calls"), "PYTHON": str(python)}
    done = subprocess.run(["ci/setup/cpu.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "does not say for which Python it is" in done.stderr
