"""A Llama's graph in ONNX Runtime; its cache stays where it is, bound as input and output."""

from typing import Any, cast

import numpy as np
import onnxruntime

from helpers import engine
from helpers.arguments import array, typed
from helpers.engine.onnxruntime import OnnxRuntimeEngine
from helpers.errors import BadInput, foreign
from helpers.files import PathLike, as_path
from helpers.llm.flavors import FLAVORS
from helpers.llm.language_model import LanguageModel
from helpers.llm.onnx.graph import read_about


class OnnxModel(LanguageModel):
    """A graph of `helpers.llm.onnx.export`.

    A static cache is one buffer per layer, which `TensorScatter` changes in place; of a growing one every step makes a
    longer copy.

    Attributes:
        cache: dict of input to its OrtValue, [batch, heads, slots, head_dim].
    """

    @typed
    def __init__(self, path: PathLike, embeddings: np.ndarray | None = None, **options: Any) -> None:
        """Open a graph.

        Args:
            embeddings: [vocab_size, hidden_size], of the tokens, where the graph takes embeddings.
            options: of `helpers.engine.onnxruntime.SessionOptions`.

        Raises:
            BadInput: no graph of a language model, one that gives every token's logits, or embeddings that are missing
                or of another shape.
        """
        self.path = as_path(path)
        self.engine = cast(OnnxRuntimeEngine, engine.load(self.path, "onnxruntime", **options))
        self._session = self.engine.session
        about = read_about(self._session.get_modelmeta().custom_metadata_map, self.path)
        if about.every:
            raise BadInput(self.path, "logits of every token", "those of the last one", "export with every=False")
        super().__init__(about.vocab_size, about.hidden_size, about.capacity, 0 if about.inputs == "ids" else None)
        self._inputs, self._form = about.inputs, FLAVORS[about.flavor]
        self._embeddings = self._checked(embeddings)
        _, *present = self.engine.outputs
        self._present = dict(zip(list(self.engine.inputs)[-len(present) :], present, strict=True))
        self._dtype = self.engine.outputs[present[0]].dtype
        self._binding = self._session.io_binding()
        self.cache: dict[str, Any] = {}
        self._held = np.zeros((0, 0), bool)

    def _checked(self, embeddings):
        if self._inputs != "embeds":
            if embeddings is not None:
                raise BadInput("embeddings", f"for {self.path}, which takes {self._inputs}", "none", "leave them out")
            return None
        shape = (self.vocab_size, self.hidden_size)
        found = None if embeddings is None else array("embeddings", embeddings, shape)
        if found is None or found.dtype.kind != "f":
            said = "none" if found is None else str(found.dtype)
            raise BadInput("embeddings", said, f"{list(shape)}, of the tokens", "pass helpers.llm.pytorch.embeddings")
        return found

    def _clear(self, batch):
        for name in self._present:
            _, heads, _, dims = self.engine.inputs[name].shape
            empty = np.zeros((batch, int(heads), self.capacity if self._form.static else 0, int(dims)), self._dtype)
            self.cache[name] = onnxruntime.OrtValue.ortvalue_from_numpy(empty)
        self._held = np.zeros((batch, 0), bool)

    def _run(self, ids, counts, table):
        if not self._form.single:
            return self._step(ids, counts, table, self.lengths)
        logits = np.zeros((len(ids), self.vocab_size), np.float32)
        for step in range(ids.shape[1]):
            found = self._step(ids[:, step : step + 1], counts, table, self.lengths + step)
            logits = np.where((counts > step)[:, None], found, logits)
        return logits

    def _step(self, ids, counts, table, lengths):
        with foreign(self.path, "inputs that the graph runs with", "export the model again"):
            self._bind(feeds := self._feeds(ids, counts, table, lengths))
            self._session.run_with_iobinding(self._binding)
        del feeds  # bound by address: they had to live until here
        logits, *cache = self._binding.get_outputs()
        if not self._form.static:
            self.cache = dict(zip(self._present, cache, strict=True))
        return logits.numpy()

    def _feeds(self, ids, counts, table, lengths):
        steps = np.arange(ids.shape[1])
        feeds = {"position_ids": lengths[:, None] + steps, "last": counts - 1}
        feeds = {name: array for name, array in feeds.items() if name in self.engine.inputs}
        if self._form.static:
            feeds["write_indices"] = lengths
        else:
            self._held = np.concatenate([self._held, steps < counts[:, None]], 1)
            feeds["attention_mask"] = self._held
        if self._inputs == "embeds":
            entered = self._embeddings[np.minimum(ids, self.vocab_size - 1)]  # what no step copies is the whole table
            if len(table):
                rows = table[np.maximum(ids - self.vocab_size, 0)]
                entered = np.where((ids >= self.vocab_size)[..., None], rows, entered)
            return feeds | {"inputs_embeds": entered.astype(self._dtype)}
        if self._inputs == "table":
            unused = np.zeros((1, self.hidden_size))  # where there is no table: a row that no id means
            feeds["prompt_table"] = (table if len(table) else unused).astype(self._dtype)
        return feeds | {"input_ids": ids}

    def _bind(self, feeds):
        """Inputs by value, the cache by its buffers, into which a static one is written as well."""
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for name, value in feeds.items():
            self._binding.bind_cpu_input(name, value)
        self._binding.bind_output("logits")
        for name, buffer in self.cache.items():
            self._binding.bind_ortvalue_input(name, buffer)
            if self._form.static:
                self._binding.bind_ortvalue_output(self._present[name], buffer)
            else:
                self._binding.bind_output(self._present[name])
