"""`python -m helpers divergence`."""

import numpy as np
from onnx import helper, parser

from helpers import __main__ as cli
from helpers import graph
from tests.builders.graphs import chain, model_of

X = [{"x": np.float32([1, 2, 3, 4])}]


def test_command(tmp_path, capsys):
    right, wrong, cut = (tmp_path / name for name in ("right.onnx", "wrong.onnx", "cut.onnx"))
    graph.save(chain(), right)
    graph.save(chain(1.5), wrong)
    cut.write_bytes(right.read_bytes()[:150])
    np.savez(tmp_path / "frames.npz", x=np.stack([X[0]["x"]] * 2))
    np.savez(tmp_path / "bad.npz", x=np.zeros((2, 5), np.float32))

    def run(*arguments):
        return cli.main(["divergence", *map(str, arguments)])

    assert run(right, right) == 0 and "no divergence: 6 tensors compared over 1 frames" in capsys.readouterr().out
    assert run(right, wrong, "--inputs", tmp_path / "frames.npz") == 1
    assert "first divergence: t2" in (out := capsys.readouterr().out) and "over 2 frames" in out
    assert run(right, wrong, "--tolerance", 2, "--strategy", "bisect") == 0
    assert run(right, cut) == 2 and "cut.onnx" in capsys.readouterr().err
    assert run(right, wrong, "--inputs", tmp_path / "bad.npz") == 2 and "[frames, 4]" in capsys.readouterr().err
    assert run(right, wrong, "--inputs", right) == 2 and "right.onnx" in capsys.readouterr().err


def test_not_a_number_is_never_equal(tmp_path, capsys):
    path = tmp_path / "log.onnx"
    graph.save(model_of([helper.make_node("Log", ["x"], ["y"])], {"x": [4]}, ["y"]), path)
    np.savez(tmp_path / "nan.npz", x=np.full((1, 4), np.nan, np.float32))
    np.savez(tmp_path / "negative.npz", x=np.full((1, 4), -1, np.float32))
    command = ["divergence", str(path), str(path), "--inputs"]
    assert cli.main([*command, str(tmp_path / "nan.npz")]) == 2 and "array 'x'" in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "negative.npz")]) == 1
    assert capsys.readouterr().out.startswith("not a number in both runners: y")


def test_whole_numbers_are_fed_zeros(tmp_path, capsys):
    """Noise would be an index out of range."""
    head = '<ir_version: 8, opset_import: ["": 17]> g (float[1,8] x, int64[2] i) => (float[1,2] y)'
    graph.save(parser.parse_model(head + "{ y = Gather<axis=1>(x, i) }"), tmp_path / "gather.onnx")
    assert cli.main(["divergence", *[str(tmp_path / "gather.onnx")] * 2]) == 0
    assert "no divergence: 1 tensors" in capsys.readouterr().out
