"""Numbers of one run that cannot be of one run: some of them were changed, or have another unit than the rest."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

PERCENTILE = re.compile(r"(.*)_p(\d{1,2})")
SHARES, ERRORS = ("NDS", "mAP"), ("mATE", "mASE", "mAOE", "mAVE", "mAAE")  # NDS is made of the others


def found(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(what is there, what is expected) where shares, percentiles, or NDS and what makes it do not agree."""
    metrics = {key: value for key, value in metrics.items() if type(value) in (int, float)}
    marks: dict[str, list[tuple[int, float, str]]] = {}
    for key, value in metrics.items():
        if match := PERCENTILE.fullmatch(key):
            marks.setdefault(match[1], []).append((int(match[2]), value, key))
        if key.rpartition("/")[2] in SHARES and not 0 <= value <= 1:
            yield f"metrics[{key!r}] = {value!r}", "a share from 0 to 1"
    for (_, low, one), (_, high, other) in itertools.chain.from_iterable(
        itertools.pairwise(sorted(row)) for row in marks.values()
    ):
        if low > high:
            yield f"{one} = {low!r} above {other} = {high!r}", "percentiles in their order"
    if all(name in metrics for name in (*SHARES, *ERRORS)):
        score = (5 * metrics["mAP"] + sum(1 - min(1, metrics[name]) for name in ERRORS)) / 10
        if abs(score - metrics["NDS"]) > 1e-3:
            yield f"NDS = {metrics['NDS']!r} beside errors and an mAP that make {score:.4f}", "numbers of one run"
