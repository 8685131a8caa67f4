"""The door of arguments: what is of another type, shape or size than stated is refused where a function begins."""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence  # noqa: F401
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol  # noqa: F401

import numpy as np
import pytest
import torch

from helpers import benchmark, boxes, calibration, display, engine, export, graph, models, precision, records, sequence
from helpers.arguments import array, between, typed
from helpers.boxes import Boxes
from helpers.dataset import images, open_dataset
from helpers.engine.base import check_feeds
from helpers.errors import BadInput
from helpers.llm import folder, sentences, tokenizer
from helpers.llm.generate import Sampling, generate
from helpers.llm.language_model import LanguageModel
from helpers.metrics import actions, occupancy
from helpers.ops import bev_pool_v2, grid_sample_3d, mix_levels, ms_deform_attn, project_pillars, rotate
from helpers.pipeline import Turbo
from helpers.serve.client import Client
from helpers.serve.limits import Limits
from helpers.serve.reach import Reach, picture
from helpers.systems.fbocc import geometry
from helpers.systems.openvla import decode


class Named(Protocol):
    name: str


TYPES = {  # annotation: what fits, what does not
    "int": ([3, np.int64(3)], [True, 1.5, "3", None, [3]]),
    "float": ([3, 1.5, np.float32(1), float("nan")], ["1", None, True, 1j]),
    "bool": ([True, np.True_], [1, 0, "no", None]),
    "str": (["a"], [b"a", 3, None, Path("a")]),
    "int | None": ([3, None], ["3", 2.5]),
    "str | os.PathLike[str]": (["a", Path("a")], [b"a", 5, None]),
    "Sequence[int]": ([[1], (1,), np.zeros(3), []], ["12", 5, None, {1: 2}, [1.5], [[1]]]),
    "Sequence[Sequence[int]]": ([[[1], []]], [["ab"], [1], [[1, [2]]]]),
    "Collection[int]": ([{1}, [1]], [5, "ab", {1.5}]),
    "Iterable[str]": ([["a"], iter("ab"), {"a"}], ["ab", 3, [1]]),
    "tuple[int, ...]": ([(1, 2)], [[1], (1.5,), 3]),
    "tuple[int, str]": ([(1, "a")], [[1, "a"], 5]),
    "Mapping[str, int]": ([{"a": 1}], [[("a", 1)], None, "a"]),
    "np.ndarray": ([np.zeros(2), [1, 2], torch.zeros(1)], [None, "a", 5, {}]),
    "Callable[[], Any]": ([len, lambda: 1], [None, 3]),
    "Literal['a', 'b']": (["a"], ["c", None]),
    "torch.Tensor": ([torch.zeros(1)], [np.zeros(1), [1]]),
    "Any": ([None, 3, "a"], []),
    "Named": ([3, None], []),
    "OnlyForTheTypeChecker": ([3, None], []),
}


@pytest.mark.parametrize("hint", TYPES)
def test_an_argument_is_of_the_type_that_is_stated(hint):
    def one(value, other=5):
        return value

    one.__annotations__["value"] = hint
    asked, (fitting, wrong) = typed(one), TYPES[hint]
    for value in fitting:
        assert asked(value) is value and asked(value=value) is value
    for value in wrong:
        with pytest.raises(BadInput, match=r"^value of .*one\n  found:    .*\n  expected: (a|True|None|'a')"):
            asked(value)
    with pytest.raises(TypeError, match="required positional argument"):
        asked()


def test_a_dataclass_and_a_method_are_asked_too():
    @typed
    @dataclass(frozen=True)
    class Size:
        width: int = 3

    class Thing:
        @typed
        def name(self, text: str) -> str:
            """Says it."""
            return text

    assert Size(2).width == 2 and Size().width == 3 and Thing().name("a") == "a" and Thing.name.__doc__ == "Says it."
    with pytest.raises(BadInput, match=r"width of .*Size\n  found:    str '3'\n  expected: a whole number"):
        Size("3")
    with pytest.raises(BadInput, match=r"text of .*Thing.name\n  found:    int 3\n  expected: a text"):
        Thing().name(3)


def test_arrays_have_the_shape_and_numbers_that_are_asked_for():
    assert array("a", [[1, 2]], (None, 2)).shape == (1, 2) and array("a", (3,), (1,), "whole").dtype == np.int64
    for value in ([1, 2], [[1, 2, 3]], [[1], [2, 3]], [["a", "b"]], [[True, False]], [[1j, 2]], [[None, 1]], None):
        with pytest.raises(BadInput, match=r"^a\n.*\n  expected: numbers \[any, 2\]"):
            array("a", value, (None, 2))
    for value in ([1.5], [float("nan")]):
        with pytest.raises(BadInput, match=r"expected: wholes? \[1\]|expected: whole"):
            array("a", value, (1,), "whole")
    with pytest.raises(BadInput, match="1 of 2 values that are NaN or infinite"):
        array("a", [1, np.inf], (2,))
    between("a", 1, 1, 2)
    for value in (0, 3, float("nan")):
        with pytest.raises(BadInput, match=r"^a\n.*\n  expected: a number from 1 to 2"):
            between("a", value, 1, 2)


EYE, NAN = np.eye(4), np.full((4, 4), np.nan)
SCALE = {"q01": [0] * 7, "q99": [1] * 7}
NETWORK = models.create("bevformer", "mini")
RECORD = records.Record("x", "measured", "cpu", {}, "command", "unknown", "2026-01-01T00:00:00+00:00", {"a": 1.0})
VLA, OCC = models.config("openvla"), models.config("fbocc", "mini")
CAMERA = dict(rotations=np.eye(3)[None], translations=np.zeros((1, 3)), intrinsics=np.eye(3)[None],
              post_rotations=np.eye(3)[None], post_translations=np.zeros((1, 3)))  # fmt: skip
WORDS = tokenizer.Tokenizer({"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4}, [("a", "a")])
DOORS: dict[str, Callable[[], object]] = {
    "prompts": lambda: generate(LanguageModel(9, 4, 8), ["hello"], 2),
    "number of tokens": lambda: generate(LanguageModel(9, 4, 8), [[1]], "2"),
    "nested prompt": lambda: LanguageModel(9, 4, 8).prefill([[1, [2]]]),
    "prompt of numbers": lambda: LanguageModel(9, 4, 8).prefill([[1.5]]),
    "stop": lambda: generate(LanguageModel(9, 4, 8), [[1]], 2, 5),
    "top_k": lambda: Sampling(top_k=1.5),
    "seed of sampling": lambda: Sampling(seed=None),
    "text": lambda: WORDS.encode(None),
    "token ids": lambda: WORDS.decode("a"),
    "folder": lambda: folder.load(None),
    "scenes without end": lambda: sentences.scenes(10**9, 0),
    "limit": lambda: Limits(body="16 MB"),
    "pause": lambda: Reach(-1),
    "instruction": lambda: Reach().predict(np.zeros((4, 4, 3), np.uint8), None),
    "color": lambda: picture({"mauve": (0.5, 0.5)}, (0, 0)),
    "size of a picture": lambda: picture({}, (0, 0), 0),
    "timeout": lambda: Client("http://127.0.0.1:9", timeout=float("nan")),
    "token of two lines": lambda: Client("http://127.0.0.1:9", "a\nb"),
    "matrix": lambda: boxes.transform(Boxes.empty(), np.eye(3), "ego"),
    "matrix of NaN": lambda: boxes.transform(Boxes.empty(), NAN, "ego"),
    "points": lambda: boxes.project(np.zeros((3, 2)), EYE),
    "action tokens": lambda: decode.decode([31999.5], VLA),
    "action of another length": lambda: decode.unnormalize(np.zeros(6), SCALE),
    "action of text": lambda: decode.normalize(["a"] * 7, SCALE),
    "statistics": lambda: decode.statistics_of({"a": {}}, None, "model"),
    "motion": lambda: geometry.history_grid(np.eye(3), OCC),
    "augmentation": lambda: geometry.history_grid(EYE, OCC, np.zeros((3, 3))),
    "intrinsics": lambda: geometry.Cameras(**CAMERA | {"intrinsics": np.zeros((1, 3, 3))}),
    "poses of other cameras": lambda: geometry.Cameras(**CAMERA | {"translations": np.zeros((2, 3))}),
    "outputs": lambda: OCC.decode({}),
    "outputs of BEVFormer": lambda: models.config("bevformer", "mini").decode({"scores": 1}),
    "configuration by list": lambda: models.config(["bevformer"]),
    "seed": lambda: models.create("bevformer", "mini", 2**70),
    "results": lambda: actions.errors(None, np.zeros((1, 7))),
    "counts": lambda: occupancy.ray_iou(None),
    "function to time": lambda: benchmark.latency(None),
    "frames": lambda: list(sequence.rollout(dict, [1], {}, {})),
    "function to run": lambda: list(sequence.rollout(None, [{}], {}, {})),
    "image to rotate": lambda: rotate.rotate(None, torch.zeros(1), torch.zeros(2)),
    "image of integers": lambda: rotate.rotate(torch.zeros(1, 4, 4, dtype=torch.int32), torch.zeros(1), torch.zeros(2)),
    "volume": lambda: grid_sample_3d.grid_sample_3d(torch.zeros(1, 1, 2, 2, 2), None),
    "value of attention": lambda: ms_deform_attn.ms_deform_attn(None, [(2, 2)], None, None, None),
    "levels to mix": lambda: mix_levels.mix_levels(*[None] * 5),
    "matrices of cameras": lambda: project_pillars.project_pillars(None, None, (1, 1)),
    "ranks": lambda: bev_pool_v2.bev_pool_v2(torch.zeros(1), torch.zeros(1), *[None] * 5, (1, 1, 1)),
    "threads": lambda: Turbo("2"),
    "feeds": lambda: check_feeds("the engine", None, {}),
    "name of a metric": lambda: records.write(dataclasses.replace(RECORD, metrics={("a", 1): 3.0}), "results"),
    "opset of TensorRT 8.6": lambda: export.export(NETWORK.eval(), "a.onnx", opset=17),
    "pictures": lambda: export.export(NETWORK, "a.onnx", pictures=(1,)),
    "folder to write to": lambda: export.export(NETWORK, "."),
    "network without a configuration": lambda: export.export(torch.nn.Linear(2, 2).eval(), "a.onnx"),
    "bars of texts": lambda: display.bars([{"a": object()}], "a", "a"),
    "bins": lambda: display.histogram([1, 2], bins=0),
    "curves": lambda: display.lines({"a": [1j]}),
    "pages": lambda: display.slider("a", {}),
    "matrices": lambda: display.matrices({}, "t"),
    "spans": lambda: display.timeline([], {}, "t"),
    "rows": lambda: display.table(None),
    "metrics": lambda: records.record("x", [1], "command", ["file"]),
    "tolerance": lambda: precision.first_divergence("a.onnx", "b.onnx", [], tolerance="1e-3"),
    "overrides": lambda: precision.Options(overrides=[1]),
    "network": lambda: export.export(None, "a.onnx"),
    "model": lambda: graph.digest("model.onnx"),
    "path of bytes": lambda: engine.build(b"model.onnx"),
    "data set": lambda: open_dataset(None),
    "reduction": lambda: images.decode_image(np.zeros(3, np.uint8), "p", 3),
    "gray pictures": lambda: images.preprocess(np.zeros((1, 9, 9), np.uint8), models.config("bevformer", "mini")),
    "shapes": lambda: calibration.noise("out.npz", {"x": None}, 1),
    "types": lambda: calibration.noise("out.npz", {"x": (1,)}, 1, input_types={"x": "nope"}),
}


@pytest.mark.parametrize("door", DOORS)
def test_the_doors_ask(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        DOORS[door]()
    assert all((caught.value.where, caught.value.found, caught.value.expected, caught.value.fix))
    assert not os.listdir(tmp_path)
