"""The Makefile: what the shell's environment may change, and what may not; the packages that a lesson imports."""

import json
import os
import re
import subprocess
import tomllib

import pytest
from setuptools import find_namespace_packages

from helpers.files import ROOT

EXPORTED = {
    "JOBS": "9", "TIMEOUT": "1", "DATAROOT": "/elsewhere", "VERSION": "2.0", "OUT": "/elsewhere", "TIER": "edge",
    "PARAMETERS": "-p TIER gpu", "PY": "false",
    "CORES": "1", "SOLUTIONS": "1", "LESSON": "02", "YES": "1",
}  # fmt: skip


def dry_run(*words, **exported):
    """What make would do, with variables exported by the shell."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")} | exported
    command = ["make", "-n", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_exported_variables_change_nothing():
    for target in ("run", "test", "lab", "reset", "learner", "gpu", "docs", "clean"):
        assert dry_run(target, **EXPORTED) == dry_run(target)


def test_the_plugins_are_compiled_from_here_with_folders_as_they_are_seen_from_here(tmp_path):
    done = dry_run(
        "plugins", "TARGET=aarch64", "TENSORRT_INCLUDE=plugins/tensorrt", f"CUDA_TARGET={tmp_path}", "MAJOR=10"
    )
    assert f"-isystem {ROOT}/plugins/tensorrt " in done and "aarch64-linux-gnu-g++ -std" in done
    assert f"{tmp_path}/lib/libcudart_static.a" in done and "-o build/aarch64/libonramp_plugins.so" in done


def test_variables_on_the_command_line_count():
    done = dry_run("run", "JOBS=2", "TIMEOUT=900", "DATAROOT=/data/nuscenes", "VERSION=v1.0-trainval")
    assert "--jobs 2 --timeout 900" in done
    assert "-p DATAROOT '/data/nuscenes' -p VERSION 'v1.0-trainval'" in done
    assert "-m ci.setup.gpu trt10\n" in dry_run("gpu", "TIER=trt10")
    assert "-m ci.lessons.lab --solutions\n" in dry_run("lab", "SOLUTIONS=1")
    assert "-m ci.lessons.lab --reset='02'  --yes\n" in dry_run("reset", "LESSON=02", "YES=1")
    assert "-m ci.lessons.lab --reset='02' --solutions" in dry_run("reset", "LESSON=02", "SOLUTIONS=1")


def test_the_data_is_made_while_packages_are_installed():
    lines = dry_run("test").splitlines()
    both, parallel = ["data_scripts.make_minidrive", "ci/setup/cpu.sh"], next(line for line in lines if " -j2 " in line)
    assert lines[0] == "ci/setup/cpu.sh data" and parallel.endswith(" -j2 minidrive tools")
    assert [line.split()[-1] for line in lines[2:4]] == both and lines[-1].endswith("-m ci.test")
    assert any(line.endswith(" -j1 minidrive tools") for line in dry_run("test", "CORES=1").splitlines())


def test_a_zero_or_a_no_is_no_yes():
    for no in ("0", "no", "false"):
        assert "--solutions" not in dry_run("lab", f"SOLUTIONS={no}")
        assert "--yes" not in dry_run("reset", "LESSON=02", f"YES={no}")


def test_quotes_in_names_reach_the_program():
    assert """--reset='a'\\''b'""" in dry_run("reset", "LESSON=a'b")
    assert """-p DATAROOT 'a'\\''b' -p VERSION 'v'\\''1'""" in dry_run("run", "DATAROOT=a'b", "VERSION=v'1")


@pytest.mark.parametrize("switch", ["SOLUTIONS", "YES"])
def test_a_switch_that_says_neither_is_refused(switch):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        dry_run("reset", "LESSON=02", f"{switch}=maybe")
    assert f"{switch}=maybe" in caught.value.stderr


def test_cores_reach_every_program():
    show = "--eval=show: ; @echo given=$$ONRAMP_CORES"

    def given(*words):
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "ONRAMP_"))}
        command = ["make", show, "show", *words]
        return subprocess.run(command, cwd=ROOT, env=variables | {"CORES": "7"}, capture_output=True, text=True)

    assert given().stdout == "given=\n"
    assert given("CORES=2").stdout == "given=2\n"
    for wrong in ("0", "two", "-1", "1.5"):
        done = given(f"CORES={wrong}")
        assert done.returncode == 2 and f"CORES={wrong}: expected a whole number from 1" in done.stderr


def test_a_data_root_with_a_space_is_one_word():
    assert "-p DATAROOT '/data/my nuscenes' -p" in dry_run("run", "DATAROOT=/data/my nuscenes")


def test_every_package_that_a_lesson_imports_is_installed():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = set(find_namespace_packages(str(ROOT), **found))
    own = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    cells = [cell for path in ROOT.glob("notebooks/**/*.ipynb") for cell in json.loads(path.read_text())["cells"]]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = {name for name in re.findall(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE) if name in own}
    assert "helpers" in imported and imported <= packages
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("helpers/**/*.py")}
    assert {".".join(folder.parts) for folder in folders} <= packages
