"""The Makefiles take variables from make's command line, not from what a shell happens to export."""

import os
import re
import signal
import subprocess

import pytest

from helpers.ops import library

FOREIGN = ["OUT", "ARCH", "TARGET", "CXX", "NVCC", "TENSORRT_LIB", "FLAGS", "OPERATORS", "CUDA_ARCH", "FORM"]
PATHS = ("OUT", "CUDA_HOME", "CUDA_TARGET", "TENSORRT_LIB", "TENSORRT_INCLUDE")


def steps(*arguments, folder=library.FOLDER, **environment):
    """What make would do, with these variables exported beside the usual ones."""
    kept = {name: value for name, value in os.environ.items() if name not in (*library.OF_MAKE, *FOREIGN, "CUDA_HOME")}
    command = ["make", "-C", folder, "--always-make", "--dry-run", *arguments]
    made = subprocess.run([*map(str, command)], capture_output=True, text=True, env=kept | environment)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture
def headers(tmp_path):
    """A folder with the one file of TensorRT's that the Makefiles read."""
    (tmp_path / "NvInferVersion.h").write_text("#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 3\n")
    return f"TENSORRT_INCLUDE={tmp_path}"


@pytest.mark.parametrize("target", ["plugins", "kernels", "host", "check"])
def test_what_a_shell_exports_does_not_reach_the_build(target, headers):
    clean = steps(target, headers)
    assert steps(target, headers, **dict.fromkeys(FOREIGN, "/foreign")) == clean
    assert {"plugins": "build/libonramp_plugins.so", "check": "register.cpp"}.get(target, f"build/{target}/") in clean


def test_the_example_of_a_port_is_built_in_its_own_folder_too(headers):
    folder = library.FOLDER / "migration"
    clean = steps("all", headers, folder=folder)
    assert steps("all", headers, folder=folder, **dict.fromkeys(FOREIGN, "/foreign")) == clean
    assert "build/migration/v3" in clean


def test_the_command_line_decides(headers):
    made = steps("plugins", headers, "OUT=/there", "ARCH=sm_87 sm_90", "CXX=clang++", OUT="/foreign")
    assert "-o /there/libonramp_plugins.so" in made and "code=sm_87" in made and "clang++" in made
    assert "/foreign" not in made


def test_the_environment_may_name_cuda_and_the_headers(headers):
    made = steps("plugins", CUDA_HOME="/cuda", TENSORRT_INCLUDE=headers.partition("=")[2])
    assert "/cuda/bin/nvcc" in made and "-L/cuda/lib " in made and headers.partition("=")[2] in made
    head = re.match(r"(#.*\n)+", (library.FOLDER / "Makefile").read_text())[0]
    assert "Of the environment only TENSORRT_INCLUDE and CUDA_HOME count" in head


def test_without_cuda_on_the_machine_it_is_that_of_the_packages(tmp_path):
    """The same Makefile, where the machine's own CUDA would be elsewhere."""
    text = (library.FOLDER / "Makefile").read_text().replace("/usr/local/cuda", str(tmp_path / "cuda"))
    packages = tmp_path / ".venv/lib/python3.11/site-packages/nvidia/cu13"
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/Makefile").write_text(text)
    source = tmp_path / "plugins/kernels/info.cu"
    for path in (source, *(source.with_name(f"{name}.cu") for name in re.search("OPERATORS := (.*)", text)[1].split())):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert f"{tmp_path}/cuda/bin/nvcc" in steps("kernels", folder=tmp_path / "plugins")
    (packages / "bin").mkdir(parents=True)
    (packages / "bin/nvcc").touch()
    assert ".venv/lib/python3.11/site-packages/nvidia/cu13/bin/nvcc" in steps("kernels", folder=tmp_path / "plugins")
    (tmp_path / "cuda/bin").mkdir(parents=True)
    (tmp_path / "cuda/bin/nvcc").touch()
    assert f"{tmp_path}/cuda/bin/nvcc" in steps("kernels", folder=tmp_path / "plugins")


def test_a_make_above_does_not_hand_its_variables_down(tmp_path, monkeypatch):
    """`make unit OUT=x CXX=y` runs these tests with both in MAKEFLAGS."""
    monkeypatch.setenv("MAKEFLAGS", " -- OUT=/foreign CXX=/foreign/g++")
    monkeypatch.setenv("OUT", "/foreign")
    run, made = subprocess.run, []

    def dry(command, **options):
        made.append(run([*command, "--dry-run"], **options))
        return made[-1]

    monkeypatch.setattr(library.subprocess, "run", dry)
    assert library.build("host", tmp_path).parents[1] == tmp_path
    assert f"-o {tmp_path}/host/" in made[0].stdout and "/foreign" not in made[0].stdout


@pytest.mark.parametrize("given", ["ARCH=", "ARCH=90", "ARCH=sm_87,90 sm90", *(f"{name}=/two words" for name in PATHS)])
def test_what_make_would_misread_is_refused(given):
    made = subprocess.run(["make", "-C", str(library.FOLDER), "-n", "kernels", given], capture_output=True, text=True)
    assert made.returncode == 2 and given.partition("=")[2] in made.stderr and "give " in made.stderr


def test_a_build_that_is_killed_leaves_no_half_library(tmp_path):
    """Whatever ends make without a word, such as a machine that runs out of memory: the next build makes it anew."""
    compiler = tmp_path / "compiler"
    command = ["make", "-C", str(library.FOLDER), "host", f"OUT={tmp_path}", f"CXX={compiler}"]
    made = tmp_path / "host/libonramp_kernels.so"
    for text, last, code in (("half", "kill -9 0", -signal.SIGKILL), ("whole", "true", 0)):
        compiler.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho {text} > "$2"\n{last}\n')
        compiler.chmod(0o755)
        found = subprocess.run(command, capture_output=True, start_new_session=True)
        assert found.returncode == code and made.exists() == (code == 0)
    assert made.read_text() == "whole\n"
