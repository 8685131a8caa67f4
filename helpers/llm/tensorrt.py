"""A language model as engines of TensorRT: its cache stays on the GPU and is written in place. Needs no torch.

The graphs have a static cache and are for one row, as `helpers.llm.onnx.greedy` makes them. Either one engine has two
profiles, [decode, prefill], or another engine takes the prompt. Without either the steps take it, one token after the
other: the same answer, later. A step writes the same into its place however often it is computed, so the cache that is
read may be the one that is written.
"""

from typing import Any

import numpy as np

from helpers.arguments import typed
from helpers.engine import cuda
from helpers.engine.tensorrt.replay import Replay
from helpers.errors import BadInput
from helpers.files import PathLike
from helpers.llm.language_model import LanguageModel, Row
from helpers.llm.side import WHOLE, Side, opened


class TensorRtModel(LanguageModel):
    """One row of tokens on the first GPU.

    `begin`, `rewind`, `advance` and `chosen` take the most probable tokens and wait for nothing in between; `prefill`
    and `decode` give logits, as of every language model.

    Attributes:
        stream: on which all work is queued. cuda_graph: whether a run is queued as one CUDA graph; may be changed.
        loaded_bytes: of the GPU's memory that engines, contexts and buffers took.
    """

    @typed
    def __init__(self, path: PathLike, prefill: PathLike | None = None, cuda_graph: bool = True) -> None:
        """Load an engine, and another one for prompts where it has no profile for them and they should not take long.

        Raises:
            BadInput: as `helpers.engine.load`, or engines that do not fit.
        """
        self._device, self.cuda_graph = cuda.device(), cuda_graph
        free, _ = self._device.memory()
        self.stream = self._device.stream()
        self._replays, self._count, self._bound = {True: Replay(self.stream), False: Replay(self.stream)}, 0, 0
        self._plans: Any = [opened(path)] + ([opened(prefill)] if prefill else [])
        self._decode = Side(path, self._plans[0], 0, self.stream)
        alone = not prefill and self._decode.alone
        profile = 0 if prefill else 1
        self._prefill = self._decode if alone else Side(prefill or path, self._plans[-1], profile, self.stream)
        caches = [{name: side.inputs[name] for name in side.caches} for side in (self._decode, self._prefill)]
        if caches[0] != caches[1]:
            raise BadInput(prefill, "another cache", f"that of {path}", "export both with the same capacity and dtype")
        capacity = int(next(iter(caches[0].values())).shape[2])
        super().__init__(int(self._decode.outputs["logits"].shape[1]), 0, capacity, 0)
        self._begun = self.lengths
        self._kind = self._decode.inputs["input_ids"].dtype
        self._memory: dict[str, cuda.Memory] = {}
        self._host: dict[str, cuda.Memory] = {}
        self._reserve({name: _size(tensor) for name, tensor in caches[0].items()} | {"logits": 4 * self.vocab_size})
        here = {name: memory.address for name, memory in self._memory.items()}
        self._addresses = here
        step = {"input_ids": here["step"], "position_ids": here["place"], "write_indices": here["place"],
                "last": here["zero"]}  # fmt: skip
        self._decode.bind(1, here | step)
        self.loaded_bytes = free - self._device.memory()[0]

    def _reserve(self, sizes):
        """Memory on the GPU, of more by `sizes` in bytes, and pinned: whole numbers of a prompt and of a step, all
        places, what is chosen."""
        item, size = self._kind.itemsize, self.capacity * self._kind.itemsize
        for name in ("step", "place", "zero", "token"):
            self._memory[name] = self._device.allocate(item)
        for name in (*WHOLE, "places"):
            self._memory[name] = self._device.allocate(size)
        for name, count in sizes.items():
            self._memory[name] = self._device.allocate(count)
        self._host = {name: self._device.pinned(size) for name in (*WHOLE, "places", "tokens")}
        self._host["logits"] = self._device.pinned(self._memory["logits"].size)
        self._put("places", np.arange(self.capacity))
        for name in ("zero", *self._decode.caches):
            self.stream.zero(self._memory[name].address, self._memory[name].size)
        self.stream.synchronize()

    def begin(self, prompt: Row) -> None:
        """Empty the cache and queue a prompt; raises as `prefill`, and leaves the cache as it was."""
        (ids,) = self._checked_rows([prompt], 0)
        self.lengths, self._following = np.zeros(1, np.int64), None
        self._clear(1)
        self._take(ids)
        self._begun = self.lengths
        self._keep()

    def rewind(self) -> None:
        """Queue the way back to where the last `begin` ended, behind its prompt, with the token that it chose.

        All that follows is as behind a prompt that was just taken in: a step writes no place but its own, so the cache
        still holds the prompt, and what lies behind it is seen by no step before it is written anew.

        Raises:
            BadInput: no prompt was begun, or `prefill` has taken its place.
        """
        if not self._count:
            raise BadInput("cache", "no prompt that was begun", "one to go back to", "call begin first")
        self._device.activate()
        self.stream.upload(self._memory["token"].address, self._host["tokens"].address, self._kind.itemsize)
        self.lengths, self._following, self._count = self._begun, None, 1

    def advance(self) -> None:
        """Queue a step, which takes in the token chosen last; BadInput before a prompt, or for a full cache."""
        self._check_begun()
        self._check_room(int(self.lengths[0]) + 1)
        self._device.activate()
        self._copy("step", "token")
        self._following = None
        self._step()
        self._keep()

    def chosen(self) -> list[int]:
        """Wait for all that is queued; the tokens since `begin`."""
        if not self._count:
            return []
        self.stream.synchronize()
        return [int(token) for token in self._host["tokens"].array((self._count,), self._kind)]

    def latest(self) -> int:
        """Wait for all that is queued; the last token alone. BadInput if none was chosen since `begin`."""
        if not self._count:
            raise BadInput("tokens", "none since a prompt was begun", "at least one", "call begin first")
        self.stream.synchronize()
        return int(self._host["tokens"].array((self._count,), self._kind)[-1])

    def _keep(self):
        place = self._host["tokens"].address + self._count * self._kind.itemsize
        self.stream.download(place, self._memory["token"].address, self._kind.itemsize)
        self._count += 1

    def _copy(self, target, source, at=0):
        """One whole number on the GPU, the one `at` its place."""
        item = self._kind.itemsize
        self.stream.copy(self._memory[target].address, self._memory[source].address + at * item, item)

    def _put(self, name, values):
        host = self._host[name].array((len(values),), self._kind)
        host[:] = values
        self.stream.upload(self._memory[name].address, self._host[name].address, host.nbytes)

    def _step(self):
        self._copy("place", "places", int(self.lengths[0]))
        self._queue(self._decode)
        self.lengths = self.lengths + 1

    def _take(self, ids):
        """Queue a prompt, or one token that is given."""
        self._device.activate()
        self.stream.synchronize()  # until then what is put may be read
        count, start = len(ids), int(self.lengths[0])
        if self._by_steps(count):
            self._put("input_ids", ids)
            for at in range(count):
                self._copy("step", "input_ids", at)
                self._step()
            return
        for name, values in zip(WHOLE, (ids, start + np.arange(count), [start], [count - 1]), strict=True):
            self._put(name, values)
        if count != self._bound:
            self._replays[True].clear()
            self._prefill.bind(count, self._addresses)
            self._bound = count
        self._queue(self._prefill)
        self.lengths = self.lengths + count

    def _queue(self, side):
        if self.cuda_graph:
            self._replays[side is self._prefill].queue(side.queue, None)
        else:
            side.queue()

    def _check_lengths(self, lengths):
        """Asked before anything is changed: one row, of a length for which there is an engine that is open."""
        if not self._plans:
            raise BadInput("language model", "one that was closed", "one that is open", "load it again")
        if len(lengths) != 1:
            raise BadInput(
                "prompts", f"{len(lengths)} rows", "one, which the engine is for", "pass one after the other"
            )
        super()._check_lengths(lengths)
        least, most = self._prefill.shortest, self._prefill.longest
        if not least <= lengths[0] <= most and not self._by_steps(lengths[0]):
            expected = f"at most {most}" if lengths[0] > most else f"at least {least}"
            raise BadInput("prompt", f"{lengths[0]} tokens", f"{expected}, by the engine's profile",
                           "give another one, or build with a wider profile")  # fmt: skip

    def _by_steps(self, count):
        """Whether steps take so many tokens, one after the other."""
        return count == 1 or self._prefill is self._decode

    def _check_begun(self):
        if not self.lengths.size:
            raise BadInput("cache", "no prompt in it", "one to go on with", "call begin first")

    def _clear(self, batch):
        self._count = 0

    def _run(self, ids, counts, table):
        before = self.lengths
        self._take(ids[0])
        self.lengths = before  # the caller counts
        memory = self._memory["logits"]
        self.stream.download(self._host["logits"].address, memory.address, memory.size)
        self.stream.synchronize()
        return self._host["logits"].array((1, self.vocab_size), np.float32).copy()

    def profile(self, iterations: int = 20) -> list[dict[str, Any]]:
        """Time of each layer of a step, after a prompt, as `helpers.engine.Engine.profile` gives it; close it then."""
        self._check_begun()
        self._check_room(int(self.lengths[0]) + 1)
        self._device.activate()
        self._copy("step", "token")
        self._copy("place", "places", int(self.lengths[0]))
        return self._decode.profile(iterations)

    def close(self) -> None:
        """Release buffers, contexts and engines."""
        if not self._plans:
            return
        self._device.synchronize()
        for replay in self._replays.values():
            replay.clear()
        for memory in (*self._memory.values(), *self._host.values()):
            memory.free()
        self.stream.close()
        self._decode = self._prefill = self._plans = None  # type: ignore[assignment]
        self.lengths, self._count = np.zeros(0, np.int64), 0  # nothing can go on then


def _size(tensor):
    return int(np.prod(tensor.shape, dtype=np.int64)) * tensor.dtype.itemsize
