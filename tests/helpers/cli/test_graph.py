"""`python -m helpers graph`."""

import onnx

from helpers import graph
from helpers.__main__ import main
from tests.builders.functions import halving, with_plugins
from tests.builders.graphs import captures, free_batch, sequences


def test_command_line(tmp_path, capsys):
    path = graph.save(halving(), tmp_path / "plain.onnx")
    assert main(["graph", str(path), "--shapes", "--blocks", "--depth", "1"]) == 0
    printed = capsys.readouterr().out
    assert "5 nodes" in printed and "/head/mix/Halve" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("total")] == [
        ["total", "5", "1,608", "10,776"]
    ]


def printed(capsys, path, *options):
    assert main(["graph", str(path), *options]) == 0
    return capsys.readouterr().out


def lines(text, start):
    return [line.split() for line in text.splitlines() if line.startswith(start)]


def test_what_is_unknown_is_printed_so(tmp_path, capsys):
    path = graph.save(free_batch(), tmp_path / "free.onnx")
    text = printed(capsys, path, "--shapes", "--blocks")
    assert lines(text, "x") == [["x", "[N,", "3,", "4,", "4]", "float32", "input"]]
    assert lines(text, "stem") == [["stem", "1", "6", "unknown"]]
    assert lines(text, "total") == [["total", "3", "166", "unknown"]]
    assert "FLOPs of head unknown: MatMul /head/MatMul: the shape of f is [" in text


def test_sequences_and_branches_are_printed(tmp_path, capsys):
    text = printed(capsys, graph.save(sequences(), tmp_path / "sequences.onnx"), "--shapes", "--blocks")
    assert lines(text, "halves") == [["halves", "sequence", "tensor"]]
    assert lines(text, "total") == [["total", "2", "0", "0"]]
    assert lines(printed(capsys, graph.save(captures(), tmp_path / "if.onnx"), "--blocks"), "total")


def test_postprocess_prints_what_it_wrote(tmp_path, capsys):
    onnx.save(with_plugins(""), tmp_path / "public.onnx")
    text = printed(capsys, tmp_path / "public.onnx", "--postprocess")
    assert text.strip() == str(tmp_path / "public_post.onnx")
    assert "RotateTRT2" in printed(capsys, text.strip())
