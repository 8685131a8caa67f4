"""A graph of TensorRT-Edge-LLM in ONNX Runtime: tokens packed, a cache of pages, as its own runtime feeds it."""

from typing import Any

import numpy as np
import onnx

from helpers.arguments import array, typed
from helpers.graph.session import open_session
from helpers.llm.edge.attention import define
from helpers.llm.edge.commands import PAGE
from helpers.llm.language_model import LanguageModel

PREFILL, DECODE = 1, 3  # lengths of the marker that tells the phases apart; its content is ignored


class EdgeModel(LanguageModel):
    """What `tensorrt-edgellm-export` wrote of a plain Llama, its attention by definition.

    Attributes:
        cache: dict of input to pool, [2, pages, 128, heads, head_dim] float16.
    """

    @typed
    def __init__(self, model: onnx.ModelProto, embeddings: np.ndarray, rope_theta: float, capacity: int) -> None:
        """Open a graph with its weights.

        Args:
            embeddings: [vocab_size, hidden_size], of embedding.safetensors: the graph takes rows of it, not ids.
            rope_theta, capacity: of the folder's config.json (capacity: max_position_embeddings).

        Raises:
            BadInput: no attention of Edge-LLM, or one with features that are not defined here.
        """
        self._embeddings = array("embeddings", embeddings, (None, None), "number").astype(np.float16)
        vocabulary, width = self._embeddings.shape
        super().__init__(vocabulary, width, capacity)
        self._session = open_session(define(model), threads=1)
        pools = [value for value in self._session.get_inputs() if value.name.startswith("past_key_values_")]
        self._pools = {pool.name: pool.shape for pool in pools}
        size = pools[0].shape[-1]
        self._frequencies = rope_theta ** (-np.arange(0, size, 2, dtype=np.float32) / size)
        self.cache: dict[str, Any] = {}

    def _clear(self, batch):
        self._pages = -(-self.capacity // PAGE)
        for name, (two, _, *rest) in self._pools.items():
            self.cache[name] = np.zeros((two, batch * self._pages, *rest), np.float16)

    def _run(self, ids, counts, table):
        batch = len(counts)
        words = np.concatenate([self._embeddings, table.astype(np.float16)])
        entered = np.concatenate([words[row[:count]] for row, count in zip(ids, counts, strict=True)])
        places = np.concatenate([past + np.arange(count) for past, count in zip(self.lengths, counts, strict=True)])
        angles = places[:, None] * self._frequencies
        starts = np.concatenate([[0], counts.cumsum()])
        keys = np.arange(batch * self._pages).reshape(batch, 1, self._pages)
        prefill = not self.lengths.any()
        feeds = {
            "query_lengths": counts, "past_lengths": self.lengths, "attention_sequence_lengths": self.lengths + counts,
            "positions": places, "query_start_offsets": starts, "state_indices": np.arange(batch),
            "kv_page_table": np.concatenate([keys, keys + batch * self._pages], 1),
            "execution_phase_marker": np.zeros(PREFILL if prefill else DECODE),
            "context_sequence_count_carrier": np.zeros(batch if prefill else 0),
        }  # fmt: skip
        feeds = {name: values.astype(np.int32) for name, values in feeds.items()} | {
            "inputs_embeds": entered,
            "rope_rotary_cos_sin": np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32),
            "logits_indices": starts[1:] - 1,
        }
        known = {value.name for value in self._session.get_inputs()}
        given = {name: values for name, values in feeds.items() if name in known} | self.cache
        logits, *pools = self._session.run(None, given)
        self.cache = dict(zip(self._pools, pools, strict=True))
        return logits
