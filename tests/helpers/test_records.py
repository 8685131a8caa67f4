import dataclasses
import datetime
import errno
import hashlib
import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from helpers import records
from helpers.errors import BadInput

GOOD = records.Record(
    name="bevformer_mini-int8",
    kind="recorded",
    device="Some CPU, 2 cores",
    versions={"python": "3.11.9", "onnxruntime": "1.31.1"},
    command="make run",
    commit="0123456789ab",
    date="2026-01-31T12:00:00+00:00",
    metrics={"NDS": 0.41, "mAP": 0.37, "latency_ms_p50": 12.5, "precision": "int8", "frames": 40},
)


def test_write_and_read_give_the_same_record(tmp_path):
    path = records.write(GOOD, tmp_path / "results")
    assert path.name == "bevformer_mini-int8-20260131T120000Z.json"
    assert records.read(path) == GOOD
    elsewhere = dataclasses.replace(GOOD, date="2026-01-31T01:00:00+02:00")
    assert records.write(elsewhere, tmp_path).name == "bevformer_mini-int8-20260130T230000Z.json"
    assert list(json.loads(path.read_text())) == [field.name for field in dataclasses.fields(records.Record)]


@pytest.mark.parametrize(
    "change, named",
    [
        ({"kind": "estimated"}, "kind = 'estimated'"),
        ({"name": "../escape"}, "name = '../escape'"),
        ({"name": ""}, "name = ''"),
        ({"date": "yesterday"}, "date = 'yesterday'"),
        ({"date": "2026-01-31T12:00:00"}, "date = '2026-01-31T12:00:00'"),
        ({"date": "0001-01-01T00:00:00+23:00"}, "date = '0001-01-01T00:00:00"),
        ({"versions": ["3.11"]}, "versions = "),
        ({"versions": {"python": 3.11}}, r"versions\['python'\] = 3.11"),
        ({"metrics": {}}, "metrics = {}"),
        ({"metrics": {"NDS": float("nan")}}, r"metrics\['NDS'\] = nan"),
        ({"metrics": {"NDS": float("inf")}}, r"metrics\['NDS'\] = inf"),
        ({"metrics": {"NDS": 66.5}}, r"metrics\['NDS'\] = 66.5"),
        ({"metrics": {"mini/mAP": -0.1}}, r"metrics\['mini/mAP'\] = -0.1"),
        ({"metrics": {"gpu_ms_p99": 3.0, "gpu_ms_p50": 3.4}}, "gpu_ms_p50 = 3.4 above gpu_ms_p99 = 3.0"),
        (
            {"metrics": {"NDS": 0.5, "mAP": 0.5} | dict.fromkeys(("mATE", "mASE", "mAOE", "mAVE", "mAAE"), 0.1)},
            "make 0.7000",
        ),
        ({"metrics": {"NDS": {"car": 1}}}, r"metrics\['NDS'\] = {'car': 1}"),
        ({"metrics": {"NDS": True}}, r"metrics\['NDS'\] = True"),
        ({"metrics": {"NDS": None}}, r"metrics\['NDS'\] = None"),
        ({"device": 5}, "device = 5"),
        ({"gpu": "H100"}, "unknown key 'gpu'"),
        ({"artifacts": {"a.onnx": "1234"}}, r"artifacts\['a.onnx'\] = '1234'"),
        ({"artifacts": ["a.onnx"]}, "artifacts = "),
        ({"commit": ...}, "no key 'commit'"),
    ],
)
def test_bad_record_names_file_key_and_value(tmp_path, change, named):
    fields = {key: value for key, value in (dataclasses.asdict(GOOD) | change).items() if value is not ...}
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(BadInput, match=rf"bad\.json\n.*{named}"):
        records.read(path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000, b"1" * 5_000, b""])
def test_files_that_are_no_records(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.json"):
        records.read(tmp_path / "bad.json")


def test_a_record_that_is_absent_or_a_folder(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        records.read(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="a folder"):
        records.read(tmp_path)


def test_bad_record_is_not_written(tmp_path):
    with pytest.raises(BadInput, match="NDS"):
        records.write(dataclasses.replace(GOOD, metrics={"NDS": float("nan")}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_record(tmp_path, monkeypatch):
    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records.Path, "write_text", no_space)
    with pytest.raises(BadInput, match="disk is full"):
        records.write(GOOD, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_of_one_name_and_second_are_all_kept(tmp_path):
    def write(k):
        return records.write(dataclasses.replace(GOOD, metrics={"frames": k}), tmp_path)

    names = [write(k).name for k in range(11)]
    first = "bevformer_mini-int8-20260131T120000Z"
    assert names == [f"{first}.json", *(f"{first}-{k}.json" for k in range(2, 12))]
    assert [record.metrics["frames"] for record in records.read_all(tmp_path)] == list(range(11))
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(write, range(11, 51)))) == 40
    assert sorted(record.metrics["frames"] for record in records.read_all(tmp_path)) == list(range(51))
    assert len(list(tmp_path.iterdir())) == 51


def test_record_fills_in_where_the_figures_come_from(tmp_path):
    made = records.record("mini", {"NDS": np.float32(0.5), "frames": np.int64(4)}, "make run", [__file__])
    assert made.kind == "measured" and made.metrics == {"NDS": 0.5, "frames": 4}
    assert re.search(r", \d+ cores(, \d+ used)?$", made.device)
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", made.commit)
    assert made.versions["onnxruntime"] and made.versions["python"].startswith("3.")
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(made.date)
    assert datetime.timedelta(-1) < age < datetime.timedelta(hours=1)
    assert records.read(records.write(made, tmp_path)) == made
    assert (
        records.record("mini", {"NDS": 1}, "make run", [__file__], device="GPU", versions={"cuda": "13"}).versions[
            "cuda"
        ]
        == "13"
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ONRAMP_RUNNER": "1", "JPY_SESSION_NAME": "notebooks/a.ipynb"}, "make run"),
        ({}, "cell by cell in a notebook; the command that does the same: make run"),
        (
            {"JPY_SESSION_NAME": f"{records.ROOT}/learner/a.ipynb"},
            "cell by cell in learner/a.ipynb; the command that does the same: make run",
        ),
    ],
)
def test_a_record_says_whether_its_page_was_run_by_hand(tmp_path, variables, expected):
    cell = "from helpers import records; print(records.record('mini', {'NDS': 1}, 'make run', ['Makefile']).command)"
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    fresh = {name: value for name, value in os.environ.items() if name not in ("ONRAMP_RUNNER", "JPY_SESSION_NAME")}
    client = NotebookClient(
        page, kernel_name="python3", iopub_timeout=60, resources={"metadata": {"path": str(records.ROOT)}}
    )
    client.execute(env=fresh | variables)
    assert page.cells[0].outputs[0].text.strip() == expected
    assert records.record("mini", {"NDS": 1}, "make run", [__file__]).command == "make run"  # here is no notebook


@pytest.mark.parametrize("paths", [[], ["a/graph.onnx", "b/graph.onnx"]])
def test_a_record_of_nothing_or_of_two_files_of_one_name_is_refused(tmp_path, monkeypatch, paths):
    monkeypatch.chdir(tmp_path)
    for path in map(Path, paths):
        path.parent.mkdir()
        path.write_bytes(b"graph")
    with pytest.raises(BadInput, match="each of its own name") as refused:
        records.record("mini", {"NDS": 1}, "make run", paths)
    assert refused.value.fix.endswith("artifacts=[PATH]")


def test_a_record_knows_what_was_measured(tmp_path):
    file = tmp_path / "a.onnx"
    file.write_bytes(b"graph")
    made = records.record("mini", {"NDS": 1}, "make run", artifacts=[file])
    assert made.artifacts == {"a.onnx": hashlib.sha256(b"graph").hexdigest()}
    path = records.write(made, tmp_path / "results")
    assert records.read(path) == made
    old = json.loads(path.read_text())
    del old["artifacts"]
    path.write_text(json.dumps(old))
    assert records.read(path).artifacts == {}


def test_cpu_model_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nprocessor\t: 1\n")
    assert records.cpu(tmp_path / "cpuinfo").startswith("Fast CPU @ 3 GHz, ")
    assert re.search(r"\w, \d+ cores(, \d+ used)?$", records.cpu(tmp_path / "absent"))


def test_commit_clean_dirty_and_outside_git(tmp_path, monkeypatch):
    assert records.commit(tmp_path) == "unknown" == records.commit(tmp_path / "absent")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    clean = records.commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("two")
    assert records.commit(tmp_path) == f"{clean}-dirty"
    (tmp_path / "copy").mkdir()
    assert records.commit(tmp_path / "copy") == "unknown"  # the repository around a copy of the code is another one
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert records.commit(tmp_path / "copy") == "unknown"


def test_read_all_is_ordered_by_time_across_offsets(tmp_path):
    dates = {"c": "2026-02-01T00:30:00+02:00", "a": "2026-01-31T12:00:00+00:00", "b": "2026-01-31T23:00:00+00:00"}
    for name, date in dates.items():
        records.write(dataclasses.replace(GOOD, name=name, date=date), tmp_path)
    assert [record.name for record in records.read_all(tmp_path)] == ["a", "c", "b"]
    assert records.read_all(tmp_path / "absent") == []


def test_compare_takes_common_numbers():
    other = dataclasses.replace(GOOD, metrics={"NDS": 0.82, "precision": "fp32", "frames": 0, "size": 1})
    rows = {row["metric"]: row for row in records.compare(GOOD, other)}
    assert set(rows) == {"NDS", "frames"}
    assert rows["NDS"]["ratio"] == pytest.approx(2) and rows["NDS"]["difference"] == pytest.approx(0.41)
    assert rows["frames"]["ratio"] == 0 and records.compare(other, GOOD)[1]["ratio"] is None
    assert rows["NDS"]["note"] == ""
    moved = dataclasses.replace(other, device="GPU")
    assert "Some CPU, 2 cores | GPU" in records.compare(GOOD, moved)[0]["note"]


def test_a_family_is_of_one_device_and_the_latest_of_each_name(tmp_path):
    def save(name, device, hour, **metrics):
        date = f"2026-01-31T{hour:02}:00:00+00:00"
        records.write(dataclasses.replace(GOOD, name=name, device=device, date=date, metrics=metrics), tmp_path)

    save("net-a", "NVIDIA old", 1, ms=9)
    save("net-a", "NVIDIA new", 2, ms=5)
    save("net-a", "NVIDIA new", 3, ms=4)
    save("net-b", "NVIDIA new", 3, ms=3)
    save("net-c", "NVIDIA new", 4, share=0.5)
    save("net-d", "Some CPU", 5, ms=50)
    found = records.family("net-", "ms", tmp_path)
    assert {name: one.metrics["ms"] for name, one in found.items()} == {"a": 4, "b": 3}
    assert list(records.family("net-", "ms", tmp_path, device="Some CPU")) == ["d"]
    assert records.family("other-", "ms", tmp_path) == records.family("net-", "ms", tmp_path / "absent") == {}
