"""SmoothQuant: the same function in floating point, ModelOpt's scales and outputs, and what it is for."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from helpers import display, engine
from helpers.cli import quantize as command
from helpers.errors import BadInput
from helpers.graph import session
from helpers.quantize import Options, linears, quantize, report, smoothing
from helpers.quantize.sweep import sweep
from tests.builders.graphs import save
from tests.builders.shared import once
from tests.builders.transformer import constants, samples, write_block, write_set
from tests.helpers.quantize.record_modelopt import ALPHAS, LAYERS, RECORD

LINEARS = (("q0", "k0", "v0"), ("o0",), ("h0",), ("z0",), ("head",))
FOLDED = ("LayerNormalization", smoothing.OWN, "Mul", smoothing.OWN, smoothing.OWN)


@pytest.fixture(scope="module")
def block(tmp_path_factory):
    """Path of the block, beside its calibration set `set.npz`."""
    return once(tmp_path_factory, "block", _written)


def _written(folder):
    write_set(folder / "set.npz")
    write_set(folder / "judged.npz", 3, seed=2)
    return write_block(folder / "block.onnx")


def outputs(path, x, level="disable"):
    return session.run(session.open_session(path, level), ["y", "head"], {"x": x}, path)


def error(path, block, seed=2):
    """Distance from the block in floating point over three samples, relative to its size."""
    pairs = [(outputs(path, x)[0], outputs(block, x)[0]) for x in samples(3, seed)]
    return np.linalg.norm([a - b for a, b in pairs]) / np.linalg.norm([b for _, b in pairs])


@pytest.fixture(scope="module")
def found(block):
    return {alpha: smoothing.groups(block, block.with_name("set.npz"), alpha) for alpha in ALPHAS}


@pytest.fixture(scope="module")
def recorded():
    return json.loads(Path(RECORD).read_text())["alphas"]


def test_linears_that_read_one_tensor_are_a_group_with_the_maxima_of_its_channels(found, block):
    assert tuple(one.linears for one in found[0.5]) == LINEARS and tuple(one.folded for one in found[0.5]) == FOLDED
    first, held = found[0.5][0], constants()
    assert first.tensor == "first"
    weights = np.concatenate([held[name] for name in ("wq", "wk", "wv")], axis=1)
    np.testing.assert_array_equal(first.weight, np.abs(weights).max(axis=1))
    normed = [(x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) for x in samples(4)]
    seen = np.abs(np.concatenate(normed) * held["gamma1"] + held["beta1"]).max(axis=(0, 1))
    np.testing.assert_allclose(first.activation, seen, rtol=1e-4)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_scales_and_ranges_are_those_of_modelopt(found, recorded, alpha, block, tmp_path):
    theirs = recorded[str(alpha)]["layers"]
    ours = dict(zip(LAYERS, found[alpha], strict=True))
    smoothed = smoothing.quantize_linears(block, tmp_path / "q.onnx", block.with_name("set.npz"), alpha)
    held = {name: array for name, array in linears.walk.constants(onnx.load(smoothed)).items()}
    for name, layer in theirs.items():  # float32 on both sides: 1e-5 is a hundred roundings
        np.testing.assert_allclose(ours[name].scale, layer["scale"], rtol=1e-5)
        np.testing.assert_allclose(ours[name].step * linears.LEVELS, layer["activation"], rtol=1e-5)
        steps = np.concatenate([held[f"{linear}/weight/scale"] for linear in ours[name].linears])
        np.testing.assert_allclose(steps * linears.LEVELS, layer["weight"], rtol=1e-5)
        np.testing.assert_allclose(held[f"{ours[name].linears[0]}/input/scale"], ours[name].step, rtol=1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_quantized_outputs_are_those_of_modelopt(recorded, alpha, block, tmp_path):
    """Against what quantization costs a token. A number between two steps may go either way, within rounding: one of
    some 1,500, which moves a token by about a tenth of its cost. So the median is strict and the sum is not.
    """
    smoothed = smoothing.quantize_linears(block, tmp_path / "q.onnx", block.with_name("set.npz"), alpha)
    x = samples(1, seed=2)[0]
    ours, exact = (outputs(path, x)[0][0] for path in (smoothed, block))
    theirs = {other: np.array(recorded[str(other)]["y"]).reshape(8, 32) for other in ALPHAS}
    cost = np.linalg.norm(theirs[alpha] - exact, axis=-1)
    away = {other: np.linalg.norm(ours - array, axis=-1) for other, array in theirs.items()}
    assert np.all(cost > 1e-3 * np.linalg.norm(exact, axis=-1))
    assert np.median(away[alpha] / cost) < 1e-3 and np.linalg.norm(away[alpha]) < 0.2 * np.linalg.norm(cost)
    assert all(np.median(away[other] / cost) > 0.5 for other in ALPHAS if other != alpha)  # of another alpha


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_nothing_changes_in_floating_point(block, tmp_path, alpha):
    smoothed = smoothing.smooth(block, tmp_path / "smooth.onnx", block.with_name("set.npz"), alpha)
    assert error(smoothed, block) < 2e-6  # float32: some roundings of 6e-8, grown by products
    model = onnx.load(smoothed)
    assert sum(node.op_type == "Mul" for node in model.graph.node) == 6  # three own, for o, fc2 and the head
    names = {tensor.name for tensor in model.graph.initializer}
    assert not names & {"wq", "w1", "gamma1", "beta1", "gamma2"}  # no weight is there twice


@pytest.mark.parametrize(
    ("edits", "folded"),
    [
        ({"seen = MatMul(weights, v)": "seen0 = MatMul(weights, v)\n seen = Add(seen0, first)"}, smoothing.OWN),
        ({"=> (float[1,8,32] y": "=> (float[1,8,32] first, float[1,8,32] y"}, smoothing.OWN),
        ({"first = LayerNormalization<axis=-1>(x, gamma1, beta1)":
          "z1 = LayerNormalization<axis=-1>(x, gamma2)\n z2 = Mul(z1, gamma1)\n first = Add(beta1, z2)"}, "Mul"),
        ({"first = LayerNormalization<axis=-1>(x, gamma1, beta1)":
          "z1 = LayerNormalization<axis=-1>(x, gamma2)\n z2 = Mul(z1, gamma1)\n first = Add(x, z2)"}, smoothing.OWN),
        ({"LayerNormalization<axis=-1>(x, gamma1, beta1)": "LayerNormalization<axis=-1>(x, gamma1)"},
         "LayerNormalization"),
    ],
    ids=["another reader", "an output", "a norm in parts", "a residual", "no shift"],
)  # fmt: skip
def test_a_norm_takes_the_scales_only_where_nothing_else_reads_it(block, tmp_path, edits, folded):
    other, measured_on = write_block(tmp_path / "other.onnx", **edits), block.with_name("set.npz")
    assert smoothing.groups(other, measured_on)[0].folded == folded
    smoothed = smoothing.smooth(other, tmp_path / "smooth.onnx", measured_on)
    x = samples(1, seed=3)[0]
    everything = [session.run(session.open_session(path, "disable"), None, {"x": x}) for path in (other, smoothed)]
    for exact, ours in zip(*everything, strict=True):
        assert np.linalg.norm(exact - ours) < 2e-6 * np.linalg.norm(exact)


def test_outliers_cost_plain_int8_what_smoothing_saves(block, tmp_path):
    plain, smoothed = (
        smoothing.quantize_linears(block, tmp_path / f"{alpha}.onnx", block.with_name("set.npz"), alpha)
        for alpha in (None, 0.5)
    )
    assert error(smoothed, block) < 0.5 * error(plain, block)


def test_alpha_is_swept(block):
    rows = sweep(block, block.with_name("set.npz"), block.with_name("judged.npz"), (None, 0.0, 0.5, 1.0))
    errors = {row["alpha"]: row["error/y"] for row in rows}
    assert min(errors, key=errors.get) == 0.5 and errors[0.5] < 0.5 * errors[None]
    assert all(row["error"] == max(row["error/y"], row["error/head"]) for row in rows)
    assert sweep(block, block.with_name("judged.npz"), alphas=(0.5,), samples=1)[0]["error"] > 0
    with pytest.raises(BadInput, match="alphas"):
        sweep(block, block.with_name("set.npz"), alphas=())
    with pytest.raises(BadInput, match="alpha"):
        sweep(block, block.with_name("set.npz"), alphas=(0.5, 1.5))


def test_a_sweep_measures_the_set_once_and_finds_what_each_alpha_alone_gives(block, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(linears, "measure", lambda *given, real=linears.measure: seen.append(1) or real(*given))
    rows = sweep(block, block.with_name("set.npz"), block.with_name("judged.npz"), (0.5, None, 1.0))
    assert len(seen) == 1
    for row in rows:
        alone = smoothing.quantize_linears(block, tmp_path / "q.onnx", block.with_name("set.npz"), row["alpha"])
        assert row["error/y"] == pytest.approx(error(alone, block), rel=1e-4)


def test_all_versions_measured_once_are_those_that_each_function_writes(block, tmp_path, monkeypatch):
    measured, times = linears.measure, []
    monkeypatch.setattr(linears, "measure", lambda *given: times.append(1) or measured(*given))
    found, files = smoothing.versions(block, tmp_path, block.with_name("set.npz"), 0.5)
    assert len(times) == 1 and [one.folded for one in found] == list(FOLDED)
    x = samples(1, 2)[0]
    alone = {
        "smoothed": smoothing.smooth(block, tmp_path / "s.onnx", block.with_name("set.npz"), 0.5),
        "INT8": smoothing.quantize_linears(block, tmp_path / "p.onnx", block.with_name("set.npz"), None),
        "INT8, smoothed": smoothing.quantize_linears(block, tmp_path / "q.onnx", block.with_name("set.npz"), 0.5),
    }
    assert files.keys() == alone.keys()
    for name, path in files.items():
        np.testing.assert_array_equal(outputs(path, x)[0], outputs(alone[name], x)[0], err_msg=name)


def test_the_command_quantizes_linears_and_the_report_counts_them(block, tmp_path, capsys):
    out = tmp_path / "q.onnx"
    argv = ["--onnx_path", block, "--output_path", out, "--calibration_data_path", block.with_name("set.npz")]
    assert command.main([str(word) for word in (*argv, "--smooth", "0.5", "--calibration_method", "max")]) == 0
    rows = {row["node"]: row for row in report(out, block)}
    quantized = {node.output[0] for node in onnx.load(block).graph.node if rows.get(node.name, {}).get("quantized")}
    assert {name for group in LINEARS for name in group} <= quantized and not quantized & {"scores", "seen"}
    assert "operator type excluded" in capsys.readouterr().out
    x = samples(1, seed=2)[0]
    alone = smoothing.quantize_linears(block, tmp_path / "alone.onnx", block.with_name("set.npz"), 0.5)
    np.testing.assert_array_equal(*(outputs(path, x)[0] for path in (out, alone)))
    built = engine.build(out, "tensorrt_rtx", out_dir=tmp_path)
    assert built.stat().st_size > 10_000


def test_a_linear_that_is_excluded_keeps_its_norm_from_folding(block, tmp_path):
    measured_on, names = block.with_name("set.npz"), {n.output[0]: n.name for n in onnx.load(block).graph.node}
    found = smoothing.groups(block, measured_on, 0.5, [names["k0"], names["z0"]])
    assert [one.linears for one in found] == [("q0", "v0"), ("o0",), ("h0",), ("head",)]
    assert found[0].folded == smoothing.OWN
    options = Options(smooth=0.5, exclude_nodes=(f"{names['k0']}$", f"{names['z0']}$"))
    out = quantize(block, tmp_path / "q.onnx", "int8", "max", measured_on, options)
    quantized = {row["node"] for row in report(out, block) if row["quantized"]}
    assert {names["q0"], names["v0"]} <= quantized and not quantized & {names["k0"], names["z0"]}


def test_a_channel_that_is_always_zero_is_left_alone():
    made = smoothing.scales(np.float32([0, 4, 1e30]), np.float32([2, 0, 1e-30]), 0.5)
    np.testing.assert_array_equal(made, np.float32([1, 1, smoothing.MOST]))


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"mode": "fp8", "options": Options(smooth=0.5)}, "'int8' with linears or smooth"),
        ({"options": Options(smooth=1.5)}, "smooth"),
        ({"options": Options(smooth=float("nan"))}, "smooth"),
        ({"options": Options(linears=True, exclude_nodes=(".*",))}, "no Linear"),
    ],
)
def test_what_cannot_be_smoothed_is_told(block, tmp_path, choices, said):
    with pytest.raises(BadInput, match=said):
        quantize(block, tmp_path / "q.onnx", calibration=block.with_name("set.npz"), **choices)
    assert not list(tmp_path.iterdir())


def test_a_magnitude_that_is_not_finite_is_named(block, tmp_path):
    other = write_block(tmp_path / "other.onnx", **{"o = Add(o0, bo)": "o1 = Sqrt(o0)\n  o = Add(o1, bo)"})
    with pytest.raises(BadInput, match=r"other\.onnx: .*\n  found:    channel \d+ reaches nan"):
        smoothing.groups(other, block.with_name("set.npz"))


def test_magnitudes_too_small_for_a_scale_are_named(block, monkeypatch):
    monkeypatch.setattr(linears, "LEAST", 1e9)
    with pytest.raises(BadInput, match=r"found:    nothing above \d"):
        smoothing.groups(block, block.with_name("set.npz"))


def test_a_weight_that_is_computed_of_constants_is_one(block, tmp_path):
    turned = "turned1 = Transpose(w1)\n  again = Transpose(turned1)\n  h0 = MatMul(second, again)"
    parted = "q2, k2 = Split<num_outputs=2>(wv)\n  one = Concat<axis=0>(q2, k2)\n  v0 = MatMul(first, one)"
    edits = {"h0 = MatMul(second, w1)": turned, "v0 = MatMul(first, wv)": parted}
    other = write_block(tmp_path / "other.onnx", **edits)
    measured_on = block.with_name("set.npz")
    assert tuple(one.linears for one in smoothing.groups(other, measured_on)) == LINEARS
    out = [
        smoothing.quantize_linears(path, tmp_path / f"{k}.onnx", measured_on) for k, path in enumerate((block, other))
    ]
    x = samples(1, seed=2)[0]
    for ours, same in zip(*(outputs(path, x) for path in out), strict=True):
        np.testing.assert_array_equal(ours, same)
    model = onnx.load(out[1])
    assert not {"Split", "Concat"} & {node.op_type for node in model.graph.node}
    assert not {"w1", "wv"} & {tensor.name for tensor in model.graph.initializer}


def test_a_product_that_adds_what_it_reads_keeps_its_norm_from_folding(tmp_path):
    """Its sum would be divided too; and what was smoothed can be smoothed once more."""
    random = np.random.default_rng(0)
    x, gain, weight = (random.normal(size=size).astype(np.float32) for size in ((4, 16), 16, (16, 16)))
    nodes = [helper.make_node("Mul", ["x", "gain"], ["m"]), helper.make_node("Gemm", ["m", "weight", "m"], ["y"])]
    path = save(tmp_path / "g.onnx", nodes, {"x": (2, 16)}, {"y": (2, 16)}, {"gain": gain, "weight": weight})
    np.savez(tmp_path / "set.npz", x=x)
    first = smoothing.smooth(path, tmp_path / "once.onnx", tmp_path / "set.npz", 0.5)
    twice = smoothing.smooth(first, tmp_path / "twice.onnx", tmp_path / "set.npz", 0.9)
    found = [
        session.run(session.open_session(each, "disable"), ["y"], {"x": x[:2]})[0] for each in (path, first, twice)
    ]
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-4, atol=1e-5)


def test_an_output_that_is_no_number_is_no_small_error(tmp_path):
    """What is just above zero becomes zero in INT8, or less, and has no logarithm."""
    x = np.linspace(1e-4, 1, 64, dtype=np.float32).reshape(4, 16)
    nodes = [helper.make_node("MatMul", ["x", "one"], ["y"]), helper.make_node("Log", ["y"], ["z"]),
             helper.make_node("Mul", ["z", "zero"], ["w"])]  # fmt: skip
    constants = {"one": np.eye(16, dtype=np.float32), "zero": np.float32(0)}
    path = save(tmp_path / "log.onnx", nodes, {"x": (2, 16)}, {"y": (2, 16), "w": (2, 16)}, constants)
    np.savez(tmp_path / "set.npz", x=x)
    (row,) = sweep(path, tmp_path / "set.npz", alphas=[None])
    assert row["error/y"] < 1e-2 and row["error/w"] == row["error"] == np.inf


def test_an_older_opset_is_measured_too(block, tmp_path):
    old = write_block(tmp_path / "old.onnx", opset=17, **{
        "g = Gelu(h)": "g = Relu(h)",
        "ReduceMean<keepdims=1>(square, last)": "ReduceMean<keepdims=1, axes=[-1]>(square)",
        "ReduceMean<keepdims=0>(y, token)": "ReduceMean<keepdims=0, axes=[1]>(y)"})  # fmt: skip
    assert tuple(one.linears for one in smoothing.groups(old, block.with_name("set.npz"))) == LINEARS


def test_the_picture_tells_how_far_outliers_reach(found):
    one = found[0.5][0]
    alt = display.outliers((one.activation, one.weight), (one.smoothed_activation, one.smoothed_weight), "Query").alt
    reach = one.activation.max() / np.median(one.activation)
    assert reach > 20 and f"{reach:.1f} times" in alt.partition("after smoothing")[0]
    assert one.smoothed_activation.max() < 10 * np.median(one.smoothed_activation)
    with pytest.raises(BadInput, match="maxima"):
        display.outliers((one.activation, one.weight[:3]), (one.activation, one.weight))
