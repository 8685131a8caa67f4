"""What TensorRT's builder and its engines take, checked before anything is built or loaded."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.engine.tensorrt import profiles, versions
from helpers.errors import BadInput
from helpers.files import PathLike, as_path, found_at, sha256
from helpers.ops import library

CALIBRATED = ("int8-implicit", "best", "obey")


@dataclasses.dataclass
class BuilderOptions:
    """How an engine is built.

    Attributes:
        precision: "fp32"; "fp16"; "int8-implicit" (INT8 where it is faster, ranges by a calibrator); "explicit" (the
            graph's Q/DQ nodes say what is INT8, the rest is FP32); "best" (FP16 and INT8 where they are faster, ranges
            from Q/DQ nodes or a calibrator); "obey" (FP16, and INT8 where the graph or a calibration set gives ranges,
            with `layer_precisions`); "strong" (types are the graph's own). Which of them a TensorRT has:
            `versions.check_precision`.
        tf32: whether FP32 matrix products may use TF32 (10 bits of mantissa).
        layer_precisions: {name pattern: "fp32" | "fp16" | "int8"}, obeyed; `*` stands for any text and the last pattern
            that fits counts. Goes with every precision that lets the builder choose, and must be given with "obey".
            Plugins are passed over: they choose among the types they support, a language model's as `graph.keep_half`
            leaves them.
        calibration: `.npz` of `helpers.calibration`, for "int8-implicit", "best" and "obey".
        shapes: {input name: (min, opt, max) shape}, or a list of such dicts, one per optimization profile.
        workspace: limit of the scratch memory, MiB.
        optimization_level: 0 (quickest build) to 5.
        timing_cache: file that remembers measured tactics from build to build; made if absent.
        plugins: paths of plugin libraries; with any, custom operators keep their nodes.
        tactic_sources: names of the sources that may be used, [] for none of them; None leaves TensorRT's default.
        version_compatible: later versions of the same major release may load the engine.
        hardware_compatible: True ("AMPERE_PLUS": every GPU from Ampere) or the name of a level.
        mark_outputs: tensors of the graph that become outputs too.
        decompose: operators to write in simpler ones, "LayerNormalization" or "GridSample".
    """

    precision: str = "fp32"
    tf32: bool = True
    layer_precisions: Mapping[str, str] | None = None
    calibration: PathLike | None = None
    shapes: Any = None
    workspace: float | None = None
    optimization_level: int | None = None
    timing_cache: PathLike | None = None
    plugins: Sequence[PathLike] = ()
    tactic_sources: Sequence[str] | None = None
    version_compatible: bool = False
    hardware_compatible: bool | str | None = None
    mark_outputs: Sequence[str] = ()
    decompose: Sequence[str] = ()

    def __post_init__(self) -> None:
        import tensorrt

        known = versions.facts(tensorrt.__version__)
        versions.check_precision(known, self.precision)
        level = "AMPERE_PLUS" if self.hardware_compatible is True else self.hardware_compatible or None
        self.hardware_compatible, levels = level, [level] if level else []
        versions.check_names("hardware_compatible", levels, known.hardware_levels, known.version)
        versions.check_names("tactic_sources", self.tactic_sources or [], known.tactic_sources, known.version)
        self._check_layer_precisions(known)
        check_numbers(self.workspace, self.optimization_level)
        self._check_calibration()
        library.identity(self.plugins)
        self._complete()

    def _check_layer_precisions(self, known):
        self.layer_precisions = dict(self.layer_precisions or {})
        given, obey = bool(self.layer_precisions), self.precision == "obey"
        if (given and self.precision in ("fp32", "strong")) or (obey and not given):
            expected = "patterns" if obey else "none: all layers have the graph's types"
            raise BadInput("option layer_precisions", repr(self.layer_precisions),
                           f"{expected} (precision {self.precision})",
                           "correct it, or choose another precision")  # fmt: skip
        kinds = ("fp32", "fp16", "int8")
        versions.check_names("layer_precisions", self.layer_precisions.values(), kinds, known.version)

    def _check_calibration(self):
        if self.calibration and self.precision not in CALIBRATED:
            expected = f"none, with precision {self.precision}"
            raise BadInput("option calibration", self.calibration, expected, "leave it out")
        if self.calibration and not as_path(self.calibration).is_file():
            fix = "write it with helpers.calibration.collect"
            raise BadInput(self.calibration, found_at(self.calibration), "a calibration set", fix)

    def _complete(self):
        """Values that JSON has, so that equal options make equal cache keys."""
        self.shapes = profiles.listed(self.shapes)
        self.tf32, self.version_compatible = bool(self.tf32), bool(self.version_compatible)
        self.calibration = str(self.calibration) if self.calibration else None
        self.timing_cache = str(self.timing_cache) if self.timing_cache else None
        self.plugins = [str(Path(path).resolve()) for path in self.plugins]
        self.tactic_sources = self.tactic_sources if self.tactic_sources is None else list(self.tactic_sources)
        self.mark_outputs, self.decompose = list(self.mark_outputs), list(self.decompose)

    def key(self) -> dict[str, Any]:
        """What makes an engine another one: files by content, the timing cache not at all."""
        keyed = dataclasses.asdict(self)
        del keyed["timing_cache"]
        keyed["plugins"] = library.identity(self.plugins)
        keyed["calibration"] = sha256(self.calibration) if self.calibration else None
        return keyed


@dataclasses.dataclass
class LoadOptions:
    """How an engine is loaded.

    Attributes:
        states: {input name: output name}: these inputs stay on the GPU; before every further run they and the outputs
            that feed them change their memory, so that nothing is copied; feeds may leave them out.
        initial: state -> array where a sequence begins, such as `config.initial_states()`; zeros where it has none.
        cuda_graph: queue the whole engine in one call, captured once for each set of shapes, with states twice.
        plugins: paths of plugin libraries; by default those that the engine was built with.
        profile: index of the optimization profile, for all runs; None: for each run the first one that its shapes fit.
        before: a loaded engine that runs first, whose outputs are inputs of this one: both are one engine, on one
            stream and, if asked, in one CUDA graph; what passes between them stays where it is, and what this one does
            not take is an output of both. States are of the last one. It is closed too.
    """

    states: Mapping[str, str] | None = None
    initial: Mapping[str, np.ndarray] | None = None
    cuda_graph: bool = False
    plugins: Sequence[PathLike] = ()
    profile: int | None = None
    before: Any = None


def check_numbers(workspace: float | None, optimization_level: int | None) -> None:
    """BadInput unless these are what a builder of TensorRT or TensorRT-RTX takes."""
    if optimization_level not in (None, *range(6)):
        raise BadInput("option optimization_level", repr(optimization_level), "0 to 5, or None", "correct it")
    if workspace is not None and not 0 < workspace < float("inf"):
        raise BadInput("option workspace", repr(workspace), "MiB above 0, or None", "correct it")
