"""How JupyterLab is started: as whom, with or without a browser, and when not at all."""

import io
import os

import pytest

from ci.lessons import copies, lab
from helpers.errors import BadInput


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Runs main with copies in a temporary folder; the list of commands that would have replaced this process."""
    kinds = [copies.Kind(tmp_path / k.folder.name, k.make, k.note) for k in (copies.LEARNER, copies.SOLUTIONS)]
    monkeypatch.setattr(copies, "LEARNER", kinds[0])
    monkeypatch.setattr(copies, "SOLUTIONS", kinds[1])
    commands = []
    monkeypatch.setattr(os, "execvpe", lambda file, words, environment: commands.append(words))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION", *lab.HUB):
        monkeypatch.delenv(name, raising=False)
    return commands


@pytest.mark.parametrize(("options", "folder"), [([], "learner"), (["--solutions"], "solutions")])
def test_lab_opens_a_copy_of_the_first_lesson(started, tmp_path, options, folder):
    assert lab.main(options) == 0
    assert f"--LabApp.default_url=/lab/tree/{folder}/00_start_here.ipynb" in started[0]
    assert (tmp_path / folder / "00_start_here.ipynb").is_file()


def test_a_notebook_of_the_learners_own_does_not_take_the_place_of_the_first_lesson(started, tmp_path):
    lab.main(["--copies-only"])
    (tmp_path / "learner/00_a.ipynb").write_text("{}")
    assert lab.main([]) == 0
    assert "--LabApp.default_url=/lab/tree/learner/00_start_here.ipynb" in started[0]


def test_reset_of_a_copy_with_solutions(started, tmp_path, capsys):
    lab.main(["--solutions", "--copies-only"])
    (tmp_path / "solutions/00_start_here.ipynb").write_text("mine")
    assert lab.main(["--reset=00", "--solutions", "--yes"]) == 0
    assert "solutions" in capsys.readouterr().out and not (tmp_path / "learner").exists()
    assert [path.read_text() for path in (tmp_path / "solutions/old").iterdir()] == ["mine"]


@pytest.mark.parametrize("lesson", ["-h", "--yes", "a'b", " ", "*", "../x"])
def test_an_odd_name_is_refused_by_name(started, capsys, lesson):
    assert lab.main([f"--reset={lesson}", "--yes"]) == 2
    assert f"LESSON={lesson}" in capsys.readouterr().err


def test_root_is_allowed_and_nobody_else_asks_for_it(started, monkeypatch):
    for uid in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        lab.main([])
    assert ["--allow-root" in words for words in started] == [True, False]


def test_a_browser_opens_only_where_its_screen_is(started, monkeypatch):
    assert lab.has_browser({"DISPLAY": ":0"})
    assert not lab.has_browser({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "1 2 3 4"})
    for display in (None, ":0"):
        if display:
            monkeypatch.setenv("DISPLAY", display)
        lab.main([])
    assert ["--no-browser" in words for words in started] == [True, False]


def test_on_a_hub_no_second_server_starts(started, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    assert lab.main([]) == 0
    assert started == []
    assert "ipykernel install --user --name onramp" in capsys.readouterr().out


def test_reset_asks_and_keeps_without_a_yes(started, monkeypatch, capsys):
    lab.main(["--copies-only"])
    for answer, said in (("n\n", "Nothing was changed"), ("", "Nothing was changed"), ("y\n", "renewed")):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        assert lab.main(["--reset", "00"]) == 0
        assert said in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert lab.main(["--reset", "00"]) == 2
    assert "YES=1" in capsys.readouterr().err
    assert lab.main(["--reset", "00", "--yes"]) == 0
    assert lab.main(["--reset", "77", "--yes"]) == 2
    with pytest.raises(BadInput):
        lab.confirmed("Really?", False, io.StringIO())


def test_lab_finds_the_settings_of_this_project_and_then_the_persons_own(started, monkeypatch):
    given = []
    monkeypatch.setattr(os, "execvpe", lambda file, words, environment: given.append(environment))
    for path in ("", "/mine"):
        monkeypatch.setenv("JUPYTER_CONFIG_PATH", path)
        assert lab.main([]) == 0
    assert [each["JUPYTER_CONFIG_PATH"] for each in given] == [str(lab.SETTINGS), f"{lab.SETTINGS}:/mine"]
    assert (lab.SETTINGS / "labconfig/page_config.json").is_file()


def test_kernels_are_kept_to_the_cores_given(started, monkeypatch, capsys):
    given = []
    monkeypatch.setattr(os, "execvpe", lambda file, words, environment: given.append(environment))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for number in ("1", ""):
        monkeypatch.setenv("ONRAMP_CORES", number)
        assert lab.main([]) == 0
    assert [each.get("OMP_NUM_THREADS") for each in given] == ["1", os.environ.get("OMP_NUM_THREADS")]
    assert [each["OMP_WAIT_POLICY"] for each in given] == ["passive", "passive"]
    monkeypatch.setenv("ONRAMP_CORES", "few")
    assert lab.main([]) == 2
    assert "CORES" in capsys.readouterr().err
