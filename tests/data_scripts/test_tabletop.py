"""The tabletop: the camera shows things where they are said to be, the expert reaches, and files are made whole."""

import json
import shlex

import numpy as np
import pytest

from data_scripts import make_tabletop
from data_scripts.tabletop import render, text, vocabulary, world
from helpers.dataset import tabletop
from helpers.errors import BadInput
from helpers.llm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_tabletop.make(tmp_path_factory.mktemp("tabletop") / "data", episodes=6, seed=3)


def states(count=40, seed=5):
    return [world.drawn(np.random.default_rng([seed, k])) for k in range(count)]


def test_a_thing_has_its_color_where_it_is_said_to_be():
    for number, state in enumerate(states()):
        clear = world.replace(state, tip=np.array([0.3, 0.3, 0.3]))
        picture = render.render(clear, number).astype(float)
        for thing in state.things:
            column, row = np.rint(render.project(np.array([thing.x, thing.y, world.HEIGHT / 2]))[0]).astype(int)
            seen, paint = picture[row, column], np.array(render.PAINT[thing.color], float)
            assert seen @ paint / np.linalg.norm(seen) / np.linalg.norm(paint) > 0.97, (number, thing)


def test_the_gripper_is_drawn_at_its_tip_and_opens():
    state = world.replace(states(1)[0], tip=np.array([0.1, 0.0, 0.15]))
    moved, closed = (
        world.replace(state, **change) for change in ({"tip": np.array([0.16, 0.0, 0.15])}, {"closed": True})
    )
    first, second = (
        np.abs(render.render(other).astype(int) - render.render(state)).max(-1) > 60 for other in (moved, closed)
    )
    rows, columns = np.nonzero(second)
    column, row = render.project(state.tip)[0]
    assert abs(columns.mean() - column) < 2 and -12 < rows.mean() - row < 0
    assert first.sum() > second.sum() > 3


@pytest.mark.parametrize("seed", range(20))
def test_the_expert_reaches_and_closes(seed):
    walked = list(make_tabletop.states(seed, 0))
    after = walked[-1].after(walked[-1].expert())
    assert after.succeeded and len(walked) < make_tabletop.LONGEST
    assert [state.expert()[6] for state in walked] == [1.0] * (len(walked) - 1) + [0.0]
    early = walked[0].after(np.array([*walked[0].expert()[:6], 0.0]))
    assert early.succeeded == ((1 - world.SHARE) * walked[0].distance < world.REACHED)


def test_the_wrist_turns_with_the_arm():
    state = world.replace(states(1)[0], tip=np.array([-0.15, 0.0, 0.05]), target=0)
    across = world.replace(state, things=(world.Thing("red", "cube", 0.15, 0.0),))
    action = across.expert()
    assert action[0] == pytest.approx(world.SHARE * 0.3) and action[5] > 0.2 and action[3] == -0.5 * action[5]


def test_reasoning_is_tokens_of_the_mini_without_unknown_ones():
    tokenizer = Tokenizer(*vocabulary.vocabulary())
    for state in states():
        for line in (text.reasoning(state), f"In: What action should the robot take to {state.instruction}?\nOut:"):
            ids = tokenizer.encode(line)
            assert tokenizer.unk not in ids and tokenizer.decode(ids) == line
            assert len(ids) < 36  # words are one token each
        assert f"MOVE: {text.move(state.expert())} GRIPPER" in text.reasoning(state)


def test_directions_are_named_and_small_ones_are_not():
    assert text.move(np.array([-0.1, 0.05, -0.01, 0, 0, 0, 1])) == "left forward"
    assert text.move(np.array([0.0, -0.03, 0.03, 0, 0, 0, 1])) == "backward up"
    assert text.move(np.zeros(7)) == "close" and text.move(np.array([0.0] * 6 + [1])) == "stay"


def test_what_is_written_is_read(made):
    data = tabletop.open_tabletop(made)
    episodes = json.loads((made / "episodes.json").read_text())
    assert len(data.observations) == sum(len(episode["steps"]) for episode in episodes)
    first = next(make_tabletop.states(0, 3))
    seen = data.observations[0]
    assert (seen.instruction, seen.reasoning) == (first.instruction, text.reasoning(first))
    assert seen.action == pytest.approx(first.expert(), abs=1e-6)
    assert np.abs(seen.image().astype(int) - render.render(first, 0)).mean() < 4  # JPEG
    numbers = data.statistics["tabletop"]["action"]
    actions = np.array([each.action for each in data.observations])
    assert numbers["q99"] == pytest.approx(np.quantile(actions, 0.99, axis=0), abs=1e-5)
    assert numbers["mask"] == [True] * 6 + [False]


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    again = make_tabletop.make(tmp_path / "again", episodes=6, seed=3)
    files = [path.relative_to(made) for path in sorted(made.rglob("*")) if path.is_file()]
    assert files and all((made / file).read_bytes() == (again / file).read_bytes() for file in files)
    other = make_tabletop.make(tmp_path / "other", episodes=6, seed=4)
    assert (other / "episodes.json").read_bytes() != (made / "episodes.json").read_bytes()


def test_what_is_there_is_kept_and_what_is_none_refused(made, tmp_path):
    stamp = (made / "episodes.json").stat().st_mtime_ns
    make_tabletop.make(made, episodes=6, seed=3)
    assert (made / "episodes.json").stat().st_mtime_ns == stamp
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(BadInput, match="not a tabletop"):
        make_tabletop.make(tmp_path, episodes=1)
    assert (tmp_path / "mine.txt").read_text() == "kept"
    with pytest.raises(BadInput, match="episodes"):
        make_tabletop.make(tmp_path / "x", episodes=0)
    with pytest.raises(BadInput, match="seed"):
        make_tabletop.make(tmp_path / "x", episodes=1, seed=-1)
    with pytest.raises(BadInput, match="not a tabletop"):
        make_tabletop.main(["--out", str(tmp_path), "--episodes", "1"])


def test_a_damaged_one_is_made_again(tmp_path):
    root = make_tabletop.make(tmp_path / "table", episodes=1, seed=0)
    picture = min((root / "pictures").iterdir())
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-1])
    assert make_tabletop.make(root, episodes=1, seed=0) == root and picture.read_bytes() == whole


def test_a_damaged_table_is_named(made, tmp_path):
    with pytest.raises(BadInput, match="make_tabletop"):
        tabletop.open_tabletop(tmp_path)
    episodes = json.loads((made / "episodes.json").read_text())
    (tmp_path / "dataset_statistics.json").write_text("{}")
    for change, said in (
        ({"action": [1, 2]}, r"action int64 \[2\]"),
        ({"action": [float("nan")] * 7}, "7 of 7 values that are NaN"),
        ({"action": [None] * 7}, "action object"),
        ({"action": [True] * 7}, "action bool"),
        ({"action": ["1"] * 7}, "action <U1"),
        ({"action": [10**400] * 7}, "action object"),
        ({"reasoning": None}, "reasoning None"),
        ({"picture": "../x.jpg"}, "a picture '../x.jpg'"),
    ):
        broken = json.loads(json.dumps(episodes))
        broken[0]["steps"][0] |= change
        (tmp_path / "episodes.json").write_text(json.dumps(broken))
        with pytest.raises(BadInput, match=said):
            tabletop.open_tabletop(tmp_path)
    for content in ([], [episodes[0] | {"steps": []}]):
        (tmp_path / "episodes.json").write_text(json.dumps(content))
        with pytest.raises(BadInput, match="no step of any episode"):
            tabletop.open_tabletop(tmp_path)
    (tmp_path / "episodes.json").write_text(json.dumps(episodes))
    (tmp_path / "dataset_statistics.json").write_text('{"tabletop": [1]}')
    with pytest.raises(BadInput, match="no statistics of actions"):
        tabletop.open_tabletop(tmp_path)


@pytest.mark.parametrize("fault", ["absent", "episodes", "statistics"])
def test_making_it_anew_cures(tmp_path, fault):
    root = tmp_path / "a table"
    if fault != "absent":
        make_tabletop.make(root, episodes=2, seed=0)
        (root / (tabletop.EPISODES if fault == "episodes" else tabletop.STATISTICS)).write_text('{"cut')
    with pytest.raises(BadInput) as caught:
        tabletop.open_tabletop(root)
    *command, module, force, out, folder = shlex.split(caught.value.fix)
    assert command == ["python", "-m"] and module == "data_scripts.make_tabletop"
    assert make_tabletop.main([force, out, folder, "--episodes", "2"]) == 0
    assert len({seen.episode for seen in tabletop.open_tabletop(root).observations}) == 2
