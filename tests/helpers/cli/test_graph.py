"""`python -m helpers graph`."""

from helpers import graph
from helpers.__main__ import main
from tests.builders.functions import halving


def test_command_line(tmp_path, capsys):
    path = graph.save(halving(), tmp_path / "plain.onnx")
    assert main(["graph", str(path), "--shapes", "--blocks", "--depth", "1"]) == 0
    printed = capsys.readouterr().out
    assert "5 nodes" in printed and "/head/mix/Halve" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("total")] == [
        ["total", "5", "1,608", "10,776"]
    ]
