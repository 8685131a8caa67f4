"""`python -m helpers quantize`."""

import subprocess
import sys

from helpers.calibration import noise
from helpers.cli.quantize import main
from helpers.quantize import quantize, report
from tests.builders.quantizable import SHAPES, write_network
from tests.builders.waiting import HANG


def test_same_input_same_bytes_in_any_process(tmp_path):
    network = write_network(tmp_path / "small.onnx")
    measured_on = noise(tmp_path / "calibration.npz", SHAPES, samples=6)
    out, there = quantize(network, tmp_path / "here.onnx", calibration=measured_on), tmp_path / "there.onnx"
    command = [sys.executable, "-m", "helpers", "quantize", "--onnx_path", network, "--output_path", there]
    done = subprocess.run(
        [*command, "--calibration_data_path", measured_on], capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    assert there.read_bytes() == out.read_bytes()


def test_options_are_those_of_modelopt(tmp_path, capsys):
    network = write_network(tmp_path / "small.onnx")
    measured_on = noise(tmp_path / "calibration.npz", SHAPES, samples=6)
    options = ["--onnx_path", network, "--calibration_data_path", measured_on, "--quantize_mode", "int8"]
    options += ["--calibration_method", "max", "--op_types_to_exclude", "MatMul", "Add", "--simplify"]
    assert main([str(option) for option in options]) == 0
    assert "Conv" in (printed := capsys.readouterr().out) and "operator type excluded" in printed
    rows = report(network.with_name("small.quant.onnx"), network)
    left = {row["node"]: row["why"] for row in rows if row["op"] == "Add" and not row["quantized"]}
    assert left == {"Add_5": "operator type excluded, on rounded input", "Add_13": "operator type excluded"}
