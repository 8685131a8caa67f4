"""`python -m helpers records`."""

import dataclasses
import json
import re

import pytest

from helpers import __main__ as cli
from helpers import records
from helpers.cli import records as records_command
from helpers.errors import BadInput
from helpers.files import ROOT
from tests.helpers.test_records import GOOD


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
    assert re.split("  +", lines[0]) == ["name", "device", "date", "GPU ms", "latency", "over FP32", "NDS", "mAP"]
    assert re.split("  +", lines[2]) == ["net-fp16", "NVIDIA H200", "2026-02-02 01:59", "1.23", "2"]
    assert lines[3] == ""
    assert re.split("  +", lines[4]) == [GOOD.name, "Some CPU", "2026-01-31 12:00", "12.50", "0.410", "0.370"]
    for line, cell, title in ((2, "1.23", "GPU ms"), (4, "12.50", "latency"), (4, "0.370", "mAP")):
        assert lines[line].index(cell) + len(cell) == lines[0].index(title) + len(title)
    assert lines[6].split() == ["name", "device", "date", "metrics"]
    assert re.split("  +", lines[8]) == ["a-profile", "NVIDIA H200", "2026-02-02 01:59", "2"]
    last = "3 records; 1 older with --all; all of one: python -m helpers records NAME"
    assert lines[9:] == [
        "",
        "GPU ms and latency, in ms, are p50; over FP32: over the same runtime's, without plugin",
        last,
    ]


def test_overview_leaves_out_headlines_that_no_record_has():
    text = records_command.overview([dataclasses.replace(GOOD, metrics={"NDS": 0.5})])
    assert text.splitlines()[0].split() == ["name", "device", "date", "NDS"]


def test_overview_with_the_older_ones(folder, capsys):
    lines = printed(capsys, "--all", "--folder", folder).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("net-fp16")] == ["7.00", "2"]
    assert lines[-1].startswith("4 records") and "older" not in lines[-1]


def test_overview_of_the_recorded_results_fits():
    lines = records_command.overview(records_command.latest(records.read_all(ROOT / "results"))).splitlines()
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
    assert printed(capsys, "--folder", tmp_path) == "no records\n"
    with pytest.raises(BadInput, match="no such folder"):
        printed(capsys, "--folder", tmp_path / "absent")
    assert printed(capsys, "--folder", tmp_path, "--json") == "[]\n"
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
