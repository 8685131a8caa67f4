"""Running on the recorded APIs and a driver that runs queued work only when somebody waits for it."""

import types

import numpy as np
import pytest

from helpers import engine
from helpers.engine import cuda
from helpers.engine.tensorrt import engine as engine_module
from helpers.engine.tensorrt import tensors
from helpers.errors import BadInput
from tests.helpers.engine.tensorrt.builders import (
    SHAPES,
    assert_equal,
    built,
    save_counted,
    save_free,
    sequences,
    step,
)


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


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_run_takes_the_first_profile_that_its_shapes_fit(trt, tmp_path, cuda_graph):
    narrow, wide = {"x": [(1, 2)] * 3}, {"x": [(1, 2), (8, 2), (9, 2)]}
    path = built(save_free(tmp_path / "free.onnx"), shapes=[narrow, wide])
    with engine.load(path, cuda_graph=cuda_graph) as loaded:
        (context,) = trt._contexts[-1:]
        for size, profile in ((1, 0), (5, 1), (9, 1), (1, 0), (5, 1)):
            x = np.random.default_rng(size).standard_normal((size, 2)).astype(np.float32)
            np.testing.assert_array_equal(loaded.run({"x": x})["y"], 2 * x)
            assert context._profile == profile
        with pytest.raises(BadInput) as error:
            loaded.run({"x": np.zeros((10, 2), np.float32)})
        assert "(1, 2) to (1, 2), the range of optimization profile 0" in str(error.value)
        assert "(1, 2) to (9, 2), the range of optimization profile 1" in str(error.value)
        np.testing.assert_array_equal(loaded.run({"x": x})["y"], 2 * x)
        assert len(loaded.profile({"x": x}, iterations=1)) == 1 and trt._contexts[-1]._profile == 1
    with engine.load(path, profile=1) as loaded:
        loaded.run({"x": x[:1]})
        assert trt._contexts[-1]._profile == 1


@pytest.mark.parametrize("refused", ["set_optimization_profile_async", "set_input_shape", "create_execution_context"])
def test_a_profile_that_tensorrt_refuses(trt, tmp_path, monkeypatch, refused):
    path = built(save_free(tmp_path / "free.onnx"), shapes=SHAPES)
    holder = trt.ICudaEngine if refused.startswith("create") else trt.IExecutionContext
    answer = None if refused.startswith("create") else False
    with engine.load(path) as loaded, monkeypatch.context() as patch:
        patch.setattr(holder, refused, lambda *arguments: answer)
        with pytest.raises(BadInput, match=r"TensorRT (refused|made no execution context)"):
            loaded.profile({"x": np.zeros((5, 2), np.float32)}, iterations=1)
        patch.undo()
        assert loaded.run({"x": np.ones((5, 2), np.float32)})["y"].shape == (5, 2)


def test_an_output_as_large_as_the_data_say(trt, tmp_path, driver):
    """It grows and shrinks from run to run; its memory is given back like any other."""
    path = built(save_counted(tmp_path / "counted.onnx"))
    weights = len(driver.memory)
    with engine.load(path) as loaded:
        assert loaded.outputs["picked"].shape == ("picked.0", 2)
        for signs in ((1, -1, 1), (-1, -1, -1), (1, 1, 1), (-1, 1, -1)):
            x = np.array(signs, np.float32)[:, None] * np.float32([[1, 2], [3, 4], [5, 6]])
            found = loaded.run({"x": x})
            np.testing.assert_array_equal(found["picked"], x[x[:, 0] > 0])
            np.testing.assert_array_equal(found["y"], 2 * x)
        assert loaded.time({"x": x}, warmup=0, iterations=2)["host"]["n"] == 2
        with pytest.raises(BadInput, match=r"'picked'(.|\n)*a slot"):
            loaded.slots(2, {})
    assert len(driver.pinned) == 0 and len(driver.memory) == weights + 1
    with pytest.raises(BadInput, match=r"'picked'(.|\n)*a CUDA graph"):
        engine.load(path, cuda_graph=True)


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_states_stay_on_the_gpu(trt, model, driver, cuda_graph):
    with engine.load(built(model), states={"history": "kept"}, cuda_graph=cuda_graph) as loaded:
        *_, x = sequences(loaded, driver)
        given = np.ones((3, 2), np.float32)
        assert_equal(loaded.run({"x": x, "history": given}), step(x, given))


def test_whole_numbers_of_64_bits_are_taken_for_inputs_of_32():
    inputs = {"i": engine.Tensor((2,), np.dtype(np.int32)), "j": engine.Tensor((2,), np.dtype(np.int64))}
    feeds = {"i": np.array([1, -2]), "j": np.array([3, 4]), "k": np.array([5, 6])}
    found = tensors.narrowed(feeds, inputs)
    assert [array.dtype for array in found.values()] == [np.int32, np.int64, np.int64]
    assert all((found[name] == feeds[name]).all() for name in feeds)
    with pytest.raises(BadInput, match="input 'i'"):
        tensors.narrowed({"i": np.array([1, 2**31])}, inputs)


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


def test_states_and_their_outputs_change_places(trt, model):
    """The addresses alternate: where an output was written is where the next run reads."""
    with engine.load(built(model), states={"history": "kept"}) as loaded:
        (context,) = trt._contexts[-1:]
        places = []
        for seed in range(4):
            loaded.run({"x": np.full((3, 2), seed, np.float32)})
            places.append((context._addresses["history"], context._addresses["kept"]))
    first, second = places[0], places[0][::-1]
    assert places == [first, second] * 2 and first[0] != first[1]


def test_a_graph_is_captured_after_a_run_for_either_side_of_the_states_and_replayed(trt, model, driver, feeds):
    with engine.load(built(model), states={"history": "kept"}, cuda_graph=True) as loaded:
        driver.log.clear()
        for _ in range(2):
            loaded.run(feeds)
            ordered = [what for what in driver.log if what != "synchronize"]
            assert ordered == ["upload", "upload", "execute", "begin capture", "end capture", "launch", "execute",
                               "download", "download"]  # fmt: skip
            driver.log.clear()
        for _ in range(2):
            loaded.run(feeds)
        assert "begin capture" not in driver.log and driver.log.count("execute") == 2


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


@pytest.mark.parametrize("function", ["cuMemAlloc", "cuMemHostAlloc", "cuMemsetD8Async", "profile"])
def test_a_load_that_fails_gives_everything_back(trt, model, driver, function):
    path = built(model)
    weights = len(driver.memory)
    driver.fail[function] = 2
    with pytest.raises((cuda.CudaError, BadInput)):
        engine.load(path, states={"history": "kept"}, profile=2 if function == "profile" else 0)
    assert len(driver.pinned) == 0 and len(driver.memory) == weights + 1  # the stand-in's weights stay
    assert {kind.__name__ for kind, _ in driver.handles.values()} == {"CUcontext"}


def test_out_of_gpu_memory(trt, model, driver, monkeypatch):
    path = built(model)
    monkeypatch.setitem(driver.fail, "cuMemAlloc", 2)
    with pytest.raises(cuda.CudaError, match="cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"):
        engine.load(path)


def test_time(trt, model, driver, feeds):
    with engine.load(built(model), states={"history": "kept"}) as loaded:
        driver.log.clear()
        times = loaded.time(feeds, warmup=2, iterations=5)
        assert driver.log.count("execute") == 7
        assert times["gpu"].samples.tolist() == [1.0] * 5  # the engine alone, by the stand-in's clock
        assert times["host"]["n"] == 5 and times["host"]["min"] > times["enqueue"]["min"] > 0
        with pytest.raises(BadInput, match="iterations 0"):
            loaded.time(feeds, iterations=0)
        with pytest.raises(BadInput, match="iterations 0"):
            loaded.profile(feeds, iterations=0)


def test_the_host_waits_for_the_outputs_and_queueing_takes_none_of_that_time(trt, model, driver, feeds, monkeypatch):
    """By the stand-in's clock: two inputs, the engine and the output that feeds no state are one millisecond each."""
    with engine.load(built(model), states={"history": "kept"}) as loaded:
        monkeypatch.setattr(engine_module, "time", types.SimpleNamespace(perf_counter=lambda: driver.clock / 1e3))
        times = loaded.time(feeds, warmup=2, iterations=3)
    assert {kind: timing.samples.tolist() for kind, timing in times.items()} == {
        "gpu": pytest.approx([1] * 3), "host": pytest.approx([4] * 3), "enqueue": [0] * 3}  # fmt: skip


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


def test_types_of_tensors(trt):
    """Every type that the version's engines can have at their ends is known, or refused by name."""
    unknown = {name for name in trt.DataType.__members__ if name not in tensors.DTYPES}
    assert unknown <= {"FP8", "BF16", "INT4", "FP4", "E8M0"}
