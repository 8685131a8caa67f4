"""TensorRT 8.6, 10.x and 11.x: builds an engine for the GPU at hand and runs it. Needs NumPy and tensorrt, no torch.

What the versions differ in is in `helpers.engine.tensorrt.versions`. Building needs onnx too.
"""

import collections
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from helpers.engine import cuda
from helpers.engine.base import Draft, Runtime
from helpers.engine.tensorrt import inspector, plan, plugins, profiles, versions
from helpers.engine.tensorrt.engine import TensorRtEngine
from helpers.engine.tensorrt.options import BuilderOptions, LoadOptions
from helpers.files import PathLike, check_distinct


class TensorRt(Runtime):
    """TensorRT on the first GPU."""

    name, build_options, load_options = "tensorrt", BuilderOptions, LoadOptions

    def version(self) -> str:
        import tensorrt

        if not hasattr(tensorrt, "Builder"):
            raise ImportError("the package tensorrt is there without its libraries: install it from the vendor's index")
        try:
            cuda.device_capability()
        except OSError as error:
            raise OSError(f"TensorRT {tensorrt.__version__} is installed, but {error}") from error
        return tensorrt.__version__

    def compute_capabilities(self, options: BuilderOptions) -> list[str]:
        return [cuda.device().capability]

    def key_options(self, options: BuilderOptions) -> dict[str, Any]:
        return options.key()

    def compatible(self, meta: dict[str, Any], version: str) -> bool:
        return plan.compatible(meta, version)

    def is_engine(self, path: PathLike) -> bool:
        return plan.is_plan(path)

    def check(self, onnx_path: PathLike, model: Any, options: BuilderOptions) -> None:
        if options.timing_cache:
            check_distinct(options.timing_cache, onnx_path, options.calibration)
        profiles.check(onnx_path, model, options.shapes)

    def build(self, onnx_path: Path, model: Any, engine_path: Path, options: BuilderOptions) -> dict[str, Any]:
        """Build the engine, write it with the calibration table beside it, and load it once to list its layers."""
        from helpers.engine.tensorrt import builder  # onnx, which running an engine does without

        known = versions.facts(self.version())
        serialized, table, details = builder.build(onnx_path, model, options, known)
        engine_path.write_bytes(serialized)
        if table:
            engine_path.with_name("calibration.table").write_bytes(table)
        del serialized
        made = plan.deserialize(engine_path, known, options.version_compatible)
        layers = inspector.layers(made.engine)
        return {
            **details,
            "device": cuda.device().name,
            "platform": plan.platform_name(),
            "driver": cuda.device().driver_version,
            "plugin_paths": options.plugins,
            "precisions": dict(collections.Counter(layer["precision"] for layer in layers)),
            "layer_count": len(layers),
            "layers": layers,
        }

    def draft(self, options: BuilderOptions, half: bool) -> AbstractContextManager[Draft]:
        """As the base class says; typed as the options' precision says, weakly but for "strong"."""
        from helpers.engine.tensorrt import builder  # onnx, which running an engine does without

        return builder.draft(options, versions.facts(self.version()), half)

    def load(self, path: Path, meta: dict[str, Any], options: LoadOptions) -> TensorRtEngine:
        """An engine on the GPU; a plan without metadata, as trtexec writes it, is taken too.

        Raises:
            BadInput: an engine of another version, GPU or platform (both sides are named), one that is damaged, a
                plugin library that is absent, or states that do not fit.
        """
        return TensorRtEngine(path, meta, self.opened(path, meta, options.plugins), options)

    def opened(self, path: Path, meta: dict[str, Any], libraries: Sequence[PathLike] = ()) -> plan.Plan:
        """The plan at `path` on the GPU, without a context to run it in; BadInput as `load`.

        libraries: of plugins; by default those that the engine was built with.
        """
        known = versions.facts(self.version())
        plan.check_origin(path, meta, known)
        plugins.load(plugins.check(path, meta, libraries), known)
        version_compatible = bool(meta.get("options", {}).get("version_compatible"))
        return plan.deserialize(path, known, version_compatible)
