"""The doctor's checks of the plugin library; libraries are compiled here, some of them damaged afterwards."""

import os
import subprocess

import pytest

from helpers.environment import doctor
from helpers.environment.doctor import elf, plugins
from helpers.environment.doctor.report import FAIL, OK, WARN
from helpers.environment.machine import Machine
from helpers.ops.library import FOLDER, OF_MAKE, find
from tests.helpers.environment.doctor.builders import compiled, install, kernels, machine, needing, only, tool

REGISTRY = """
class Creator:
    name, plugin_version, plugin_namespace = "RotateTRT", "1", ""
class Registry:
    @property
    def all_creators(self):
        return [Creator()] if "libregistering" in open("/proc/self/maps").read() else []
get_plugin_registry = Registry
"""


def plugin_checks(here, path, tier="gpu", gpus=("8.9",)):
    return {check.topic: check for check in plugins.library(here, tier, path, gpus)}


def test_no_plugin_library(root, site):
    assert find(out=root / "plugins/build") is None
    assert plugin_checks(machine(root), None, "cpu")["plugins"].status == OK
    check = plugin_checks(machine(root), None)["plugins"]
    assert check.status == WARN and check.cure.startswith("make -C plugins")
    check = plugin_checks(machine(root), root / "absent.so")["plugins"]
    assert check.status == FAIL and "no such file" in check.found and "make -C plugins" in check.cure


def test_the_library_that_was_built_here_is_taken_or_the_one_that_is_given(root):
    built, other = (compiled(root / f"plugins/build/{name}.so") for name in ("libonramp_plugins", "liba"))
    for given, taken in ((None, built), (str(other), other)):
        (loading,) = [check for check in doctor._plugins(machine(root), "gpu", given, ()) if "loading" in check.topic]
        assert loading.found.startswith(f"{taken.name} ")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:300], "cut short"),
        (lambda data: b"version https://git-lfs", "version https"),
        (lambda data: data[:4] + b"\x01" + data[5:], "not a whole 64-bit"),
        (lambda data: data[:18] + (183).to_bytes(2, "little") + data[20:], "aarch64"),
    ],
)
def test_a_library_that_is_not_for_this_machine(tmp_path, damage, said):
    path = compiled(tmp_path / "libplugins.so")
    path.write_bytes(damage(path.read_bytes()))
    check = plugin_checks(machine(), path)["plugins"]
    assert check.status == FAIL and said in check.found and "make -C plugins" in check.cure


def test_a_library_for_another_tensorrt(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt", "get_plugin_registry = lambda: None")
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.8")
    found = plugin_checks(only(site), path)
    check = found["plugins: TensorRT"]
    assert check.status == FAIL and check.found.endswith("linked against TensorRT 8; installed is 10")
    assert check.cure.startswith("rm -r plugins/build")
    check = found["plugins: loading"]
    assert check.status == FAIL and "not found: libnvinfer.so.8" in check.found and "TIER=edge " in check.cure
    assert found["plugins: creators"].status == WARN


COMPILER = """
for word; do case $word in --version) echo release 13.0,; exit;; -c) kind=-c;; esac; made=$word; done
exec gcc ${kind:--shared} -fPIC -x c /dev/null -o "$made"
"""  # whatever the source: its last word is the output


def test_building_again_cures_a_library_for_another_tensorrt(site, tmp_path, monkeypatch):
    """The compilers are stand-ins: TensorRT's headers and nvcc are not on every machine."""
    install(site, "tensorrt", "10.3.0", "tensorrt", "get_plugin_registry = lambda: None")
    (headers := tmp_path / "include").mkdir()
    (headers / "NvInferVersion.h").write_text("#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 3\n")
    for folder, name in (("bin", "g++"), ("cuda/bin", "nvcc")):
        (tmp_path / folder).mkdir(parents=True)
        tool(tmp_path / folder, name, COMPILER)
    (tmp_path / "plugins").mkdir()
    for name in ("Makefile", "kernels", "tensorrt"):
        (tmp_path / "plugins" / name).symlink_to(FOLDER / name)
    path = needing(tmp_path / "plugins/build/libonramp_plugins.so", "libnvinfer.so.8")
    check = plugin_checks(only(site), path)["plugins: TensorRT"]
    assert check.status == FAIL
    cure = check.cure.replace("/path/to/TensorRT/include", str(headers))
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    environment |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CUDA_HOME": str(tmp_path / "cuda")}
    subprocess.run(cure, shell=True, cwd=tmp_path, check=True, capture_output=True, env=environment)
    found = plugin_checks(only(site), path)
    assert found["plugins: TensorRT"].status == found["plugins: loading"].status == OK


def test_without_tensorrt_it_is_said_that_nothing_was_compared(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.10")
    check = plugin_checks(only(site, library_folders=()), path)["plugins: TensorRT"]
    assert check.status == WARN and "not compared: no TensorRT" in check.found and "TIER=trt10 " in check.cure
    loads = plugin_checks(only(site), compiled(tmp_path / "libfree.so"))
    assert loads["plugins: loading"].status == OK
    assert loads["plugins: creators"].status == WARN and "make gpu" in loads["plugins: creators"].cure


def test_a_library_with_a_missing_companion_or_symbol(site, tmp_path):
    check = plugin_checks(only(site), needing(tmp_path / "liba.so", "libcudart.so.99"))["plugins: loading"]
    assert check.status == FAIL and "libcudart.so.99" in check.found and "LD_LIBRARY_PATH" in check.cure
    path = compiled(tmp_path / "libb.so", "int launch(void); int go(void) { return launch(); }", "-Wl,-z,now")
    check = plugin_checks(only(site), path)["plugins: loading"]
    assert check.status == FAIL and "undefined symbol: launch" in check.found and "ldd -r" in check.cure


def test_a_library_that_needs_the_driver_is_a_warning_on_a_cpu(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libcuda.so.1")
    if not Machine().libraries("libcuda"):
        assert plugin_checks(only(site), path, "cpu", ())["plugins: loading"].status == WARN
        assert plugin_checks(only(site), path, "gpu", ())["plugins: loading"].status == FAIL


def test_a_library_built_for_a_gpu_machine_does_not_fail_the_cpu_tier(site, tmp_path):
    path = needing(tmp_path / "libplugins.so", "libnvinfer.so.7")
    check = plugin_checks(only(site), path, "cpu", ())["plugins: loading"]
    assert check.status == WARN and "not found: libnvinfer.so.7" in check.found
    assert check.cure.startswith("make -C plugins") and "no tier has TensorRT 7" in check.cure
    assert plugin_checks(only(site), path, "gpu")["plugins: loading"].status == FAIL
    other = needing(tmp_path / "libother.so", "libmissing.so.1")
    assert plugin_checks(only(site), other, "cpu", ())["plugins: loading"].status == FAIL


def test_a_library_that_ends_the_process(site, tmp_path):
    source = "#include <stdlib.h>\n__attribute__((constructor)) static void start(void) { abort(); }"
    check = plugin_checks(only(site), compiled(tmp_path / "libplugins.so", source))["plugins: loading"]
    assert check.status == FAIL and "signal 6" in check.found and "make -C plugins" in check.cure


@pytest.mark.parametrize(
    ("source", "gpus", "status", "text"),
    [
        (kernels(86, 89), ["8.9"], OK, "SM 8.6, SM 8.9"),
        (kernels(80), ["8.6"], OK, "SM 8.0"),
        (kernels(87), ["9.0"], FAIL, "holds SM 8.7; the GPU is SM 9.0"),
        (kernels(80, kind=1), ["9.0"], OK, "PTX 8.0"),
        (kernels(120, kind=1), ["9.0"], FAIL, "PTX 12.0"),
        (kernels(89), [], OK, "no GPU to compare"),
        ("int unused(void) { return 1; }", ["9.0"], WARN, "no CUDA kernels"),
    ],
)
def test_kernels_of_a_library(site, tmp_path, source, gpus, status, text):
    path = compiled(tmp_path / "libplugins.so", source)
    check = plugin_checks(only(site), path, gpus=gpus)["plugins: kernels"]
    assert check.status == status and text in check.found
    assert ("ARCH=sm_90" in check.cure) == (status == FAIL)


def test_creators(site, tmp_path):
    install(site, "tensorrt", "10.3.0", "tensorrt", REGISTRY)
    found = plugin_checks(only(site), compiled(tmp_path / "libregistering.so"))["plugins: creators"]
    assert (found.status, found.details) == (OK, "::RotateTRT version 1")
    found = plugin_checks(only(site), compiled(tmp_path / "libsilent.so"))["plugins: creators"]
    assert found.status == FAIL and "REGISTER_TENSORRT_PLUGIN" in found.cure


def test_elf_tells_what_a_library_needs(tmp_path):
    found = elf.read(needing(tmp_path / "liba.so", "libnvinfer.so.10", kernels(75, 90)))
    assert found.machine == os.uname().machine and "libnvinfer.so.10" in found.needed
    assert found.cubins == {"7.5", "9.0"} and not found.ptx


def test_elf_tells_what_a_library_exports(tmp_path):
    source = (
        "int shown(void) { return 1; } static int hidden(void) { return 2; } int (*kept)(void) = hidden; int puts();"
    )
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", tmp_path / "liba.so"]
    subprocess.run(command, input=f"{source} int caller(void) {{ return puts(); }}", text=True, check=True)
    assert elf.read(tmp_path / "liba.so").exported == {"shown", "kept", "caller"}
