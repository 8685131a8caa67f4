"""The way without a pipeline: what the pipeline finds, one frame after the other."""

import types

import numpy as np
import pytest
from onnx import helper

from helpers import engine, pipeline
from helpers.dataset.preparation import Preparation
from helpers.errors import BadInput
from helpers.graph import ends
from tests.builders.graphs import model, save, value
from tests.helpers.pipeline.test_pipeline import SIZE, Toy, shots

CONFIG = types.SimpleNamespace(
    image_scale=0.8,
    image_size=(20, 30),
    image_mean=(100.0, 110.0, 120.0),
    image_std=(50.0, 55.0, 60.0),
    pictures="image",
    states=Toy.states,
    initial_states=Toy().initial_states,
    decode=Toy().decode,
)
CONFIG.preparation = lambda: Preparation.of(CONFIG)


def toy():
    """The nodes, the inputs and the outputs of a network that sums up what it has seen since the sequence began."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Sum", ["mean", "before", "shift"], ["after"]),
        helper.make_node("Identity", ["after"], ["seen"]),
    ]
    inputs = [value("image", [1, 2, 3, *CONFIG.image_size]), value("before", [1]), value("shift", [1])]
    return nodes, inputs, [value("after", [1]), value("seen", [1])]


@pytest.fixture
def serial(tmp_path):
    with engine.load(save(tmp_path / "plain.onnx", *toy())) as opened:
        yield pipeline.Serial(opened, CONFIG)


def test_it_finds_what_the_pipeline_finds_stage_after_stage(serial, tmp_path):
    given = [shot for shot, _ in shots()]
    whole = ends.with_pictures(model(*toy()), CONFIG, SIZE)
    (tmp_path / "ends.onnx").write_bytes(whole.SerializeToString())
    with engine.load(tmp_path / "ends.onnx") as opened, pipeline.Pipeline(opened, CONFIG) as way:
        expected = [one.found for one in way.run(given)]
    for _ in range(2):
        done = list(serial.run(given))
        np.testing.assert_allclose([one.found for one in done], expected, rtol=1e-5, atol=1e-5)
    times = [moment for one in done for span in one.spans.values() for moment in span]
    assert times == sorted(times) and [one.shot.frame for one in done] == list(range(7))
    assert list(done[0].spans) == ["decode", "prepare", "run", "boxes"]


def test_the_feeds_of_a_frame_without_history_are_complete(serial):
    feeds = serial.feeds(shots(2)[1][0])
    assert feeds.keys() == serial.engine.inputs.keys()
    assert feeds["shift"] == 1 and feeds["before"] == 3 and feeds["image"].std() > 0.1


def test_a_bad_picture_is_named(serial):
    first, second = (shot for shot, _ in shots(2))
    bad = second._replace(jpegs=(second.jpegs[0], b"GIF89a"))
    way = serial.run([first, bad])
    next(way)
    with pytest.raises(BadInput, match="picture 1"):
        next(way)
