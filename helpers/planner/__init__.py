"""From what a network has seen to a path: a language model reads the rows of its table and a question, and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.dataset.questions import PLANNING_QUESTION, parse_path
from helpers.errors import BadInput
from helpers.files import PathLike, as_path
from helpers.llm import folder as hugging_face
from helpers.llm import tokenizer
from helpers.llm.generate import GREEDY, Sampling, generate
from helpers.llm.language_model import LanguageModel
from helpers.llm.onnx import OnnxModel
from helpers.llm.pytorch import TorchModel
from helpers.llm.tokenizer import Tokenizer
from helpers.systems.omnidrive.language import ANSWER, TEMPERATURE, TOP_P, prompt_ids

PUBLISHED = Sampling(TEMPERATURE, None, TOP_P)  # how the published system draws its answers; GREEDY is the usual here


class Answer(NamedTuple):
    """text: without the prompt. path: [6,2] float64, x forward and y left in m of ego at the next six half seconds;
    None where the text has none. ids: all tokens that were generated.
    """

    text: str
    path: np.ndarray | None
    ids: list[int]


@dataclass
class Planner:
    """What `load` returns. One caller at a time: the language model keeps a cache.

    language: what generates, in PyTorch or by an ONNX graph. most: tokens of an answer.
    """

    tokenizer: Tokenizer
    language: LanguageModel
    most: int = ANSWER

    @typed
    def answer(
        self, table: np.ndarray, location: str, question: str = PLANNING_QUESTION, sampling: Sampling = GREEDY
    ) -> Answer:
        """The answer to a question about one frame.

        Args:
            table: [rows, hidden_size], what the network tells of the frame: `Config.table` names that output.
            location: of the log, such as "boston-seaport".

        Raises:
            BadInput: a table of another width, no question, or a prompt that leaves no room for an answer.
        """
        return self.answers([table], [location], [question], sampling)[0]

    @typed
    def answers(
        self,
        tables: Sequence[np.ndarray],
        locations: Sequence[str],
        asked: Sequence[str] | str = PLANNING_QUESTION,
        sampling: Sampling = GREEDY,
    ) -> list[Answer]:
        """Those of several frames, side by side; `asked` may be one question for all. Raises as `answer`."""
        asked = [asked] * len(tables) if isinstance(asked, str) else asked
        if len({len(tables), len(locations), len(asked)}) > 1 or not len(tables):
            found = f"{len(tables)} tables, {len(locations)} locations, {len(asked)} questions"
            raise BadInput("frames", found, "as many of each, one at least", "pass one of each for every frame")
        prompts, first = [], self.language.vocab_size
        for table, location, question in zip(tables, locations, asked, strict=True):
            prompts.append(prompt_ids(self.tokenizer.encode, question, location, first, len(table)))
            first += len(table)
        room = self.language.capacity + 1 - max(map(len, prompts))  # the last token is not taken in
        if room < 1:
            raise BadInput(
                "question", f"{max(map(len, prompts))} tokens", f"at most {self.language.capacity}", "ask less"
            )
        table = np.concatenate(list(tables))
        said = generate(self.language, prompts, min(self.most, room), {self.tokenizer.eos}, sampling, table)
        return [self._read(ids) for ids in said]

    def _read(self, ids):
        known = [token for token in ids if token < self.language.vocab_size and token != self.tokenizer.eos]
        text = self.tokenizer.decode(known)
        return Answer(text, parse_path(text), ids)


@typed
def load(folder: PathLike, graph: PathLike | None = None) -> Planner:
    """The planner of a folder in Hugging Face's form.

    Args:
        graph: what generates in the place of the folder's weights in PyTorch: an ONNX file of `helpers.llm.onnx.export`
            with inputs "table".

    Raises:
        BadInput: as `helpers.llm.folder.load`, or a graph of another model, or one that takes no table.
    """
    words = tokenizer.read(folder)
    if graph is None:
        return Planner(words, TorchModel(hugging_face.load(folder)))
    sizes, _ = hugging_face.read_config(folder)
    language = OnnxModel(graph)
    found, expected = (language.vocab_size, language.hidden_size), (sizes.vocab_size, sizes.hidden_size)
    if found != expected or language.rows == 0:
        told = f"vocabulary and width {found}" + " without a table" * (language.rows == 0)
        raise BadInput(as_path(graph), told, f"{expected} with a table", "export the folder's model, inputs='table'")
    return Planner(words, language)
