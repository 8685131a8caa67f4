"""The plugins for DRIVE and Jetson: built by Debian's cross compiler, read as a loader reads them, and run emulated."""

import datetime
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.environment.doctor import elf
from helpers.ops import library
from tests.plugins.stand_in import STAND_IN

PREFIX = "aarch64-linux-gnu-"
LAST_DAY = datetime.date(2027, 6, 30)  # from then on a machine without the cross compiler is a failure, not a skip
MACHINES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-aarch64.so.1"}
RUN = """
#include "kernels/host.h"
#include "tensorrt/bev_pool_v2.h"
#include "tensorrt/grid_sample_3d.h"
#include <cstdio>
using namespace onramp;
int main() {
  int32_t const values[] = {1, 3, 2};
  nvinfer1::PluginField const fields[] = {{"out_height", values, nvinfer1::PluginFieldType::kINT32, 1},
                                          {"out_width", values + 1, nvinfer1::PluginFieldType::kINT32, 1},
                                          {"out_depth", values + 2, nvinfer1::PluginFieldType::kINT32, 1}};
  nvinfer1::PluginFieldCollection const three{3, fields}, one{1, fields};
  Pooling pooling, lacking, restored;
  VolumeSampling bicubic;
  bicubic.values[0] = 2;
  std::printf("read %d lacking %d bicubic %d\\n", read(&three, pooling), read(&one, lacking), bicubic.valid());
  Fields<Pooling> const saved(&pooling);
  std::printf("restored %d %d\\n", read(saved.collection(), restored), restored.values == pooling.values);

  float const depth[] = {0.5f, 0.25f, 2.0f}, feat[] = {10.0f};
  int32_t const ranks_depth[] = {0, 1, 2}, zeros[] = {0, 0, 0}, bev[] = {1, 1, 5};
  int32_t const starts[] = {0, 2}, lengths[] = {2, 1};
  void const* const inputs[] = {depth, feat, ranks_depth, zeros, bev, starts, lengths};
  nvinfer1::PluginTensorDesc tensors[8]{};
  tensors[0].dims = {5, {1, 1, 3, 1, 1}};
  tensors[1].dims = {5, {1, 1, 1, 1, 1}};
  for (int i = 2; i < 7; ++i) tensors[i].dims = {1, {i < 5 ? 3 : 2}}, tensors[i].type = nvinfer1::DataType::kINT32;
  int32_t workspace[6];
  float output[6];
  void* const outputs[] = {output};
  std::printf("workspace %d code %d:", (int)restored.workspace(tensors[0].dims),
              restored.enqueue(tensors, inputs, outputs, workspace, nullptr));
  for (float value : output) std::printf(" %g", value);
  tensors[3].dims.d[0] = 2;
  std::printf("\\nrefused %d\\n", restored.enqueue(tensors, inputs, outputs, workspace, nullptr));
}
"""


def lacking(*programs):
    """Skip, until `LAST_DAY`, where a program is not installed."""
    absent = [program for program in programs if not shutil.which(program)]
    if absent and datetime.date.today() <= LAST_DAY:
        pytest.skip(f"no {', '.join(absent)}: apt install g++-aarch64-linux-gnu qemu-user (until {LAST_DAY})")
    assert not absent, f"{absent} still not installed after {LAST_DAY}"


def tool(name, *arguments):
    return subprocess.run([PREFIX + name, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def exported(path):
    lines = tool("nm", "--dynamic", "--defined-only", path).splitlines()
    return {name for name in (line.split()[-1] for line in lines) if not name.startswith("_Z")}


def declared():
    """The functions that the headers of the kernels promise."""
    headers = Path(library.FOLDER / "kernels").glob("*.h")
    found = {name for header in headers for name in re.findall(r"^\w+ (onramp_\w+)\(", header.read_text(), re.M)}
    return found | {"onramp_plugins_info", "onramp_error"}


def needed(path):
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", tool("readelf", "--dynamic", path)))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    lacking(f"{PREFIX}g++")
    return library.build("host", tmp_path_factory.mktemp("aarch64"), TARGET="aarch64")


def test_the_kernels_are_those_of_the_headers_and_need_nothing_else(host):
    header = tool("readelf", "--file-header", host)
    assert re.search(r"Machine:\s+AArch64", header) and re.search(r"Type:\s+DYN", header)
    assert exported(host) == declared() and len(declared()) >= 15
    assert needed(host) <= MACHINES


def test_the_headers_declare_what_a_library_of_this_machine_exports(host_library):
    found = {name for name in elf.read(host_library).exported if not name.startswith("_Z")}
    assert found == declared() and len(found) >= 15


def test_the_host_side_runs_emulated(host, tmp_path):
    """Attributes read, refused, saved and restored; operands refused; a pooling computed."""
    lacking("qemu-aarch64")
    (tmp_path / "NvInferRuntime.h").write_text("#define NV_TENSORRT_MAJOR 10\n" + STAND_IN)
    (tmp_path / "cuda_runtime_api.h").touch()
    (tmp_path / "run.cpp").write_text(RUN)
    tool("g++", "-std=c++17", "-Wall", "-Werror", f"-I{tmp_path}", f"-I{library.FOLDER}", tmp_path / "run.cpp", host,
         "-o", tmp_path / "run")  # fmt: skip
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-E", f"LD_LIBRARY_PATH={host.parent}", tmp_path / "run"]
    ran = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    assert ran.splitlines() == [
        "read 1 lacking 0 bicubic 0",
        "restored 1 1",
        "workspace 24 code 0: 0 7.5 0 0 0 20",
        "refused 1",
    ]


def test_make_chooses_the_cross_compiler_the_gpus_and_the_runtime(tmp_path):
    (tmp_path / "NvInferVersion.h").write_text("#define NV_TENSORRT_MAJOR 10\n#define NV_TENSORRT_MINOR 13\n")
    command = ["make", "-C", library.FOLDER, "--always-make", "--dry-run", "plugins", "TARGET=aarch64",
               f"TENSORRT_INCLUDE={tmp_path}", "CUDA_TARGET=/cuda/aarch64", "NVCC=nvcc"]  # fmt: skip
    made = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout
    made = made.replace("\\\n", "")
    link = next(line for line in made.splitlines() if "-o build/aarch64/libonramp_plugins.so." in line)
    assert "-ccbin aarch64-linux-gnu-g++" in link and "-gencode arch=compute_87,code=sm_87" in link
    assert "/cuda/aarch64/lib/libcudart_static.a" in link and "-cudart none" in link
    assert f"{PREFIX}g++ -std" in made and "-arch=native" not in made
