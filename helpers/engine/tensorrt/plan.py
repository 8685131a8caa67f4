"""A plan, as TensorRT calls a serialized engine: what its header says, where it may run, and how it is loaded."""

import contextlib
import dataclasses
import os
import platform
import struct
from pathlib import Path
from typing import Any

from helpers.engine import cuda
from helpers.engine.tensorrt import messages
from helpers.engine.tensorrt.versions import Facts
from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.kinds import PLAN

# A plan begins with PLAN; its version is in bytes 24 to 27 (trtexec --getPlanVersionOnly, sampleEngines.cpp).
REBUILD = "build it again on this machine: python -m helpers engine build --onnx=MODEL.onnx --runtime=tensorrt"


@dataclasses.dataclass
class Plan:
    """A deserialized plan.

    Attributes:
        known: facts of the TensorRT that loaded it.
        runtime, engine: trt.Runtime and trt.ICudaEngine; the first must outlive the second.
        loaded_bytes: memory of the GPU that loading took.
    """

    known: Facts
    runtime: Any
    engine: Any
    loaded_bytes: int


def platform_name() -> str:
    """Operating system and processor that an engine is for, such as "linux-x86_64"."""
    return f"{platform.system()}-{platform.machine()}".lower()


def is_plan(path: PathLike) -> bool:
    """Whether there is a file that begins as a plan does."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                return stream.read(len(PLAN)) == PLAN
    return False


def plan_version(path: PathLike) -> str | None:
    """TensorRT version in the header of the plan at `path`, such as "8.6.0"; None if the header is not known."""
    with open(path, "rb") as stream:
        head = stream.read(28)
    if len(head) < 28 or head[:4] != PLAN or struct.unpack("<I", head[4:8]) != (0,):
        return None
    return ".".join(map(str, head[24:27]))


def compatible(meta: dict[str, Any], here: str) -> bool:
    """Whether an engine of another version may be loaded: built version compatible, same major release, not newer."""
    built = [int(part) for part in meta["version"].split(".")]
    mine = [int(part) for part in here.split(".")]
    return bool(meta["options"].get("version_compatible")) and built[0] == mine[0] and built <= mine


def check_origin(path: Path, meta: dict[str, Any], known: Facts) -> None:
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


def deserialize(path: Path, known: Facts, version_compatible: bool) -> Plan:
    """Load the plan at `path`; BadInput with TensorRT's reason."""
    import tensorrt as trt

    device = cuda.device()
    free, _ = device.memory()
    with messages.captured() as log:
        runtime = trt.Runtime(messages.logger())
        if version_compatible:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise BadInput(path, f"TensorRT refused the engine:\n{log}",
                           f"an engine of TensorRT {known.version} for {device.name} (compute capability "
                           f"{device.capability}), with its plugin libraries", REBUILD)  # fmt: skip
    return Plan(known, runtime, engine, free - device.memory()[0])
