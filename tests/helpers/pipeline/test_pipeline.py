"""JPEG files to boxes on a toy network: the order, the states, bad pictures, and decoding on a stand-in for a GPU."""

import threading
import time
import types
import weakref

import numpy as np
import pytest
from onnx import TensorProto, helper

from helpers import engine, pipeline
from helpers.dataset import jpeg
from helpers.engine.slots import HostSlot, Slot
from helpers.errors import BadInput
from helpers.pipeline import decoders
from tests.builders.graphs import save, value
from tests.builders.waiting import HANG, interrupt, telling
from tests.helpers.dataset.test_jpeg import picture

SIZE = (21, 33)


BEGIN = 3.0


class Toy:
    """The sum of what it has seen since the sequence began, with 3."""

    states = {"before": "after"}  # noqa: RUF012

    def initial_states(self):
        return {"before": np.float32([BEGIN])}

    def decode(self, outputs):
        return float(outputs["seen"][0])


def toy(path):
    nodes = [
        helper.make_node("Cast", ["pictures"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["mean"], keepdims=0),
        helper.make_node("Sum", ["mean", "before", "shift"], ["after"]),
        helper.make_node("Identity", ["after"], ["seen"]),
    ]
    pictures = value("pictures", [1, 2, *SIZE, 3], TensorProto.UINT8)
    inputs = [pictures, value("before", [1]), value("shift", [1])]
    return save(path, nodes, inputs, [value("after", [1]), value("seen", [1])])


def shots(count=7, again=4):
    """[(Shot, what the toy makes of it)]."""
    total, found = 0.0, []
    for index in range(count):
        jpegs = tuple(picture(size=SIZE, quality=quality) for quality in (5 + 10 * index, 90 - 10 * index))
        out = np.zeros((2, *SIZE, 3), np.uint8)
        for data, plane in zip(jpegs, out, strict=True):
            jpeg.decode(data, plane, "x")
        first = index in (0, again)
        total = (BEGIN if first else total) + out.mean(dtype=np.float64) + index
        found.append((pipeline.Shot(jpegs, {"shift": np.float32([index])}, first, index), total))
    return found


@pytest.fixture
def toy_engine(tmp_path):
    with engine.load(toy(tmp_path / "toy.onnx")) as opened:
        yield opened


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_same_in_the_same_order_however_many_are_on_their_way(toy_engine, depth):
    given = shots()
    with pipeline.Pipeline(toy_engine, Toy(), depth=depth) as way:
        for _ in range(2):
            done = list(way.run(shot for shot, _ in given))
            assert [one.shot.frame for one in done] == list(range(7))
            np.testing.assert_allclose([one.found for one in done], [total for _, total in given], rtol=1e-5)
    for one in done:
        assert list(one.spans) == ["decode", "compute", "boxes"]
        assert all(begin <= end for begin, end in one.spans.values())


def test_the_next_frame_is_decoded_while_one_is_computed(tmp_path):
    """The overlap itself: a decoder that waits until the frame before runs in the engine."""
    with engine.load(toy(tmp_path / "toy.onnx")) as opened:
        running, decoded = threading.Event(), threading.Event()
        inner = opened._run

        def slow(feeds):
            running.set()
            assert decoded.wait(HANG), "the next frame is not decoded meanwhile"
            return inner(feeds)

        opened._run = slow

        class Waiting(pipeline.Turbo):
            calls = 0

            def decode(self, jpegs, slot, name):
                Waiting.calls += 1
                if Waiting.calls == 2:
                    assert running.wait(HANG)
                super().decode(jpegs, slot, name)
                if Waiting.calls == 2:
                    decoded.set()

        given = [shot for shot, _ in shots(2)]
        with pipeline.Pipeline(opened, Toy(), Waiting(), depth=2) as way:
            assert len(list(way.run(given))) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda jpegs: (jpegs[0], jpegs[1][:-50]), "picture 1(.|\n)*end within the picture"),
        (lambda jpegs: (picture("L", SIZE), jpegs[1]), "picture 0(.|\n)*gray"),
        (lambda jpegs: (picture("CMYK", SIZE), jpegs[1]), "picture 0(.|\n)*four colors"),
        (lambda jpegs: (jpegs[0], picture(size=(33, 21))), "picture 1(.|\n)*33x21(.|\n)*21x33"),
        (lambda jpegs: (jpegs[0], b"GIF89a"), "picture 1(.|\n)*begin with 47 49 46 38"),
        (lambda jpegs: jpegs[:1], "pictures of the frame(.|\n)*2 JPEG files"),
    ],
)
def test_a_bad_picture_is_named_and_the_frames_before_it_are_through(toy_engine, change, said):
    given = [shot for shot, _ in shots(4)]
    bad = given[2]._replace(jpegs=change(given[2].jpegs))
    with pipeline.Pipeline(toy_engine, Toy(), depth=3) as way:
        done = []
        with pytest.raises(BadInput, match=said):
            done.extend(way.run([*given[:2], bad, given[3]]))
        through = list(way.run(given))  # and goes on afterwards
    assert [one.shot.frame for one in through] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ({}, "input 'shift' of the frame(.|\n)*nothing given"),
        ({"shift": np.array(3, np.float32)}, r"input 'shift'(.|\n)*float32 \[\](.|\n)*float32 \[1\]"),
        ({"shift": np.float64([3])}, "float64"),
        ({"shift": np.float32([3]), "shaft": np.float32([3])}, "input 'shaft'(.|\n)*no such input"),
        ({"shift": np.float32([3]), "before": np.float32([3])}, "input 'before'(.|\n)*no such input"),
    ],
)
def test_inputs_beside_the_pictures_are_never_those_of_another_frame(toy_engine, feeds, said):
    given = [shot for shot, _ in shots(3)]
    with pipeline.Pipeline(toy_engine, Toy(), depth=1) as way, pytest.raises(BadInput, match=said):
        list(way.run([given[0], given[1]._replace(feeds=feeds)]))


def test_what_is_no_engine_for_pictures_is_refused(toy_engine, tmp_path):
    plain = save(tmp_path / "plain.onnx", [helper.make_node("Identity", ["x"], ["y"])], {"x": [1]}, {"y": [1]})
    with engine.load(plain) as opened, pytest.raises(BadInput, match="an input 'pictures'"):
        pipeline.Pipeline(opened, Toy())
    with pytest.raises(BadInput, match="depth"):
        pipeline.Pipeline(toy_engine, Toy(), depth=0)
    free = save(tmp_path / "free.onnx", [helper.make_node("Identity", ["pictures"], ["y"])],
                {"pictures": ["n"]}, {"y": ["n"]})  # fmt: skip
    with engine.load(free) as opened, pytest.raises(BadInput, match="fixed sizes"):
        pipeline.Pipeline(opened, Toy())


class OnGpu(Slot):
    """Notes what is placed."""

    def __init__(self):
        self.inputs, self.placed, self.stream = {"pictures": np.zeros((1, 2, *SIZE, 3), np.uint8)}, [], 7

    def place(self, name, sources):
        self.placed.append((name, list(sources)))


def fake_codec(refuse=(), strides=None):
    """The part of nvImageCodec that is used; its pictures lie at 1000 and 2000."""
    made = types.SimpleNamespace(calls=[], alive=weakref.WeakSet())

    class Image:
        def __init__(self, address):
            made.alive.add(self)
            self.__cuda_array_interface__ = {
                "shape": (*SIZE, 3), "typestr": "|u1", "data": (address, False), "strides": strides}  # fmt: skip

    class Decoder:
        def __init__(self, **options):
            made.options = options
            made.alive.add(self)

        def decode(self, streams, **how):
            made.calls.append((streams, how))
            return [None if index in refuse else Image(1000 * (index + 1)) for index in range(len(streams))]

    for name in ("HW_GPU_ONLY", "HYBRID_CPU_GPU", "GPU_ONLY", "SRGB", "I_RGB"):
        setattr(made, name, name)
    made.Decoder, made.Backend, made.CodeStream = Decoder, str, bytes
    made.DecodeParams = lambda **options: options
    return made


@pytest.fixture
def codec(monkeypatch):
    def install(**options):
        made = fake_codec(**options)
        monkeypatch.setitem(__import__("sys").modules, "nvidia.nvimgcodec", made)
        monkeypatch.setitem(__import__("sys").modules, "nvidia", types.SimpleNamespace(nvimgcodec=made))
        return made

    return install


@pytest.mark.parametrize("hardware", [True, False])
def test_nvimagecodec_decodes_on_the_gpu_and_uses_its_pictures_again(codec, hardware, monkeypatch):
    monkeypatch.setattr(decoders.cores, "count", lambda: 3)
    made, slot = codec(), OnGpu()
    jpegs = tuple(picture(size=SIZE, quality=quality) for quality in (30, 60))
    decoder = decoders.NvImageCodec(hardware)
    for _ in range(2):
        decoder.decode(jpegs, slot, "pictures")
    size = SIZE[0] * SIZE[1] * 3
    assert slot.placed == [("pictures", [(1000, size), (2000, size)])] * 2
    (first, how), (_, again) = made.calls
    assert first == list(jpegs) and how["cuda_stream"] == 7 and "images" not in how and len(again["images"]) == 2
    assert ("HW_GPU_ONLY" in made.options["backends"]) == hardware
    assert "fancy_upsampling=1" in made.options["options"] and made.options["max_num_cpu_threads"] == 3


def test_what_nvimagecodec_refuses_or_lays_out_otherwise_is_named(codec):
    jpegs = tuple(picture(size=SIZE, quality=quality) for quality in (30, 60))
    codec(refuse=(1,))
    with pytest.raises(BadInput, match=r"picture 1(.|\n)*nvImageCodec refuses"):
        decoders.NvImageCodec().decode(jpegs, OnGpu(), "pictures")
    codec(strides=(128, 3, 1))
    with pytest.raises(BadInput, match="one row behind the other"):
        decoders.NvImageCodec().decode(jpegs, OnGpu(), "pictures")
    codec()
    with pytest.raises(BadInput, match=r"picture 0(.|\n)*gray"):
        decoders.NvImageCodec().decode((picture("L", SIZE), jpegs[1]), OnGpu(), "pictures")


def test_what_lies_on_the_stream_of_a_slot_is_given_back_before_it_is_closed(codec, toy_engine, monkeypatch):
    """Memory that is given back on a closed stream may end the process."""
    made, alive, close = codec(), [], HostSlot.close
    monkeypatch.setattr(HostSlot, "place", lambda *given: None)
    monkeypatch.setattr(HostSlot, "close", lambda self: alive.append(len(made.alive)) or close(self))
    with pipeline.Pipeline(toy_engine, Toy(), decoders.NvImageCodec(), depth=2) as way:
        assert len(list(way.run(shot for shot, _ in shots(3)))) == 3
        made.calls.clear()
        assert len(made.alive) == 1 + 2 * 2  # the library's decoder, and the pictures of both slots
    assert alive == [0, 0]


def test_pictures_on_a_gpu_need_an_engine_there(toy_engine):
    (slot,) = toy_engine.slots(1, Toy.states)
    with pytest.raises(BadInput, match="an engine on the GPU"):
        slot.place("pictures", [(0, 1)])
    slot.close()


def test_nothing_is_left_on_its_way_when_the_caller_stops(toy_engine):
    inner, counts = toy_engine._run, {"started": 0, "ended": 0}

    def slow(feeds):
        counts["started"] += 1
        time.sleep(0.02)
        counts["ended"] += 1
        return inner(feeds)

    toy_engine._run = slow
    with pipeline.Pipeline(toy_engine, Toy(), depth=3) as way:
        running = way.run(shot for shot, _ in shots())
        next(running)
        running.close()
        before = counts["ended"]
        assert counts["started"] == before
        time.sleep(0.1)
        assert counts["ended"] == before


def test_an_interrupt_at_the_end_releases_nothing_before_its_thread_has_ended(toy_engine, monkeypatch):
    stopped, ended = threading.Event(), []
    monkeypatch.setattr(pipeline, "ThreadPoolExecutor", telling(stopped))

    class Slow(pipeline.Turbo):
        frames = 0

        def decode(self, jpegs, slot, name):
            self.frames += 1
            if self.frames == 2:
                assert stopped.wait(HANG)
                interrupt()
                ended.append(slot)
            super().decode(jpegs, slot, name)

    way = pipeline.Pipeline(toy_engine, Toy(), Slow(), depth=2)
    running = way.run(shot for shot, _ in shots())
    next(running)
    with pytest.raises(KeyboardInterrupt):
        way.close()
    assert ended
    running.close()
