"""Raw samples of a network's inputs, and the profile that follows from them."""

import json
import types

import numpy as np
import pytest

from helpers.calibration import samples
from helpers.errors import BadInput
from helpers.sequence import Step
from helpers.systems.fbocc.config import INTERVALS, RANKS
from tests.helpers.systems.fbocc.tiny import TINY, feeds


@pytest.fixture
def dumped(tmp_path):
    """A folder of three samples of the tiny FB-OCC; two have 5 and 7 points less than the first."""
    steps = [Step(_cut(feeds(first=True), less), True, types.SimpleNamespace(token=f"t{less}")) for less in (0, 5, 7)]
    return samples.dump(steps, tmp_path / "samples", TINY, 3)


def _cut(arrays, less):
    names = ("ranks_depth", "ranks_feat", "ranks_bev")
    return arrays | {name: arrays[name][: len(arrays[name]) - less] for name in names}


def test_a_sample_is_the_bytes_of_every_input(dumped):
    made = feeds(first=True) | TINY.initial_states()
    stated = json.loads((dumped / "t0/shapes.json").read_text())
    assert list(stated) == list(TINY.input_shapes())
    for name, dtype in TINY.input_types().items():
        assert (dumped / f"t0/{name}.dat").read_bytes() == made[name].astype(dtype).tobytes()
        assert stated[name] == {"dtype": dtype.name, "shape": list(made[name].shape)}


def test_shapes_follow_from_lengths_alone(dumped):
    made = {name: array.shape for name, array in (feeds() | TINY.initial_states()).items()}
    for path in dumped.rglob("shapes.json"):
        path.unlink()
    (dumped / "t0/history_bev.dat").unlink()  # a state needs no file
    found = samples.read_shapes(dumped, TINY)
    assert [path.name for path in found] == ["t0", "t5", "t7"]
    assert found[dumped / "t0"] == {name: made[name] for name in TINY.input_shapes() if name != "history_bev"}
    assert list(samples.read_shapes(dumped / "t0", TINY)) == [dumped / "t0"]


def test_a_profile_is_for_the_median_within_what_the_configuration_states(dumped):
    found = samples.profile(list(samples.read_shapes(dumped, TINY).values()), TINY)
    points, queries = len(feeds()["ranks_bev"]), feeds()["indexes"].shape[2]
    assert found.keys() == TINY.free_axes().keys()
    assert found["ranks_bev"] == ((1,), (points - 5,), (2_000,))
    assert found["queries_rebatch"] == tuple((1, 6, size, TINY.channels) for size in (1, queries, 120))


def test_trtexec_is_told_the_profile_and_runs_the_first_sample(dumped):
    words = dict(word.removeprefix("--").split("=") for word in samples.flags(dumped, TINY))
    told = {option: dict(one.split(":") for one in spec.split(",")) for option, spec in words.items()}
    points, queries = len(feeds()["ranks_bev"]), feeds()["indexes"].shape[2]
    sizes = [told[option]["ranks_bev"] for option in ("minShapes", "optShapes", "maxShapes", "shapes")]
    assert sizes == ["1", f"{points - 5}", "2000", f"{points}"]
    assert told["optShapes"]["indexes"] == f"1x6x{queries}" and told["shapes"].keys() == TINY.free_axes().keys()
    assert told["loadInputs"] == {name: f"{dumped}/t0/{name}.dat" for name in TINY.input_shapes()}


def test_samples_are_refused_by_the_file_at_fault(dumped, tmp_path):
    def refused(match, folder=dumped):
        with pytest.raises(BadInput, match=match):
            samples.read_shapes(folder, TINY)

    refused("no such folder", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused(r"no file \*.dat", tmp_path / "empty")
    for name, length, match in (
        ("grid", -4, r"grid.dat\n.*bytes\n.*for float32 1x10x12x8x3"),
        ("indexes", -8, r"indexes.dat\n.*bytes\n.*a multiple of 48, for int64 1x6xqueries"),
        ("ranks_feat", -4, r"ranks_feat.dat\n.*points = .*\n.*before have it"),
    ):
        path = dumped / f"t5/{name}.dat"
        whole = path.read_bytes()
        path.write_bytes(whole[:length])
        refused(match)
        path.write_bytes(whole)
    for path in dumped.glob("t7/interval_*.dat"):
        path.write_bytes(bytes(4 * 901))
    refused("intervals = 901\n.*intervals from 1 to 900")
    (dumped / "t5/imgs.dat").unlink()
    refused("imgs.dat\n.*no such file")


@pytest.mark.parametrize(
    ("name", "damage", "match"),
    [
        ("ranks_bev", lambda array: array[: len(array) // 2].astype(np.int64), "64-bit numbers"),
        ("interval_lengths", lambda array: array[: len(array) // 2].astype(np.int64), "64-bit numbers"),
        ("imgs", lambda array: np.where(array == array.max(), np.nan, array), "NaN or infinite"),
        ("start_of_sequence", lambda array: np.array([7], np.uint8), "neither 0 nor 1"),
    ],
)
def test_bytes_of_another_type_are_refused(dumped, name, damage, match):
    """Ranks in 64 bits have a length that fits, of twice as many points."""
    names = next((group for group in (RANKS, INTERVALS) if name in group), (name,))
    for each in names:
        path = dumped / f"t5/{each}.dat"
        array = np.fromfile(path, TINY.input_types()[each])
        found = damage(array)
        path.write_bytes((found if found.dtype.kind in "iu" else found.astype(array.dtype)).tobytes())
    (dumped / "t5/shapes.json").unlink()
    with pytest.raises(BadInput, match=f"{names[0]}\\.dat\n.*{match}"):
        samples.read_shapes(dumped, TINY)


@pytest.mark.parametrize("key", ["dtype", "shape"])
def test_shapes_that_are_stated_have_to_agree(dumped, key):
    path = dumped / "t7/shapes.json"
    stated = json.loads(path.read_text())
    stated["grid"][key] = {"dtype": "float16", "shape": [1, 2]}[key]
    path.write_text(json.dumps(stated))
    with pytest.raises(BadInput, match=r"shapes\.json\n.*grid: {.*\n.*as the file of the input has it"):
        samples.read_shapes(dumped, TINY)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(BadInput, match=r"shapes\.json\n[\s\S]*remove the file"):
            samples.read_shapes(dumped, TINY)


def test_a_dump_is_whole_or_absent_and_replaces_nothing(tmp_path):
    step = Step(feeds(), True, types.SimpleNamespace(token="t"))
    with pytest.raises(BadInput, match="1 frames"):
        samples.dump([step], tmp_path / "new", TINY, 2)
    assert not (tmp_path / "new").exists()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/kept").touch()
    with pytest.raises(BadInput, match="not empty"):
        samples.dump([step], tmp_path / "data", TINY)
    assert (tmp_path / "data/kept").exists()


def test_what_another_dump_wrote_meanwhile_stays(tmp_path):
    def steps():
        samples.dump([Step(feeds(), True, types.SimpleNamespace(token="first"))], tmp_path / "new", TINY)
        yield Step(feeds(), True, types.SimpleNamespace(token="second"))

    with pytest.raises(BadInput, match="came meanwhile"):
        samples.dump(steps(), tmp_path / "new", TINY)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["first"]


def test_two_free_dimensions_of_one_input_are_refused(tmp_path):
    with pytest.raises(BadInput, match="more than one free dimension in axbx2"):
        samples._shape(tmp_path / "x.dat", (4, 5, 2), np.dtype("f4"), dict(enumerate(_free("a", "b"))))


def _free(*names):
    return [types.SimpleNamespace(name=name) for name in names]
