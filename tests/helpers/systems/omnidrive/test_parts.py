"""The parts of OmniDrive's vision graph: every node in one, the published rule, and which of them break in FP16."""

from fnmatch import fnmatchcase

import numpy as np
import pytest

from helpers import graph
from helpers.errors import BadInput
from helpers.precision import marking, mixed
from helpers.systems.omnidrive import parts
from tests.helpers.systems.omnidrive.tiny import TINY, drive


@pytest.fixture(scope="module")
def whole(tiny_omnidrive):
    return graph.load(tiny_omnidrive[1])


def test_every_node_is_of_a_part_and_the_published_rule_is_the_backbone(whole):
    found = marking.parts_of(whole, parts.PARTS)
    assert set(found) <= {*parts.PARTS, marking.REST}
    assert all(name.startswith("/Identity") for name in found.get(marking.REST, []))
    assert sum(map(len, found.values())) == len(whole.graph.node)
    named = marking.by_names(whole, parts.SEED)
    public = [node.name for node in whole.graph.node if "img_backbone" not in node.name]
    assert marking.in_fp32(named) == public
    rule = [name for name in public if any(fnmatchcase(name, pattern) for pattern in TINY.fp32)]
    assert rule == public


def test_the_marks_that_were_found_are_those_of_their_parts(whole):
    nodes = marking.parts_of(whole, parts.PARTS)
    wanted = marking.keeping(nodes, ["camera rays", "memory and poses"])
    names = [node.name for node in whole.graph.node]
    found, same = ([marking.precision_of(name, marks) for name in names] for marks in (parts.FOUND, wanted))
    assert found == same and set(found) == {"fp16", "fp32"}


def test_the_rays_break_in_half_precision_and_the_backbone_bears_it(whole):
    made = mixed.Mixed(whole, parts.PARTS, drive()[:2], TINY, lambda outputs: parts.seen(outputs, TINY))
    assert made.trial([]).error == np.inf
    seed = made.errors(made.outputs(parts.SEED))
    assert set(seed) == {"vision_embeded", *TINY.decoded, "all_lane_cls_one2one", "all_lane_preds_one2one"}
    assert 0 < max(seed.values()) < 1e-2


def test_what_is_seen_has_no_rows_of_the_memory():
    random = np.random.default_rng(0)
    outputs = {name: random.normal(size=shape) for name, shape in TINY.output_shapes().items()}
    other = {name: array.copy() for name, array in outputs.items()}
    for name in TINY.decoded:
        other[name][-1, :, TINY.learned :] = 0
        other[name][:-1] = 0
    one, two = parts.seen(outputs, TINY), parts.seen(other, TINY)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    other["all_cls_scores"][-1, 0, TINY.learned - 1] = 0
    assert not np.array_equal(parts.seen(other, TINY)["all_cls_scores"], one["all_cls_scores"])


def test_a_far_map_moves_the_poses_alone():
    steps = drive()[:2]
    for step, moved in zip(steps, parts.far(steps, 2000.0), strict=True):
        pose, inverse = (moved.feeds[name][0].astype(np.float64) for name in ("ego_pose", "ego_pose_inv"))
        assert np.allclose(pose[:2, 3] - step.feeds["ego_pose"][0, :2, 3], 2000, atol=1e-3)
        assert np.allclose(pose @ inverse, np.eye(4), atol=1e-3) and pose[2, 3] == step.feeds["ego_pose"][0, 2, 3]
        same = [name for name in step.feeds if name not in ("ego_pose", "ego_pose_inv")]
        assert all(step.feeds[name] is moved.feeds[name] for name in same) and moved.first == step.first
    with pytest.raises(BadInput, match="finite"):
        parts.far(steps, float("nan"))
