"""What generation asks of a language model, whatever runs it: prompts in, then one token of each row after another."""

import contextlib
import operator
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from helpers.arguments import array, typed
from helpers.errors import BadInput

Row = Sequence[int] | np.ndarray
FEWER = "shorten the prompt, ask for fewer tokens, or make the cache larger (capacity)"


class LanguageModel:
    """A Llama with its cache. A subclass defines `_clear` and `_run`.

    Rows of a batch are filled up on the right. A token sees those of its row that lie at its position or before, so
    what fills up is seen by none, and the next token takes its place.

    Attributes:
        vocab_size, hidden_size: of the model. capacity: tokens that the cache holds for each row.
        rows: the largest table of prompt embeddings; None for any, 0 where the model takes none.
        lengths: [B] int64, tokens of each row that are in the cache.
    """

    def __init__(self, vocab_size: int, hidden_size: int, capacity: int, rows: int | None = None) -> None:
        self.vocab_size, self.hidden_size, self.capacity, self.rows = vocab_size, hidden_size, capacity, rows
        self.lengths = np.zeros(0, np.int64)
        self._following: np.ndarray | None = None
        self._running = threading.Lock()

    @typed
    def prefill(self, prompts: Sequence[Row], table: np.ndarray | None = None) -> np.ndarray:
        """Empty the cache, take in the prompts, return the logits of their last tokens, [B, vocab_size] float32.

        Args:
            prompts: token ids of each row, which may differ in length. An id from `vocab_size` on stands for a row of
                `table`: pictures enter so.
            table: [rows, hidden_size] float32, embeddings that no token has.

        Raises:
            BadInput: no prompt or an empty one, an id that stands for nothing, a table of another width, not finite or
                too large, more tokens than the cache holds, prompts that the model does not take, or a model that
                another thread runs. The cache is left as it was.
        """
        checked = self._checked_table(table)
        rows = self._checked_rows(prompts, len(checked))
        with self._alone():
            self.lengths = np.zeros(len(rows), np.int64)
            self._clear(len(rows))
            return self._feed(rows, checked)

    def decode(self, ids: Row, after: np.ndarray | None = None) -> np.ndarray:
        """Take in one more token of each row, ids [B]; returns the logits that follow, [B, vocab_size] float32.

        Args:
            after: the logits by which the ids were chosen, as `prefill` or `decode` returned them; None for any.

        Raises:
            BadInput: ids of another number of rows or outside the vocabulary, a cache that is full, or one in which
                something else follows what gave `after`; or a model that another thread runs.
        """
        given = _row("ids", ids)
        if given.size != self.lengths.size or not given.size:
            raise BadInput(
                "ids", f"{given.size} of them", f"{self.lengths.size}, one for each row", "call prefill first"
            )
        self._check_ids([given], 0)
        self._check_room(int(self.lengths.max()) + 1)
        with self._alone():
            if after is not None and self._following is not after:
                fix = "end one answer before the next is begun, or load the model once for each"
                raise BadInput("cache", "tokens of another answer", "those that this one goes on with", fix)
            return self._feed(given[:, None], np.zeros((0, self.hidden_size), np.float32))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """BadInput if another thread is in the block."""
        if not self._running.acquire(blocking=False):
            raise BadInput("language model", "a run of another thread", "one at a time", "load it once for each thread")
        try:
            yield
        finally:
            self._running.release()

    def _feed(self, rows, table):
        counts = np.array([len(row) for row in rows], np.int64)
        ids = np.zeros((len(rows), counts.max()), np.int64)
        for row, given in zip(ids, rows, strict=True):
            row[: len(given)] = given
        logits = self._run(ids, counts, table)
        self.lengths, self._following = self.lengths + counts, logits
        return logits

    def _clear(self, batch: int) -> None:
        """Forget all tokens, and make room for `batch` rows."""
        raise NotImplementedError

    def _run(self, ids: np.ndarray, counts: np.ndarray, table: np.ndarray) -> np.ndarray:
        """The logits [B, vocab_size] float32 of the last of each row's `counts` tokens.

        ids: [B, S] int64, filled up on the right. counts: [B] int64. The first goes to position `self.lengths`.
        """
        raise NotImplementedError

    def _checked_table(self, table):
        found = np.zeros((0, self.hidden_size), np.float32) if table is None else np.asarray(table)
        fits = found.ndim == 2 and found.shape[1] == self.hidden_size and found.dtype.kind == "f"
        if not fits or not np.isfinite(found).all():
            expected = f"finite numbers [rows, {self.hidden_size}]"
            raise BadInput("table", f"{found.dtype} {list(found.shape)}", expected, "project pictures to this width")
        if self.rows is not None and len(found) > self.rows:
            raise BadInput("table", f"{len(found)} rows", f"at most {self.rows}", "export with inputs='table'")
        return found.astype(np.float32, copy=False)

    def _checked_rows(self, prompts, extra):
        """The prompts as arrays; BadInput for what cannot be taken in, with `extra` ids beyond the vocabulary."""
        rows = [_row("prompt", prompt) for prompt in prompts]
        if not rows or not all(row.size for row in rows):
            found = f"{len(rows)}, of lengths {[row.size for row in rows]}"
            raise BadInput("prompts", found, "at least one token each", "begin with the token of a text's start")
        self._check_ids(rows, extra)
        self._check_lengths([row.size for row in rows])
        return rows

    def _check_ids(self, rows, extra):
        end = self.vocab_size + extra
        for row in rows:
            if row.min() < 0 or row.max() >= end:
                found = f"{row.dtype}, {row.min()} to {row.max()}"
                rest = f", of which those from {self.vocab_size} on are rows of the table" if extra else ""
                fix = "use the model's own tokenizer; ids of pictures need a table with a row for each"
                raise BadInput("ids", found, f"whole numbers from 0 to {end - 1}{rest}", fix)

    def _check_lengths(self, lengths: list[int]) -> None:
        """BadInput for prompts of so many tokens, which the model does not take."""
        self._check_room(max(lengths))

    def _check_room(self, tokens):
        if tokens > self.capacity:
            raise BadInput("cache", f"{tokens} tokens", f"at most {self.capacity}", FEWER)


def _row(name: str, ids: Row) -> np.ndarray:
    """Ids as an array of one dimension, which may be empty; BadInput for what is none."""
    return array(name, ids, (None,), "whole") if operator.length_hint(ids, 1) else np.zeros(0, np.int64)
