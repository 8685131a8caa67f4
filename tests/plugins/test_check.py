"""The proof of the operators, run on the CPU: what it says of right ones, and that it finds wrong ones."""

import json
import re

import pytest
import torch

from helpers import records
from helpers.errors import BadInput
from helpers.files import sha256
from helpers.ops import library
from plugins import check
from plugins.check import __main__ as command
from plugins.check import dispatch, record, times
from plugins.check.common import Row
from tests.builders.shared import once


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.name)
def test_the_operators_run_the_kernels_and_give_the_definitions_values(proof, one):
    rows = [row for row in proof if re.split("[ ,:]", row.what)[0] == one.name]
    assert not [row for row in rows if not row.right]
    said = [row.what for row in rows]
    assert sum("it is the compiled kernel" in what for what in said) >= 3
    assert sum("it is the reference" in what for what in said) >= 3
    assert sum("torch.compile" in what for what in said) == 4 and sum("gradients are" in what for what in said) == 2


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.name)
def test_the_proof_finds_a_library_that_is_not_used(host_library, one, monkeypatch):
    monkeypatch.setattr(library, "kernels", lambda device: None)
    wrong = next(row for row in dispatch.rows(one, host_library, "cpu") if not row.right)
    assert "it is the compiled kernel" in wrong.what and wrong.error == float("inf")


def test_a_library_in_the_folder_that_does_not_load_is_said_and_not_counted_as_wrong(tmp_path, monkeypatch):
    one, folder = check.CHECKS[0], tmp_path / "build"
    folder.mkdir()
    (folder / library.OUTPUTS["plugins"]).write_text("it needs TensorRT")
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    library._newest.cache_clear()
    arguments = next(iter(one.calls("cpu"))).arguments
    with pytest.warns(UserWarning, match="without their compiled kernels"):
        assert list(dispatch._found(one, arguments, None)) == []
    library._newest.cache_clear()
    monkeypatch.setattr(library, "kernels", lambda device: "loaded")
    monkeypatch.setattr(type(one), "operator", lambda *given: torch.ones(2))
    (row,) = dispatch._found(one, arguments, torch.zeros(2))
    assert not row.right


def test_the_command_writes_what_it_tried(host_library, proof, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "rows", lambda path, device, checks: proof)
    path = tmp_path / "found/check.json"
    assert command.main([str(host_library), "--device", "cpu", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["wrong"] == 0 and found["right"] == len(found["rows"]) > 200 and found["times"] == []
    assert found["library"]["arch"] == "host" and len(found["library"]["sha256"]) == 64
    assert f"{found['right']} of {found['right']} right" in capsys.readouterr().out
    monkeypatch.setattr(check, "rows", lambda path, device, checks: [Row("rotate, skewed", "fp32", float("inf"), 0.0)])
    assert command.main([str(host_library), "--device", "cpu", "--json", str(path)]) == 1
    found = json.loads(path.read_text())
    assert (found["right"], found["wrong"], found["rows"][0]["error"]) == (0, 1, None)
    assert "WRONG: rotate, skewed" in capsys.readouterr().out


def test_a_proof_that_is_cut_off_leaves_what_it_knew(host_library, tmp_path, monkeypatch, capsys):
    def cut_off(path, device, checks):
        yield from [Row("rotate, one", "fp32", 0.0, 0.0), Row("rotate, two", "fp32", float("inf"), 0.0)]
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "rows", cut_off)
    monkeypatch.setattr(command, "EVERY", 0)
    path = tmp_path / "check.json"
    with pytest.raises(KeyboardInterrupt):
        command.main([str(host_library), "--device", "cpu", "--json", str(path)])
    found = json.loads(path.read_text())
    assert (found["right"], found["wrong"], found["unfinished"]) == (1, 1, True) and found["library"]["arch"] == "host"
    assert "2 tried, the last rotate, two" in capsys.readouterr().out


def test_the_command_tries_the_operators_that_are_named_and_tells_how_far_it_is(host_library, tmp_path, capsys):
    path = tmp_path / "check.json"
    asked = ["--device", "cpu", "--sanitize", "--operators", "rotate", "bev_pool_v2", "--json", str(path)]
    assert command.main([str(host_library), *asked]) == 0
    tried = {re.split("[ ,]", row["what"])[0] for row in json.loads(path.read_text())["rows"]}
    assert tried == {"rotate", "bev_pool_v2"}
    assert "100 tried, the last bev_pool_v2" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"none\.so"):
        command.main([str(tmp_path / "none.so"), "--device", "cpu"])
    with pytest.raises(SystemExit):
        command.main(["--operators", "rotate", "--record", str(tmp_path)])
    assert "a record holds every operator" in capsys.readouterr().err


def test_without_a_gpu_the_command_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"no GPU[\s\S]*--device cpu"):
        command.main(["none.so"])


def test_a_record_holds_every_time_and_the_digest_of_the_kernels(host_library, tmp_path, monkeypatch, capsys):
    row = {"call": "4 heads, SCA", "form": "fp16, packed", "copy_gb_per_s": 4000.0} | dict.fromkeys(record.TIMES, 2.5)
    about = library.info(library.load(host_library), host_library)
    found = {"device": "NVIDIA X", "python": "3.11", "torch": "2.0", "library": about, "rows": [], "times": [row]}
    monkeypatch.setattr(command, "summary", lambda *arguments: found | {"right": 7, "wrong": 0})
    monkeypatch.setattr(library, "build", lambda target: host_library)
    monkeypatch.setattr(command.times, "show", lambda measured: None)
    monkeypatch.setattr(command, "check_device", lambda device: None)
    monkeypatch.setattr(record, "driver", lambda: "580.1")
    assert command.main(["--record", str(tmp_path)]) == 0
    (kept,) = records.read_all(tmp_path)
    assert (kept.name, kept.device, kept.metrics["cases"]) == (record.NAME, "NVIDIA X, driver 580.1", 7)
    assert {kept.metrics[f"4_heads_sca_fp16_packed_{time}"] for time in record.TIMES} == {2.5}
    assert kept.artifacts == {host_library.name: sha256(host_library)}
    assert kept.command == f"python -m plugins.check --record {tmp_path}"
    with pytest.raises(SystemExit):
        command.main([str(host_library), "--device", "cpu", "--record", str(tmp_path)])
    assert "only a proof on a GPU" in capsys.readouterr().err


@pytest.fixture(scope="session")
def straightforward(tmp_path_factory):
    """The kernels to compare times with, compiled for the host."""
    return once(tmp_path_factory, "straightforward", lambda out: library.build("straightforward_host", out=out))


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.name)
def test_the_straightforward_kernels_compute_the_same(straightforward, one):
    """On calls that need no care: a comparison with a wrong kernel would say nothing."""
    loaded = library.load(straightforward)
    calls = [call for call in one.calls("cpu") if call.compiled and not call.packed and "random" not in call.what]
    assert len(calls) >= 3
    for call in calls:
        assert one.error(one.launched(loaded, call.arguments), call.arguments) <= call.limit, (call.what, call.form)


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.name)
def test_what_pytorch_is_timed_with_computes_the_same(one):
    call = next(iter(one.calls("cpu")))
    assert one.error(one.composition(*call.arguments), call.arguments) <= call.limit


def test_times_are_told_with_what_bounds_them(host_library, straightforward, monkeypatch, capsys):
    """Without a GPU: every form runs; the clock, which would need one, says 10 microseconds."""

    class Two(type(check.CHECKS[2])):
        def published(self, device):
            return [call for call in self.calls("cpu") if call.form in ("fp16, int32", "fp16, int32, packed")]

    ran = []
    monkeypatch.setattr(times, "captured_microseconds", lambda work: ran.append(work()) or 10.0)
    monkeypatch.setattr(times, "called_microseconds", lambda work: 30.0)
    monkeypatch.setattr(times, "copy_gb_per_s", lambda: 4000.0)
    rows = times.rows((Two(),), host_library, straightforward)
    assert [row["form"] for row in rows] == ["fp16, int32", "fp16, int32, packed"] and len(ran) == 8
    assert all(row["reference_ratio"] == row["times_written"] == 1 and row["share_of_copy"] == 0 for row in rows)
    times.show(rows)
    assert "4000 GB/s" in capsys.readouterr().out


def test_the_sanitizer_gets_small_calls_alone(host_library, capsys):
    assert command.main([str(host_library), "--device", "cpu", "--sanitize"]) == 0
    assert "torch.compile" not in capsys.readouterr().out


def test_a_folder_for_the_summary_is_refused_before_the_proof(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "summary", lambda *_: pytest.fail("proven first"))
    with pytest.raises(BadInput, match=str(tmp_path)):
        command.main(["--device", "cpu", "--json", str(tmp_path)])
    assert not list(tmp_path.iterdir())
