"""`python -m helpers patch`; what it does to a clone is tested beside helpers.environment.patches.clones."""

import subprocess
import sys

import pytest

from helpers.cli import patch as patch_command
from helpers.environment.patches import upstream
from helpers.errors import BadInput
from tests.helpers.environment.patches.builders import tree, write


def test_the_command(tmp_path, capsys):
    site = upstream.scratch("rotate-plugin-v3", tmp_path)
    before, place = tree(site), ["rotate-plugin-v3", "--site", str(site)]
    assert patch_command.main(["apply", *place, "--dry-run"]) == 0
    assert f"would be applied in {site}; 2 files would change\n" in capsys.readouterr().out and tree(site) == before
    assert patch_command.main(["apply", *place]) == 0
    assert f": applied in {site}; 2 files changed\n" in capsys.readouterr().out
    assert patch_command.main(["apply", *place]) == 0
    assert f": already applied in {site}; 0 files changed\n" in capsys.readouterr().out
    assert patch_command.main(["list", "--site", str(site)]) == 0
    assert "\napplied       rotate-plugin-v3" in capsys.readouterr().out
    assert patch_command.main(["revert", *place, "--dry-run"]) == 0
    assert f"would be reverted in {site}; 2 files would change\n" in capsys.readouterr().out
    assert patch_command.main(["revert", *place]) == 0 and tree(site) == before
    assert f": reverted in {site}; 2 files changed\n" in capsys.readouterr().out
    assert patch_command.main(["revert", *place, "--dry-run"]) == 0
    assert f": already not applied in {site}; 0 files would change\n" in capsys.readouterr().out
    assert patch_command.main(["apply", *place]) == 0
    write(site, {(one := "plugins/migration/rotate_plugin.h"): before[one]})  # half applied
    for option, words in (
        (["--dry-run"], "would be reverted in {}; 1 file would change"),
        ([], "reverted in {}; 1 file changed"),
    ):
        capsys.readouterr()
        assert patch_command.main(["revert", *place, *option]) == 0
        assert f": {words.format(site)}\n" in capsys.readouterr().out
    assert patch_command.main(["check", "rotate-plugin-v3"]) == 0
    (site / "plugins/migration/rotate_plugin.h").write_text("mine")
    assert patch_command.main(["list", "--site", str(site)]) == 1
    for arguments in (["apply"], ["apply", "x"], ["apply", *place], ["check", "--clone", "x"]):
        with pytest.raises(BadInput):
            patch_command.main(arguments)


@pytest.mark.parametrize("action", ["list", "apply", "revert", "check"])
def test_the_command_refuses_ids_and_sites_that_are_not_there(tmp_path, action):
    with pytest.raises(BadInput, match=r"'WRONGID'"):
        patch_command.main([action, "WRONGID"])
    with pytest.raises(BadInput, match=r"absent\n +found: +no such folder"):
        patch_command.main([action, "rotate-plugin-v3", "--site", str(tmp_path / "absent")])


@pytest.mark.parametrize("action", ["apply", "revert", "check"])
def test_a_procedure_without_a_clone_is_told_what_it_needs(action):
    with pytest.raises(BadInput, match=r"'bevformer-trt10', a procedure\n +expected: --clone and --file") as refusal:
        patch_command.main([action, "bevformer-trt10"])
    words = "revert --clone CLONE" if action == "revert" else "apply bevformer-trt10 --clone CLONE --file PATCH"
    assert refusal.value.fix.endswith(words)


@pytest.mark.parametrize("option", ["--file=x", "--commit=HEAD", "--directory="])
def test_an_option_of_a_clone_is_not_ignored_without_one(option, capsys):
    for action in ("list", "apply", "check"):
        with pytest.raises(SystemExit) as ended:
            patch_command.main([action, option])
        assert ended.value.code == 2 and "--clone CLONE with it" in capsys.readouterr().err


@pytest.mark.parametrize("id", ["rotate-plugin-v3", "bevformer-trt10"])
def test_the_list_of_one_entry(id, capsys):
    patch_command.main(["list", id])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and id in lines[0].split()


def test_the_check_looks_at_the_site(tmp_path):
    (tmp_path / "site").mkdir()
    with pytest.raises(BadInput, match="not installed"):
        patch_command.main(["check", "modelopt-int4-awq-numpy", "--site", str(tmp_path / "site")])


def test_the_command_ends_with_2_on_bad_input():
    done = subprocess.run([sys.executable, "-m", "helpers", "patch", "apply", "x"], capture_output=True, text=True)
    assert done.returncode == 2 and "expected:" in done.stderr and "Traceback" not in done.stderr
