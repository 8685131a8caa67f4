"""Records what UniAD's public evaluation says of the random cases below; its code is not part of this project.

git clone https://github.com/OpenDriveLab/UniAD CLONE
pip install --target FOLDER --no-deps scikit-image lazy-loader networkx
PYTHONPATH=.:FOLDER python -m tests.helpers.metrics.record_uniad CLONE
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np

RECORD = Path(__file__).with_name("uniad.json")
CASES = 6


def sequence(seed):
    """(found, label, occupied) ids [5, 200, 200] of rectangles that move, some lost, split or under another id."""
    random = np.random.default_rng(seed)
    found, label = np.zeros((2, 5, 200, 200), np.int64)
    for k in range(12):
        corner, size, step = random.uniform(20, 170, 2), random.integers(3, 14, 2), random.normal(0, 5, 2)
        off, name = random.integers(-2, 3, 2), k + 1
        for t in range(5):
            low = (corner + t * step).astype(int)
            if random.random() < 0.15:
                name = int(random.integers(1, 15))
            _fill(label[t], low, size, k + 1)
            if random.random() < 0.85:
                _fill(found[t], low + off, size, name)
    return found, label, (found > 0) ^ (random.random(found.shape) < 0.01)


def _fill(cells, low, size, name):
    rows, columns = (slice(max(0, a), max(0, a + b)) for a, b in zip(low, size, strict=True))
    cells[rows, columns] = name


def plan(seed):
    """(path, true path, cells): m forward and to the left [6, 2], and bool [6, 200, 200]."""
    random = np.random.default_rng(100 + seed)
    steps = np.stack([random.uniform(0.5, 4, 6), random.normal(0, 0.6, 6)], -1)
    path = steps.cumsum(0)
    true = path + random.normal(0, 1.2, (6, 2)).cumsum(0)
    cells = random.random((6, 200, 200)) < 0.012
    return path, true, cells


def objects(seed):
    """({token: [(place, path)]}, {token: [(place, score, paths [6, 12, 2])]}) of one group in four samples."""
    random = np.random.default_rng(200 + seed)
    true, found = {}, {}
    for token in "abcd":
        true[token], found[token] = [], []
        for _ in range(8):
            place, speed = random.uniform(-40, 40, 2), random.normal(0, 3, 2)
            steps = int(random.choice((0, 3, 8, 12, 12, 12)))
            path = place + np.outer(np.arange(1, 13), speed) * 0.5
            true[token].append((place, path[:steps]))
            if random.random() < 0.8:
                noise = random.normal(0, 0.4, (6, 12, 2)).cumsum(1) * random.uniform(0, 3)
                found[token].append((place + random.normal(0, 0.9, 2), random.random(), path + noise))
        for _ in range(2):
            found[token].append((random.uniform(-40, 40, 2), random.random(), random.uniform(-40, 40, (6, 12, 2))))
    return true, found


class Metric:
    """What the public metrics need of the class that they extend."""

    def __init__(self, compute_on_step=False):
        pass

    def add_state(self, name, default, dist_reduce_fx):
        setattr(self, name, default.clone())


def load(clone, path, name):
    spec = importlib.util.spec_from_file_location(name, clone / "projects/mmdet3d_plugin" / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def counted(prediction, target, classes):
    """tp, fp, tn, fn and support of every class, as pytorch_lightning counts them."""
    import torch

    rows = [((prediction == k) & (target == k), (prediction == k) & (target != k), (prediction != k) & (target != k),
             (prediction != k) & (target == k), target == k) for k in range(classes)]  # fmt: skip
    return [torch.tensor([float(row[i].sum()) for row in rows]) for i in range(5)]


def stand_in():
    """The modules of pytorch_lightning that the public files import."""
    for name in ("pytorch_lightning", "pytorch_lightning.metrics", "pytorch_lightning.metrics.metric",
                 "pytorch_lightning.metrics.functional", "pytorch_lightning.metrics.functional.classification",
                 "pytorch_lightning.metrics.functional.reduction"):  # fmt: skip
        sys.modules[name] = types.ModuleType(name)
    sys.modules["pytorch_lightning.metrics.metric"].Metric = Metric
    sys.modules["pytorch_lightning.metrics.functional.classification"].stat_scores_multiple_classes = counted
    sys.modules["pytorch_lightning.metrics.functional.reduction"].reduce = lambda scores, reduction: scores


def occupancy(clone):
    import torch

    metrics, found = load(clone, "uniad/dense_heads/occ_head_plugin/metrics.py", "public.occ"), {}
    for name, part in (("n", slice(70, 130)), ("f", slice(0, 200))):
        iou, panoptic = metrics.IntersectionOverUnion(2), metrics.PanopticMetric(2)
        for seed in range(CASES):
            ids, label, cells = (torch.from_numpy(one[None, :, part, part].astype(np.int64)) for one in sequence(seed))
            iou.update(cells, (label > 0).long())
            panoptic.update(ids, label)
        found[f"IoU-{name}"] = 100 * float(iou.compute()[1])
        for measure, key in (("VPQ", "pq"), ("SQ", "sq"), ("RQ", "rq")):
            found[f"{measure}-{name}"] = 100 * float(panoptic.compute()[key][1])
    return found


def planning(clone):
    import torch

    sys.modules["public"] = types.ModuleType("public")
    sys.modules["public.occ_head_plugin"] = load(clone, "uniad/dense_heads/occ_head_plugin/utils.py", "public.utils")
    load(clone, "uniad/dense_heads/planning_head_plugin/planning_metrics.py", "public.head.planning")
    metric = sys.modules["public.head.planning"].PlanningMetric
    metric.__init__.__globals__["nn"].Parameter = lambda value, requires_grad: value
    one = metric()
    for seed in range(40):
        path, true, cells = plan(seed)
        xy = (torch.from_numpy(np.stack([-p[:, 1], p[:, 0]], -1)[None]).float() for p in (path, true))
        one.update(*xy, torch.ones(1, 6, 2), torch.from_numpy(cells[None]))
    return {name: [float(value) for value in values] for name, values in one.compute().items()}


def motion(clone):
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.common.utils import center_distance
    from nuscenes.eval.detection.algo import calc_tp
    from nuscenes.eval.detection.data_classes import DetectionBox

    package = sys.modules["public.eval"] = types.ModuleType("public.eval")
    package.__path__ = []
    errors = load(clone, "datasets/eval_utils/metric_utils.py", "public.eval.metric_utils")
    public, found = load(clone, "datasets/eval_utils/eval_utils.py", "public.eval.eval_utils"), []

    def box(token, place, path, score=-1.0):
        made = DetectionBox(sample_token=token, translation=(*map(float, place), 0.0), size=(1, 1, 1),
                            rotation=(1, 0, 0, 0), detection_name="car", detection_score=float(score))  # fmt: skip
        made.traj = path
        return made

    for seed in range(CASES):
        boxes = EvalBoxes(), EvalBoxes()
        for token, row in objects(seed)[0].items():
            boxes[0].add_boxes(token, [box(token, place, path) for place, path in row])
        for token, row in objects(seed)[1].items():
            boxes[1].add_boxes(token, [box(token, place, paths, score) for place, score, paths in row])
        data, matched, false, total = public.accumulate(*boxes, "car", center_distance, 2.0)
        hits = public.accumulate_motion(*boxes, "car", center_distance, errors.traj_fde, 2.0, 2.0)[1]
        names = {"minADE": "min_ade_err", "minFDE": "min_fde_err", "MR": "miss_rate_err"}
        row = {name: float(np.ravel(calc_tp(data, 0.1, key))[0]) for name, key in names.items()}
        found.append(row | {"EPA": (int(hits) - 0.5 * int(false)) / (total + 1e-5), "matched": int(matched)})
    return found


def main(clone):
    stand_in()
    found = {"occupancy": occupancy(clone), "motion": motion(clone), "planning": planning(clone)}
    RECORD.write_text(json.dumps({"source": "the public repository of UniAD, branch v2.0"} | found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
