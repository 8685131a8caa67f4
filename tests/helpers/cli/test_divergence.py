"""`python -m helpers divergence`."""

import numpy as np

from helpers import __main__ as cli
from helpers import graph
from tests.builders.graphs import chain

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
