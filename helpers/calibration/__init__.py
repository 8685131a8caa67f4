"""Calibration sets: what the network sees on real frames, written to disk and read back one sample at a time.

A calibration set is an uncompressed `.npz` with one array per network input, of the input's type; the samples are
joined along axis 0 of that input's own shape (scalars become [samples]). 600 samples of the published BEVFormer give
image [600, 6, 3, 480, 800] and lidar2img [600, 6, 4, 4] among others: 18 GB, so nothing here ever holds more than one
sample (about 30 MB). The layout is the one ModelOpt's `--calibration_data_path` takes.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.arguments import between, typed
from helpers.calibration.archive import Specs, check_calibration, fixed_shapes, specs_of, writer
from helpers.calibration.reader import CalibrationReader
from helpers.errors import check_config
from helpers.sequence import Arrays, Step, rollout

__all__ = ["CalibrationReader", "check_calibration", "collect", "fixed_shapes", "noise"]


@typed
def collect(
    run: Callable[[Arrays], Arrays],
    steps: Iterable[Step],
    out: str | Path,
    config: Any,
    samples: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Path:
    """Drive the network over consecutive frames and record every input it was given.

    A state is the network's own output on the preceding sample, also across a change of scene, so that old states are
    seen but not used; at the very first step it is random normal (seeded), and zero if it is no floating-point number.

    Args:
        run: function of {input name: array} giving {output name: array}, for example an engine's `run`.
        steps: in time order, as `helpers.dataset.stream` gives them.
        out: the `.npz` to write; whole or absent.
        config: of the system: shapes and types of the inputs, and its states. A set holds one shape per input: of a
            configuration with free dimensions pass its `fixed()`, here and to `stream`.
        samples: how many to take; None takes all steps.

    Raises:
        BadInput: a sample with a wrong name, shape, dtype or a value that is not finite; fewer samples than asked for;
            not enough free disk.
    """
    from tqdm import tqdm

    check_config(config, "input_shapes", "input_types", "states")
    specs = specs_of(config.input_shapes(), config.input_types())
    taken = tqdm(itertools.islice(steps, samples), "calibration samples", samples, disable=not progress, leave=False)
    initial = _random({name: specs[name] for name in config.states}, np.random.default_rng(seed))
    with writer(out, specs, samples) as append:

        def recorded(feeds):
            append(feeds)  # before the network runs: a bad sample is refused by its name
            return run(feeds)

        for _ in rollout(recorded, taken, config.states, initial, reset=False):
            pass
    return Path(out)


@typed
def noise(
    out: str | Path,
    input_shapes: Mapping[str, tuple],
    samples: int,
    seed: int = 0,
    scale: float = 1.0,
    input_types: Mapping[str, np.dtype] | None = None,
) -> Path:
    """Write a calibration set of the right names, shapes and types whose values are all random normal.

    The negative control: ranges measured on it say nothing about driving. `scale` is the standard deviation: normalized
    images have about 1; less makes the ranges too narrow (values are cut), more makes them too wide (steps too coarse).
    Inputs that are no floating-point numbers are zero. `input_types`: float32 where it names none.
    """
    between("seed", seed, 0, 2**63)
    between("scale", scale, 0, 1e30)
    generator, specs = np.random.default_rng(seed), specs_of(input_shapes, input_types)
    with writer(out, specs, samples) as append:
        for _ in range(samples):
            append(_random(specs, generator, scale))
    return Path(out)


def _random(specs: Specs, generator, scale=1.0):
    """Normal noise for every floating-point input, zeros for the others."""
    return {
        name: (np.float32(scale) * generator.standard_normal(spec.shape, np.float32)).astype(spec.dtype, copy=False)
        if spec.dtype.kind == "f"
        else np.zeros(spec.shape, spec.dtype)
        for name, spec in specs.items()
    }
