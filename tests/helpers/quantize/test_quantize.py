"""What `quantize` writes, from which options, and what it refuses."""

import errno

import numpy as np
import onnx
import pytest

from helpers import quantize as quantization
from helpers.calibration import CalibrationReader
from helpers.errors import BadInput
from helpers.quantize import Options, quantize, report
from tests.builders.quantizable import SHAPES, errors, run, scales, write_network


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize(
    ("mode", "method", "bound"), [("int8", "entropy", 0.1), ("int8", "max", 0.1), ("fp8", "max", 0.2)]
)
def test_quantized_network_runs_and_keeps_its_plugin(network, calibration, capfd, mode, method, bound, simplify):
    before, out = network.read_bytes(), network.with_name("quantized.onnx")
    assert quantize(network, out, mode, method, calibration, Options(simplify=simplify)) == out
    assert {path.name for path in network.parent.iterdir()} == {"small.onnx", "quantized.onnx", "set"}
    assert network.read_bytes() == before
    assert capfd.readouterr() == ("", "")
    model = onnx.load(out)
    assert [function.name for function in model.functions] == ["Tenth"]
    assert [node.domain for node in model.graph.node if node.op_type == "Tenth"] == ["trt.plugins"]
    assert all(node.op_type != "Identity" for node in model.graph.node) == simplify
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    quantizers = [types[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantizers) >= 6
    assert set(quantizers) == {onnx.TensorProto.INT8 if mode == "int8" else onnx.TensorProto.FLOAT8E4M3FN}
    found = errors(out, network, calibration, basic=mode == "fp8")
    assert all(1e-4 < value < bound for value in found), found


def test_opset_18_is_raised_without_changing_the_network(network, calibration):
    old = write_network(network.with_name("old.onnx"), opset=18)
    out = [quantize(path, path.with_suffix(".q.onnx"), calibration=calibration) for path in (old, network)]
    assert {entry.domain: entry.version for entry in onnx.load(out[0]).opset_import}[""] == 19
    sample = CalibrationReader(calibration, SHAPES).get_first()
    for first, second in zip(*(run(path, sample) for path in out), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("simplify", [False, True])
def test_a_free_dimension_has_the_sets_size_while_ranges_are_measured(network, calibration, simplify):
    open_ended = write_network(network.with_name("open.onnx"), **{"1,32,16,16]": "1,32,H,16]", "1,64,32]": "1,T,32]"})
    options = Options(simplify=simplify)
    out = [quantize(path, path.with_suffix(".q.onnx"), "int8", "max", calibration, options)
           for path in (open_ended, network)]  # fmt: skip
    shapes = [[dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
              for value in (*onnx.load(out[0]).graph.input, *onnx.load(out[0]).graph.output)]  # fmt: skip
    free = [[1, 32, "H", 16], [1, 4], [1, "T", 32], [1, 8]]
    assert shapes == ([[1, 32, 16, 16], [1, 4], [1, 64, 32], [1, 8]] if simplify else free)
    sample = CalibrationReader(calibration, SHAPES).get_first()
    for first, second in zip(*(run(path, sample) for path in out), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_matmul_is_quantized_when_it_is_not_excluded(network, calibration):
    out = quantize(
        network, network.with_name("quantized.onnx"), "int8", "max", calibration, Options(exclude_op_types=())
    )
    assert any(row["quantized"] for row in report(out, network) if row["op"] == "MatMul")


def test_excluded_nodes_stay_and_the_others_do_not_change(int8):
    network, measured_on = int8.with_name("small.onnx"), int8.with_name("calibration.npz")
    options = Options(exclude_nodes=("Conv_[02]", "G"))
    out = quantize(network, int8.with_name("part.onnx"), "int8", "max", measured_on, options)
    rows = {row["node"]: row for row in report(out, network)}
    assert {name for name, row in rows.items() if row["quantized"]} == {"Conv_4", "Add_5"}
    assert {name: row["why"] for name, row in rows.items() if "node excluded" in row["why"]} == {
        **dict.fromkeys(("Conv_0", "Conv_2", "GlobalAveragePool_18", "Gemm_21"), "node excluded")
    }
    for name, scale in scales(out).items():
        np.testing.assert_array_equal(scale, scales(int8)[name])


def test_without_a_set_ranges_are_random_but_repeatable(network):
    out = [quantize(network, network.with_name(f"{name}.onnx")) for name in "ab"]
    assert out[0].read_bytes() == out[1].read_bytes()
    assert {path.name for path in network.parent.iterdir()} == {"small.onnx", "a.onnx", "b.onnx"}


@pytest.mark.parametrize("target", ["small.onnx", "set/../small.onnx", "set/calibration.npz"])
def test_output_over_an_input_is_refused(network, calibration, target):
    before = network.read_bytes(), calibration.read_bytes()
    with pytest.raises(BadInput, match="the output is also an input"):
        quantize(network, network.parent / target, calibration=calibration)
    assert (network.read_bytes(), calibration.read_bytes()) == before


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"mode": "int3"}, "int8 or fp8"),
        ({"method": "median"}, "entropy or max"),
        ({"options": Options(exclude_nodes=("Conv_0[",))}, "unterminated character set"),
        ({"options": Options(exclude_nodes=("onv_0",))}, "as in Conv_0, Relu_1"),
        ({"options": Options(exclude_op_types=("Matmul",))}, "Matmul[\\s\\S]*such as MatMul"),
        ({"options": Options(exclude_op_types=(" ",))}, "' '"),
        ({"mode": " "}, "' '"),
        ({"options": Options(exclude_op_types=("\ud800",))}, "ud800[\\s\\S]*types of operators"),
        ({"options": Options(("MatMul", "Conv", "Add", "GlobalAveragePool", "Flatten"))}, "nothing to quantize"),
        ({"options": Options(samples=0)}, "samples[\\s\\S]*0"),
    ],
)
def test_wrong_options_are_refused(network, choices, named):
    with pytest.raises(BadInput, match=named):
        quantize(network, network.with_name("quantized.onnx"), **choices)
    assert {path.name for path in network.parent.iterdir()} == {"small.onnx"}


def test_unfit_models_are_refused(network, tmp_path):
    out = tmp_path / "quantized.onnx"
    with pytest.raises(BadInput, match="opset 17"):
        quantize(write_network(tmp_path / "old.onnx", opset=17), out)
    with pytest.raises(BadInput, match="static shape"):
        quantize(write_network(tmp_path / "dynamic.onnx", **{"1,4]": "N,4]"}), out)
    with pytest.raises(BadInput, match="Q/DQ nodes"):
        quantize(quantize(network, tmp_path / "once.onnx"), out)
    (tmp_path / "half.onnx").write_bytes(network.read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"half\.onnx"):
        quantize(tmp_path / "half.onnx", out)
    assert not out.exists()


def test_a_bad_set_is_refused(network, calibration):
    with np.load(calibration) as archive:
        arrays = dict(archive)
    arrays["image"][4, 0, 0, 0] = np.nan
    np.savez(calibration, **arrays)
    with pytest.raises(BadInput, match="image, sample 4"):
        quantize(network, network.with_name("quantized.onnx"), calibration=calibration)
    assert not network.with_name("quantized.onnx").exists()


def test_a_full_disk_leaves_nothing_behind(network, calibration, monkeypatch):
    def full(model, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(quantization.graph, "save", full)
    with pytest.raises(BadInput, match=r"quantized\.onnx[\s\S]*disk is full"):
        quantize(network, network.with_name("quantized.onnx"), calibration=calibration)
    assert {path.name for path in network.parent.iterdir()} == {"small.onnx", "set"}
