"""Tokens to actions and back, and an action's units. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput
from helpers.systems.openvla.config import Config

DIMENSIONS = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper")
LARGEST = 1e9  # of a movement, in any unit
Statistics = Mapping[str, Sequence[Any]]  # of one data set: q01, q99 and, if not all are normalized, mask


class NoAction(BadInput):
    """What a policy generated is no action."""


@typed
def encode(normalized: np.ndarray, config: Config) -> np.ndarray:
    """Values of -1..1 (others are clipped; NaN counts as 1) -> token ids int64: -1 is the last token there is."""
    if np.asarray(normalized).dtype.kind not in "iuf":
        raise BadInput("action", f"an array of {np.asarray(normalized).dtype}", "numbers of -1..1", "pass numbers")
    edges = np.linspace(-1, 1, config.bins)
    return config.action_vocab - np.digitize(np.clip(normalized, -1, 1), edges)


@typed
def decode(ids: Sequence[int] | np.ndarray, config: Config) -> np.ndarray:
    """Token ids of actions -> the middle of each one's bin, float64 in -1..1.

    Raises:
        NoAction: an id that is no action's token; the public code reads every text as 0.996.
    """
    ids = array("generated tokens", ids, (None,), "whole")
    indices = config.action_vocab - ids
    if (other := ids[(indices < 1) | (indices > config.bins)]).size:
        expected = f"ids {config.action_vocab - config.bins}..{config.action_vocab - 1}, {ids.size} of them"
        found = f"{other.size} of {ids.size} tokens are no action's, such as {other[0]}"
        raise NoAction("generated tokens", found, expected, "take a picture and instruction like those of the training")
    edges = np.linspace(-1, 1, config.bins)
    middles = (edges[:-1] + edges[1:]) / 2
    return middles[np.clip(indices - 1, 0, config.bins - 2)]


@typed
def normalize(action: np.ndarray, statistics: Statistics) -> np.ndarray:
    """An action [..., n] in its units -> -1..1 where it is normalized, itself elsewhere (training's side)."""
    low, high, mask = limits(statistics)
    action = _actions(action, low)
    scaled = np.clip(2 * (action - low) / np.where(high > low, high - low, 1) - 1, -1, 1)
    return np.where(mask, scaled, action)


@typed
def unnormalize(normalized: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Values of -1..1, [..., n] -> the action in its units, float64; what the mask leaves out stays what it is."""
    low, high, mask = limits(statistics)
    normalized = _actions(normalized, low)
    return np.where(mask, 0.5 * (normalized + 1) * (high - low) + low, normalized)


def _actions(values, low):
    """Actions [..., n] as an array; BadInput unless they are numbers of the statistics' length."""
    found = np.asarray(values)
    if found.dtype.kind not in "iuf" or found.shape[-1:] != low.shape:
        expected = f"numbers [..., {len(low)}], as the statistics have"
        raise BadInput("action", f"{found.dtype} {list(found.shape)}", expected, "take the statistics of its data set")
    return found


@typed
def limits(statistics: Statistics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(q01, q99, mask) of a data set, float64, float64 and bool [n].

    Raises:
        BadInput: one of them is absent, of another length, or not finite; or q01 is above q99.
    """
    try:
        low, high = (np.array(statistics[name], np.float64) for name in ("q01", "q99"))
        mask = np.asarray(statistics.get("mask", np.ones(low.shape, bool)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput("statistics of actions", error, "q01 and q99 as lists of numbers", "mend norm_stats") from error
    fits = low.ndim == 1 and low.size and low.shape == high.shape == mask.shape
    if not fits or not (np.abs([low, high]) <= LARGEST).all():
        found = f"q01 {low.shape}, q99 {high.shape}, mask {mask.shape}, or values beyond {LARGEST:g}"
        raise BadInput("statistics of actions", found, "lists of one length, of finite numbers", "mend norm_stats")
    if mask.dtype != bool and not (mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all()):
        raise BadInput("statistics of actions", f"mask {mask.tolist()!r:.80}", "true and false", "mend norm_stats")
    mask = mask.astype(bool)
    if (turned := mask & (low > high)).any():
        number = int(turned.argmax())
        found = f"q01 {low[number]:g} above q99 {high[number]:g} in dimension {number}"
        raise BadInput(
            "statistics of actions", found, "q01 up to q99: movements would be turned around", "mend norm_stats"
        )
    return low, high, mask


@typed
def statistics_of(norm_stats: Mapping[str, Any], key: str | None, where: object) -> Statistics:
    """The actions' statistics of a data set by its key; without a key there must be one data set alone.

    Raises:
        BadInput: no such key, or none where there are several.
    """
    if key is None and len(norm_stats) == 1:
        key = next(iter(norm_stats))
    if key is None or key not in norm_stats:
        found = "no unnorm_key" if key is None else f"unnorm_key {key!r}"
        known = ", ".join(sorted(norm_stats)[:8]) + ", ..." * (len(norm_stats) > 8)
        raise BadInput(where, found, f"one of the {len(norm_stats)} data sets: {known}", "name one of them")
    entry = norm_stats[key]
    if not isinstance(entry, Mapping) or "action" not in entry:
        raise BadInput(where, f"no statistics of actions for {key!r}", "{action: {q01, q99, mask}}", "mend norm_stats")
    return entry["action"]
