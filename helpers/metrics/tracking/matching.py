"""Which track follows which object, frame by frame: CLEAR MOT, and what is counted of it.

An object keeps the track that it had while that is within reach. What is left is paired so that distances add up to the
least; an object that gets another track than before has switched. Sources: Bernardin & Stiefelhagen 2008; the nuScenes
tracking task, whose evaluation counts with py-motmetrics 1.4.0.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

MATCH, SWITCH, MISS = "match", "switch", "miss"
PERIOD = 0.5  # s between key frames
TRACKED, LOST = 0.8, 0.2  # shares of an object's frames


@dataclass(frozen=True, eq=False)
class View:
    """One class in one frame: ids and places (x, y in m, global) of objects and of tracks, and the tracks' scores."""

    objects: list[str]
    places: np.ndarray
    tracks: list[str]
    found: np.ndarray
    scores: np.ndarray

    def above(self, threshold: float) -> "View":
        """The same with the tracks that score at least `threshold`."""
        kept = self.scores >= threshold
        ids = [name for name, is_kept in zip(self.tracks, kept, strict=True) if is_kept]
        return View(self.objects, self.places, ids, self.found[kept], self.scores[kept])


@dataclass
class Counts:
    """What came of all frames. objects: (scene, id) -> [(frame, MATCH, SWITCH or MISS)]; distance: sum in m."""

    frames: int = 0
    false: int = 0
    distance: float = 0.0
    objects: dict[tuple[int, str], list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))

    def number(self, kind: str) -> int:
        """How often objects had that in a frame."""
        return sum(what == kind for course in self.objects.values() for _, what in course)


def follow(scenes: Iterable[Iterable[View]], reach: float) -> tuple[Counts, list[float]]:
    """Follow the objects through the frames of every scene.

    Args:
        reach: m; a track that is as far away or farther is no match.

    Returns:
        the counts, and the scores of tracks in the frames in which they match without a switch.
    """
    counts, scores = Counts(), []
    for scene, views in enumerate(scenes):
        last: dict[str, str] = {}  # object -> its track
        shown = (view for view in views if view.objects or view.tracks)
        for frame, view in enumerate(shown):
            counts.frames += 1
            pairs = list(_pairs(view, last, reach))
            for i, j, kind, away in pairs:
                counts.objects[scene, view.objects[i]].append((frame, kind))
                counts.distance += away
                last[view.objects[i]] = view.tracks[j]
            for i in set(range(len(view.objects))) - {pair[0] for pair in pairs}:
                counts.objects[scene, view.objects[i]].append((frame, MISS))
            counts.false += len(view.tracks) - len(pairs)
            matched = {view.tracks[j] for _, j, kind, _ in pairs if kind == MATCH}
            scores += [float(s) for name, s in zip(view.tracks, view.scores, strict=True) if name in matched]
    return counts, scores


def _pairs(view: View, last: dict[str, str], reach: float) -> Iterator[tuple[int, int, str, float]]:
    """(object, track, kind, distance) of what belongs together in one frame."""
    if not view.objects or not view.tracks:
        return
    away = np.linalg.norm(view.places[:, None] - view.found[None], axis=-1)
    away[away >= reach] = np.inf
    at = {name: j for j, name in reversed(list(enumerate(view.tracks)))}
    for i, name in enumerate(view.objects):
        j = at.get(last.get(name, ""))
        if j is not None and np.isfinite(away[i, j]):
            yield i, j, MATCH, float(away[i, j])
            away[i], away[:, j] = np.inf, np.inf
    possible = np.isfinite(away)
    if not possible.any():
        return
    dear = 2 * min(away.shape) * (away[possible].max() + 1) + 1  # more than any number of pairs within reach
    for i, j in zip(*linear_sum_assignment(np.where(possible, away, dear)), strict=True):
        if possible[i, j]:
            kind = SWITCH if last.get(view.objects[i], view.tracks[j]) != view.tracks[j] else MATCH
            yield int(i), int(j), kind, float(away[i, j])


def measures(counts: Counts) -> dict[str, float]:
    """The measures of one threshold by nuScenes' names; those of time in s, `faf` per 100 frames, `motp` in m."""
    matches, switches, misses = (counts.number(kind) for kind in (MATCH, SWITCH, MISS))
    total, detected = matches + switches + misses, matches + switches
    wrong, nan = misses + switches + counts.false, float("nan")
    courses = list(counts.objects.values())
    shares = [sum(what != MISS for _, what in course) / len(course) for course in courses]
    waits, gaps = zip(*(_delays(course) for course in courses), strict=True) if courses else ((), ())
    followed = sum(wait is not None for wait in waits)
    return {
        "gt": total,
        "tp": matches,
        "fp": counts.false,
        "fn": misses,
        "ids": switches,
        "recall": detected / total if total else nan,
        "motar": max(0.0, 1 - (wrong - (total - matches)) / matches) if matches else nan,
        "mota": max(0.0, 1 - wrong / total) if total else nan,
        "motp": counts.distance / detected if detected else nan,
        "faf": 100 * counts.false / counts.frames if counts.frames else nan,
        "mt": sum(share >= TRACKED for share in shares),
        "ml": sum(share < LOST for share in shares),
        "frag": sum(map(_fragments, courses)),
        "tid": PERIOD * sum(wait or 0 for wait in waits) / followed if followed else nan,
        "lgd": PERIOD * sum(gaps) / followed if followed else nan,
    }


def _fragments(course):
    """How often an object is missed again between the first and the last time that it is followed."""
    held = [what != MISS for _, what in course]
    if True not in held:
        return 0
    between = held[held.index(True) : len(held) - held[::-1].index(True)]
    return sum(before and not now for before, now in pairwise(between))


def _delays(course):
    """(frames until an object is first followed, None if never; frames of the longest gap, 0 if never)."""
    held = {frame for frame, what in course if what != MISS}
    if not held:
        return None, 0
    first, last = course[0][0], course[-1][0]
    longest = gap = 0
    for frame in range(first, last + 1):
        gap = 0 if frame in held else gap + 1
        longest = max(longest, gap)
    return min(held) - first, longest
