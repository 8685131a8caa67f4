import contextlib
import errno
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from helpers import quantize as quantization
from helpers.calibration import CalibrationReader, noise
from helpers.errors import BadInput
from helpers.quantize import calibrators, counts, for_cpu, main, quantize, report

SHAPES = {"image": (1, 32, 16, 16), "extra": (1, 4)}
NETWORK = """
<ir_version: 10, opset_import: ["": {opset}, "trt.plugins": 1]>
small (float[1,32,16,16] image, float[1,4] extra) => (float[1,64,32] attended, float[1,8] head)
{{
  x0 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(image, w0, b0)
  r0 = Relu(x0)
  x1 = Conv<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(r0, w1, b1)
  r1 = Relu(x1)
  x2 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r1, w2, b2)
  sum = Add(x2, r1)
  r2 = Relu(sum)
  scaled = trt.plugins.Tenth(r2)
  same = Identity(scaled)
  shape = Constant<value = int64[3] {{1, 32, 64}}>()
  flat = Reshape(same, shape)
  tokens = Transpose<perm=[0,2,1]>(flat)
  projected = MatMul(tokens, wq)
  query = Add(projected, bq)
  scores = MatMul(query, flat)
  weights = Softmax<axis=-1>(scores)
  attended = MatMul(weights, tokens)
  thin = Conv<kernel_shape=[1,3]>(r2, w3)
  pooled4 = GlobalAveragePool(thin)
  pooled = Flatten(pooled4)
  mixed = Concat<axis=1>(pooled, extra)
  head = Gemm<transB=1>(mixed, wg, bg)
}}
<domain: "trt.plugins", opset_import: ["": {opset}]>
Tenth (x) => (y) {{
  tenth = Constant<value_float=0.1>()
  y = Mul(x, tenth)
}}
"""
WEIGHTS = {
    "w0": (32, 32, 3, 3), "b0": (32,), "w1": (32, 32, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3), "b2": (32,),
    "wq": (32, 32), "bq": (32,), "w3": (4, 32, 1, 3), "wg": (8, 8), "bg": (8,),
}  # fmt: skip


def write_network(path, opset=20, **edits):
    text = NETWORK.format(opset=opset)
    for old, new in edits.items():
        text = text.replace(old, new)
    model = parser.parse_model(text)
    generator = np.random.default_rng(0)
    for name, shape in WEIGHTS.items():
        values = generator.standard_normal(shape) * np.sqrt(2 / max(np.prod(shape[1:]), 1))
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx.save(model, path)
    return path


@pytest.fixture
def network(tmp_path):
    return write_network(tmp_path / "small.onnx")


@pytest.fixture
def calibration(tmp_path):
    return noise(tmp_path / "set" / "calibration.npz", SHAPES, samples=6)


def run(path, inputs, basic=False):
    options = onnxruntime.SessionOptions()
    if basic:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def error(path, reference, calibration, basic=False):
    """Relative error of each output over the calibration samples, in the L2 norm."""
    pairs = [(run(path, x, basic), run(reference, x)) for x in CalibrationReader(calibration, SHAPES)]
    return [
        np.linalg.norm([a[i] - b[i] for a, b in pairs]) / np.linalg.norm([b[i] for _, b in pairs]) for i in range(2)
    ]


def scales(path):
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[0]: constants[node.input[1]] for node in nodes}


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize(
    ("mode", "method", "bound"), [("int8", "entropy", 0.1), ("int8", "max", 0.1), ("fp8", "max", 0.2)]
)
def test_quantized_network_runs_and_keeps_its_plugin(network, calibration, capfd, mode, method, bound, simplify):
    before, out = network.read_bytes(), network.with_name("quantized.onnx")
    assert quantize(network, out, mode, method, calibration, simplify=simplify) == out
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
    errors = error(out, network, calibration, basic=mode == "fp8")
    assert all(1e-4 < value < bound for value in errors), errors


def test_opset_18_is_raised_without_changing_the_network(network, calibration):
    old = write_network(network.with_name("old.onnx"), opset=18)
    out = [quantize(path, path.with_suffix(".q.onnx"), calibration=calibration) for path in (old, network)]
    assert {entry.domain: entry.version for entry in onnx.load(out[0]).opset_import}[""] == 19
    sample = CalibrationReader(calibration, SHAPES).get_first()
    for first, second in zip(*(run(path, sample) for path in out), strict=True):
        np.testing.assert_array_equal(first, second)


def test_max_scales_are_the_largest_magnitudes(network, calibration):
    found = scales(quantize(network, network.with_name("quantized.onnx"), "int8", "max", calibration))
    samples = list(CalibrationReader(calibration, SHAPES))
    np.testing.assert_allclose(
        found["image"], max(np.abs(sample["image"]).max() for sample in samples) / 127, rtol=1e-5
    )
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(network).graph.initializer}
    np.testing.assert_allclose(found["w1"], np.abs(weights["w1"]).max((1, 2, 3)) / 127, rtol=1e-5)


def test_entropy_cuts_an_outlier_that_max_keeps(network, calibration):
    with np.load(calibration) as archive:
        arrays = dict(archive)
    arrays["image"][3, 0, 0, 0] = 100
    np.savez(calibration, **arrays)
    cut, kept = (
        scales(quantize(network, network.with_name(f"{method}.onnx"), "int8", method, calibration))["image"]
        for method in ("entropy", "max")
    )
    assert kept == pytest.approx(100 / 127, rel=1e-5)
    assert cut < kept / 4


@pytest.mark.parametrize("method", ["entropy", "max"])
def test_measuring_in_groups_gives_what_modelopt_gives(network, calibration, monkeypatch, method):
    monkeypatch.setattr(calibrators, "GROUP_BYTES", 50_000)
    groups, session = [], calibrators._session
    monkeypatch.setattr(calibrators, "_session", lambda *options: groups.append(options[1]) or session(*options))
    ours = quantize(network, network.with_name("ours.onnx"), "int8", method, calibration)
    assert len(groups) > 2
    monkeypatch.setattr(calibrators, "bounded", contextlib.nullcontext)
    theirs = quantize(network, network.with_name("theirs.onnx"), "int8", method, calibration)
    assert ours.read_bytes() == theirs.read_bytes()


def test_samples_limits_what_is_read(network, calibration):
    out = quantize(network, network.with_name("quantized.onnx"), "int8", "max", calibration, samples=1)
    first = CalibrationReader(calibration, SHAPES).get_first()["image"]
    np.testing.assert_allclose(scales(out)["image"], np.abs(first).max() / 127, rtol=1e-5)


def test_same_input_same_bytes_in_any_process(network, calibration):
    out = quantize(network, network.with_name("here.onnx"), "int8", "entropy", calibration)
    there = network.with_name("there.onnx")
    command = [sys.executable, "-m", "helpers", "quantize", "--onnx_path", network, "--output_path", there]
    done = subprocess.run(
        [*command, "--calibration_data_path", calibration], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert there.read_bytes() == out.read_bytes()


def test_report_names_every_candidate_with_its_reason(network, calibration):
    out = quantize(network, network.with_name("quantized.onnx"), "int8", "max", calibration)
    rows = {row["node"]: row for row in report(out, network)}
    assert {name for name, row in rows.items() if row["quantized"]} == {
        *("Conv_0", "Conv_2", "Conv_4", "Add_5", "GlobalAveragePool_18")
    }
    assert {name: row["why"] for name, row in rows.items() if row["why"]} == {
        "Add_5": "1 of 2 inputs rounded",
        "Tenth_7": "plugin: its arithmetic stays in floating point",
        "MatMul_12": "operator type excluded",
        "Add_13": "constant operand, computed with its neighbour",
        "MatMul_14": "operator type excluded",
        "MatMul_16": "operator type excluded",
        "Conv_17": "32 to 4 channels, too few",
        "Gemm_21": "matrix-vector product",
    }
    found = scales(out)
    assert rows["Conv_0"]["input_scale"] == pytest.approx(float(found["image"]))
    assert rows["Conv_0"]["weight_scales"] == f"{found['w0'].min():.2g} – {found['w0'].max():.2g}"
    table = {row["op"]: (row["nodes"], row["quantized"], row["left"]) for row in counts(rows.values())}
    assert table["Conv"] == (4, 3, 1) and table["MatMul"] == (3, 0, 3) and table["Add"] == (2, 1, 1)


def optimized_ops(path, out):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(out).graph.node]


def test_cpu_form_has_integer_convolutions_and_the_same_values(network, calibration, tmp_path):
    quantized = quantize(network, tmp_path / "quantized.onnx", "int8", "max", calibration)
    unsigned = for_cpu(quantized, tmp_path / "unsigned.onnx")
    assert "QLinearConv" not in optimized_ops(quantized, tmp_path / "optimized.onnx")
    assert optimized_ops(unsigned, tmp_path / "optimized.onnx").count("QLinearConv") == 2
    assert all(value < 0.01 for value in error(unsigned, quantized, calibration))
    with pytest.raises(BadInput, match="no INT8 activations"):
        for_cpu(network, tmp_path / "never.onnx")


def test_matmul_is_quantized_when_it_is_not_excluded(network, calibration):
    out = quantize(network, network.with_name("quantized.onnx"), "int8", "max", calibration, exclude_op_types=())
    assert any(row["quantized"] for row in report(out, network) if row["op"] == "MatMul")


def test_excluded_nodes_stay_and_the_others_do_not_change(network, calibration):
    whole = quantize(network, network.with_name("whole.onnx"), "int8", "max", calibration)
    out = quantize(
        network, network.with_name("part.onnx"), "int8", "max", calibration, exclude_nodes=["Conv_[02]", "G"]
    )
    rows = {row["node"]: row for row in report(out, network)}
    assert {name for name, row in rows.items() if row["quantized"]} == {"Conv_4", "Add_5"}
    assert {name: row["why"] for name, row in rows.items() if "node excluded" in row["why"]} == {
        **dict.fromkeys(("Conv_0", "Conv_2", "GlobalAveragePool_18", "Gemm_21"), "node excluded")
    }
    for name, scale in scales(out).items():
        np.testing.assert_array_equal(scale, scales(whole)[name])


def test_command_line(network, calibration, capsys):
    options = ["--onnx_path", network, "--calibration_data_path", calibration, "--quantize_mode", "int8"]
    options += ["--calibration_method", "max", "--op_types_to_exclude", "MatMul", "Add", "--simplify"]
    assert main([str(option) for option in options]) == 0
    assert "Conv" in (printed := capsys.readouterr().out) and "operator type excluded" in printed
    rows = report(network.with_name("small.quant.onnx"), network)
    left = {row["node"]: row["why"] for row in rows if row["op"] == "Add" and not row["quantized"]}
    assert left == {"Add_5": "operator type excluded, on rounded input", "Add_13": "operator type excluded"}


def test_without_a_set_ranges_are_random_but_repeatable(network):
    out = [quantize(network, network.with_name(f"{name}.onnx")) for name in "ab"]
    assert out[0].read_bytes() == out[1].read_bytes()
    assert {path.name for path in network.parent.iterdir()} == {"small.onnx", "a.onnx", "b.onnx"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "int3"}, "int8 or fp8"),
        ({"method": "median"}, "entropy or max"),
        ({"exclude_nodes": ["Conv_0["]}, "unterminated character set"),
        ({"exclude_nodes": ["onv_0"]}, "as in Conv_0, Relu_1"),
        ({"exclude_op_types": ("MatMul", "Conv", "Add", "GlobalAveragePool", "Flatten")}, "nothing to quantize"),
    ],
)
def test_wrong_options_are_refused(network, options, named):
    with pytest.raises(BadInput, match=named):
        quantize(network, network.with_name("quantized.onnx"), **options)
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
