import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.calibration import CalibrationReader, check_calibration, collect, fixed_shapes, noise
from helpers.errors import BadInput
from helpers.sequence import Step
from tests.builders.waiting import HANG

SHAPES = {
    "image": (1, 6, 3, 4, 8),
    "prev_bev": (9, 1, 4),
    "use_prev_bev": (1,),
    "can_bus": (18,),
    "lidar2img": (1, 6, 4, 4),
}


def config(states, shapes, **types):
    """What a calibration set is collected by."""
    types = {name: np.dtype(types.get(name, np.float32)) for name in shapes}
    return SimpleNamespace(states=states, input_shapes=lambda: shapes, input_types=lambda: types)


CONFIG = config({"prev_bev": "bev_embed"}, SHAPES)


def frames(count, scene_length=3):
    generator = np.random.default_rng(1)
    for index in range(count):
        inputs = {name: generator.random(shape, np.float32) for name, shape in SHAPES.items() if name != "prev_bev"}
        first = index % scene_length == 0
        yield Step({**inputs, "use_prev_bev": np.float32([not first])}, first, f"frame {index}")


def run(inputs):
    return {"bev_embed": np.full(SHAPES["prev_bev"], inputs["image"].sum(), np.float32)}


@pytest.fixture
def calibration(tmp_path):
    return collect(run, frames(5), tmp_path / "calibration.npz", CONFIG)


def rewrite(path, **changes):
    """Save the set again with some arrays replaced (None drops one)."""
    with np.load(path) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_samples_are_joined_along_axis_0_and_history_is_the_models_own(calibration):
    given = list(frames(5))
    with np.load(calibration, allow_pickle=False) as archive:
        arrays = dict(archive)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: (5 * shape[0], *shape[1:]) for name, shape in SHAPES.items()
    }
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert arrays["use_prev_bev"].tolist() == [0, 1, 1, 0, 1]
    history = arrays["prev_bev"].reshape(5, *SHAPES["prev_bev"])
    assert 0.5 < history[0].std() < 1.5
    for index, (inputs, *_) in enumerate(given):
        np.testing.assert_array_equal(arrays["can_bus"][18 * index : 18 * (index + 1)], inputs["can_bus"])
        if index + 1 < len(given):  # carried over a scene change too, where use_prev_bev switches it off
            np.testing.assert_array_equal(history[index + 1], run(inputs)["bev_embed"])


def test_same_seed_same_bytes(tmp_path):
    paths = [
        collect(run, frames(3), tmp_path / f"{seed}{copy}.npz", CONFIG, seed=seed) for seed in (0, 1) for copy in "ab"
    ]
    bytes_of = [path.read_bytes() for path in paths]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2] == bytes_of[3]
    assert collect(run, frames(3), tmp_path / "usual.npz", CONFIG).read_bytes() == (tmp_path / "0a.npz").read_bytes()


def test_reader_gives_the_samples_back(calibration):
    reader = CalibrationReader(calibration, SHAPES)
    assert len(reader) == 5 == check_calibration(calibration, SHAPES)
    first = reader.get_first()
    drawn = list(iter(reader.get_next, None))
    assert len(drawn) == 5 and reader.get_next() is None
    reader.rewind()
    again = reader.get_next()
    for (expected, *_), sample in zip(frames(5), drawn, strict=True):
        assert {name: array.shape for name, array in sample.items()} == SHAPES
        np.testing.assert_array_equal(sample["image"], expected["image"])
    for name in SHAPES:
        np.testing.assert_array_equal(first[name], drawn[0][name])
        np.testing.assert_array_equal(again[name], drawn[0][name])
    assert len(list(iter(CalibrationReader(calibration, SHAPES, samples=2).get_next, None))) == 2


def test_reader_draws_ranges_and_rewinds_within_them(calibration):
    """ONNX Runtime calibrates in strides: one range after the other from one reader."""
    reader = CalibrationReader(calibration, SHAPES)
    images = [step.feeds["image"] for step in frames(5)]
    for start, stop in ((0, 2), (2, 4), (4, 9)):
        reader.set_range(start, stop)
        for _ in range(2):
            drawn = [sample["image"] for sample in iter(reader.get_next, None)]
            np.testing.assert_array_equal(drawn, images[start:stop])
            reader.rewind()
    assert len(reader) == 5 and len(list(reader)) == 5


def test_a_set_that_is_replaced_while_it_is_read_is_refused(calibration, tmp_path):
    path = shutil.copyfile(calibration, tmp_path / "set.npz")
    reader = CalibrationReader(path, SHAPES)
    assert reader.get_next() is not None
    shutil.copyfile(calibration, tmp_path / "new.npz")
    (tmp_path / "new.npz").replace(path)
    with pytest.raises(BadInput, match=r"set\.npz\n.*another file than the one that was opened"):
        reader.get_next()
    assert CalibrationReader(path, SHAPES).get_next() is not None


def test_noise_has_the_shapes_and_no_meaning(tmp_path):
    path = noise(tmp_path / "noise.npz", SHAPES, samples=40)
    assert check_calibration(path, SHAPES) == 40
    with np.load(path) as archive:
        assert abs(archive["image"].mean()) < 0.05 and abs(archive["image"].std() - 1) < 0.05
    with np.load(noise(tmp_path / "wide.npz", SHAPES, samples=40, scale=50)) as archive:
        assert archive["image"].dtype == np.float32 and abs(archive["image"].std() / 50 - 1) < 0.05


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"can_bus": None}, "arrays"),
        ({"extra": np.zeros(5, np.float32)}, "extra"),
        ({"can_bus": np.zeros(90)}, "can_bus"),
        ({"can_bus": np.zeros(91, np.float32)}, "can_bus"),
        ({"can_bus": np.zeros(72, np.float32)}, "samples per input"),
        ({"image": np.zeros((5, 6, 3, 8, 4), np.float32)}, "image"),
        ({"image": np.zeros((5, 5, 3, 4, 8), np.float32)}, "image"),
        ({"image": np.asfortranarray(np.zeros((5, 6, 3, 4, 8), np.float32))}, "Fortran"),
    ],
)
def test_wrong_names_shapes_and_types_are_refused(calibration, changes, named):
    rewrite(calibration, **changes)
    with pytest.raises(BadInput, match=named):
        CalibrationReader(calibration, SHAPES)
    with pytest.raises(BadInput, match=named):
        check_calibration(calibration, SHAPES)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_found_and_its_sample_named(calibration, value):
    with np.load(calibration) as archive:
        can_bus = archive["can_bus"].copy()
    can_bus[18 * 3 + 2] = value
    rewrite(calibration, can_bus=can_bus)
    with pytest.raises(BadInput, match="can_bus, sample 3"):
        check_calibration(calibration, SHAPES)


def test_damage_is_found(calibration):
    content = bytearray(calibration.read_bytes())
    start = content.index(b"image.npy") + 300
    content[start] ^= 1
    calibration.write_bytes(content)
    with pytest.raises(BadInput, match="image"):
        check_calibration(calibration, SHAPES)
    calibration.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInput, match=r"\.npz"):
        CalibrationReader(calibration, SHAPES)


def test_compressed_and_missing_files_are_refused(calibration, tmp_path):
    with np.load(calibration) as archive:
        np.savez_compressed(tmp_path / "small.npz", **archive)
    with pytest.raises(BadInput, match="savez_compressed"):
        CalibrationReader(tmp_path / "small.npz", SHAPES)
    with pytest.raises(BadInput, match=r"absent\.npz"):
        CalibrationReader(tmp_path / "absent.npz", SHAPES)


def spoil(**changes):
    for step in frames(3):
        yield step._replace(feeds={**step.feeds, **changes}) if step.frame == "frame 2" else step


@pytest.mark.parametrize(
    ("stream", "samples", "named"),
    [
        (spoil(can_bus=np.full(18, np.nan, np.float32)), None, "sample 2, input can_bus"),
        (spoil(can_bus=np.zeros(18)), None, "float64"),
        (spoil(can_bus=np.zeros(17, np.float32)), None, "17"),
        (spoil(speed=np.zeros(1, np.float32)), None, "speed"),
        (frames(3), 4, "3 samples"),
        (frames(0), None, "0 samples"),
        (frames(3), 10**9, "MiB free"),
    ],
)
def test_a_bad_stream_leaves_nothing_behind(tmp_path, stream, samples, named):
    with pytest.raises(BadInput, match=named):
        collect(run, stream, tmp_path / "calibration.npz", CONFIG, samples=samples)
    assert not list(tmp_path.iterdir())


MIXED = {"x": (1, 4), "age": (1, 2), "sum": (1, 4), "kind": (3,)}
KEPT = {"sum": "total", "age": "older"}
TYPES = {"kind": np.int64, "age": np.int32}


def two_states(feeds):
    return {"total": feeds["sum"] + feeds["x"], "older": feeds["age"] + 1}


def test_two_states_and_integer_inputs(tmp_path):
    """Noise begins the floating-point state, zero the integer one; both run on across the change of scene."""
    steps = [Step({"x": np.full((1, 4), k, "f4"), "kind": np.array([k, 7, 0])}, k in (0, 2)) for k in range(4)]
    path = collect(two_states, steps, tmp_path / "mixed.npz", config(KEPT, MIXED, **TYPES))
    assert check_calibration(path, MIXED, TYPES) == 4
    samples = list(CalibrationReader(path, MIXED, input_types=TYPES))
    assert [sample["kind"].tolist() for sample in samples] == [[k, 7, 0] for k in range(4)]
    assert {name: array.dtype for name, array in samples[0].items()} == {
        name: np.dtype(TYPES.get(name, np.float32)) for name in MIXED
    }
    assert [sample["age"].tolist() for sample in samples] == [[[k, k]] for k in range(4)]
    begin = samples[0]["sum"]
    assert begin.std() > 0.1
    np.testing.assert_allclose(
        [sample["sum"][0] - begin[0] for sample in samples], np.float32([[k] * 4 for k in (0, 0, 1, 3)]), atol=1e-6
    )
    with pytest.raises(BadInput, match=r"kind\n  found: +int64\n  expected: float32"):
        CalibrationReader(path, MIXED, input_types={"age": np.int32})


def test_scalars_are_joined_to_one_axis(tmp_path):
    shapes, types = {"x": (1, 4), "s": (), "n": ()}, {"n": np.int64}
    steps = [Step({"x": np.ones((1, 4), "f4"), "s": np.float32(k / 2), "n": np.int64(k)}, k == 0) for k in range(3)]
    path = collect(lambda feeds: {}, steps, tmp_path / "scalars.npz", config({}, shapes, **types))
    with np.load(path) as archive:
        assert archive["s"].tolist() == [0, 0.5, 1] and archive["n"].tolist() == [0, 1, 2]
    assert check_calibration(path, shapes, types) == 3
    samples = list(CalibrationReader(path, shapes, input_types=types))
    assert [(sample["s"].shape, float(sample["s"]), int(sample["n"])) for sample in samples] == [
        ((), k / 2, k) for k in range(3)
    ]


def test_noise_leaves_integers_at_zero(tmp_path):
    path = noise(tmp_path / "noise.npz", MIXED, samples=3, input_types=TYPES)
    sample = CalibrationReader(path, MIXED, input_types=TYPES).get_first()
    assert sample["x"].any() and not sample["kind"].any() and not sample["age"].any()


FULL_SIZE = """
import resource, sys
import numpy as np
from helpers.calibration import CalibrationReader, collect
from helpers.sequence import Step
from tests.helpers.calibration.test_calibration import config

shapes = {"image": (1, 6, 3, 480, 800), "prev_bev": (2500, 1, 256), "use_prev_bev": (1,)}
image, flag, history = (np.ones(shapes[name], np.float32) for name in ("image", "use_prev_bev", "prev_bev"))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
stream = (Step({"image": image, "use_prev_bev": flag}, False) for _ in range(6))
collect(lambda inputs: {"bev_embed": history}, stream, sys.argv[1], config({"prev_bev": "bev_embed"}, shapes))
total = sum(sample["image"].sum() for sample in CalibrationReader(sys.argv[1], shapes))
assert total == 6 * image.size, total
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    path = tmp_path / "full.npz"
    done = subprocess.run(
        [sys.executable, "-c", FULL_SIZE, path], capture_output=True, text=True, timeout=HANG, check=True
    )
    with zipfile.ZipFile(path) as archive:
        megabytes = sum(info.file_size for info in archive.infolist()) / 2**20
    assert megabytes > 170
    assert float(done.stdout) < 100, f"{done.stdout} MB of memory for a {megabytes:.0f} MB set"


def test_the_sizes_of_free_dimensions_are_read_from_a_set(calibration):
    free = SHAPES | {"image": (1, "cameras", 3, 4, "width"), "can_bus": ("numbers",)}
    assert fixed_shapes(calibration, SHAPES) == fixed_shapes(calibration, free) == SHAPES
    assert fixed_shapes(calibration, {"another": ("n",), "use_prev_bev": (1,)}) == {
        "another": (1,),
        "use_prev_bev": (1,),
    }
    with pytest.raises(BadInput, match="all begin with a free dimension"):
        fixed_shapes(calibration, {"can_bus": ("numbers",)})


def test_the_number_of_samples_is_that_of_the_one_input_that_tells_it(tmp_path):
    np.savez(tmp_path / "set.npz", told=np.zeros((2, 3), np.float32), free=np.zeros((8, 5), np.float32))
    assert fixed_shapes(tmp_path / "set.npz", {"told": (1, 3), "free": ("n", 5)}) == {"told": (1, 3), "free": (4, 5)}


def test_an_input_may_have_any_name_that_a_graph_gives_it(tmp_path):
    """Exporters name tensors as paths; what is written on the way has names of its own."""
    shapes = {"/model/image": (1, 2), "a/../b": (1, 3), "c:d": (1,)}
    out = noise(tmp_path / "set.npz", shapes, 2)
    with np.load(out) as arrays:
        assert {name: arrays[name].shape for name in shapes} == {
            name: (2, *shape[1:]) for name, shape in shapes.items()
        }
    assert CalibrationReader(out, shapes).get_next().keys() == shapes.keys() and [*tmp_path.iterdir()] == [out]
