"""The TensorRT runtime on recorded descriptions of the APIs of 8.6, 10.x and 11.x and a stand-in for the driver."""

import contextlib
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers import calibration, engine
from helpers.engine import cache, cuda
from helpers.engine.tensorrt import inspector, messages, plan, plugins, tensors, versions
from helpers.errors import BadInput
from helpers.ops import library as plugin_library
from tests.fakes import cuda as fake_cuda
from tests.fakes import tensorrt as fake_tensorrt

WEAK = ("8.6.0", "10.13.0")


@pytest.fixture
def driver(monkeypatch):
    with fake_cuda.installed(monkeypatch) as driver:
        yield driver


@pytest.fixture
def install(monkeypatch, driver):
    """Function that makes `import tensorrt` give the API of a version."""

    yield lambda version: fake_tensorrt.install(monkeypatch, version, driver)
    messages.logger.cache_clear()


@pytest.fixture(params=fake_tensorrt.VERSIONS)
def trt(request, install):
    return install(request.param)


@pytest.fixture(params=WEAK)
def weak(request, install):
    return install(request.param)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, weights=(), opsets=(("", 18),)):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*entry) for entry in opsets], ir_version=9)
    onnx.save(model, path)
    return path


def save_step(path, frames=3):
    """history' = relu(x + history · w), summed over its last axis: an axis given as an input, as opset 18 has it."""
    weight = numpy_helper.from_array(np.float32([[0, 2], [-1, 0]]), "w")
    axes = numpy_helper.from_array(np.int64([1]), "axes")
    nodes = [
        helper.make_node("MatMul", ["history", "w"], ["moved"], "/head/MatMul"),
        helper.make_node("Add", ["x", "moved"], ["added"], "/head/Add"),
        helper.make_node("Relu", ["added"], ["kept"], "/head/Relu_FORCEFP32"),
        helper.make_node("ReduceMax", ["kept", "axes"], ["top"], "/head/ReduceMax", keepdims=1),
    ]
    shape = [frames, 2]
    inputs, outputs = [value("x", shape), value("history", shape)], [value("kept", shape), value("top", [frames, 1])]
    return save(path, nodes, inputs, outputs, [weight, axes])


def step(x, history):
    kept = np.maximum(x + history @ np.float32([[0, 2], [-1, 0]]), 0)
    return {"kept": kept, "top": kept.max(1, keepdims=True)}


@pytest.fixture
def model(tmp_path):
    return save_step(tmp_path / "step.onnx")


@pytest.fixture
def feeds():
    generator = np.random.default_rng(0)
    return {name: generator.standard_normal((3, 2)).astype(np.float32) for name in ("x", "history")}


def built(model, **options):
    return engine.build(model, "tensorrt", model.parent / "cache", **options)


def assert_equal(outputs, expected):
    assert list(outputs) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(outputs[name], array, rtol=1e-6)


# ------------------------------------------------------------------------------------------------------- build and run


def test_build_and_run(trt, model, feeds):
    path = built(model)
    with engine.load(path) as loaded:
        assert loaded.inputs == {"x": ((3, 2), np.float32), "history": ((3, 2), np.float32)}
        assert_equal(loaded.run(feeds), step(**feeds))
        assert trt.__version__ in loaded.description and "Fake GPU (9.0), fp32" in loaded.description
    meta = engine.inspect(path)
    assert meta["compute_capabilities"] == ["9.0"] and meta["device"] == "Fake GPU"
    assert meta["precisions"] == {"fp32": 4} and meta["layer_count"] == 4
    assert built(model) == path and len(trt._built) == 1


def test_graph_is_rewritten_only_for_the_version_that_needs_it(trt, model):
    built(model)
    network, _ = trt._built[0]
    opset, last = network._model.opset_import[0].version, network._model.graph.node[-1]
    assert (opset, len(last.input)) == ((17, 1) if trt._major == 8 else (18, 2))
    assert network._flags == (1 if trt._major == 8 else 0)


def test_tf32_workspace_level_tactics_and_verbosity(trt, model):
    built(model, tf32=False, workspace=64, optimization_level=5, tactic_sources=["JIT_CONVOLUTIONS"])
    _, config = trt._built[0]
    assert config._names() == set() and config._limits == {"WORKSPACE": 64 << 20}
    assert config.builder_optimization_level == 5 and config._tactics == 1 << int(trt.TacticSource.JIT_CONVOLUTIONS)
    assert config.profiling_verbosity.name == "DETAILED"
    built(model, tactic_sources=[])
    assert trt._built[1][1]._tactics == 0 and "TF32" in trt._built[1][1]._names()
    built(model)
    assert trt._built[2][1]._tactics is None


FLAGS = {
    "fp32": set(),
    "fp16": {"FP16"},
    "best": {"FP16", "INT8"},
    "int8-implicit": {"INT8"},
    "obey": {"FP16", "OBEY_PRECISION_CONSTRAINTS"},
}


@pytest.fixture
def calib(tmp_path):
    return calibration.noise(tmp_path / "calib.npz", {"x": (3, 2), "history": (3, 2)}, samples=4)


@pytest.mark.parametrize("precision", FLAGS)
def test_flags_of_weak_typing(weak, model, calib, precision):
    options = {"obey": {"layer_precisions": {"*_FORCEFP32": "fp32"}},
               "best": {"calibration": calib}, "int8-implicit": {"calibration": calib}}.get(precision, {})  # fmt: skip
    built(model, precision=precision, **options)
    _, config = weak._built[0]
    extra = {"BF16"} if precision == "best" and weak._major == 10 else set()
    assert config._names() == FLAGS[precision] | extra | {"TF32"}
    assert (config._calibrator is not None) == (precision in ("best", "int8-implicit"))


def test_best_leaves_out_bf16_before_ampere(install, driver, model, calib):
    trt = install("10.13.0")
    driver.capability = (7, 5)
    built(model, precision="best", calibration=calib)
    assert "BF16" not in trt._built[0][1]._names()


def test_strong_typing_is_a_flag_in_10_and_the_only_way_in_11(install, model):
    trt = install("10.13.0")
    built(model, precision="strong")
    assert trt._built[0][0]._flags == 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    assert trt._built[0][1]._names() == {"TF32"}
    trt = install("11.1.0")
    built(model, precision="strong")
    assert trt._built[0][0]._flags == 0


@pytest.mark.parametrize(
    "version, precision, named",
    [
        ("8.6.0", "strong", "no strongly typed networks"),
        ("11.1.0", "fp16", "autocast"),
        ("11.1.0", "best", "helpers quantize"),
        ("11.1.0", "int8-implicit", "calibrators ended with 10.x(.|\n)*helpers quantize"),
        ("11.1.0", "obey", "per-layer precisions(.|\n)*autocast"),
        ("8.6.0", "fp64", "one of"),
    ],
)
def test_what_a_version_cannot_do_is_refused_with_the_way_it_does_it(install, model, version, precision, named):
    trt = install(version)
    with pytest.raises(BadInput, match=named):
        built(model, precision=precision)
    assert trt._built == [] and not (model.parent / "cache").exists()


@pytest.mark.parametrize("version", ["8.5.3", "7.2.1"])
def test_older_versions_are_refused(version):
    with pytest.raises(BadInput, match=f"{version}(.|\n)*8.6"):
        versions.facts(version)


def save_quantized(path):
    scale = [numpy_helper.from_array(np.float32(0.05), "scale"), numpy_helper.from_array(np.int8(0), "zero"),
             numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]  # fmt: skip
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], "/q"),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], "/dq"),
             helper.make_node("MatMul", ["dq", "w"], ["y"], "/MatMul")]  # fmt: skip
    return save(path, nodes, [value("x", [3, 2])], [value("y", [3, 2])], scale, [("", 19)])


def test_explicit_quantization(trt, tmp_path, model, calib):
    path = save_quantized(tmp_path / "qdq.onnx")
    with engine.load(built(path, precision="explicit")) as loaded:
        x = np.float32([[0.07, 1], [2, -9], [0, 0.01]])
        np.testing.assert_allclose(loaded.run({"x": x})["y"], np.clip(np.rint(x / 0.05), -128, 127) * 0.05, atol=1e-6)
    flags = {"INT8", "TF32"} if trt._major < 11 else {"TF32"}
    assert trt._built[0][1]._names() == flags and trt._batches == []
    with pytest.raises(BadInput, match="without Q/DQ nodes"):
        built(model, precision="explicit")
    if trt._major < 11:
        with contextlib.nullcontext() if trt._major >= 10 else pytest.warns(UserWarning, match="half precision"):
            built(path, precision="best")
        assert trt._built[1][1]._names() >= {"INT8", "FP16"} and trt._built[1][1]._calibrator is None
        for precision in ("fp32", "fp16"):
            with pytest.raises(BadInput, match="a graph with Q/DQ nodes"):
                built(path, precision=precision)
        with pytest.raises(BadInput, match="no calibration set"):
            built(path, precision="best", calibration=calib)
        for precision in ("best", "int8-implicit"):
            with pytest.raises(BadInput, match="neither Q/DQ nodes nor a calibration set"):
                built(model, precision=precision)


def test_half_beside_qdq_is_suspect_in_8_6(weak, tmp_path, model, recwarn):
    built(model, precision="fp16")
    built(save_quantized(tmp_path / "qdq.onnx"), precision="explicit")
    assert not recwarn
    built(tmp_path / "qdq.onnx", precision="best")
    texts = [str(warning.message) for warning in recwarn]
    expected = ["qdq.onnx: TensorRT 8.6.0 was seen to compute wrong values"] if weak._major < 10 else []
    assert len(texts) == len(expected) and all(one in text for one, text in zip(expected, texts, strict=True))


def test_fp32_of_a_graph_with_16_bit_types_is_named_strong_in_11(install, tmp_path):
    install("11.1.0")
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
             helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)]  # fmt: skip
    path = save(tmp_path / "half.onnx", nodes, [value("x", [2])], [value("y", [2])])
    with pytest.raises(BadInput, match=r"16-bit types(.|\n)*strong"):
        built(path)
    built(path, precision="strong")


# ---------------------------------------------------------------------------------------- layer precisions, calibration


def test_layer_precisions_by_name_pattern(weak, model):
    path = built(model, precision="fp16", layer_precisions={"/head/*": "fp16", "*_FORCEFP32": "fp32"})
    network, config = weak._built[0]
    found = {layer.name: (layer.precision.name, layer._types[0].name) for layer in network._layers}
    assert found["/head/Relu_FORCEFP32"] == ("FLOAT", "FLOAT") and found["/head/Add"] == ("HALF", "HALF")
    assert "OBEY_PRECISION_CONSTRAINTS" in config._names() and engine.inspect(path)["constrained_layers"] == 4


def test_layers_without_their_name_are_known_by_their_output(install, tmp_path):
    """The 8.6 parser gives a LayerNormalization layer no name."""
    trt = install("8.6.0")
    nodes = [helper.make_node("LayerNormalization", ["x", "g"], ["y"], "/norm_FORCEFP32")]
    weights = [numpy_helper.from_array(np.ones(2, np.float32), "g")]
    path = save(tmp_path / "norm.onnx", nodes, [value("x", [3, 2])], [value("y", [3, 2])], weights)
    built(path, precision="obey", layer_precisions={"*_FORCEFP32": "fp32"})
    assert trt._built[0][0]._layers[0].precision.name == "FLOAT"


def test_integer_layers_keep_their_type(weak, tmp_path):
    nodes = [helper.make_node("Cast", ["x"], ["i"], "/i_FORCEFP32", to=TensorProto.INT32),
             helper.make_node("Cast", ["i"], ["y"], "/y_FORCEFP32", to=TensorProto.FLOAT)]  # fmt: skip
    path = save(tmp_path / "cast.onnx", nodes, [value("x", [2])], [value("y", [2])])
    built(path, precision="obey", layer_precisions={"*_FORCEFP32": "fp32"})
    first, second = weak._built[0][0]._layers
    assert first._types == {} and second._types[0].name == "FLOAT"


@pytest.mark.parametrize(
    "options, named",
    [
        ({"precision": "obey"}, "layer_precisions"),
        ({"precision": "fp32", "layer_precisions": {"*": "fp32"}}, "layer_precisions"),
        ({"precision": "obey", "layer_precisions": {"*": "fp12"}}, "fp12"),
        ({"precision": "obey", "layer_precisions": {"*": "fp32", "*nowhere*": "fp32"}}, r"\*nowhere\*"),
        ({"precision": "fp16", "calibration": "c.npz"}, "calibration"),
        ({"precision": "best", "calibration": "absent.npz"}, "absent.npz"),
        ({"optimization_level": 6}, "optimization_level"),
        ({"workspace": 0}, "workspace"),
        ({"tactic_sources": ["CUFFT"]}, "CUFFT"),
        ({"hardware_compatible": "HOPPER"}, "HOPPER"),
        ({"plugins": ["absent.so"]}, "absent.so"),
        ({"mark_outputs": ["moves"]}, "'moves'(.|\n)*moved"),
        ({"decompose": ["Softmax"]}, "Softmax"),
    ],
)
def test_wrong_options_are_named(weak, model, options, named):
    with pytest.raises(BadInput, match=named):
        built(model, **options)
    assert weak._built == [] and not list((model.parent / "cache").glob("*"))


def test_tactic_sources_of_11_have_no_cublas(install, model):
    install("11.1.0")
    with pytest.raises(BadInput, match=r"CUBLAS(.|\n)*EDGE_MASK"):
        built(model, tactic_sources=["CUBLAS"])


def test_calibrator_feeds_the_set_and_its_table_is_kept(weak, model, calib, driver):
    path = built(model, precision="int8-implicit", calibration=calib)
    expected = list(calibration.CalibrationReader(calib, {"x": (3, 2), "history": (3, 2)}))
    assert len(weak._batches) == len(expected) == 4
    for batch, sample in zip(weak._batches, expected, strict=True):
        for name, array in sample.items():
            np.testing.assert_array_equal(np.frombuffer(batch[name], np.float32).reshape(3, 2), array)
    assert (path.parent / "calibration.table").read_bytes() == b"TRT-table"
    assert len(driver.pinned) == 0  # given back


def test_a_set_that_does_not_fit_is_refused_and_nothing_is_left(weak, model, tmp_path):
    other = calibration.noise(tmp_path / "other.npz", {"x": (3, 2)}, samples=1)
    with pytest.raises(BadInput, match="arrays"):
        built(model, precision="int8-implicit", calibration=other)
    assert not list((model.parent / "cache").glob("*"))


def test_an_error_while_feeding_comes_out_of_the_build(weak, model, calib, driver, monkeypatch):
    monkeypatch.setitem(driver.fail, "cuMemcpyHtoDAsync", 1)
    with pytest.raises(cuda.CudaError, match="CUDA_ERROR_INVALID_VALUE"):
        built(model, precision="int8-implicit", calibration=calib)


# ---------------------------------------------------------------------------------------------------- shapes and states


def save_free(path):
    """y = 2x with a free first dimension."""
    two = numpy_helper.from_array(np.float32(2), "two")
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"], "/Mul")]
    return save(path, nodes, [value("x", ["n", 2])], [value("y", ["n", 2])], [two])


SHAPES = [{"x": [(1, 2), (2, 2), (4, 2)]}, {"x": [(5, 2), (6, 2), (9, 2)]}]


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_free_dimensions(trt, tmp_path, cuda_graph):
    path = built(save_free(tmp_path / "free.onnx"), shapes=SHAPES)
    assert [profile._shapes for profile in trt._built[0][1]._profiles] == [
        {"x": [list(shape) for shape in shapes["x"]]} for shapes in SHAPES
    ]
    for profile, sizes in enumerate([(2, 4, 1, 4), (5, 9, 9)]):
        with engine.load(path, profile=profile, cuda_graph=cuda_graph) as loaded:
            assert loaded.inputs["x"].shape == ("x.0", 2)
            for size in sizes:
                x = np.random.default_rng(size).standard_normal((size, 2)).astype(np.float32)
                np.testing.assert_array_equal(loaded.run({"x": x})["y"], 2 * x)
            with pytest.raises(BadInput, match=r"\(10, 2\)(.|\n)*optimization profile " + str(profile)):
                loaded.run({"x": np.zeros((10, 2), np.float32)})
            np.testing.assert_array_equal(loaded.run({"x": x})["y"], 2 * x)
    with pytest.raises(BadInput, match="profile 2"):
        engine.load(path, profile=2)


def test_free_dimensions_need_shapes_and_calibrate_at_the_usual_one(weak, tmp_path):
    path = save_free(tmp_path / "free.onnx")
    with pytest.raises(BadInput, match="free dimensions"):
        built(path)
    with pytest.raises(BadInput, match="in this order"):
        built(path, shapes={"x": [(4, 2), (2, 2), (1, 2)]})
    calib = calibration.noise(tmp_path / "calib.npz", {"x": (2, 2)}, samples=3)
    built(path, precision="int8-implicit", calibration=calib, shapes=SHAPES[0])
    config = weak._built[-1][1]
    assert config._calibration_profile is config._profiles[0] and len(weak._batches) == 3


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_states_stay_on_the_gpu(trt, model, driver, cuda_graph):
    with engine.load(built(model), states={"history": "kept"}, cuda_graph=cuda_graph) as loaded:
        for _ in range(2):
            history = np.zeros((3, 2), np.float32)
            for seed in range(4):
                x = np.random.default_rng(seed).standard_normal((3, 2)).astype(np.float32)
                driver.log.clear()
                outputs = loaded.run({"x": x})
                assert driver.log.count("upload") == 1 and driver.log.count("copy") == 1
                assert_equal(outputs, step(x, history))
                history = outputs["kept"]
            loaded.reset()
        given = np.ones((3, 2), np.float32)
        assert_equal(loaded.run({"x": x, "history": given}), step(x, given))


@pytest.mark.parametrize(
    "states, named",
    [({"history": "keeps"}, "no such tensor"), ({"histories": "kept"}, "no such tensor"), ({"history": "top"}, "3, 1")],
)
def test_states_that_do_not_fit(trt, model, states, named):
    with pytest.raises(BadInput, match=named):
        engine.load(built(model), states=states)


def test_an_input_that_is_no_state_must_be_given(trt, model, feeds):
    with engine.load(built(model), states={"history": "kept"}) as loaded, pytest.raises(BadInput, match="'x'"):
        loaded.run({"history": feeds["history"]})


def test_graph_is_captured_once_after_a_run_and_replayed(trt, model, driver, feeds):
    with engine.load(built(model), states={"history": "kept"}, cuda_graph=True) as loaded:
        driver.log.clear()
        loaded.run(feeds)
        ordered = [what for what in driver.log if what != "synchronize"]
        assert ordered == ["upload", "upload", "execute", "begin capture", "end capture", "launch", "execute", "copy",
                           "download", "download"]  # fmt: skip
        driver.log.clear()
        loaded.run(feeds)
        assert "begin capture" not in driver.log and driver.log.count("execute") == 1


def test_outputs_are_copies(trt, model, feeds):
    with engine.load(built(model)) as loaded:
        first = loaded.run(feeds)
        kept = first["kept"].copy()
        loaded.run({name: array + 1 for name, array in feeds.items()})
    np.testing.assert_array_equal(first["kept"], kept)


def test_close_gives_everything_back(trt, model, driver, feeds):
    path = built(model)
    weights = len(driver.memory)
    loaded = engine.load(path, states={"history": "kept"}, cuda_graph=True)
    loaded.run(feeds)
    loaded.close(), loaded.close()
    assert len(driver.pinned) == 0 and len(driver.memory) == weights + 1  # the stand-in's weights stay
    assert {kind.__name__ for kind, _ in driver.handles.values()} == {"CUcontext"}


def test_a_run_that_fails_shows_the_messages(trt, model, feeds):
    with engine.load(built(model)) as loaded:
        trt._refuse_to_run = True
        with pytest.raises(BadInput, match="not all shapes are specified"):
            loaded.run(feeds)


def test_out_of_gpu_memory(trt, model, driver, monkeypatch):
    path = built(model)
    monkeypatch.setitem(driver.fail, "cuMemAlloc", 2)
    with pytest.raises(cuda.CudaError, match="cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"):
        engine.load(path)


# ----------------------------------------------------------------------------------------------------------- measuring


def test_time(trt, model, driver, feeds):
    with engine.load(built(model), states={"history": "kept"}) as loaded:
        driver.log.clear()
        times = loaded.time(feeds, warmup=2, iterations=5)
        assert driver.log.count("execute") == 7
        assert times["gpu"].samples.tolist() == [2.0] * 5  # the engine and the state's copy, by the stand-in's clock
        assert times["host"]["n"] == 5 and times["host"]["min"] > times["enqueue"]["min"] > 0
        with pytest.raises(BadInput, match="iterations 0"):
            loaded.time(feeds, iterations=0)


def test_profile_and_layers(trt, model, feeds):
    with engine.load(built(model), cuda_graph=True) as loaded:
        rows = loaded.profile(feeds, iterations=4)
        assert [row["layer"] for row in rows] == [row["name"] for row in loaded.layers()]
        assert [row["ms"] for row in rows] == [1, 2, 3, 4] and [row["share"] for row in rows] == [0.1, 0.2, 0.3, 0.4]
        assert rows[0]["type"] == "MatMul" and {row["precision"] for row in rows} == {"fp32"}
        assert trt._contexts[-1] is not loaded._context
        assert_equal(loaded.run(feeds), step(**feeds))
        memory = loaded.memory()
        assert memory["weights"] == 1 and memory["activations"] == 3
        assert memory["tensors"] == pytest.approx((24 + 24 + 24 + 12) / 2**20)


def test_precision_of_a_layer_by_its_weights_or_first_input():
    def tensor(kind):
        return {"Name": "t", "Dimensions": [1, 3], "Format/Datatype": kind}

    layers = [
        {"Name": "conv", "LayerType": "CaskConvolution", "Weights": {"Type": "Int8", "Count": 9},
         "Inputs": [tensor("Channel major FP16 format where channel % 8 == 0")], "Outputs": []},
        {"Name": "copy", "Inputs": [tensor("Thirty-two wide channel vectorized row major Int8 format")],
         "Outputs": [tensor("Row major linear FP32")]},
        {"Name": "new", "Inputs": [tensor("Half")], "Outputs": [tensor("Float")], "Weights": {}},
        {"Name": "tactic\x02", "Inputs": [], "Outputs": [tensor("Int32")]},
        "only a name",
    ]  # fmt: skip

    class Inspector:
        execution_context = None

        def get_engine_information(self, kind):
            return json.dumps({"Layers": layers}).replace("\\u0002", "\x02")  # as 8.6 writes it

    import types

    fake = types.SimpleNamespace(create_engine_inspector=Inspector)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            sys.modules, "tensorrt", types.SimpleNamespace(LayerInformationFormat=types.SimpleNamespace(JSON=1))
        )
        rows = inspector.layers(fake)
    assert [row["precision"] for row in rows] == ["int8", "int8", "fp16", "int32", ""]
    assert rows[1]["inputs"] == "1x3:int8" and rows[1]["outputs"] == "1x3:fp32" and rows[4]["name"] == "only a name"


def test_marked_outputs(trt, model, feeds):
    with engine.load(built(model, mark_outputs=["added", "top"])) as loaded:
        outputs = loaded.run(feeds)
    assert list(outputs) == ["kept", "top", "added"]
    np.testing.assert_allclose(np.maximum(outputs["added"], 0), outputs["kept"])


# ------------------------------------------------------------------------------------------- timing cache and cache key


def test_timing_cache_is_read_and_written_back(trt, model, tmp_path):
    file = tmp_path / "timing.cache"
    path = built(model, timing_cache=file)
    written = f"cache {trt.__version__}+1".encode()
    assert file.read_bytes() == written
    assert built(model, timing_cache=tmp_path / "another") == path  # where times are kept makes no other engine
    built(model, timing_cache=file, workspace=1)
    assert file.read_bytes() == written + b"+1"
    file.write_bytes(b"cache 7.2.1")
    with pytest.raises(BadInput, match=r"timing.cache(.|\n)*delete it"):
        built(model, timing_cache=file, workspace=2)
    assert file.read_bytes() == b"cache 7.2.1"
    file.write_bytes(b"some other file")  # would be taken for an empty cache, and overwritten
    with pytest.raises(BadInput, match=r"timing.cache(.|\n)*delete it"):
        built(model, timing_cache=file, workspace=3)
    assert file.read_bytes() == b"some other file"


def test_key_holds_content_not_paths(weak, model, tmp_path, calib, driver, monkeypatch):
    library = tmp_path / "libplugin.so"
    library.write_bytes(b"Plugin A")
    if weak._major == 8:
        monkeypatch.setattr(plugin_library, "open_globally", lambda path: None)
    options = {"precision": "best", "calibration": calib, "plugins": [library]}
    paths = [built(model, **options)]
    assert engine.inspect(paths[0])["options"]["plugins"][0]["file"] == "libplugin.so"
    moved = calib.rename(tmp_path / "moved.npz")
    options["calibration"] = moved
    assert built(model, **options) == paths[0]
    calibration.noise(moved, {"x": (3, 2), "history": (3, 2)}, samples=4, seed=1)
    paths.append(built(model, **options))
    library.write_bytes(b"Plugin B")
    paths.append(built(model, **options))
    driver.capability = (8, 9)
    cuda.device.cache_clear()
    paths.append(built(model, **options))
    assert len(set(paths)) == 4


# ------------------------------------------------------------------------------------------------------------- plugins


def save_custom(path):
    nodes = [helper.make_node("Twice", ["x"], ["y"], "/Twice", domain="trt.plugins")]
    return save(path, nodes, [value("x", [2])], [value("y", [2])], opsets=[("", 18), ("trt.plugins", 1)])


def test_plugin_library_is_loaded_the_versions_way(trt, tmp_path, monkeypatch):
    path, library = save_custom(tmp_path / "custom.onnx"), tmp_path / "libtwice.so"
    library.write_bytes(b"Plugin Twice")
    opened = []

    def dlopen(name, *mode):
        assert str(name) == str(library)
        opened.append(str(name))
        trt._creators.add("Twice")
        return object()

    monkeypatch.setattr(plugin_library.ctypes, "CDLL", dlopen)
    with pytest.raises(BadInput, match=r"'/Twice'(.|\n)*Plugin not found(.|\n)*plugins="):
        built(path)
    monkeypatch.setattr(plan, "deserialize", lambda *arguments: plan.Plan(None, None, None, 0))
    monkeypatch.setattr(inspector, "layers", lambda engine: [])
    made = built(path, plugins=[library])
    assert (opened, trt._libraries) == (([str(library)], []) if trt._major == 8 else ([], [str(library)]))
    node = trt._built[0][0]._model.graph.node[0]
    assert (node.op_type, node.domain) == ("Twice", "" if trt._major == 8 else "trt.plugins")
    plugin_library._loaded.clear()
    meta = cache.read_meta(made)
    assert plugins.check(made, meta, []) == [str(library)]  # found where it was
    library.write_bytes(b"Plugin Thrice")
    with pytest.raises(BadInput, match=r"libtwice\.so with SHA-256"):
        engine.load(made)
    library.unlink()
    with pytest.raises(BadInput, match=r"none(.|\n)*libtwice.so"):
        engine.load(made)


def test_a_file_that_is_no_plugin_library(trt, model, tmp_path):
    library = tmp_path / "libnothing.so"
    library.write_bytes(b"not a library")
    with pytest.raises(BadInput, match=r"libnothing\.so"):
        built(model, plugins=[library])


# --------------------------------------------------------------------------------------------------------- load errors


def test_refused_networks_show_the_builders_messages(trt, model):
    trt._refuse = "Could not find any implementation for node /head/Add"
    with pytest.raises(BadInput, match="Could not find any implementation"):
        built(model)
    assert not list((model.parent / "cache").glob("*"))


def test_engine_of_another_version_names_both(install, model):
    install("8.6.0")
    path = built(model)
    install("10.13.0")
    with pytest.raises(BadInput, match=r"tensorrt 8\.6\.0(.|\n)*tensorrt 10\.13\.0"):
        engine.load(path)
    cache.metadata_file(path).unlink()
    with pytest.raises(BadInput, match=r"TensorRT 8\.6\.0, by its header(.|\n)*TensorRT 10\.13\.0"):
        engine.load(path)


def test_plan_without_metadata_file_runs(trt, model, feeds, tmp_path):
    bare = tmp_path / "bare.plan"
    bare.write_bytes(built(model).read_bytes())
    assert engine.runtime_of(bare) == "tensorrt" and plan.plan_version(bare) == trt.__version__
    with engine.load(bare) as loaded:
        assert_equal(loaded.run(feeds), step(**feeds))
        assert loaded.meta == {} and "precision unknown" in loaded.description
    bare.write_bytes(bare.read_bytes()[:60])
    with pytest.raises(BadInput, match="checksum"):
        engine.load(bare)
    bare.write_bytes(b"something else")
    with pytest.raises(BadInput, match=r"bare\.plan\.json"):
        engine.load(bare)


def test_version_compatible_engines_load_in_later_versions_of_the_release(install, model, feeds):
    install("8.6.0")
    path = built(model, version_compatible=True)
    meta = cache.read_meta(path)
    assert [plan.compatible(meta, version) for version in ("8.6.1", "8.6.0", "8.5.9", "10.0.0")] == [
        True,
        True,
        False,
        False,
    ]
    assert not plan.compatible(meta | {"options": {}}, "8.6.1")
    trt = install("8.6.0")
    trt.__version__ = "8.6.1"
    with engine.load(path) as loaded:
        assert_equal(loaded.run(feeds), step(**feeds))
        assert loaded._plan.runtime.engine_host_code_allowed is True


@pytest.mark.parametrize(
    "capability, level, runs", [((8, 9), None, False), ((8, 9), True, True), ((7, 5), True, False)]
)
def test_engine_of_another_gpu(trt, model, driver, capability, level, runs):
    path = built(model, hardware_compatible=level)
    assert trt._built[0][1].hardware_compatibility_level.name == ("AMPERE_PLUS" if level else "NONE")
    driver.capability, driver.name = capability, b"Another GPU"
    cuda.device.cache_clear()
    if runs:
        engine.load(path).close()
    else:
        with pytest.raises(
            BadInput, match=rf"9\.0 \(Fake GPU\)(.|\n)*{capability[0]}\.{capability[1]} \(Another GPU\)"
        ):
            engine.load(path)


def test_engine_of_another_platform(trt, model, monkeypatch):
    path = built(model)
    monkeypatch.setattr(plan, "platform_name", lambda: "linux-aarch64")
    with pytest.raises(BadInput, match=r"linux-x86_64(.|\n)*linux-aarch64"):
        engine.load(path)


def test_damaged_engine(trt, model):
    path = built(model)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="SHA-256"):
        engine.load(path)


def test_no_gpu_and_a_package_without_libraries(install, driver, model, monkeypatch):
    install("8.6.0")
    driver.fail["cuInit"] = 100
    assert engine.available()["tensorrt"].reason.startswith("cannot be used (TensorRT 8.6.0 is installed, but")
    with pytest.raises(BadInput, match=r"gives no GPU \(cuInit: CUDA_ERROR_NO_DEVICE"):
        built(model)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_stub := type(sys)("tensorrt"))
    assert not hasattr(fake_stub, "Builder")
    assert "without its libraries" in engine.available()["tensorrt"].reason
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert engine.available()["tensorrt"].reason.startswith("not installed")


def test_types_of_tensors(trt):
    """Every type that the version's engines can have at their ends is known, or refused by name."""
    unknown = {name for name in trt.DataType.__members__ if name not in tensors.DTYPES}
    assert unknown <= {"FP8", "BF16", "INT4", "FP4", "E8M0"}


@pytest.mark.parametrize("version", fake_tensorrt.VERSIONS)
def test_facts_agree_with_the_recorded_api(version):
    api = json.loads((fake_tensorrt.DESCRIPTIONS / f"{version}.json").read_text())
    known, enums, classes = versions.facts(version), api["enums"], api["classes"]
    flags = enums["BuilderFlag"]
    assert known.weak_typing == all(name in flags for name in ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"))
    assert known.weak_typing == ("int8_calibrator" in classes["IBuilderConfig"] and "precision" in classes["ILayer"])
    assert known.strong_typing == ("STRONGLY_TYPED" in enums["NetworkDefinitionCreationFlag"])
    assert known.int64 == ("INT64" in enums["DataType"])
    assert set(known.tactic_sources) == set(enums["TacticSource"])
    assert {"NONE", *known.hardware_levels} == set(enums["HardwareCompatibilityLevel"])
    assert known.device_memory in classes["ICudaEngine"]
    assert known.registry_loads_plugins == ("all_creators" in classes["IPluginRegistry"])
    if known.explicit_batch_flag:
        assert "EXPLICIT_BATCH" in enums["NetworkDefinitionCreationFlag"]
    if known.weak_typing:
        assert set(known.best_flags) <= set(flags)
