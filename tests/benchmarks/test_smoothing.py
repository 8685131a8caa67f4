"""The sweep of alpha: a small network in INT8 on ranges of other frames than those that are scored, and its records."""

import pytest
from safetensors.torch import save_file

from benchmarks import __main__ as program
from benchmarks import report, smoothing
from benchmarks.session import Session
from tests.benchmarks.test_accuracy import Small
from tests.helpers.systems.conftest import tiny_omnidrive  # noqa: F401


class Smoothed(Small):
    """OmniDrive in its tiny configuration, as if alpha were swept over it."""

    smoothed = True


@pytest.fixture
def session(tmp_path, minidrive, tiny_omnidrive, monkeypatch):  # noqa: F811
    """Of a run over three frames, with two alphas."""
    model, path = tiny_omnidrive
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "tiny.safetensors")
    monkeypatch.setattr("benchmarks.prepare.export", lambda model, out: out.write_bytes(path.read_bytes()))
    monkeypatch.setattr(smoothing, "ALPHAS", {"plain": None, "0.9": 0.9})
    monkeypatch.setattr(smoothing, "SETS", {"few": (1, 2)})
    (tmp_path / "work/models").mkdir(parents=True)
    options = program.parse(["smoothing", "--system=uniad", f"--work={tmp_path / 'work'}", f"--data={minidrive}",
                             "--tiny", f"--checkpoint={tmp_path / 'tiny.safetensors'}"])  # fmt: skip
    options.system = Smoothed()
    made = Session(options.work, command="python -m benchmarks smoothing")
    smoothing.run(made, options)
    return made


def test_every_row_is_scored_and_becomes_a_record_of_its_own_file(session, tmp_path):
    rows = {name: session.result(f"smoothing/{name}") for name in ("fp32", "few/plain", "few/0.9")}
    assert all(row["finite"] for row in rows.values()) and len({row["sha256"] for row in rows.values()}) == 3
    options = program.parse(["records", "--system=uniad", "--tiny", f"--work={session.work}", f"--out={tmp_path}"])
    report.run(session, options)
    found = sorted(path.stem.rpartition("-")[0] for path in tmp_path.glob("*.json"))
    assert found == [f"uniad-mini-onnxruntime-linears-{end}" for end in ("few-0.9", "few-plain", "fp32")]


def test_ranges_are_of_the_first_frames_of_training_scenes(session, tmp_path, minidrive, monkeypatch):
    seen = []
    monkeypatch.setattr(smoothing.calibration, "collect", lambda run, steps, *_: seen.extend(steps))
    options = program.parse(["smoothing", f"--work={session.work}", f"--data={minidrive}"])
    options.system = Smoothed()
    asked, opened = [], smoothing.open_dataset
    monkeypatch.setattr(smoothing, "open_dataset", lambda *names: asked.append(names[-1]) or opened(minidrive))
    made = smoothing.Smoothing(session, options)
    made.calibration("few")
    assert asked == ["mini_val", "mini_train"] and [step.frame.index for step in seen] == [0, 1]


def test_a_system_that_does_not_ask_for_it_has_no_such_rows(tmp_path):
    options = program.parse(["smoothing", "--system=fbocc", f"--work={tmp_path}"])
    smoothing.run(Session(options.work), options)
    assert not Session(options.work).pieces()
