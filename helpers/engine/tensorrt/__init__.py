"""TensorRT 8.6, 10.x and 11.x: builds an engine for the GPU at hand and runs it. Needs NumPy and tensorrt, no torch.

What the versions differ in is in `helpers.engine.tensorrt.versions`. Building needs onnx too.
"""

import collections
import platform
import struct
from pathlib import Path

from helpers.engine import cuda
from helpers.engine.tensorrt import engine as tensorrt_run
from helpers.engine.tensorrt import layers as tensorrt_layers
from helpers.engine.tensorrt import log as tensorrt_log
from helpers.engine.tensorrt import plugins as tensorrt_plugins
from helpers.engine.tensorrt import profiles as tensorrt_profiles
from helpers.engine.tensorrt import versions as tensorrt_versions
from helpers.errors import BadInput
from helpers.files import sha256
from helpers.ops import library

SUFFIX = ".engine"
MAGIC = (
    b"ftrt"  # a plan's first bytes; its version is in bytes 24 to 27 (trtexec --getPlanVersionOnly, sampleEngines.cpp)
)
REBUILD = "build it again on this machine: python -m helpers engine build --onnx=MODEL.onnx --runtime=tensorrt"


def version():
    """Version of the installed tensorrt; ImportError without it, OSError without a GPU for it."""
    import tensorrt

    if not hasattr(tensorrt, "Builder"):
        raise ImportError("the package tensorrt is there without its libraries: install it from the vendor's index")
    found = cuda.device_capability()
    if found is None:
        raise OSError(f"TensorRT {tensorrt.__version__} is installed, but this machine has no NVIDIA GPU")
    return tensorrt.__version__


def platform_name():
    """Operating system and processor that an engine is for, such as "linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}".lower()


def options(
    precision="fp32",
    tf32=True,
    layer_precisions=None,
    calibration=None,
    shapes=None,
    workspace=None,
    optimization_level=None,
    timing_cache=None,
    plugins=(),
    tactic_sources=None,
    version_compatible=False,
    hardware_compatible=False,
    mark_outputs=(),
    decompose=(),
):
    """Builder options.

    Args:
        precision: "fp32"; "fp16"; "int8-implicit" (INT8 where it is faster, ranges by a calibrator); "explicit" (the
            graph's Q/DQ nodes say what is INT8, the rest is FP32); "best" (FP16 and INT8 where they are faster, ranges
            from Q/DQ nodes or a calibrator); "obey" (FP16, and INT8 where the graph or a calibration set gives ranges,
            with `layer_precisions`); "strong" (types are the graph's own). Which of them a TensorRT has:
            `tensorrt_versions.check_precision`.
        tf32: whether FP32 matrix products may use TF32 (10 bits of mantissa).
        layer_precisions: {name pattern: "fp32" | "fp16" | "int8"}, obeyed; `*` stands for any text and the last pattern
            that fits counts. Goes with every precision that lets the builder choose, and must be given with "obey".
            Leave out plugins: they choose among the types they support, and 8.6 refuses a constraint on them.
        calibration: `.npz` of `helpers.calibration`, for "int8-implicit", "best" and "obey".
        shapes: {input name: (smallest, usual, largest) shape}, or a list of such dicts, one per optimization profile.
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
    import tensorrt

    known = tensorrt_versions.facts(tensorrt.__version__)
    tensorrt_versions.check_precision(known, precision)
    level = "AMPERE_PLUS" if hardware_compatible is True else hardware_compatible or None
    tensorrt_versions.check_names("hardware_compatible", [level] if level else [], known.hardware_levels, known.version)
    tensorrt_versions.check_names("tactic_sources", tactic_sources or [], known.tactic_sources, known.version)
    patterns = dict(layer_precisions or {})
    if (patterns and precision in ("fp32", "strong")) or (precision == "obey" and not patterns):
        expected = "patterns" if precision == "obey" else "none: all layers have the graph's types"
        raise BadInput("option layer_precisions", repr(layer_precisions), f"{expected} (precision {precision})",
                       "correct it, or choose another precision")  # fmt: skip
    tensorrt_versions.check_names("layer_precisions", patterns.values(), ("fp32", "fp16", "int8"), known.version)
    _check_numbers(workspace, optimization_level)
    if calibration and precision not in ("int8-implicit", "best", "obey"):
        raise BadInput("option calibration", calibration, f"none, with precision {precision}", "leave it out")
    if calibration and not Path(calibration).is_file():
        raise BadInput(calibration, "no such file", "a calibration set", "write it with helpers.calibration.collect")
    library.identity(plugins)
    chosen = {
        "precision": precision,
        "tf32": bool(tf32),
        "layer_precisions": patterns,
        "calibration": calibration and str(calibration),
        "shapes": [
            tensorrt_profiles.checked(one) for one in (shapes if isinstance(shapes, list | tuple) else [shapes]) if one
        ],
        "workspace": workspace,
        "optimization_level": optimization_level,
        "timing_cache": timing_cache and str(timing_cache),
        "plugins": [str(Path(path).resolve()) for path in plugins],
        "tactic_sources": tactic_sources if tactic_sources is None else list(tactic_sources),
        "version_compatible": bool(version_compatible),
        "hardware_compatible": level,
        "mark_outputs": list(mark_outputs),
        "decompose": list(decompose),
    }
    return [cuda.device().capability], chosen


def _check_numbers(workspace, optimization_level):
    if optimization_level not in (None, *range(6)):
        raise BadInput("option optimization_level", repr(optimization_level), "0 to 5, or None", "correct it")
    if workspace is not None and workspace <= 0:
        raise BadInput("option workspace", repr(workspace), "MiB above 0, or None", "correct it")


def key_options(options):
    """What of `options` makes an engine another one: files by content, the timing cache not at all."""
    keyed = {name: value for name, value in options.items() if name != "timing_cache"}
    keyed["plugins"] = library.identity(options["plugins"])
    keyed["calibration"] = options["calibration"] and sha256(options["calibration"])
    return keyed


def compatible(meta, here):
    """Whether an engine of another version may be loaded: built version compatible, same major release, not newer."""
    built = [int(part) for part in meta["version"].split(".")]
    mine = [int(part) for part in here.split(".")]
    return bool(meta["options"].get("version_compatible")) and built[0] == mine[0] and built <= mine


def is_engine(path):
    """Whether the file begins as a TensorRT plan does."""
    with open(path, "rb") as stream:
        return stream.read(4) == MAGIC


def plan_version(path):
    """TensorRT version in the header of the plan at `path`, such as "8.6.0"; None if the header is not known."""
    with open(path, "rb") as stream:
        head = stream.read(28)
    if len(head) < 28 or head[:4] != MAGIC or struct.unpack("<I", head[4:8]) != (0,):
        return None
    return ".".join(map(str, head[24:27]))


def build(onnx_path, model, engine_path, compute_capabilities, options):
    """Build the engine, write it with the calibration table beside it, and load it once to list its layers."""
    from helpers.engine.tensorrt import builder as tensorrt_build

    known = tensorrt_versions.facts(version())
    plan, table, details = tensorrt_build.build(onnx_path, model, options, known)
    engine_path.write_bytes(plan)
    if table:
        engine_path.with_name("calibration.table").write_bytes(table)
    del plan
    meta = {"compute_capabilities": compute_capabilities, "options": options}
    _, engine = deserialize(engine_path, meta, known)
    layers = tensorrt_layers.layers(engine)
    return {
        **details,
        "device": cuda.device().name,
        "platform": platform_name(),
        "driver": cuda.device().driver_version,
        "plugin_paths": options["plugins"],
        "precisions": dict(collections.Counter(layer["precision"] for layer in layers)),
        "layer_count": len(layers),
        "layers": layers,
    }


def load(path, meta, states=None, cuda_graph=False, plugins=(), profile=0):
    """An engine on the GPU.

    Args:
        meta: the side file's content, {} for a plan without one (as trtexec writes it).
        states: {input name: output name}: these inputs stay on the GPU, zero at first, and take the output's value
            after every run; feeds may leave them out.
        cuda_graph: queue the whole engine in one call, captured once for each set of shapes.
        plugins: paths of plugin libraries; by default those that the engine was built with.
        profile: index of the optimization profile.

    Raises:
        BadInput: an engine of another version, GPU or platform (both sides are named), one that is damaged, a plugin
            library that is absent, or states that do not fit.
    """
    known = tensorrt_versions.facts(version())
    _check_origin(path, meta, known)
    paths = tensorrt_plugins.check(path, meta, plugins)
    tensorrt_plugins.load(paths, known)
    free, _ = cuda.device().memory()
    runtime, engine = deserialize(path, meta, known)
    taken = free - cuda.device().memory()[0]
    return tensorrt_run.TensorRtEngine(path, meta, known, runtime, engine, states or {}, cuda_graph, profile, taken)


def _check_origin(path, meta, known):
    """BadInput, naming both sides, if the engine was built by another version, or for another platform or GPU."""
    expected = f"an engine of TensorRT {known.version}, which is loading it"
    found = plan_version(path)
    if found is None:
        raise BadInput(path, "a file that does not begin as a TensorRT plan does", expected, REBUILD)
    if found != ".".join(known.version.split(".")[:3]) and not (meta and compatible(meta, known.version)):
        raise BadInput(path, f"an engine of TensorRT {found}, by its header", expected, REBUILD)
    if not meta:
        return
    if meta.get("platform", platform_name()) != platform_name():
        raise BadInput(path, f"an engine for {meta['platform']}", f"one for {platform_name()}", REBUILD)
    device = cuda.device()
    built = meta["compute_capabilities"]
    level = meta["options"].get("hardware_compatible")
    if device.capability not in built and not (level == "AMPERE_PLUS" and float(device.capability) >= 8):
        raise BadInput(path, f"an engine built for compute capability {', '.join(built)} ({meta.get('device')})",
                       f"one for {device.capability} ({device.name}), this machine's GPU", REBUILD)  # fmt: skip


def deserialize(path, meta, known):
    """(runtime, engine) of the plan at `path`; BadInput with TensorRT's reason."""
    import tensorrt as trt

    with tensorrt_log.captured() as log:
        runtime = trt.Runtime(tensorrt_log.logger())
        if meta.get("options", {}).get("version_compatible"):
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            device = cuda.device()
            raise BadInput(path, f"TensorRT refused the engine:\n{log}",
                           f"an engine of TensorRT {known.version} for {device.name} (compute capability "
                           f"{device.capability}), with its plugin libraries", REBUILD)  # fmt: skip
    return runtime, engine
