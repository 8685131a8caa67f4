"""What limits a kernel, read from Nsight Compute's table; a shell script stands in for it."""

import json
import math

import pytest
import torch

from ci.results import kernels, recorded
from helpers import records
from plugins import check
from plugins.check import __main__ as command
from plugins.check import profiler, record

HEAD = ["ID", "Process ID", "Kernel Name", profiler.TIME, profiler.WARPS, *profiler.SHARES.values()]
ROWS = [
    ["0", "7", "at::cuda::<unnamed>::spin_kernel(long)", "2,000.5", "1", "1", "1", "1", "1"],
    ["1", "7", "void onramp::each<onramp::Rows<int>>(T1, int)", "900", "9", "9", "9", "9", "9"],
    ["2", "7", "void onramp::blocks<8, onramp::Pool>(T1)", "1,300.5", "75.25", "10", "81.5", "40", "20"],
    ["3", "7", "at::cuda::<unnamed>::spin_kernel(long)", "2000", "1", "1", "1", "1", "1"],
    ["4", "7", "void at::native::copy_kernel<float>(int)", "9,999", "99", "99", "99", "99", "99"],
    ["5", "7", "void onramp::each<onramp::Sample>(T1, int)", "500", "50", "30", "12", "11", "20"],
]


def table(rows):
    units = ["", "", "", "nsecond", *["%"] * 5]
    lines = [",".join(f'"{cell}"' for cell in row) for row in (HEAD, units, *rows)]
    return "\n".join(["==PROF== Connected to process 7", *lines]) + "\n"


@pytest.fixture
def program(tmp_path):
    (tmp_path / "table.csv").write_text(table(ROWS))
    path = tmp_path / "ncu"
    path.write_text(f"""#!/bin/sh
for out; do :; done
case "$*" in
  *rotate*) echo "ERR_NVGPUCTRPERM"; exit 1 ;;
  *) cp {tmp_path}/table.csv "$5"; echo '["FB-OCC lift fp16", "FB-OCC history fp32"]' > $out ;;
esac
""")
    path.chmod(0o755)
    return path


def test_the_longest_kernel_of_ours_in_a_call_counts():
    first, second = profiler.counters(table(ROWS))
    assert first == {"warps": 75.25, "memory": 10, "L2 cache": 81.5, "L1 cache": 40, "multiprocessors": 20}
    assert profiler.limits(first) == "L2 cache, 82 %" and second["memory"] == 30
    assert profiler.limits(second) == "waiting: memory at 30 % is the most"
    assert profiler.counters("==ERROR== no permission\n") == []


def test_every_operator_is_profiled_and_recorded_whatever_another_does(program, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "driver", lambda: "580.1")
    monkeypatch.setattr(command, "about", lambda path, device: ABOUT)
    monkeypatch.setattr(command, "check_device", lambda device: None)
    out, folder, path = tmp_path / "found.json", tmp_path / "results", tmp_path / "kernels.so"
    path.write_bytes(b"kernels")
    asked = ["--profile", "--operators", "rotate", "bev_pool_v2", "--profiler", str(program), "--json", str(out)]
    assert command.main([str(path), *asked, "--record", str(folder)]) == 1
    assert "ERR_NVGPUCTRPERM" in capsys.readouterr().err
    refused, lift, _ = json.loads(out.read_text())["limits"]
    assert refused["ended"] == "exit code 1, 0 calls counted" and lift["L2 cache"] == 81.5
    (kept,) = records.read_all(folder)
    assert kept.name == record.LIMITS and kept.metrics["rotate_limit"] == refused["ended"]
    assert math.isclose(kept.metrics["fb_occ_lift_fp16_l2_cache_percent"], 81.5)
    lines = [line.strip("|").split("|") for line in kernels.limits(recorded.Recorded(folder)).splitlines()]
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    assert rows["FB-OCC, lift (BEVPoolV2), FP16"][:6] == ["10", "82", "40", "20", "75", "L2 cache, 82 %"]
    assert "FB-OCC, history (GridSample 3-D), FP32" in rows and len(rows) == 4
    assert kernels.limits(recorded.Recorded(tmp_path / "none")).startswith("No profile")


def test_a_profiler_sees_each_published_call_once_and_what_waits_before_it(monkeypatch):
    done, one = [], check.CHECKS[1]

    class Two(type(one)):
        def published(self, device):
            return list(self.calls("cpu"))[:2]

        def launched(self, library, arguments, packed=False):
            done.append("launch")

    for owner, name in ((torch.cuda, "_sleep"), (torch.cuda.profiler, "start"), (torch.cuda.profiler, "stop")):
        monkeypatch.setattr(owner, name, lambda *_, name=name: done.append(name))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(profiler.library, "load", lambda path: path)
    names = profiler.run_published("kernels.so", (Two(),))
    assert len(names) == 2 and all("fp32" in name or "fp16" in name for name in names)
    assert done == ["launch", "start", "_sleep", "launch", "stop"] * 2


ABOUT = {"device": "NVIDIA X", "python": "3.11", "torch": "2.0", "library": {"cuda": "13.0"}}


def test_modes_exclude_each_other_and_need_a_gpu(capsys):
    for modes, why in ((["--profile", "--sanitize"], "--profile and --sanitize: give one of them"),
                       (["--published", "--device", "cpu"], "--published: only a GPU has these calls")):  # fmt: skip
        with pytest.raises(SystemExit):
            command.main(["kernels.so", *modes])
        assert why in capsys.readouterr().err
