"""One result whatever the number of processes and interruptions, and folders and environments that do not fit."""

import itertools
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tqdm.auto import tqdm

from helpers.dataset import stream
from helpers.errors import BadInput
from helpers.evaluate import Store, Worker, evaluate, local, store, task_of
from helpers.sequence import rollout
from tests.builders.waiting import HANG
from tests.helpers.evaluate.fakes import CONFIG, LENGTHS, Split, Sum, run

FRAMES = sum(LENGTHS.values())
ABOUT = {"system": "fake", "sha256": "0"}


@pytest.fixture(scope="module")
def right():
    """The total of one loop over the whole split."""
    store.code()  # asks git, once for the processes that are forked
    split = Split()
    running = rollout(run, stream((split[i] for i in range(FRAMES)), CONFIG), CONFIG.states, CONFIG.initial_states())
    return {"sum": sum(outputs["remembered"][0] * (k + 1) for k, (_, _, outputs) in enumerate(running))}


def go(folder, rank=0, count=1, network=run):
    split = Split()
    store = Store(folder, split, ABOUT)
    return evaluate(lambda: network, split, CONFIG, store, Worker(rank, count), Sum(), progress=False)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_ino for path in folder.glob("*/*.npz")}


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_one_result_whatever_the_number_of_processes(tmp_path, right, count):
    outcomes = [go(tmp_path / "out", rank, count) for rank in range(count)]
    assert sum(outcome.driven for outcome in outcomes) == FRAMES == len(files(tmp_path / "out"))
    assert outcomes[-1].metrics == right and [outcome.metrics for outcome in outcomes[:-1] if outcome.missing] == [
        None for outcome in outcomes[:-1] if outcome.missing
    ]
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == right
    again = go(tmp_path / "out", 0, 1, network=None)
    assert again.metrics == right and again.driven == 0  # nothing is opened, nothing is run


def test_processes_at_the_same_time(tmp_path, right):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=go_apart, args=(tmp_path / "out", rank, 3)) for rank in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert go(tmp_path / "out").metrics == right


def go_apart(*arguments):
    """`go` in a forked process, with its own lock of progress bars: who is killed would keep a shared one."""
    tqdm.set_lock(threading.RLock())
    go(*arguments)


def slowly(feeds):
    time.sleep(0.01)
    return run(feeds)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_killed_at_any_moment_nothing_is_lost_or_counted_twice(tmp_path, right, count):
    """Processes are killed again and again until all is done; a file that was there is never written anew.

    The total tells a frame that is lost, counted twice, or driven without the history of its scene.
    """
    fork, rng, out, before = multiprocessing.get_context("fork"), np.random.default_rng(count), tmp_path / "out", {}
    rounds = killed = 0
    while len(before) < FRAMES:
        workers = [fork.Process(target=go_apart, args=(out, rank, count, slowly)) for rank in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(rng.uniform(0.0, 0.002 * 1.15**rounds))  # longer and longer: a busy machine gets on, too
            worker.kill()
        for worker in workers:
            worker.join()
            killed += worker.exitcode < 0
        now = files(out) if out.exists() else {}
        assert before.items() <= now.items()
        before, rounds = now, rounds + 1
    assert killed
    outcome = go(out)
    assert outcome.metrics == right and outcome.driven == 0 and files(out) == before
    assert list(out.rglob("*.part")) == []  # nor is anything left of what was being written


def test_a_scene_that_was_broken_off_is_driven_from_its_beginning_as_far_as_it_must(tmp_path, right):
    go(tmp_path / "out")
    lost = ("scene-c/scene-c-4.npz", "scene-c/scene-c-2.npz", "scene-e/scene-e-0.npz")
    for name in lost:
        os.remove(tmp_path / "out" / name)
    seen = []

    def watched(feeds):
        seen.append(float(feeds["number"][0]))
        return run(feeds)

    outcome = go(tmp_path / "out", network=watched)
    assert outcome == (right, 0, 3)
    assert seen == [9.5, 10, 11, 12, 13, 19.5]  # the first five frames of scene-c, the first of scene-e


def test_while_others_are_at_work_there_are_no_metrics(tmp_path):
    outcome = go(tmp_path / "out", 0, 2)
    assert outcome.metrics is None and outcome.missing == FRAMES - outcome.driven > 0
    assert not (tmp_path / "out/metrics.json").exists()


def test_what_stops_a_run_keeps_what_is_done(tmp_path, right):
    def failing(feeds):
        if feeds["number"] == 12:
            raise BadInput("output", "NaN", "numbers", "mend it")
        return run(feeds)

    with pytest.raises(BadInput, match="NaN"):
        go(tmp_path / "out", network=failing)
    assert len(files(tmp_path / "out")) == 12
    assert go(tmp_path / "out").metrics == right


def test_every_scene_has_one_process_and_loads_are_even():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 7):
        scenes = {f"s{k}": range(rng.integers(1, 41)) for k in range(50)}
        shares = [Worker(rank, count).share(scenes) for rank in range(count)]
        assert sorted(itertools.chain(*shares)) == sorted(scenes)
        loads = [sum(len(scenes[scene]) for scene in share) for share in shares]
        assert max(loads) - min(loads) <= 40
        assert all(share == [scene for scene in scenes if scene in share] for share in shares)


def test_what_torchrun_says():
    assert Worker.from_environment({}) == Worker(0, 1)
    assert Worker.from_environment({"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0"}) == Worker(2, 4)
    for variables in ({"RANK": "1"}, {"RANK": "a", "WORLD_SIZE": "2"}, {"RANK": "-1", "WORLD_SIZE": "2"}):
        with pytest.raises(BadInput, match="whole numbers in RANK and WORLD_SIZE"):
            Worker.from_environment(variables)
    for count in ("2", "9" * 30):  # as many processes as no machine has room to count
        with pytest.raises(BadInput, match=f"RANK=2, WORLD_SIZE={count}"):
            Worker.from_environment({"RANK": "2", "WORLD_SIZE": count})


def test_a_folder_of_another_evaluation_or_of_something_else(tmp_path):
    go(tmp_path / "out")
    with pytest.raises(BadInput, match=r"evaluation\.json\n  found: +sha256='0'\n  expected: sha256='1'"):
        Store(tmp_path / "out", Split(), ABOUT | {"sha256": "1"})
    with pytest.raises(BadInput, match="samples=24"):
        Store(tmp_path / "out", Split({"scene-a": 7}), ABOUT)
    (tmp_path / "out/evaluation.json").write_text("[]")
    with pytest.raises(BadInput, match=r"evaluation\.json"):
        go(tmp_path / "out")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"files, but no evaluation\.json"):
        go(tmp_path)
    with pytest.raises(BadInput, match="notes"):
        go(tmp_path / "notes.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "out"]


def test_a_folder_goes_on_with_the_data_that_it_was_begun_with_alone(tmp_path):
    """Tokens do not tell versions of a made data set apart; what was begun before folders said so goes on."""
    split = Split()
    split.dataroot = tmp_path
    old = Store(tmp_path / "old", split, ABOUT)
    (tmp_path / "minidrive.json").write_text("one")
    Store(tmp_path / "out", split, ABOUT)
    assert Store(tmp_path / "old", split, ABOUT)._digest == old._digest
    (tmp_path / "minidrive.json").write_text("another")
    with pytest.raises(BadInput, match=r"evaluation\.json\n  found: +data='"):
        Store(tmp_path / "out", split, ABOUT)


def test_frames_of_more_than_one_code_are_told(tmp_path, monkeypatch):
    """Before the others are driven, and when all are done; those of one code, or of an older one alone, say nothing."""

    def told(code):
        monkeypatch.setattr(store, "code", lambda: code)
        return Store(tmp_path / "out", Split(), ABOUT).mixture()

    assert told("aaa") == ""
    done = go(tmp_path / "out", 0, 2).driven
    assert told("aaa") == ""
    shares = f"{done} by aaa, {FRAMES - done} by bbb"
    assert shares in told("bbb")
    go(tmp_path / "out")
    assert shares in told("bbb") and shares in told("aaa")
    for path in (tmp_path / "out").glob("*/*.npz"):
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive if name != store.MADE_BY}
        np.savez(path, **arrays)
    assert told("bbb") == "" and not go(tmp_path / "out").missing
    next((tmp_path / "out").glob("*/*.npz")).unlink()
    assert f"1 by bbb, {FRAMES - 1} by unknown" in told("bbb")


def test_code_that_differs_from_its_commit_is_told_by_its_files(monkeypatch):
    for commit, named in (("0123456789ab", True), ("0123456789ab-dirty", False), ("unknown", False)):
        monkeypatch.setattr(store.records, "commit", lambda: commit)  # noqa: B023
        found = store.code.__wrapped__()
        assert found == commit if named else found.startswith(f"{commit} (helpers ")


def test_what_fails_before_its_first_frame_leaves_the_folder_as_it_was(tmp_path):
    """So that the right network may have it; a frame that is done keeps it, and so do processes that share the work."""

    def fails(after):
        left = itertools.count()

        def network(feeds):
            if next(left) == after:
                raise BadInput("network", "another", "this one", "correct it")
            return run(feeds)

        return network

    (tmp_path / "empty").mkdir()
    for folder, stays in ((tmp_path / "out", False), (tmp_path / "empty", True)):
        for _ in range(2):
            with pytest.raises(BadInput, match="another"):
                go(folder, network=fails(0))
            assert folder.exists() == stays and not (stays and list(folder.iterdir()))
    for rank, after in ((1, 0), (0, 2)):
        with pytest.raises(BadInput, match="another"):
            go(tmp_path / f"kept{rank}", rank, rank + 1, network=fails(after))
        assert (tmp_path / f"kept{rank}/evaluation.json").is_file()
    with pytest.raises(BadInput, match="another"):
        go(tmp_path / "kept0", network=fails(0))  # of an evaluation that had begun
    assert (tmp_path / "kept0/evaluation.json").is_file() and len(files(tmp_path / "kept0")) == 2


def test_of_two_evaluations_that_begin_at_once_in_a_folder_one_has_it(tmp_path, monkeypatch):
    both, first = threading.Barrier(2), store.write_first
    monkeypatch.setattr(store, "write_first", lambda *words: both.wait(HANG) >= 0 and first(*words))

    def begin(digest):
        try:
            return Store(tmp_path / "out", Split(), ABOUT | {"sha256": digest}) and digest
        except BadInput as error:
            return error.where

    with ThreadPoolExecutor(2) as pool:
        had = list(pool.map(begin, "12"))
    about = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert sorted(had) == sorted([about["sha256"], str(tmp_path / "out/evaluation.json")])


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 300])
def test_a_damaged_result_is_named(tmp_path, content):
    go(tmp_path / "out")
    (tmp_path / "out/scene-b/scene-b-1.npz").write_bytes(content)
    with pytest.raises(BadInput, match=r"scene-b-1\.npz[\s\S]*remove the file and run the evaluation again"):
        go(tmp_path / "out")


def test_the_result_of_another_frame_is_refused_and_one_that_names_none_is_read(tmp_path):
    """Files whose names were exchanged are whole, and would be scored without a word."""
    go(tmp_path / "out")
    one, other = sorted((tmp_path / "out/scene-a").glob("*.npz"))[:2]
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(BadInput, match=rf"{one.name}\n  found: +the result of '{other.stem}'"):
        go(tmp_path / "out")
    one.write_bytes(kept)
    with np.load(one) as archive:
        arrays = {name: archive[name] for name in archive if name not in (store.WHOSE, store.OF)}
    np.savez(one, **arrays)
    assert not go(tmp_path / "out").missing


def test_results_of_two_evaluations_are_not_scored_as_one(tmp_path):
    """Neither of a frame that was copied from another folder, nor of all under a description that was changed."""
    go(tmp_path / "out")
    Store(tmp_path / "other", Split(), ABOUT | {"sha256": "1"}).save("scene-a", "scene-a-0", {"value": np.zeros(1)})
    path = tmp_path / "out/scene-a/scene-a-0.npz"
    kept = path.read_bytes()
    path.write_bytes((tmp_path / "other/scene-a/scene-a-0.npz").read_bytes())
    with pytest.raises(BadInput, match=r"scene-a-0\.npz\n  found: +the result of another evaluation"):
        go(tmp_path / "out")
    path.write_bytes(kept)
    assert not go(tmp_path / "out").missing


def test_a_configuration_without_a_task():
    with pytest.raises(BadInput, match=r"config 'fake'\n  found: +task ''\n  expected: one of detection, occupancy"):
        task_of(CONFIG)


def test_local_processes_end_with_the_first_that_fails():
    begun = time.monotonic()
    local.run_workers(["--help"], 2, lambda: 0, 1, progress=False)
    with pytest.raises(BadInput, match=r"worker [01] of 2\n  found: +ended with code 2"):
        local.run_workers(["no such command"], 2, lambda: 0, 1, progress=False)
    assert time.monotonic() - begun < HANG
