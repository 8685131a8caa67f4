"""Every fault that the manifest names, on the installed versions: there without the patch or the setting, gone with it.

When one of these fails because the fault is gone, an upstream release has made the entry needless: see its `drop_when`.
"""

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers import engine
from helpers.environment import patches as patching
from helpers.environment.patches import patch, unpatch, upstream
from helpers.files import ROOT

AWQ, EXPORT = "modelopt-int4-awq-numpy", "modelopt-trtllm-export"


def shows(id, said):
    """Whether a probe's last line is the message that the manifest promises."""
    pieces = patching.manifest()[id]["fault"].split("...")
    return all(piece.strip() in said.splitlines()[-1] for piece in pieces)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Slow probes, two at a time: {id or "patched": (does the fault show, what was said)}, and the scratch copies."""
    bare, patched = (upstream.scratch(AWQ, tmp_path_factory.mktemp("site")) for _ in range(2))
    patch(AWQ, patched)
    with ThreadPoolExecutor(2) as pool:
        running = {"patched": pool.submit(upstream.probe, AWQ, patched), AWQ: pool.submit(upstream.probe, AWQ, bare)}
        running[EXPORT] = pool.submit(upstream.probe, EXPORT)
        return {name: future.result() for name, future in running.items()}, bare, patched


def test_int4_awq_without_cupy(verdicts):
    """The patched package quantizes, and its network keeps the product (relative error of INT4 weights below 0.2)."""
    said, bare, patched = verdicts
    assert said[AWQ][0] and shows(AWQ, said[AWQ][1]), said
    assert not said["patched"][0] and said["patched"][1].startswith("quantized; relative error 0."), said
    unpatch(AWQ, patched)
    name = "modelopt/onnx/quantization/int4.py"
    installed = Path(distribution("nvidia-modelopt").locate_file(name))
    assert (patched / name).read_bytes() == (bare / name).read_bytes() == installed.read_bytes()


def test_tensorrt_llm_export_by_default(verdicts):
    fault, said = verdicts[0][EXPORT]
    assert fault and shows(EXPORT, said), said
    assert "inference_tensor_parallel=1: config.json" in said and "rank0.safetensors" in said
    assert "inference_tensor_parallel=1" in patching.manifest()[EXPORT]["avoided_by"]


def test_fp8_from_extended_optimization_on(tmp_path):
    id = "onnxruntime-fp8-extended"
    fault, said = upstream.probe(id)
    levels = dict(line.split(": ", 1) for line in said.splitlines())
    assert fault and levels["ORT_ENABLE_BASIC"] == "opens" and "INVALID_GRAPH" in levels["ORT_ENABLE_EXTENDED"]
    assert shows(id, said), said
    path = tmp_path / "fp8.onnx"
    onnx.save(load_probe(id).product(), path)
    with engine.load(engine.build(path, "onnxruntime", tmp_path)) as avoided:
        result = avoided.run({"x": np.full((4, 8), 0.5, np.float32)})["y"]
    np.testing.assert_allclose(result, 4.0)  # 8 · 0.5 · 1; 5 and 10 steps of the scale are exact in E4M3
    assert "basic" in avoided.description


def load_probe(id):
    spec = importlib.util.spec_from_file_location("probe", patching.PATCHES / "probes" / f"{id}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_devkits_pin_is_in_its_metadata_alone():
    """It refuses NumPy 2, the lock obeys, and no line of it uses a name that NumPy 2 removed (ruff's rule NPY201)."""
    id = "nuscenes-numpy-pin"
    fault, said = upstream.probe(id)
    assert fault and shows(id, said), said
    assert version("numpy").startswith("1.") and "numpy==1." in (ROOT / "requirements/cpu.txt").read_text()
    devkit = Path(distribution("nuscenes-devkit").locate_file("nuscenes"))
    rules = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "NPY201"]
    assert subprocess.run([*rules, str(devkit)], capture_output=True).returncode == 0
    removed = subprocess.run([*rules, "-"], input=b"import numpy as np\nnp.float_(1)\n", capture_output=True)
    assert removed.returncode == 1
