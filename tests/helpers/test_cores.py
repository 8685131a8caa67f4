"""How many cores a process may use, and whether the libraries keep to it: their pools, their threads, their time."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

from helpers import cores
from helpers.errors import BadInput
from helpers.files import ROOT

# Two matrices are multiplied by each library for a while, in sessions that nobody told how many threads to take.
WORK = """
import json, os, time
from helpers import environment
environment.begin()
import cv2, numpy, onnx, onnxruntime, threadpoolctl, torch
from onnx import TensorProto, helper
from helpers import cores, engine
from helpers.graph.session import open_session

values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [500, 500]) for name in "ab"]
node = helper.make_node("MatMul", ["a", "a"], ["b"])
opset = [helper.make_opsetid("", 17)]
model = helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opset, ir_version=8)
a = numpy.random.rand(500, 500).astype("float32")
wide, before = torch.from_numpy(a), len(os.listdir("/proc/self/task"))
sessions = [
    open_session(model),
    onnxruntime.InferenceSession(model.SerializeToString()),
    onnxruntime.InferenceSession(model.SerializeToString(), onnxruntime.SessionOptions()),
]
grown = len(os.listdir("/proc/self/task")) - before
wall, cpu = time.perf_counter(), time.process_time()
while time.perf_counter() - wall < 1.5:
    a @ a, wide @ wide, cv2.resize(a, (2000, 2000))
    for session in sessions:
        session.run(None, {"a": a})
print(json.dumps({
    "load": (time.process_time() - cpu) / (time.perf_counter() - wall),
    "pools": [pool["num_threads"] for pool in threadpoolctl.threadpool_info()],
    "torch": torch.get_num_threads(), "cv2": cv2.getNumThreads(), "grown": grown,
    "sessions": [session.get_session_options().intra_op_num_threads for session in sessions],
    "child": os.environ["OMP_NUM_THREADS"],
}))
"""


@pytest.fixture
def machine(monkeypatch):
    """Pretend that the machine has eight cores, all of which this process may use."""
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    monkeypatch.setattr(cores, "quota", lambda: None)
    return monkeypatch


def test_all_cores_without_a_limit(machine):
    assert (cores.limit(), cores.count()) == (None, 8)
    for given in ("", "8", "99"):
        machine.setenv(cores.VARIABLE, given)
        assert (cores.limit(), cores.count()) == (None, 8)
    changed = {}
    assert cores.apply(changed) is None and changed == {"OMP_WAIT_POLICY": "passive"}
    chosen = {"OMP_WAIT_POLICY": "active"}
    assert cores.apply(chosen) is None and chosen == {"OMP_WAIT_POLICY": "active"}


def test_the_least_of_person_scheduler_and_quota_counts(machine):
    machine.setenv(cores.VARIABLE, "5")
    assert cores.limit() == 5
    machine.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})
    assert cores.limit() == 3
    machine.setattr(cores, "quota", lambda: 2)
    assert (cores.limit(), cores.count()) == (2, 2)


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "²"])
def test_what_is_no_number_of_cores_is_refused(machine, given):
    machine.setenv(cores.VARIABLE, given)
    with pytest.raises(BadInput, match="CORES"):
        cores.limit()


def test_quota_of_both_versions_of_cgroups(tmp_path):
    assert cores.quota(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    for share, found in (("-1", None), ("150000", 2)):
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{share}\n")
        assert cores.quota(tmp_path) == found
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores.quota(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores.quota(tmp_path) == 2  # what version 1 says, where version 2 has no quota


def test_threads_are_the_least_of_the_limit_and_what_other_pools_get(machine):
    for limit, pools, expected in (
        ("", "", 0),
        ("", "3", 3),
        ("2", "", 2),
        ("2", "1", 1),
        ("2", "4", 2),
        ("", "2,1", 0),
        ("", "99999999", 8),
    ):
        machine.setenv(cores.VARIABLE, limit)
        machine.setenv("OMP_NUM_THREADS", pools)
        assert cores.threads() == expected


@pytest.mark.skipif(cores.machine() < 2, reason="one core: nothing to keep from")
def test_every_library_keeps_to_one_core():
    names = {cores.VARIABLE, *cores.POOLS}
    variables = {name: value for name, value in os.environ.items() if name not in names} | {cores.VARIABLE: "1"}
    done = subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["load"] <= 1.2
    assert set(found["pools"]) == {1}
    assert (found["torch"], found["cv2"], found["child"]) == (1, 1, "1")
    assert (found["sessions"], found["grown"]) == ([1, 1, 1], 0)


# As WORK, with the variable alone, which ONNX Runtime and OpenCV do not read by themselves.
SESSION = """
import cv2, json, numpy, time
from onnx import TensorProto, helper
from helpers import environment
from helpers.graph.session import open_session

environment.begin()
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [800, 800]) for name in "ab"]
node = helper.make_node("MatMul", ["a", "a"], ["b"])
opset = [helper.make_opsetid("", 17)]
session = open_session(
    helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opset, ir_version=8)
)
a = numpy.random.rand(800, 800).astype("float32")
wall, cpu = time.perf_counter(), time.process_time()
while time.perf_counter() - wall < 1.5:
    session.run(None, {"a": a})
load = (time.process_time() - cpu) / (time.perf_counter() - wall)
print(json.dumps([load, session.get_session_options().intra_op_num_threads, cv2.getNumThreads()]))
"""


@pytest.mark.skipif(cores.machine() < 2, reason="one core: nothing to keep from")
def test_a_session_keeps_to_omp_num_threads():
    variables = {name: value for name, value in os.environ.items() if name not in {cores.VARIABLE, *cores.POOLS}}
    command = [sys.executable, "-c", SESSION]
    done = subprocess.run(command, cwd=ROOT, env=variables | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    load, of_session, of_opencv = json.loads(done.stdout.splitlines()[-1])
    assert load <= 1.3
    assert (of_session, of_opencv) == (1, 1)


def test_a_block_keeps_to_some_cores_and_leaves_things_as_they_were(monkeypatch):
    """What it says to pools and engines, what the threads that start in it may use, and OpenCV's own number."""
    monkeypatch.delenv(cores.VARIABLE, raising=False)
    told = lambda: (cores.count(), os.environ.get(cores.VARIABLE), os.sched_getaffinity(0), cv2.getNumThreads())  # noqa: E731
    before = told()
    with pytest.raises(KeyError), cores.kept_to(1), ThreadPoolExecutor(1) as pool:
        assert cores.count() == 1 and (before[0] == 1 or cores.threads() == cv2.getNumThreads() == 1)
        assert len(pool.submit(os.sched_getaffinity, 0).result()) == 1
        with cores.kept_to(64):
            assert cores.count() == 1
        raise KeyError
    assert told() == before
