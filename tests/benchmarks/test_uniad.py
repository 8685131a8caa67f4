"""UniAD as a system to measure: half precision before the map, what is kept of a frame, the published ratios."""

import fnmatch

import numpy as np
import pytest
import torch

from benchmarks.systems import SYSTEMS
from benchmarks.systems.uniad import LIKE, with_half_features
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.decode import Driven
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
