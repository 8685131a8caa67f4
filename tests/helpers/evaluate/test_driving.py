"""All measures of driving at once: of the truth itself, of what differs from it, and of runs from the command line."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from helpers import __main__ as cli
from helpers import evaluate, records, shared
from helpers.cli import summarize
from helpers.dataset import ground, open_dataset, traffic
from helpers.errors import BadInput
from helpers.evaluate.driving import Driving
from helpers.evaluate.timed import Stopwatch, Timed, latencies
from helpers.metrics import tracking
from helpers.systems.uniad.config import CONFIGS
from helpers.systems.uniad.decode import Driven
from tests.helpers.evaluate.fakes import CONFIG, Split, Sum, run

STEPS, SIZE, REACH = 2, (40, 40), 50.0
TASK = evaluate.task_of(CONFIGS["mini"])


@pytest.fixture(scope="module")
def dataset(minidrive):
    return open_dataset(minidrive)


def truth(dataset, frame):
    """What a network would say that knows everything; objects go on for 12 half seconds as far as it is known."""
    nusc, matrix = dataset.nusc, np.linalg.inv(frame.ego2global @ frame.lidar2ego)
    paths = []
    for row in traffic.annotated(dataset, frame):
        way, one = [], row
        for _ in range(12):
            one = nusc.get("sample_annotation", one["next"]) if one["next"] else one
            way.append([*one["translation"], 1])
        paths.append((np.array(way) @ matrix.T)[None, :, :2])
    ids = traffic.numbered(dataset, frame)
    low, high = (-51.2, -51.2), (51.2, 51.2)
    lanes, drivable = ground.lines(dataset.roadmap(frame), frame, ground.Grid(low, high, SIZE))
    owner = ground.vehicles(dataset, frame, ground.Grid((-REACH,) * 2, (REACH,) * 2, (200, 200)), STEPS)
    owner = np.zeros((STEPS, 200, 200), np.int64) if owner is None else owner
    plan = np.concatenate([frame.future_path, np.zeros((6 - len(frame.future_path), 2))])
    plan = plan @ frame.lidar2ego[:2, :2]  # along the axes of the sensor
    chances = np.ones(np.shape(paths)[:2])
    roads = lanes, drivable
    return Driven(frame.boxes, ids, np.array(paths), chances, plan, *roads, owner, owner > 0, low, high, REACH)


def scored(dataset, frames, found):
    """Metrics of what is kept of frames [1, 2, 4, 5]."""
    kept = [(frame.token, TASK.keep(frame, one, dataset)) for frame, one in zip(frames, found, strict=True)]
    return TASK.total(kept, dataset)


@pytest.fixture(scope="module")
def frames(dataset):
    return [dataset[i] for i in (1, 2, 4, 5)]


@pytest.fixture(scope="module")
def known(dataset, frames):
    return [truth(dataset, frame) for frame in frames]


def test_the_truth_is_worth_all_there_is(dataset, frames, known):
    found = scored(dataset, frames, known)
    for name in ("IoU-lane", "IoU/drivable", "IoU/divider", "IoU/contour"):
        assert found[name] == 1, name
    for name in ("IoU-n", "IoU-f", "VPQ-f"):
        assert found[name] == 100, name
    assert found["minADE/car"] < 1e-6 and found["MR/car"] == 0 and found["matched/car"] > 3
    assert found["mATE"] < 0.9 and found["frames"] == 4 and "L2/at@3s" not in found
    assert all(math.isfinite(value) for value in found.values())
    tracks = {frame.token: tracking.to_global(tracking.Tracks(one.boxes, one.ids), frame)
              for frame, one in zip(frames, known, strict=True)}  # fmt: skip
    assert found["AMOTA"] == tracking.score(tracks, dataset)["AMOTA"]


def test_every_measure_sees_its_own_fault(dataset, frames, known):
    """One part is wrong, and its measure alone tells it."""
    right = scored(dataset, frames, known)
    faults = {
        "AMOTA": {"ids": lambda one: np.roll(one.ids, int(one.plan is known[1].plan))},
        "IoU-lane": {"lanes": lambda one: one.lanes[:, ::-1]},
        "IoU/drivable": {"drivable": lambda one: ~one.drivable},
        "minADE/car": {"paths": lambda one: one.paths + 1.5},
        "VPQ-f": {"owner": lambda one: np.stack([one.owner[0], np.where(one.owner[1], one.owner[1] + 90, 0)])},
        "IoU-f": {"occupied": lambda one: one.occupied & (np.arange(200) > 100)},
    }
    for measure, change in faults.items():
        ((part, wrong),) = change.items()
        found = scored(dataset, frames, [one._replace(**{part: wrong(one)}) for one in known])
        changed = {name for name in right if found.get(name) != right[name]}
        assert measure in changed, measure
        others = {name for name in faults if name != measure} & changed
        assert others <= ({"IoU-f"} if measure == "VPQ-f" else set()), (measure, others)


def test_what_no_frame_can_say_is_refused_by_its_sample(dataset, frames, known):
    """A plan that is no number took all plans with it: the metric was left out as undefined."""
    token, kept = frames[0].token, Driving().keep(frames[0], known[0], dataset) | {"plan": np.zeros((1, 12))}
    for name, damage in (
        ("plan", lambda array: array * np.nan),
        ("plan", lambda array: array[:, :11]),
        ("map", lambda array: -1 - array),
        ("future", lambda array: array[..., :5]),
        ("ids", lambda array: array * 0),
        ("paths", lambda array: array[:, :, :11]),
    ):
        with pytest.raises(BadInput, match=rf"result of {token}[\s\S]*{name}[\s\S]*remove the file"):
            Driving().total([(token, kept | {name: damage(kept[name])})], dataset)


def test_a_plan_is_measured_along_the_axes_of_the_vehicle(dataset, frames):
    path = np.stack([np.arange(1.0, 7.0), 0.1 * np.arange(6.0)], -1)
    frame = dataclasses.replace(frames[0], future_path=path)
    row = TASK.keep(frame, truth(dataset, frame), dataset)["plan"]
    assert row.shape == (1, 12) and np.abs(row[0, :6]).max() < 1e-9
    aside = truth(dataset, frame)
    aside = aside._replace(plan=aside.plan + np.array([2.0, 0]))  # to the right of the sensor
    assert np.allclose(TASK.keep(frame, aside, dataset)["plan"][0, :6], 2)
    assert TASK.keep(frames[0], aside, dataset)["plan"].shape == (0, 12)


def test_cells_of_vehicles_and_lines_lie_where_boxes_and_roads_are(dataset, frames):
    frame = frames[0]
    grid = ground.Grid((-50.0, -50.0), (50.0, 50.0), (200, 200))
    now, later = ground.vehicles(dataset, frame, grid, 2)
    cars = frame.boxes[np.isin(frame.boxes.names, ("car", "truck", "bus", "trailer", "construction_vehicle"))]
    inside = (np.abs(cars.centers[:, :2]) < 49).all(1)
    columns, rows = ((cars.centers[inside, :2] + 50) / 0.5).astype(int).T
    assert inside.sum() > 3 and (now[rows, columns] > 0).all()
    assert len(set(now[rows, columns])) == inside.sum() and set(np.unique(later)) <= {0, *np.unique(now)}
    assert ground.vehicles(dataset, frame, grid, 7) is None
    lanes, drivable = ground.lines(dataset.roadmap(frame), frame, grid)
    assert drivable[100, 100] and 0.05 < drivable.mean() < 0.7
    assert lanes.any((1, 2)).all() and (lanes[0] & drivable).sum() > 0.9 * lanes[0].sum()
    turned = dataclasses.replace(frame, ego2global=frame.ego2global @ transform_by(90))
    _, again = ground.lines(dataset.roadmap(frame), turned, grid)
    seen = np.rot90(drivable)  # a vehicle that turns to the left sees the world turn to the right
    assert (seen & again).sum() / (seen | again).sum() > 0.8


def transform_by(degrees):
    turn, matrix = np.radians(degrees), np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return matrix


def test_a_stopwatch_leaves_the_first_run_out():
    ticks = iter(range(100))
    calls = []
    watch = Stopwatch(lambda feeds: calls.append(feeds) or {}, clock=lambda: next(ticks))
    for frame in range(3):
        watch({"frame": frame})
        assert watch.milliseconds == 1000
    assert [call["frame"] for call in calls] == [0, 0, 1, 2]


def timed(folder, network=run):
    """A run of the fake split to its end; its store."""
    split, watches = Split(), []
    store = evaluate.Store(folder, split, {"system": "fake"})

    def opened():
        watches.append(Stopwatch(network))
        return watches[0]

    task = Timed(Sum(), lambda: watches[0])
    evaluate.work(opened, split, CONFIG, store, evaluate.Worker(), task, progress=False)
    return store


def test_times_are_kept_beside_results_that_a_break_does_not_change(tmp_path):
    def failing(feeds):
        if feeds["number"] == 12:
            raise BadInput("output", "NaN", "numbers", "mend it")
        return run(feeds)

    with pytest.raises(BadInput, match="NaN"):
        timed(tmp_path / "broken", failing)
    broken, whole = timed(tmp_path / "broken"), timed(tmp_path / "whole")
    totals = [Timed(Sum(), Stopwatch).total(store.results(), Split()) for store in (broken, whole)]
    assert totals[0]["sum"] == totals[1]["sum"] and totals[0]["latency_ms_n"] == len(Split())
    assert latencies(broken.results()).samples.min() > 0
    store = evaluate.Store(tmp_path / "plain", Split(), {})
    store.save("scene-a", "scene-a-0", {"value": np.zeros(1)})
    store.frames = [("scene-a", "scene-a-0")]
    with pytest.raises(BadInput, match="latency_ms"):
        latencies(store.results())


def called(*words):
    return cli.main([*map(str, words)])


@pytest.fixture(scope="module")
def result(mini, minidrive, tmp_path_factory):
    """A folder of `run`, which went on under another code when it was asked again."""
    out = tmp_path_factory.mktemp("run") / "result"
    words = ["run", "bevformer", "--config=mini", "-e", mini[1], "-i", minidrive, "-o", out, "--quiet"]
    assert called(*words) == 0
    next(out.glob("*/*.npz")).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.store, "code", lambda: "another")
        assert called(*words) == 0
    return out


def test_two_runs_at_once_are_not_timed_in_one_folder(result, mini, minidrive, capsys):
    words = ["run", "bevformer", "--config=mini", "-e", mini[1], "-i", minidrive, "-o", result, "--quiet"]
    with shared.alone(result, "a run", "wait"):
        assert called(*words) == 2 and "a run that another process is at" in capsys.readouterr().err
    assert called(*words) == 0


def test_a_run_is_summarized_beside_a_baseline(result, minidrive, capsys, tmp_path):
    made = records.read(result / "run.json")
    assert made.metrics["latency_ms_n"] == 8 and made.command.startswith("python -m helpers run bevformer")
    assert called("summarize", "-i", result, "--dataroot", minidrive) == 0
    said, noted = capsys.readouterr()
    assert sorted(made.commit.split(" and ")) == sorted(["another", evaluate.store.code()]) and "1 by another" in noted
    assert "NDS" in said and "latency_ms_p50" in said and not (result / "accuracy.png").exists()
    base = records.read(result / "summary.json")
    about = json.loads((result / "evaluation.json").read_text())
    frames = {"samples": about["tokens"], "data": about["data"]}
    assert base.artifacts == made.artifacts | frames and base.metrics["frames"] == 8
    half = {"latency_ms_p50": base.metrics["latency_ms_p50"] / 2}
    faster = dataclasses.replace(base, name="run-other", metrics=base.metrics | half)
    (tmp_path / "base.json").write_text(json.dumps(dataclasses.asdict(faster)))
    assert called("summarize", "-i", result, "-b", tmp_path / "base.json", "--dataroot", minidrive) == 0
    said, noted = capsys.readouterr()
    assert "the baseline is run-other, and this run-bevformer-mini" in noted
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["metric"] == ["value", "base", "difference", "ratio"]
    assert float(rows["latency_ms_p50"][3]) == pytest.approx(2, rel=1e-3) and rows["NDS"][3] == "1"
    page = (result / "summary.md").read_text()
    assert all(
        part in page
        for part in (
            "accuracy.png",
            "| NDS |",
            "baseline: run-other",
            f"commit: {made.commit}",
            f"SHA-256 of {next(iter(made.artifacts))}",
        )
    )
    assert all((result / name).read_bytes().startswith(b"\x89PNG") for name in ("latency.png", "accuracy.png"))


def test_other_devices_and_metrics_are_told():
    record = records.Record("a", "measured", "CPU", {"x": "1"}, "c", "1", "2026-01-01T00:00:00+00:00", {"mIoU": 2.0})
    other = dataclasses.replace(record, device="GPU", metrics={"NDS": 0.5})
    rows = summarize.table(record, other)
    alone = {"difference": None, "ratio": None}
    assert rows == [{"metric": "mIoU", "value": 2.0, "base": None} | alone,
                    {"metric": "NDS", "value": None, "base": 0.5} | alone]  # fmt: skip
    assert "The devices differ" in summarize.page(record, rows, other)
    assert "devices differ" not in summarize.page(record, rows, record)


def test_what_a_baseline_says_in_words_is_shown_as_it_is(result, minidrive, capsys, tmp_path):
    assert called("summarize", "-i", result, "--dataroot", minidrive) == 0
    base = records.read(result / "summary.json")
    words = {"NDS": "not finite", "latency_ms_p50": "not timed"}
    (tmp_path / "base.json").write_text(json.dumps(dataclasses.asdict(base) | {"metrics": base.metrics | words}))
    capsys.readouterr()
    assert called("summarize", "-i", result, "-b", tmp_path / "base.json", "--dataroot", minidrive) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert all(text in lines[name] for name, text in words.items())


def test_no_picture_of_an_earlier_baseline_stays(result, minidrive, capsys, tmp_path):
    assert called("summarize", "-i", result, "--dataroot", minidrive) == 0
    base = records.read(result / "summary.json")
    for metrics, drawn in ((base.metrics, True), ({"mIoU": 0.5}, False), (base.metrics | {"NDS": "none"}, True)):
        (tmp_path / "base.json").write_text(json.dumps(dataclasses.asdict(base) | {"metrics": metrics}))
        assert called("summarize", "-i", result, "-b", tmp_path / "base.json", "--dataroot", minidrive) == 0
        assert (result / "accuracy.png").exists() == drawn == ("accuracy.png" in (result / "summary.md").read_text())
        assert "mIoU" not in metrics or "| mIoU |  | 0.5 |" in (result / "summary.md").read_text()


def test_a_run_whose_papers_were_changed_is_refused(result, minidrive, capsys, tmp_path):
    """What is of another system, file or split than it says would be scored as this one all the same."""
    assert called("summarize", "-i", result, "--dataroot", minidrive) == 0
    base = records.read(result / "summary.json")
    bases = {
        "samples 000": {"artifacts": {"samples": 64 * "0"}},
        "data 000": {"artifacts": {"data": 64 * "0"}},
        "frames 3": {"artifacts": {}, "metrics": {"frames": 3}},
    }
    for said, change in bases.items():
        (tmp_path / "base.json").write_text(json.dumps(dataclasses.asdict(base) | change))
        assert called("summarize", "-i", result, "-b", tmp_path / "base.json", "--dataroot", minidrive) == 2
        assert said in capsys.readouterr().err
    shutil.copytree(result, changed := tmp_path / "changed")
    papers = json.loads((result / "evaluation.json").read_text())
    for change, said in (
        ({"system": "omnidrive"}, "the result of another evaluation"),
        ({"device": "a faster one"}, "the result of another evaluation"),
        ({"sha256": 64 * "0"}, "of the file that evaluation.json tells of"),
    ):
        (changed / "evaluation.json").write_text(json.dumps(papers | change))
        assert called("summarize", "-i", changed, "--dataroot", minidrive) == 2 and said in capsys.readouterr().err


def test_what_summarize_refuses(result, minidrive, tmp_path, capsys):
    for words, said in (
        (["-i", tmp_path], "run.json"),
        (["-i", result, "-b", tmp_path], "summary.json"),
        (["-i", result, "--dataroot", tmp_path], "no folder; versions here"),
    ):
        assert called("summarize", *words) == 2 and said in capsys.readouterr().err
    (tmp_path / "run.json").write_bytes((result / "run.json").read_bytes())
    (tmp_path / "evaluation.json").write_text('{"system": "bevformer"}')
    assert called("summarize", "-i", tmp_path) == 2 and "begin one: python -m helpers run" in capsys.readouterr().err
    lost = next(result.glob("*/*.npz"))
    content = lost.read_bytes()
    lost.unlink()
    assert called("summarize", "-i", result, "--dataroot", minidrive) == 2
    assert "1 of 8 frames without a result" in capsys.readouterr().err
    lost.write_bytes(content)
