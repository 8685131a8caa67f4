"""The proof of the operators, run on the CPU: what it says of right ones, and that it finds wrong ones."""

import json

import pytest

from helpers.ops import library
from plugins import check
from plugins.check import __main__ as command
from plugins.check import dispatch
from plugins.check.common import Row


@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.name)
def test_the_operators_run_the_kernels_and_give_the_definitions_values(proof, one):
    rows = [row for row in proof if row.what.startswith(one.name)]
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


def test_the_command_writes_what_it_tried(host_library, proof, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "rows", lambda path, device: proof)
    path = tmp_path / "found/check.json"
    assert command.main([str(host_library), "--device", "cpu", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["wrong"] == 0 and found["right"] == len(found["rows"]) > 200 and found["times"] == []
    assert found["library"]["arch"] == "host" and len(found["library"]["sha256"]) == 64
    assert f"{found['right']} of {found['right']} right" in capsys.readouterr().out
    monkeypatch.setattr(check, "rows", lambda path, device: [Row("rotate, skewed", "fp32", float("inf"), 0.0)])
    assert command.main([str(host_library), "--device", "cpu", "--json", str(path)]) == 1
    found = json.loads(path.read_text())
    assert (found["right"], found["wrong"], found["rows"][0]["error"]) == (0, 1, None)
    assert "WRONG: rotate, skewed" in capsys.readouterr().out
