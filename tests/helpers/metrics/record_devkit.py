"""Records what nuscenes-devkit's own tracking evaluation says; it needs packages that are not in the lock.

pip install --target FOLDER --no-deps motmetrics==1.4.0 pandas==2.3.3 xmltodict pytz tzdata
PYTHONPATH=.:FOLDER python -m tests.helpers.metrics.record_devkit
"""

import contextlib
import io
import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

from nuscenes.eval.common.config import config_factory

from data_scripts.make_minidrive import make
from helpers.dataset import open_dataset
from helpers.metrics import tracking
from tests.builders.tracks import SPOILS, annotated, random_scenes

RECORD = Path(__file__).with_name("tracking_devkit.json")
SEEDS = 4
SCENES = ("scene-0103", "scene-0916")  # of the fixture minidrive


def rounded(values):
    return {name: None if value != value else float(f"{value:.9g}") for name, value in values.items()}


def whole(folder):
    """Spoil -> the summary of TrackingEval over a small MiniDrive."""
    from nuscenes.eval.tracking.evaluate import TrackingEval

    root = make(folder / "minidrive", names=list(SCENES), frames=4, workers=1)
    dataset, found = open_dataset(root, split="mini_val"), {}
    for spoil in SPOILS:
        if spoil == "silent":  # which the devkit refuses
            continue
        path = tracking.write(annotated(dataset, spoil), folder / f"{spoil}.json")
        evaluation = TrackingEval(config_factory(tracking.CONFIG), str(path), "mini_val", str(folder / spoil),
                                  "v1.0-mini", str(root), verbose=False)  # fmt: skip
        metrics = evaluation.evaluate()[0].serialize()
        amota = {f"AMOTA/{name}": value for name, value in metrics["label_metrics"]["amota"].items()}
        found[spoil] = rounded({name: metrics[name] for name in ("amota", "amotp", *tracking.NAMES)} | amota)
    return found


def synthetic():
    """Seed -> measures by threshold, each from the lowest, and the averages, of the devkit's TrackingEvaluation."""
    from nuscenes.eval.tracking.algo import TrackingEvaluation
    from nuscenes.eval.tracking.data_classes import TrackingMetricData

    config, found = config_factory(tracking.CONFIG), {}
    for seed in range(SEEDS):
        true, tracks = random_scenes(seed)
        evaluation = TrackingEvaluation(true, tracks, "car", config.dist_fcn_callable, config.dist_th_tp,
                                        config.min_recall, TrackingMetricData.nelem, config.metric_worst,
                                        verbose=False)  # fmt: skip
        data = evaluation.accumulate()
        names = ("confidence", "gt", "motar", "motp", *tracking.NAMES)
        rows = [rounded({name: data.get_metric(name)[k] for name in names}) for k in range(TrackingMetricData.nelem)]
        found[seed] = [row for k, row in enumerate(rows) if row["confidence"] is not None and row not in rows[:k]]
    return found


def main():
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        found = {"minidrive": whole(Path(folder)), "random": synthetic()}
    packages = ", ".join(f"{name} {version(name)}" for name in ("nuscenes-devkit", "motmetrics", "pandas"))
    RECORD.write_text(json.dumps({"source": packages} | found) + "\n")


if __name__ == "__main__":
    main()
