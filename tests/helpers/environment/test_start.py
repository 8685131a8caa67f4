import importlib
import os
import pkgutil
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from helpers import environment
from helpers.environment import doctor, start
from helpers.errors import BadInput
from helpers.files import ROOT


def test_begin_goes_to_the_root_seeds_and_returns_the_versions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = environment.begin("cpu", seed=7)
    assert os.getcwd() == str(ROOT)
    drawn = random.random(), np.random.rand()
    environment.begin("cpu", seed=7)
    assert (random.random(), np.random.rand()) == drawn
    assert np.__version__ in page.data and "onnxruntime" in page.data


def test_begin_ends_with_the_doctor(monkeypatch):
    monkeypatch.setattr(doctor, "summary", lambda tier: f"7 checks OK in the {tier} tier")
    assert "7 checks OK in the cpu tier" in environment.begin("cpu").data


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(environment.__path__)])
def test_no_function_hides_a_module_of_its_name(name):
    module = importlib.import_module(f"helpers.environment.{name}")
    assert getattr(environment, name) is module


def test_begin_seeds_torch_when_it_is_there():
    environment.begin(seed=3)
    first = torch.rand(4)
    environment.begin(seed=3)
    assert torch.equal(torch.rand(4), first)


def test_house_keeping_is_hidden_and_other_warnings_are_not():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        environment.begin()
        warnings.warn("renamed in the next version", DeprecationWarning, stacklevel=1)
        warnings.warn("this overflows", RuntimeWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["this overflows"]


def test_an_unknown_tier_is_refused_before_anything_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="'tpu'"):
        environment.begin("tpu")
    assert os.getcwd() == str(tmp_path)


def test_the_gpu_tier_needs_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="no CUDA device") as caught:
        environment.begin("gpu")
    assert 'TIER = "cpu"' in caught.value.fix


def test_versions_name_what_is_missing(monkeypatch):
    monkeypatch.setitem(start.PACKAGES, "torch", ("no-such-distribution",))
    found = environment.versions()
    assert found["torch"] == "not installed"
    assert found["numpy"] == np.__version__
    assert found["python"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert int(found["cores"].partition(" of ")[0]) >= 1 and found["memory"].endswith("GiB")
    assert "CPU" in found["onnxruntime providers"]


def test_a_driver_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda name: "nvidia-smi")

    def fails(*args, **kwargs):
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(start.subprocess, "run", fails)
    assert "fails" in start._gpus()


def test_gpus_are_listed_with_their_driver(monkeypatch):
    monkeypatch.setattr(start.shutil, "which", lambda name: "nvidia-smi")
    answer = subprocess.CompletedProcess([], 0, stdout="NVIDIA X, 580.1\nNVIDIA Y, 580.1\n")
    monkeypatch.setattr(start.subprocess, "run", lambda *args, **kwargs: answer)
    assert start._gpus() == "NVIDIA X (driver 580.1); NVIDIA Y (driver 580.1)"


def test_importing_and_listing_loads_no_heavy_library():
    heavy = "[name for name in ('torch', 'matplotlib', 'onnx') if name in sys.modules]"
    code = f"import sys, helpers.environment as e; e.versions(); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
