"""One way in which an engine of TensorRT takes tokens: a prompt, or one after the other. Needs no torch."""

from collections.abc import Mapping
from typing import Any, cast

from helpers import engine
from helpers.engine import cache
from helpers.engine.tensorrt import TensorRt, inspector, messages
from helpers.engine.tensorrt.plan import Plan
from helpers.engine.tensorrt.profiles import Profiles
from helpers.engine.tensorrt.tensors import is_free, tensors_of
from helpers.errors import BadInput
from helpers.files import PathLike, as_path

PAST, PRESENT = "past_key_values.", "present."
WHOLE = ("input_ids", "position_ids", "write_indices", "last")


def opened(path: PathLike) -> Plan:
    """The engine at `path` with its plugins; BadInput as `helpers.engine.load`."""
    runtime, version = engine.usable("tensorrt")
    meta = cache.verify(as_path(path), "tensorrt", version, runtime.compatible)
    return cast(TensorRt, runtime).opened(as_path(path), meta)


class Side:
    """A context in one optimization profile.

    Attributes:
        inputs, outputs: as of an engine. caches: input -> output of every layer's keys and values.
        shortest, longest: tokens that it takes at once. alone: whether the engine takes one at a time only.
    """

    def __init__(self, path: PathLike, plan: Plan, profile: int, stream: Any) -> None:
        """Raises BadInput for an engine without the tensors of a language model with a static cache."""
        self.path, self._stream, self._plan = path, stream, plan
        self.inputs, self.outputs = tensors_of(as_path(path), plan.engine)
        self.caches = {name: PRESENT + name.removeprefix(PAST) for name in self.inputs if name.startswith(PAST)}
        self._check()
        self._free = [name for name, tensor in self.inputs.items() if is_free(tensor.shape)]
        profiles = Profiles(path, plan.engine, self._free, profile)
        free = profiles.ranges[profile].get("input_ids")
        fixed = self.inputs["input_ids"].shape
        self.shortest, self.longest = (int((free[k] if free else fixed)[1]) for k in (0, 2))
        self.alone = self.longest == 1 and len(profiles.ranges) == 1
        self._profiles, self._context = profiles, profiles.context(stream)

    def _check(self):
        lacking = [n for n in ("input_ids", "write_indices") if n not in self.inputs]
        lacking += [n for n in ("logits", "token", *self.caches.values()) if n not in self.outputs]
        if lacking or not self.caches or any(is_free(self.inputs[name].shape) for name in self.caches):
            found = f"no {', '.join(lacking)}" if lacking else "a cache that grows, or none"
            fix = "export a flavor with a static cache, and build what helpers.llm.onnx.greedy makes of it"
            raise BadInput(self.path, found, "a language model of one row", fix)

    def bind(self, tokens: int, addresses: Mapping[str, int]) -> None:
        """Let it take so many tokens at once, every tensor at its address; a cache is written where it is read."""
        self._profiles.set_shapes(self._context, {name: (1, tokens) for name in self._free})
        for name in (*self.inputs, *self.outputs):
            self._context.set_tensor_address(name, addresses[PAST + name.removeprefix(PRESENT)]
                                             if name.startswith(PRESENT) else addresses[name])  # fmt: skip

    def queue(self) -> None:
        """Queue one run."""
        if not self._context.execute_async_v3(self._stream.handle):
            raise BadInput(self.path, f"TensorRT refused to:\n{messages.recent()}", "an engine that runs", "see why")

    def profile(self, iterations: int) -> list[dict[str, Any]]:
        """Time of each layer, as `TensorRtEngine.profile` gives it; the context goes on reporting to its profiler."""
        profiler = inspector.profiler()
        self._context.profiler = profiler
        for turn in range(iterations + 1):
            self.queue()
            self._stream.synchronize()
            if turn == 0:
                profiler.total.clear()
        return inspector.timed(profiler.total, inspector.layers(self._plan.engine, self._context), iterations)
