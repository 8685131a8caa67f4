"""Makes a tabletop: pictures, instructions, a text of reasoning and actions of an expert that reaches for things.

    python -m data_scripts.make_tabletop --out data/tabletop --episodes 300 --seed 0

The same seed gives the same pictures and actions. Needs numpy, Pillow and tqdm only.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from data_scripts import roots
from data_scripts.tabletop import render, text, world
from helpers import disk, processes
from helpers.dataset.tabletop import EPISODES, STATISTICS
from helpers.files import atomic

NAME = "tabletop"
MARKER = "tabletop.json"
LONGEST = 8  # steps of an episode
QUALITY = 92


def make(out="data/tabletop", episodes=300, seed=0, force=False):
    """Write a tabletop to the folder `out`, all of it or nothing; do nothing if the same one is there already.

    Returns:
        Path of the data root.

    Raises:
        BadInput: no whole number of episodes above zero, or `out` holds something that is not a tabletop.
    """
    out, episodes = Path(out), roots.whole_number("episodes", episodes, 1)
    parameters = {"episodes": episodes, "seed": roots.whole_number("seed", seed, 0), "generator": generator_version()}
    if roots.present(out, MARKER, "tabletop", parameters) and not force:
        return out
    with atomic(out, folder=True) as root, disk.errors(out, every=True, part=root):
        (root / "pictures").mkdir(parents=True)
        numbers = tqdm(range(episodes), desc="tabletop", unit="episode", disable=None)
        table = [_episode(root, number, seed) for number in numbers]
        _write(root / EPISODES, table)
        _write(root / STATISTICS, {NAME: statistics(np.array([s["action"] for e in table for s in e["steps"]]), table)})
        roots.mark(root, MARKER, parameters)
    return out


def generator_version():
    """Digest of the generator's source: a data set of another version is made anew."""
    return roots.version(Path(world.__file__).parent, __file__)


def states(number, seed, wander=0.0):
    """Yield the states of an episode, the expert acting, until its gripper is closed.

    wander: m, deviation of what pushes the arm off its way after an action, so that there are states to recover from.
    """
    random = np.random.default_rng([seed, number])
    state = world.drawn(random)
    for _ in range(LONGEST):
        yield state
        push = random.normal(0, wander, 3) if wander else np.zeros(3)
        state = state.after(state.expert() + np.array([*push, 0, 0, 0, 0]), random)
        if state.closed:
            return


def _episode(root, number, seed):
    steps = []
    for k, state in enumerate(states(number, seed)):
        name = f"pictures/{number:05}_{k}.jpg"
        Image.fromarray(render.render(state, 10 * number + k)).save(root / name, quality=QUALITY)
        steps.append({"picture": name, "action": state.expert().round(6).tolist(), "reasoning": text.reasoning(state),
                      "tip": state.tip.round(6).tolist()})  # fmt: skip
    things = [asdict(thing) for thing in state.things]
    return {"instruction": state.instruction, "target": state.target, "things": things, "steps": steps}


def statistics(actions, episodes):
    """What OpenVLA's config.json keeps of a data set: actions [N, 7] -> quantiles and more; the gripper stays as is."""
    low, high = np.quantile(actions, (0.01, 0.99), axis=0)
    columns = {"mean": actions.mean(0), "std": actions.std(0), "max": actions.max(0), "min": actions.min(0),
               "q01": low, "q99": high}  # fmt: skip
    table = {name: values.round(6).tolist() for name, values in columns.items()}
    return {"action": table | {"mask": [True] * 6 + [False]},
            "num_transitions": len(actions), "num_trajectories": len(episodes)}  # fmt: skip


def _write(path, content):
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def main(argv=None):
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make a tabletop: pictures, instructions and actions of an arm.")
    parser.add_argument("--out", default="data/tabletop", help="data root to write (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=300, help="number of episodes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="make it anew even if it is there")
    print(f"A tabletop is in {make(**vars(parser.parse_args(argv)))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(processes.program(main))
