"""What every runtime and every engine look like from outside: each runtime subclasses both and says what differs."""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from helpers.benchmark import Timing, latency
from helpers.engine.slots import HostSlot, Line, Slot
from helpers.errors import BadInput
from helpers.files import PathLike

Arrays = Mapping[str, np.ndarray]


class Tensor(NamedTuple):
    """Shape and dtype of an engine's input or output; an entry of `shape` that is a string is a free dimension."""

    shape: tuple[int | str, ...]
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


class Engine:
    """A loaded engine: named tensors in, named tensors out, checked. A runtime's engine defines `_run`.

    Attributes:
        inputs, outputs: dict of tensor name to `Tensor(shape, dtype)`, in the graph's order.
        description: one line saying what runs and how.
        meta: the metadata file's content ({} for a file that did not come from the cache).
        states: dict of input name to output name, for inputs that the engine keeps itself; `feeds` may leave them out.
        turn: held by a run whose frames go on from the states that the engine keeps.
    """

    def __init__(
        self,
        path: Path,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        description: str,
        meta: dict[str, Any],
        states: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.inputs, self.outputs = path, dict(inputs), dict(outputs)
        self.description, self.meta, self.states = description, meta, dict(states or {})
        self.turn = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release what the runtime holds."""

    def run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        """Run once.

        Args:
            feeds: dict of input name to array, with exactly the names, shapes and dtypes of `inputs`; free dimensions
                of the same name must agree.

        Returns:
            dict of output name to array.

        Raises:
            BadInput: naming the tensor that is missing, unknown, or of another shape or dtype.
        """
        self.check(feeds)
        return self._run(feeds)

    def _run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def time(self, feeds: Arrays, warmup: int = 10, iterations: int = 100) -> dict[str, Timing]:
        """Time `iterations` runs on one set of inputs after `warmup` runs that are not timed; states go on.

        Returns:
            dict of "host" (with the copies both ways), on a GPU also "gpu" (between events around the engine's work)
            and "enqueue" (the call that queues it) to `Timing`, in ms.
        """
        return {"host": latency(lambda: self.run(feeds), warmup, iterations)}

    def slots(self, count: int, states: Mapping[str, str], initial: Arrays | None = None) -> list[Slot]:
        """Slots for frames that follow each other without waiting; they end with the engine.

        Args:
            states: input -> the output that feeds it, such as `config.states`.
            initial: state -> array where a sequence begins, such as `config.initial_states()`; zeros where it has none.

        Raises:
            BadInput: a free dimension, other states than the engine keeps itself, or initial ones that do not fit.
        """
        line = Line(self, states, initial)
        return [HostSlot(line) for _ in range(count)]

    def reset(self) -> None:
        """Let the states be as before the first frame; without states there is nothing to set."""

    def layers(self) -> list[dict[str, Any]]:
        """Layers as the builder fused them, where the runtime tells: index, name, type, precision, inputs, outputs.

        Raises:
            BadInput: the runtime does not tell.
        """
        raise BadInput(self.description, "no list of layers", "an engine of the runtime tensorrt", "leave it out")

    def profile(self, feeds: Arrays, iterations: int = 10) -> list[dict[str, Any]]:
        """Mean time of each layer, where the runtime tells: layer, type, precision, ms and share of the sum.

        Raises:
            BadInput: the runtime does not tell.
        """
        raise BadInput(self.description, "no times of layers", "an engine of the runtime tensorrt", "leave it out")

    def memory(self) -> dict[str, float]:
        """MiB by purpose, such as weights and activations; {} where the runtime does not tell."""
        return {}

    def check(self, feeds: Arrays) -> None:
        """Raise BadInput unless `feeds` fits `inputs`."""
        check_feeds(self.path, feeds, self.inputs, self.states)


@dataclasses.dataclass
class NoOptions:
    """What a runtime without options takes."""


class Draft(NamedTuple):
    """An empty network definition, to be written layer by layer.

    trt: the module; network: its INetworkDefinition; strong: whether it is typed strongly; log: what TensorRT says;
    serialize: makes the engine of what has been written, None where TensorRT refuses it.
    """

    trt: Any
    network: Any
    strong: bool
    log: Any
    serialize: Callable[[], Any]


class Runtime:
    """A way to build and load engines. One instance serves all calls, so it keeps nothing.

    Attributes:
        name: as in `helpers.engine.RUNTIMES`.
        suffix: file name ending of its engines.
        build_options, load_options: dataclasses of the options of `helpers.engine.build` and `load`; making one checks
            and completes them.
    """

    name: ClassVar[str]
    suffix: ClassVar[str] = ".engine"
    build_options: ClassVar[type] = NoOptions
    load_options: ClassVar[type] = NoOptions

    def version(self) -> str:
        """The installed version; ImportError if it is not installed, OSError if it cannot be used on this machine."""
        raise NotImplementedError

    def compute_capabilities(self, options: Any) -> list[str]:
        """Compute capabilities of the GPUs that an engine is built for; none if it needs no GPU."""
        return []

    def key_options(self, options: Any) -> dict[str, Any]:
        """The part of the build options that makes an engine another one, for the cache's key."""
        return dataclasses.asdict(options)

    def check(self, onnx_path: PathLike, model: Any, options: Any) -> None:
        """BadInput if the build options do not fit `model`, which was read from `onnx_path`."""

    def build(self, onnx_path: Path, model: Any, engine_path: Path, options: Any) -> dict[str, Any]:
        """Write the engine of `model`, which was read from `onnx_path`; returns details for the metadata file."""
        raise NotImplementedError

    def draft(self, options: Any, half: bool) -> AbstractContextManager[Draft]:
        """An empty network definition and what builds it; `half`: numbers may be computed in half precision.

        Raises:
            BadInput: a runtime without a network definition.
        """
        fix = "name another runtime; this one takes ONNX"
        raise BadInput(f"runtime {self.name}", "no network definition", "tensorrt_rtx or tensorrt", fix)

    def load(self, path: Path, meta: dict[str, Any], options: Any) -> Engine:
        """Load the engine at `path`, whose metadata file holds `meta` ({} without one)."""
        raise NotImplementedError

    def compatible(self, meta: dict[str, Any], version: str) -> bool:
        """Whether an engine of another version of this runtime may be loaded by `version`."""
        return False

    def is_engine(self, path: PathLike) -> bool:
        """Whether a file without a metadata file is an engine of this runtime."""
        return False

    def layers(self, onnx_path: PathLike) -> list[dict[str, Any]]:
        """Layers of the network that the parser makes of an ONNX file, before a build; [] where it does not tell."""
        return []


def check_feeds(where: object, feeds: Arrays, inputs: Mapping[str, Tensor], optional: Iterable[str] = ()) -> None:
    """BadInput unless `feeds` are arrays for all `inputs` of `where` but the `optional` ones, and for no others."""
    if not isinstance(feeds, Mapping):
        raise BadInput(f"inputs of {where}", f"a {type(feeds).__name__}", "a dict, name: array", "pass one")
    for name in feeds:
        if name not in inputs:
            raise BadInput(f"input {name!r} of {where}", "no such input", f"one of {list(inputs)}",
                           "rename the array or leave it out")  # fmt: skip
    sizes: dict[str, int] = {}
    for name, tensor in inputs.items():
        if name in feeds:
            _check_array(f"input {name!r} of {where}", feeds[name], tensor, sizes)
        elif name not in optional:
            raise BadInput(f"input {name!r} of {where}", "nothing given", tensor, "pass an array under this name")


def make_options(options: type, runtime: str, given: dict[str, Any]) -> Any:
    """An instance of the dataclass `options`; BadInput for a name that it does not have."""
    names = [field.name for field in dataclasses.fields(options)]
    for name in given:
        if name not in names:
            raise BadInput(f"option {name}", f"no such option of the runtime {runtime}", f"some of {names}",
                           "leave it out, or name another runtime")  # fmt: skip
    return options(**given)


def _check_array(where, array, tensor, sizes):
    if not isinstance(array, np.ndarray):
        raise BadInput(where, type(array).__name__, f"a NumPy array, {tensor}", "convert it with numpy.asarray")
    found = Tensor(array.shape, array.dtype)
    if array.dtype != tensor.dtype:
        raise BadInput(where, found, tensor, f"convert it with .astype(numpy.{tensor.dtype})")
    fits = len(array.shape) == len(tensor.shape)
    for size, dimension in zip(array.shape, tensor.shape, strict=False):
        fits = fits and size == (sizes.setdefault(dimension, size) if isinstance(dimension, str) else dimension)
    if not fits:
        bound = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        raise BadInput(
            where, found, f"{tensor}" + (f" with {bound}" if bound else ""), "reshape or re-collect the array"
        )
