"""`make test`: which stages run, what is counted, and that nothing broken counts as passed."""

import contextlib
import gc
import json
import sys

import pytest

from ci import test
from helpers import disk, shared
from helpers.errors import BadInput

JUNIT = (
    "<testsuites><testsuite tests='{}' failures='{}' errors='{}' skipped='{}'/>"
    "<testsuite tests='1' failures='0' errors='0' skipped='0'/></testsuites>"
)


def ends(code):
    return [sys.executable, "-c", f"raise SystemExit({code})"]


def writes(path, text, code=0):
    return [sys.executable, "-c", f"open({str(path)!r}, 'w').write({text!r}); raise SystemExit({code})"]


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """The table of stages, emptied; reports go to a folder of the test's own."""
    monkeypatch.setattr(test, "OUT", tmp_path / "out")
    monkeypatch.setattr(test, "JUNIT", tmp_path / "out/pytest.xml")
    monkeypatch.setattr(test, "BROWSER", tmp_path / "out/browser.xml")
    table = {}
    monkeypatch.setattr(test, "STAGES", table)
    monkeypatch.setattr(test, "ROOM", {})
    return table


def run(*names, capfd):
    """(exit code, last line)."""
    return test.main(list(names)), capfd.readouterr().out.splitlines()[-1]


def test_every_stage_runs_even_after_a_failure_and_all_are_counted(stages, capfd, tmp_path):
    stages |= {
        "lint": [ends(0), ends(1), ends(0)],
        "unit": [writes(test.JUNIT, JUNIT.format(5, 1, 0, 1), code=1)],
        "notebooks": [writes(test.OUT / "report.json", json.dumps({"notebooks": [
            {"status": "passed"}, {"status": "skipped"}, {"status": "timed out"}]}), code=1),
            writes(tmp_path / "site", "pages")],
    }  # fmt: skip
    # lint 2 and 1, unit 4 and 1 (1 skipped), notebooks 1 and 1 (1 skipped)
    assert run(capfd=capfd) == (1, "total: 7 passed, 3 failed, 2 skipped")
    assert (tmp_path / "site").read_text() == "pages"


def test_all_passed_is_exit_code_0(stages, capfd):
    stages |= {"lint": [ends(0)], "unit": [writes(test.JUNIT, JUNIT.format(3, 0, 0, 0))]}
    assert run(capfd=capfd) == (0, "total: 5 passed, 0 failed")


def test_named_stages_run_alone_and_an_unknown_one_is_refused(stages, capfd, tmp_path):
    stages |= {"lint": [ends(0)], "unit": [writes(tmp_path / "ran", "")]}
    assert run("lint", capfd=capfd) == (0, "total: 1 passed, 0 failed")
    assert test.main(["lint", "units"]) == 2
    assert "no such stage: units (there are lint, unit)" in capfd.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_the_commands_of_lint_run_beside_one_another_and_each_is_heard_as_a_whole(stages, capfd, tmp_path, monkeypatch):
    """Each waits for what the other writes, which it never finds if they take turns."""
    monkeypatch.setattr(test, "WORKERS", 2)
    waits = """if True:
        import pathlib, sys, time
        mine, other, end = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), time.monotonic() + 60
        print(mine.name, 1, flush=True)
        mine.touch()
        while not other.exists() and time.monotonic() < end:
            time.sleep(0.02)
        print(mine.name, 2)
        sys.exit(not other.exists())
    """
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    stages["lint"] = [[sys.executable, "-c", waits, *names] for names in ((one, two), (two, one))]
    assert test.main(["lint"]) == 0
    said = capfd.readouterr().out
    assert "one 1\none 2\n" in said and "two 1\ntwo 2\n" in said and said.endswith("total: 2 passed, 0 failed\n")


def test_errors_of_tests_count_as_failures(stages, capfd):
    stages["unit"] = [writes(test.JUNIT, JUNIT.format(2, 0, 2, 0), code=1)]
    assert run(capfd=capfd) == (1, "total: 1 passed, 2 failed")


@pytest.mark.parametrize("stage", ["unit", "notebooks"])
@pytest.mark.parametrize("text", [None, "<testsuites><testsuite tests=", "{", '{"notebooks": [{}]}'])
@pytest.mark.parametrize("code", [0, 139])
def test_a_stage_that_leaves_no_report_has_failed_whatever_it_says(stages, capfd, stage, text, code):
    report = test.JUNIT if stage == "unit" else test.OUT / "report.json"
    stages[stage] = [ends(code) if text is None else writes(report, text, code)]
    assert run(capfd=capfd) == (1, "total: 0 passed, 1 failed")


def test_a_failure_that_no_item_shows_is_counted(stages, capfd):
    stages["unit"] = [writes(test.JUNIT, JUNIT.format(3, 0, 0, 0), code=3)]  # pytest's internal error
    assert run(capfd=capfd) == (1, "total: 4 passed, 1 failed")


def test_pages_are_tested_in_a_browser_that_is_there(stages, capfd, tmp_path, monkeypatch):
    stages["browser"] = [writes(test.BROWSER, JUNIT.format(3, 1, 0, 0), code=1)]
    (tmp_path / "chrome").write_text("")
    (tmp_path / "chrome").chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "chrome"))
    assert run(capfd=capfd) == (1, "total: 3 passed, 1 failed")


def test_without_a_browser_its_tests_are_skipped_with_the_name_of_what_is_absent(stages, capfd, monkeypatch):
    stages["browser"] = [ends(1)]
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert test.main([]) == 0
    said = capfd.readouterr().out
    assert (
        "browser: skipped, none of chromium, chromium-browser, google-chrome" in said and "apt install chromium" in said
    )
    assert said.splitlines()[-1] == "total: 0 passed, 0 failed, 1 skipped"


def test_a_named_stage_leaves_the_reports_of_others(stages, capfd):
    test.OUT.mkdir()
    (test.OUT / "report.json").write_text("as it was")
    stages["unit"] = [writes(test.JUNIT, JUNIT.format(3, 0, 0, 0))]
    assert run("unit", capfd=capfd) == (0, "total: 4 passed, 0 failed")
    assert (test.OUT / "report.json").read_text() == "as it was"


def test_reports_of_an_earlier_run_are_not_counted(stages, capfd):
    test.OUT.mkdir()
    test.JUNIT.write_text(JUNIT.format(100, 0, 0, 0))
    stages["unit"] = [ends(1)]
    assert run(capfd=capfd) == (1, "total: 0 passed, 1 failed")


def test_the_stages_are_those_of_the_makefile_and_run_modules():
    assert list(test.STAGES) == ["lint", "unit", "notebooks", "browser"]
    makefile = (test.ROOT / "Makefile").read_text()
    assert all(f"-m ci.test {name}\n" in makefile for name in test.STAGES)
    commands = [command for stage in test.STAGES.values() for command in stage]
    assert all(command[:2] == [sys.executable, "-m"] for command in commands)
    assert [sys.executable, "-m", "ci.results", "--check"] in commands


@pytest.mark.parametrize(
    ("there", "apart", "free", "needed"),
    [
        (0, False, (139, 139), "140.0 MiB for what the tests write"),  # what stays, and beside it what passes
        (0, False, (140, 140), None),
        (40, False, (99, 99), "100.0 MiB for what the tests write"),
        (900, False, (29, 29), "30.0 MiB for what the tests write"),  # of another kind of run: it may be larger
        (0, True, (109, 200), "110.0 MiB for what the tests write"),
        (0, True, (110, 79), "80.0 MiB for temporary files"),
        (0, True, (110, 80), None),
    ],
)
def test_a_disk_without_room_is_told_before(stages, capfd, monkeypatch, tmp_path, there, apart, free, needed):
    stages |= {"unit": [ends(0)], "notebooks": [ends(0)]}
    monkeypatch.setattr(test, "ROOM", {"unit": (10, 80), "notebooks": (100, 30)})
    monkeypatch.setattr(test, "WRITTEN", ("lessons",))
    monkeypatch.setattr(disk, "size", lambda folder: there * test.MIB)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(disk, "same", lambda one, other: not apart)
    monkeypatch.setattr(disk, "free", lambda path: free[path == tmp_path] * test.MIB)
    with pytest.raises(BadInput, match=needed) if needed else contextlib.nullcontext():
        assert test.main([]) == 1  # there are no reports
    assert ("==" in capfd.readouterr().out) == (needed is None)


def test_two_tests_of_one_tree_do_not_meet(stages, capfd):
    stages |= {"lint": [ends(0)]}
    said = "a test of this tree that another process is at"
    with shared.alone(test.OUT, "a test", "wait"), pytest.raises(BadInput, match=said):
        test.main(["lint"])
    assert run("lint", capfd=capfd) == (0, "total: 1 passed, 0 failed")


def test_garbage_is_looked_for_while_tests_run_but_not_in_what_collecting_made():
    assert gc.isenabled() and gc.get_freeze_count()
