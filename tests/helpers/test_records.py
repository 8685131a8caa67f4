import dataclasses
import datetime
import errno
import json
import re
import subprocess

import numpy as np
import pytest

from helpers import __main__ as cli
from helpers import records
from helpers.cli import records as records_command
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
        ({"versions": ["3.11"]}, "versions = "),
        ({"versions": {"python": 3.11}}, r"versions\['python'\] = 3.11"),
        ({"metrics": {}}, "metrics = {}"),
        ({"metrics": {"NDS": float("nan")}}, r"metrics\['NDS'\] = nan"),
        ({"metrics": {"NDS": float("inf")}}, r"metrics\['NDS'\] = inf"),
        ({"metrics": {"NDS": {"car": 1}}}, r"metrics\['NDS'\] = {'car': 1}"),
        ({"metrics": {"NDS": True}}, r"metrics\['NDS'\] = True"),
        ({"metrics": {"NDS": None}}, r"metrics\['NDS'\] = None"),
        ({"device": 5}, "device = 5"),
        ({"gpu": "H100"}, "unknown key 'gpu'"),
        ({"commit": ...}, "no key 'commit'"),
    ],
)
def test_bad_record_names_file_key_and_value(tmp_path, change, named):
    fields = {key: value for key, value in (dataclasses.asdict(GOOD) | change).items() if value is not ...}
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(BadInput, match=rf"bad\.json\n.*{named}"):
        records.read(path)


def test_files_that_are_no_records(tmp_path):
    for content in ("{", "[]", "\xff"):
        (tmp_path / "bad.json").write_bytes(content.encode("latin1"))
        with pytest.raises(BadInput, match=r"bad\.json"):
            records.read(tmp_path / "bad.json")
    with pytest.raises(BadInput, match="no such file"):
        records.read(tmp_path / "absent.json")


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


def test_record_fills_in_where_the_figures_come_from(tmp_path):
    made = records.record("mini", {"NDS": np.float32(0.5), "frames": np.int64(4)}, command="make run")
    assert made.kind == "measured" and made.metrics == {"NDS": 0.5, "frames": 4}
    assert re.search(r", \d+ cores$", made.device)
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", made.commit)
    assert made.versions["onnxruntime"] and made.versions["python"].startswith("3.")
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(made.date)
    assert datetime.timedelta(-1) < age < datetime.timedelta(minutes=1)
    assert records.read(records.write(made, tmp_path)) == made
    assert (
        records.record("mini", {"NDS": 1}, "make run", device="GPU", versions={"cuda": "13"}).versions["cuda"] == "13"
    )


def test_cpu_model_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nprocessor\t: 1\n")
    assert records.cpu(tmp_path / "cpuinfo").startswith("Fast CPU @ 3 GHz, ")
    assert records.cpu(tmp_path / "absent").endswith(" cores")


def test_commit_clean_dirty_and_outside_git(tmp_path):
    assert records.commit(tmp_path) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    clean = records.commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("two")
    assert records.commit(tmp_path) == f"{clean}-dirty"


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


@pytest.fixture
def folder(tmp_path):
    """Four records: an older and a latest `net-fp16` of a GPU, a CPU's GOOD, and one without headline figures."""
    gpu = dataclasses.replace(GOOD, name="net-fp16", device="NVIDIA H200, driver 1.2", date="2026-02-01T23:59:00-02:00")
    write = {
        "old": dataclasses.replace(gpu, metrics={"gpu_ms_p50": 7.0}, date="2026-02-01T12:00:00+00:00"),
        "new": dataclasses.replace(gpu, metrics={"gpu_ms_p50": 1.23456789, "speedup_over_fp32": 2, "kind": "eager"}),
        "cpu": GOOD,
        "bare": dataclasses.replace(gpu, name="a-profile", metrics={"layers": 3, "sum_ms": 4.5}),
    }
    for record in write.values():
        records.write(record, tmp_path)
    return tmp_path


def printed(capsys, *arguments):
    assert records_command.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_overview_has_the_latest_of_each_name_by_device(folder, capsys):
    lines = printed(capsys, "--folder", folder).splitlines()
    assert re.split("  +", lines[0]) == ["name", "device", "date", "GPU ms", "latency ms", "over FP32", "NDS", "mAP"]
    assert re.split("  +", lines[2]) == ["net-fp16", "NVIDIA H200", "2026-02-02 01:59", "1.23", "2"]
    assert lines[3] == ""
    assert re.split("  +", lines[4]) == [GOOD.name, "Some CPU", "2026-01-31 12:00", "12.50", "0.410", "0.370"]
    for line, cell, title in ((2, "1.23", "GPU ms"), (4, "12.50", "latency ms"), (4, "0.370", "mAP")):
        assert lines[line].index(cell) + len(cell) == lines[0].index(title) + len(title)
    assert lines[6].split() == ["name", "device", "date", "metrics"]
    assert re.split("  +", lines[8]) == ["a-profile", "NVIDIA H200", "2026-02-02 01:59", "2"]
    last = "3 records; 1 older with --all; all of one: python -m helpers records NAME"
    assert lines[9:] == ["", "ms are p50, over FP32: over the same runtime's, without plugin", last]


def test_overview_leaves_out_headlines_that_no_record_has():
    text = records_command.overview([dataclasses.replace(GOOD, metrics={"NDS": 0.5})])
    assert text.splitlines()[0].split() == ["name", "device", "date", "NDS"]


def test_overview_with_the_older_ones(folder, capsys):
    lines = printed(capsys, "--all", "--folder", folder).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("net-fp16")] == ["7.00", "2"]
    assert lines[-1].startswith("4 records") and "older" not in lines[-1]


def test_overview_of_the_recorded_results_fits():
    lines = records_command.overview(records_command.latest(records.read_all(records.ROOT / "results"))).splitlines()
    assert len(lines) > 10 and max(map(len, lines)) <= 125


def test_one_record_whole(folder, capsys):
    assert printed(capsys, "net-fp16", "--folder", folder).splitlines() == [
        "net-fp16",
        "  kind               recorded",
        "  device             NVIDIA H200, driver 1.2",
        "  date               2026-02-01T23:59:00-02:00",
        "  commit             0123456789ab",
        "  command            make run",
        "  versions           python 3.11.9, onnxruntime 1.31.1",
        "",
        "  gpu_ms_p50         1.23457",
        "  speedup_over_fp32  2",
        "  kind               eager",
    ]


def test_names_patterns_and_older_ones(folder, capsys):
    def names(*arguments):
        return re.findall(r"^\S+", printed(capsys, *arguments, "--folder", folder), re.MULTILINE)

    assert names("net-fp16", "*", "net-*") == ["net-fp16", "a-profile", GOOD.name]
    text = printed(capsys, "net-*", "--all", "--folder", folder)
    assert text.count("net-fp16\n") == 2 and text.index("gpu_ms_p50  7\n") < text.index("1.23457")


def test_unknown_name_is_told_with_close_ones(folder, capsys):
    with pytest.raises(BadInput, match=r"no record 'net-fp61'\n.*'net-fp16'"):
        records_command.main(["net-fp61", "--folder", str(folder)])
    with pytest.raises(BadInput, match=r"no record 'zzz\*'\n.*shell pattern"):
        records_command.main([GOOD.name, "zzz*", "--folder", str(folder)])
    assert cli.main(["records", "net-fp61", "--folder", str(folder)]) == 2
    assert "'net-fp16'" in capsys.readouterr().err


def test_json_of_all_or_of_the_named(folder, capsys):
    everything = [dataclasses.asdict(record) for record in records.read_all(folder)]
    assert json.loads(printed(capsys, "--folder", folder, "--json")) == everything and len(everything) == 4
    assert json.loads(printed(capsys, "net-fp16", "--folder", folder, "--json")) == [everything[-1]]
    both = json.loads(printed(capsys, "net-fp16", "--all", "--folder", folder, "--json"))
    assert both == [everything[1], everything[-1]]


def test_folder_without_records(tmp_path, capsys):
    assert printed(capsys, "--folder", tmp_path / "absent") == "no records\n"
    assert printed(capsys, "--folder", tmp_path / "absent", "--json") == "[]\n"
    with pytest.raises(BadInput, match="no record 'net'"):
        records_command.main(["net", "--folder", str(tmp_path)])


@pytest.mark.parametrize(
    "device, short",
    [
        ("NVIDIA H200, driver 580.159.04", "NVIDIA H200"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100"),
        ("NVIDIA GeForce RTX 4090, driver 1", "NVIDIA GeForce RTX 4090"),
        ("AMD EPYC, 2 cores", "AMD EPYC"),
        ("AMD EPYC 7763 64-Core Processor, 2 cores", "AMD EPYC 7763"),
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 8 cores", "Intel Xeon Platinum 8481C"),
        ("x86_64, 2 cores", "x86_64"),
        (", 2 cores", ", 2 cores"),
    ],
)
def test_short_device(device, short):
    assert records_command.short_device(device) == short
