"""UniAD as a system to measure: half precision before the map, what is kept of a frame, the published ratios."""

import fnmatch
import types

import numpy as np
import pytest
import torch

from benchmarks import definitions, engines, report, rows
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from benchmarks.systems.uniad import LIKE, with_half_features
from helpers.engine import cache
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.decode import Driven
from tests.helpers.engine.tensorrt.builders import save_free, save_quantized
from tests.helpers.systems.driven import driven
from tests.helpers.systems.uniad.tiny import SHORT, drive, network

SYSTEM = SYSTEMS["uniad"]


def test_what_makes_the_map_of_pictures_is_in_half_precision():
    steps = drive(2, SHORT)
    expected, model = driven(network(SHORT), steps), with_half_features(network(SHORT))
    found = driven(model, steps)
    half = {name.split(".")[0] for name, p in model.named_parameters() if p.dtype == torch.float16}
    assert half == {"img_backbone", "img_neck"}
    difference = [np.abs(SYSTEM.seen(SHORT, one)["bev_embed"] - other["bev_embed"]).max()
                  for one, other in zip(found, expected, strict=True)]  # fmt: skip
    assert all(0 < each < 0.05 for each in difference) and set(LIKE) <= expected[0].keys()


def test_what_is_kept_of_a_frame_is_scored_again():
    outputs = driven(network(SHORT), drive(1, SHORT))[0]
    kept = SYSTEM.kept(SHORT, outputs)
    assert SYSTEM.finite(kept) and isinstance(SYSTEM.decoded(SHORT, kept), Driven)
    assert not SYSTEM.finite(kept | {"outs_planning": np.full((1, 6, 2), np.nan)})


def test_places_and_the_life_of_tracks_stay_in_fp32():
    """In the graph an operator of a network or head itself begins with a capital, a module does not."""
    kept = "/GatherND_8", "/motion_head/Atan", "/pts_bbox_head/transformer/encoder/projection/Div"
    half = "/img_backbone/conv1/Conv", "/pts_bbox_head/transformer/encoder/layers.0/attentions.1/Add"
    fits = [any(fnmatch.fnmatchcase(name, each) for each in CONFIGS["tiny"].fp32) for name in (*kept, *half)]
    assert fits == [True] * len(kept) + [False] * len(half)


def test_it_is_measured_as_it_is_deployed():
    assert SYSTEM.config("mini").pictures and not SYSTEM.has_ends("mini") and SYSTEMS["bevformer"].has_ends("mini")
    assert SYSTEM.config("published") == CONFIGS["tiny"] and SYSTEM.config("mini") == CONFIGS["mini"]
    assert {SYSTEM.config("mini").input_types()[name].kind for name in SYSTEM.keep_fp32} == {"f", "i"}
    ms = {name: row["ms"] for name, row in SYSTEM.published.items()}
    assert SYSTEM.goals == {name: pytest.approx(ms["fp32"] / ms[name], abs=0.005) for name in ("fp16", "qdq")}
    assert [round(ms["eager"] / ms[name], 1) for name in ("fp32", "fp16", "qdq")] == [13.2, 17.0, 21.5]


def options(work, runtime="tensorrt", limit=None, **more):
    given = {"runtime": runtime, "plugin": None, "system": SYSTEM, "tiny": False, "level": 1, "workspace": 64,
             "tactic_sources": [], "limit": limit, "preparing": "python -m benchmarks prepare"}  # fmt: skip
    return types.SimpleNamespace(**given | more)


def test_the_mini_is_also_built_layer_by_layer_timed_with_the_others_and_recorded(tmp_path, monkeypatch):
    """The piece of the build, by a stand-in for the builder; its times are among those that are taken in turns."""
    names = rows.names(options(tmp_path), "mini")
    assert names[-2:] == ["definition", "definition_fp16"] and "definition" not in rows.names(
        options(tmp_path), "published"
    )
    assert "definition" not in rows.names(options(tmp_path, system=SYSTEMS["bevformer"]), "mini")
    definitions.write(network(SHORT), tmp_path, "mini")
    asked = []

    def build(source, out, runtime, precision, **settings):
        out.write_bytes(b"plan")
        asked.append((len(source.weights), source.about["config"], runtime, precision, settings))
        made = cache.metadata({key: {} for key in cache.IDENTITY}, out, 7.0, {"constrained_layers": 3})
        cache.write_meta(cache.metadata_file(out), made)
        return made

    monkeypatch.setattr(definitions, "build", build)
    session = Session(tmp_path, commit="c")
    shape = engines.Shape(session, options(tmp_path), "mini")
    built = {name: shape.build_piece(name) for name in definitions.ENGINES}
    assert built["definition"]["constrained_layers"] == 3 and built["definition"]["build_seconds"] == 7.0
    tensors = len(network(SHORT).state_dict())
    common = {"workspace": 64, "timing_cache": tmp_path / "timing.cache", "tactic_sources": [], "optimization_level": 1}
    assert asked == [(tensors, "mini", "tensorrt", precision, common | {"tf32": precision != "fp32"})
                     for precision in ("fp32", "fp16")]  # fmt: skip
    timing = {name: {"p50": ms, "p99": ms, "n": 1} for name, ms in (("fp32", 8.0), ("definition", 4.0))}
    session.piece("tensorrt/mini/time", lambda: {"gpu": timing})
    session.piece("evaluate/tensorrt-definition", lambda: {"AMOTA": 0.4, "L2/mean@3s": 0.6, "frames": 40})
    (found,) = [
        metrics for name, metrics, _ in report.engines(session.pieces(), "uniad") if name.endswith("definition")
    ]
    assert found["gpu_ms_p50"] == 4.0 and found["speedup_over_fp32"] == 2.0 and found["build_seconds"] == 7.0
    assert found["AMOTA"] == 0.4 and found["L2/mean@3s"] == 0.6


def test_without_its_weights_a_definition_is_not_built_and_the_rest_goes_on(tmp_path, capsys):
    session = Session(tmp_path, commit="c")
    shape = engines.Shape(session, options(tmp_path), "mini")
    assert shape.build_piece("definition") is None and session.failed == ["tensorrt/mini/build/definition"]
    assert "mini_weights/index.json is absent: python -m benchmarks prepare" in capsys.readouterr().out


def test_the_second_of_two_engines_is_int8_only_where_a_node_of_it_is(tmp_path):
    row = rows.spec("pair_qdq_plugin")
    assert engines._fitting(row, save_quantized(tmp_path / "qdq.onnx"))["precision"] == "explicit"
    fitting = engines._fitting(row, save_free(tmp_path / "plain.onnx"))
    assert fitting == row | {"precision": "fp32"} and rows.spec("pair")["precision"] == "fp32"
