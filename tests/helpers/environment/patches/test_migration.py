"""The example plugin's port: it names exactly the methods of the new interface, and compiles where headers are."""

import ctypes
import importlib.util
import re
import subprocess

import numpy as np
import pytest
import torch

from helpers.environment.patches import migration, patch, unpatch, upstream
from helpers.errors import BadInput
from helpers.files import ROOT
from helpers.ops import rotate

# What a plugin and its creator have to define, by TensorRT's headers of 10.0 to 11.1 (pure virtual, less the optional).
PLUGIN_V3 = {
    *("getCapabilityInterface", "clone", "getPluginName", "getPluginVersion", "getPluginNamespace"),
    *("configurePlugin", "getOutputDataTypes", "getOutputShapes", "supportsFormatCombination", "getNbOutputs"),
    *("enqueue", "onShapeChange", "attachToContext", "getFieldsToSerialize"),
}
CREATOR_V3 = {"getPluginName", "getPluginVersion", "getPluginNamespace", "getFieldNames", "createPlugin"}
OPTIONAL = {"getWorkspaceSize"}
GONE = {
    *("getPluginType", "setPluginNamespace", "getOutputDataType", "getOutputDimensions", "initialize", "terminate"),
    *("destroy", "getSerializationSize", "serialize", "deserializePlugin", "getPluginCreators"),
}
# Enough of CUDA to compile the kernel for the host, where its threads run one after the other.
CUDA_ON_A_HOST = """
#pragma once
#include <cmath>
#include <cstdint>
#define __device__ static
#define __global__ static
typedef void* cudaStream_t;
static int cudaGetLastError() { return 0; }
static struct { int x; } blockIdx, blockDim, threadIdx;
static void sincospif(float x, float* s, float* c) { *s = std::sin(x * float(M_PI)); *c = std::cos(x * float(M_PI)); }
"""
HALF_ON_A_HOST = """
typedef _Float16 __half;
static float __half2float(__half value) { return value; }
static __half __float2half(float value) { return value; }
"""
LOOP = "blockDim.x = threads;\nfor (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)\n"
LOOP += "for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) rotate<T>("


@pytest.fixture
def copy(tmp_path):
    return upstream.scratch("rotate-plugin-v3", tmp_path)


def overrides(copy):
    """{class: methods it overrides} of the header."""
    text = (copy / migration.FOLDER / "rotate_plugin.h").read_text()
    classes = re.findall(r"class (\w+) :(.*?)\n\};", text, re.DOTALL)
    return {name: set(re.findall(r"(\w+)\([^()]*\)(?: const)? noexcept override", body)) for name, body in classes}


def words(copy):
    return set(
        re.findall(r"\w+", "".join(path.read_text() for path in (copy / migration.FOLDER).glob("rotate_plugin.*")))
    )


def test_the_port_has_the_methods_of_the_new_interface_and_no_others(copy):
    assert GONE & words(copy) == GONE
    patch("rotate-plugin-v3", copy)
    methods = overrides(copy)
    assert methods["RotatePlugin"] == PLUGIN_V3 | OPTIONAL and methods["RotatePluginCreator"] == CREATOR_V3
    assert not GONE & words(copy) and {"getCreators", "IPluginCreatorV3One", "IPluginV3"} <= words(copy)
    defined = re.findall(
        r"RotatePlugin(?:Creator)?::(\w+)\(", (copy / migration.FOLDER / "rotate_plugin.cpp").read_text()
    )
    assert set(defined) >= PLUGIN_V3 | OPTIONAL | CREATOR_V3
    unpatch("rotate-plugin-v3", copy)
    assert GONE & words(copy) == GONE


def test_every_change_is_explained(copy):
    """What the table calls old is in the form for 8.6 alone, what it calls new in the ported form alone."""
    old = words(copy)
    patch("rotate-plugin-v3", copy)
    new = words(copy)
    rows = migration.changes()
    explained = " ".join(row["old"] for row in rows)
    assert all(name in explained for name in GONE)
    for row in rows:
        names = {word for word in re.findall(r"\w+", row["old"]) if word[:3] in ("get", "IPl", "ser", "des")}
        assert not names or names & (old - new) or "PluginTensorDesc" in row["old"], row
        assert len(row["why"]) > 20


def test_without_headers_it_says_so(monkeypatch):
    monkeypatch.setattr(migration, "TENSORRT", ())
    monkeypatch.delenv("TENSORRT_INCLUDE", raising=False)
    assert migration.find_headers()[0] is None
    with pytest.raises(BadInput, match=r"TENSORRT_INCLUDE to the folder of NvInfer\.h"):
        migration.compile_check()


def test_headers_that_are_named_come_first_and_the_packages_have_those_of_cuda(tmp_path, monkeypatch):
    (tmp_path / "NvInferVersion.h").write_text("")
    (tmp_path / f"{migration.WHEELS}/include").mkdir(parents=True)
    (tmp_path / f"{migration.WHEELS}/include/cuda_runtime_api.h").write_text("")
    monkeypatch.setattr(migration, "TENSORRT", ("/usr/include",))
    monkeypatch.setattr(migration, "CUDA", ())
    monkeypatch.setattr(migration.Path, "glob", lambda folder, pattern: ())
    monkeypatch.setattr(migration.sys, "path", [str(tmp_path)])
    monkeypatch.setenv("TENSORRT_INCLUDE", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", "")
    assert migration.find_headers() == (tmp_path, tmp_path / f"{migration.WHEELS}/include")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / migration.WHEELS))
    monkeypatch.setattr(migration.sys, "path", [])
    assert migration.find_headers()[1] == tmp_path / f"{migration.WHEELS}/include"


@pytest.mark.parametrize("names", ["NV_TENSORRT_{}", "TRT_{}_ENTERPRISE"])
def test_the_version_is_read_from_the_headers(tmp_path, names):
    numbers = zip(migration.PARTS, (10, 3, 1), strict=True)
    lines = [f"#define {names.format(part)} {number} //!< version" for part, number in numbers]
    (tmp_path / "NvInferVersion.h").write_text("\n".join(lines))
    assert migration.headers_version(tmp_path) == (10, 3, 1)
    (tmp_path / "NvInferVersion.h").write_text("")
    with pytest.raises(BadInput, match="no version"):
        migration.headers_version(tmp_path)
    with pytest.raises(BadInput, match="no such file"):
        migration.headers_version(tmp_path / "absent")


def test_the_compilers_errors_are_reported(tmp_path, copy):
    """With a header of one line; with real headers `compile_check` is what the lesson runs."""
    (tmp_path / "NvInferVersion.h").write_text("".join(f"#define NV_TENSORRT_{part} 9\n" for part in migration.PARTS))
    (tmp_path / "NvInfer.h").write_text("#error nothing here\n")
    result = migration.compile_check(tmp_path, tmp_path, copy)
    assert not result["compiles"] and result["version"] == "9.9.9" and result["form"] == "IPluginV2DynamicExt"
    assert any("nothing here" in line for line in result["errors"])
    patch("rotate-plugin-v3", copy)
    assert migration.compile_check(tmp_path, tmp_path, copy)["form"] == "IPluginV3"


def test_the_forms_against_the_headers_of_this_machine(copy):
    """Where TensorRT's headers are installed; elsewhere the message that says what is missing."""
    headers, cuda = migration.find_headers()
    if headers is None or cuda is None:
        with pytest.raises(BadInput, match="in none of the usual places"):
            migration.compile_check(source=copy)
        return
    new = migration.headers_version(headers)[0] >= 10
    assert migration.compile_check(source=copy)["compiles"] is not new
    patch("rotate-plugin-v3", copy)
    assert migration.compile_check(source=copy)["compiles"] is new


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The kernel's source, compiled for the host; a function of (image, angle, center, interpolation)."""
    folder, source = tmp_path_factory.mktemp("kernel"), (ROOT / migration.FOLDER / "rotate_kernel.cu").read_text()
    launch = "rotate<<<blocks, threads, 0, stream>>>("
    assert source.count(launch) == 1
    (folder / "kernel.cpp").write_text(source.replace(launch, LOOP))
    (folder / "cuda_runtime_api.h").write_text(CUDA_ON_A_HOST)
    (folder / "cuda_fp16.h").write_text(HALF_ON_A_HOST)
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-I", str(folder), "-I", str(ROOT / migration.FOLDER)]
    subprocess.run([*command, "kernel.cpp", "-o", "kernel.so"], cwd=folder, check=True)
    library = ctypes.CDLL(folder / "kernel.so")

    def run(image, angle, center, interpolation):
        output = np.full_like(image, np.nan)
        arrays = image, np.float32([angle]), np.float32(center), output, np.int32(image.shape)
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        assert library.example_rotate(*pointers, interpolation, int(image.dtype == np.float16), None) == 0
        return output

    return run


@pytest.mark.parametrize("interpolation, mode", [(0, "bilinear"), (1, "nearest")])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-4), (np.float16, 2e-3)])
@pytest.mark.parametrize("angle, center", [(0, (25, 20)), (13.7, (100, 100)), (-91.3, (3.2, 4.1)), (180, (6, 3))])
def test_the_kernel_rotates(kernel, dtype, tolerance, angle, center, interpolation, mode):
    image = np.random.default_rng(0).standard_normal((3, 40, 50)).astype(dtype)
    given = torch.from_numpy(image), torch.tensor([angle], dtype=torch.float32), torch.tensor(center).float()
    expected = rotate.reference(*given, mode).numpy()
    np.testing.assert_allclose(kernel(image, angle, center, interpolation), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("interpolation", [0, 1])
def test_the_check_on_a_gpu_has_the_same_definition(kernel, interpolation):
    spec = importlib.util.spec_from_file_location("migration_run", ROOT / migration.FOLDER / "run.py")
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    image = np.random.default_rng(1).standard_normal(check.SHAPE).astype(np.float32)
    expected = check.rotate(image, interpolation)
    assert np.abs(kernel(image, check.ANGLE, check.CENTER, interpolation) - expected).max() < check.TOLERANCE["float32"]
