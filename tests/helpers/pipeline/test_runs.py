"""Runs beside each other, ended early, or fed from memory that is written again: no frame is mixed with another."""

import threading

import numpy as np
import pytest

from helpers import engine, pipeline
from helpers.errors import BadInput
from tests.builders.graphs import save
from tests.builders.waiting import HANG
from tests.helpers.dataset.test_jpeg import picture
from tests.helpers.pipeline import test_serial
from tests.helpers.pipeline.test_pipeline import SIZE, Toy, shots, toy

ANOTHER, DROPPED = "another run that has not ended", "after frames that failed or were dropped"


@pytest.fixture(params=["pipeline", "serial"])
def way(request, tmp_path):
    """A way, and what it finds in the seven frames."""
    if request.param == "pipeline":
        with engine.load(toy(tmp_path / "toy.onnx")) as opened, pipeline.Pipeline(opened, Toy()) as made:
            yield made
    else:
        with engine.load(save(tmp_path / "plain.onnx", *test_serial.toy())) as opened:
            yield pipeline.Serial(opened, test_serial.CONFIG)


@pytest.fixture
def toy_engine(tmp_path):
    with engine.load(toy(tmp_path / "toy.onnx")) as opened:
        yield opened


def given(count=7):
    return [shot for shot, _ in shots(count)]


def found(done):
    return [one.found for one in done]


def test_a_second_run_beside_one_is_refused_and_harms_it_not(way):
    right, running = found(way.run(given())), way.run(given())
    first = next(running)
    with pytest.raises(BadInput, match=ANOTHER):
        next(way.run(given()))
    assert found([first, *running]) == pytest.approx(right)
    assert found(way.run(given())) == pytest.approx(right)


def test_two_threads_do_not_share_a_way(way):
    right, told, barrier = found(way.run(given())), [], threading.Barrier(2)

    def run():
        running = way.run(given())
        try:
            first = next(running)
            barrier.wait(HANG)  # the other one has begun or was refused
            told.append(found([first, *running]))
        except BadInput as error:
            told.append(error.found)
            barrier.wait(HANG)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert [one for one in told if isinstance(one, str)] == [ANOTHER]
    assert [one for one in told if not isinstance(one, str)] == [pytest.approx(right)]


def test_ways_on_an_engine_that_keeps_the_states_wait_for_each_other(toy_engine):
    toy_engine.states = dict(Toy.states)
    with pipeline.Pipeline(toy_engine, Toy()) as one, pipeline.Pipeline(toy_engine, Toy()) as other:
        running = one.run(given())
        next(running)
        with pytest.raises(BadInput, match=ANOTHER):
            next(other.run(given()))
        running.close()
        assert len(list(other.run(given()))) == 7


@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_run_goes_on_where_the_last_one_ended(way, at):
    right = found(way.run(given()))
    assert found([*way.run(given()[:at]), *way.run(given()[at:])]) == pytest.approx(right)
    assert [next(way.run([shot])).found for shot in given()] == pytest.approx(right)


def test_arrays_and_lists_may_be_written_again_for_the_next_frame(way):
    right, shift, files = found(way.run(given())), np.zeros(1, np.float32), []

    def camera():
        for shot in given():
            shift[:], files[:] = shot.feeds["shift"], shot.jpegs
            yield shot._replace(jpegs=files, feeds={"shift": shift})
            shift[:] = 99
            files.clear()

    assert found(way.run(camera())) == pytest.approx(right)


@pytest.mark.parametrize("depth", [2, 3])
def test_after_dropped_frames_nothing_goes_on_from_what_nobody_saw(toy_engine, depth):
    with pipeline.Pipeline(toy_engine, Toy(), depth=depth) as way:
        right, running = found(way.run(given())), way.run(given())
        next(running)
        running.close()
        for _ in range(2):
            with pytest.raises(BadInput, match=DROPPED):
                list(way.run(given()[1:]))
        assert found(way.run(given())) == pytest.approx(right)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("at", [2, 4])
def test_after_a_frame_that_failed_a_sequence_begins_anew(toy_engine, depth, at):
    """The frame at 4 would have begun one itself."""
    bad = given()
    bad[at] = bad[at]._replace(jpegs=(b"GIF89a", b"GIF89a"))
    with pipeline.Pipeline(toy_engine, Toy(), depth=depth) as way:
        right, done = found(way.run(given())), []
        with pytest.raises(BadInput, match="picture 0"):
            done.extend(way.run(bad))
        with pytest.raises(BadInput, match=DROPPED):
            list(way.run(given()[at + 1 :]))
        assert found(way.run(given())) == pytest.approx(right)


@pytest.mark.parametrize("fault", ["source", "feeds"])
def test_frames_before_one_that_cannot_be_had_are_through(way, fault):
    right = found(way.run(given()))

    def camera():
        yield from given()[:2]
        if fault == "source":
            raise OSError("unplugged")
        yield given()[2]._replace(feeds={})

    done = []
    with pytest.raises((OSError, BadInput), match=r"unplugged|nothing given"):
        for one in way.run(camera()):
            done.append(one)
    assert found(done) == pytest.approx(right[:2])
    assert found(way.run(given()[2:])) == pytest.approx(right[2:])


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_does_not_outlive_its_pipeline(toy_engine, begun):
    way = pipeline.Pipeline(toy_engine, Toy())
    running = way.run(given())
    if begun:
        next(running)
    way.close()
    with pytest.raises(BadInput, match="closed"):
        next(running)


def test_a_slot_is_not_asked_after_it_was_closed(toy_engine, monkeypatch):
    """A slot of a GPU has no stream any more by then."""
    asked, inner = [], engine.slots.HostSlot.result
    monkeypatch.setattr(engine.slots.HostSlot, "result", lambda slot: asked.append(slot) or inner(slot))
    with pipeline.Pipeline(toy_engine, Toy()) as way:
        running = way.run(given())
        next(running)
    before = len(asked)
    running.close()
    assert len(asked) == before


@pytest.mark.parametrize(
    ("shot", "said"),
    [
        ({"shift": np.float32([1])}, "a dict(.|\n)*Shot"),
        (given(1)[0]._replace(jpegs=b"\xff\xd8"), "a bytes(.|\n)*tuple of bytes"),
        (given(1)[0]._replace(jpegs=iter(())), "pictures of the frame(.|\n)*tuple of bytes"),
        (given(1)[0]._replace(jpegs=("a", "b")), "str 'a'"),
        (given(1)[0]._replace(first="False"), "'False'(.|\n)*True or False"),
        (given(1)[0]._replace(jpegs=(picture("L", SIZE), picture(size=SIZE))), "picture 0(.|\n)*gray"),
        (given(1)[0]._replace(jpegs=(picture(size=SIZE), picture("CMYK", SIZE))), "picture 1(.|\n)*four colors"),
        (given(1)[0]._replace(jpegs=(picture(size=SIZE), picture(size=(10, 20)))), "picture 1(.|\n)*10x20"),
    ],
)
def test_what_is_no_frame_is_refused_alike(way, shot, said):
    with pytest.raises(BadInput, match=said):
        list(way.run([shot]))


@pytest.mark.parametrize("frames", [[], iter(()), (one for one in ())])
def test_no_frames_are_no_results(way, frames):
    assert list(way.run(frames)) == []


@pytest.mark.parametrize("decoder", [pipeline.Turbo, "libjpeg-turbo", 3])
def test_what_is_no_decoder_is_refused(toy_engine, decoder):
    with pytest.raises(BadInput, match=r"decoder(.|\n)*helpers\.pipeline\.available"):
        pipeline.Pipeline(toy_engine, Toy(), decoder)


class Other(Toy):
    """The toy with states of another network."""

    def __init__(self, states):
        self.states = states


@pytest.mark.parametrize(
    ("states", "said"),
    [({"elsewhere": "after"}, "'elsewhere'(.|\n)*no such input"), ({"before": "behind"}, "no output 'behind'")],
)
def test_the_configuration_of_another_network_is_refused_before_a_frame_runs(toy_engine, states, said):
    with pytest.raises(BadInput, match=said):
        pipeline.Pipeline(toy_engine, Other(states))
