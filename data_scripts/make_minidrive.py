"""Makes MiniDrive, a synthetic driving data set in the nuScenes layout.

    python -m data_scripts.make_minidrive --out data/minidrive --scenes 10 --frames 20 --seed 0

The same seed gives the same bytes, whatever the number of workers. Needs numpy, opencv and tqdm only.
"""

import argparse
import multiprocessing
import os
import re
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

from data_scripts import roots
from data_scripts.minidrive import produce, tables
from data_scripts.minidrive.conversation import VALIDATION as MINI_VAL
from helpers import cores, disk, processes
from helpers.errors import BadInput
from helpers.files import atomic

MINI_TRAIN = (
    *("scene-0061", "scene-0553", "scene-0655", "scene-0757"),
    *("scene-0796", "scene-1077", "scene-1094", "scene-1100"),
)
MARKER = "minidrive.json"
CHUNK = 4


def scene_names(count):
    """The ten names of the devkit's mini splits if `count` is ten, mini_val first if fewer; more are scene-9000, ..."""
    known = sorted(MINI_TRAIN + MINI_VAL) if count >= 10 else [*MINI_VAL, *MINI_TRAIN][:count]
    return known + [f"scene-{9000 + k}" for k in range(count - len(known))]


def generator_version():
    """Digest of the generator's source: a data set of another version is made anew."""
    return roots.version(Path(produce.__file__).parent, __file__)


def make(out="data/minidrive", scenes=10, frames=20, seed=0, workers=None, names=None, force=False):
    """Write a MiniDrive to the folder `out`, all of it or nothing; do nothing if the same one is there already.

    Args:
        out: data root to write.
        scenes: number of scenes; see `scene_names`. Not used if `names` is given.
        frames: key frames in a scene, half a second apart; at least 2.
        seed: what everything is derived from, together with the names of the scenes.
        workers: processes; None takes the number of processor cores.
        names: names of the scenes, each like scene-0001.
        force: make it anew even if it is there.

    Returns:
        Path of the data root.

    Raises:
        BadInput: an argument is out of range, or `out` holds something that is not a MiniDrive.
    """
    out, names = Path(out), list(names) if names else scene_names(roots.whole_number("scenes", scenes, 1))
    roots.whole_number("frames", frames, 2)
    roots.whole_number("seed", seed, 0)
    workers = roots.whole_number("workers", workers or cores.count(), 1)
    for name in names:
        if not re.fullmatch(r"scene-\d{4}", name) or names.count(name) > 1:
            raise BadInput("names", name, "distinct names of the form scene-0001", "choose other names")
    parameters = {"names": names, "frames": frames, "seed": seed, "generator": generator_version()}
    if roots.present(out, MARKER, "MiniDrive", parameters) and not force:
        return out
    with atomic(out, folder=True) as root, disk.errors(out, every=True, part=root):
        produce.prepare(root)
        shown = _produce(root, names, frames, seed, workers)
        worlds = [produce.world_of(name, frames, seed) for name in names]
        for table, records in tables.build(worlds, shown, seed).items():
            produce.write_json(root / "v1.0-mini" / f"{table}.json", records)
        roots.mark(root, MARKER, parameters)
    return out


def _produce(root, names, frames, seed, workers):
    """Run all pieces of work; returns for every scene the list over frames of what was seen."""
    pieces = [(root, n, frames, seed, k, min(k + CHUNK, frames)) for n in names for k in range(0, frames, CHUNK)]
    extras = [(root, n, frames, seed) for n in names]
    found = {}
    with tqdm(total=len(names) * frames, desc="MiniDrive", unit="frame", disable=None) as bar:
        for name, first, shown in _run(pieces, extras, workers):
            found[name, first] = shown
            bar.update(len(shown))
    return [[seen for k in range(0, frames, CHUNK) for seen in found[name, k]] for name in names]


def _run(pieces, extras, workers):
    """Yield the results of `produce.frames`, after `produce.surroundings` of every scene was done too."""
    if workers == 1:
        for extra in extras:
            produce.surroundings(*extra)
        for piece in pieces:
            yield produce.frames(*piece)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), processes.die_with, (os.getpid(),))
    others = {child.pid for child in multiprocessing.active_children()}
    try:
        extra = [pool.submit(produce.surroundings, *extra) for extra in extras]
        for done in as_completed([pool.submit(produce.frames, *piece) for piece in pieces]):
            yield done.result()
        for done in extra:
            done.result()
    except BrokenProcessPool as error:
        expected, fix = "workers that live", "pass fewer --workers: the system kills one where memory runs out"
        raise BadInput("workers", "one of them was killed", expected, fix) from error
    except BaseException:
        for child in multiprocessing.active_children():
            if child.pid not in others:
                child.kill()  # nobody waits for what it is at
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def main(argv=None):
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make MiniDrive, a synthetic data set in the nuScenes layout.")
    parser.add_argument("--out", default="data/minidrive", help="data root to write (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=10, help="number of scenes (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=20, help="key frames in a scene (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one for each core)")
    parser.add_argument("--names", nargs="+", help="names of the scenes, such as scene-0103")
    parser.add_argument("--force", action="store_true", help="make it anew even if it is there")
    print(f"MiniDrive is in {make(**vars(parser.parse_args(argv)))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(processes.program(main))
