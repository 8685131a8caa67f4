"""Picture and instruction in, action and reasoning out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.llm.generate import generate
from helpers.llm.tokenizer import Tokenizer
from helpers.systems.openvla import decode, inputs

if TYPE_CHECKING:
    from helpers.llm.language_model import LanguageModel
    from helpers.systems.openvla.config import Config

MOST = 400  # tokens of reasoning and action


class Prediction(NamedTuple):
    """action: float64 [n], in the units of the data set, n = 7 for an arm. ids: int64, all tokens that were generated.
    reasoning: the text before the action; "" from a policy that does not reason.
    """

    action: np.ndarray
    ids: np.ndarray
    reasoning: str


@dataclass
class Policy:
    """What `load` returns. One caller at a time: the language model keeps a cache.

    name: of the checkpoint, for messages. vision: inputs by name -> embeddings [B, patches, hidden_size] float32.
    language: what generates. norm_stats: statistics of actions by data set.
    """

    name: str
    config: Config
    tokenizer: Tokenizer
    norm_stats: Mapping[str, Any]
    vision: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    language: LanguageModel
    most: int = field(default=MOST)

    @typed
    def predict(self, image: np.ndarray, instruction: str, unnorm_key: str | None = None) -> Prediction:
        """The next action.

        Args:
            image: uint8 [H, W, 3] RGB. instruction: such as "reach the red cube". unnorm_key: the data set whose units
                the action has; may be left out where there is one alone.

        Raises:
            BadInput: a picture or instruction that cannot be used, an unknown key.
            helpers.systems.openvla.decode.NoAction: a BadInput too: what was generated is no action.
        """
        statistics = decode.statistics_of(self.norm_stats, unnorm_key, self.name)
        (ids,) = self.generate([image], [instruction], len(decode.limits(statistics)[0]))
        return self._prediction(np.array(ids, np.int64), statistics)

    @typed
    def predict_each(
        self, images: Sequence[np.ndarray], instructions: Sequence[str], unnorm_key: str | None = None
    ) -> list[Prediction | None]:
        """Several at once; None in the place of what is no action. Raises as `predict` for the rest."""
        statistics = decode.statistics_of(self.norm_stats, unnorm_key, self.name)
        found: list[Prediction | None] = []
        for ids in self.generate(images, instructions, len(decode.limits(statistics)[0])):
            try:
                found.append(self._prediction(np.array(ids, np.int64), statistics))
            except decode.NoAction:
                found.append(None)
        return found

    @typed
    def generate(self, images: Sequence[np.ndarray], instructions: Sequence[str], count: int = 7) -> list[list[int]]:
        """The new tokens of each row; `count` of them from a policy that does not reason.

        Raises:
            BadInput: no pictures, or not an instruction for each; as `predict` for the rest.
        """
        if not images or len(images) != len(instructions):
            found = f"{len(images)} pictures, {len(instructions)} instructions"
            raise BadInput("policy", found, "at least one picture, each with an instruction", "pass both for each row")
        feeds = [inputs.pixels(image, self.config) for image in images]
        prompts = [self.prompt(instruction, row) for row, instruction in enumerate(instructions)]
        table = self.vision({name: np.concatenate(feeds) for name in self.config.input_shapes()})
        stop = {self.tokenizer.eos} if self.config.reasoning else set()
        longest = max(map(len, prompts))
        room = self.language.capacity + 1 - longest  # the last token is not taken in
        if room < count:
            most = f"at most {longest + room - count} tokens with the picture"
            raise BadInput("instruction", f"{longest} tokens", most, "say it in fewer words")
        tokens = min(self.most, room) if self.config.reasoning else count
        return generate(self.language, prompts, tokens, stop, table=table.reshape(-1, table.shape[-1]))

    def prompt(self, instruction: str, row: int = 0) -> list[int]:
        """Token ids: the start, rows of the table of patches as ids from the vocabulary's size on, then the text.

        row: of the batch, which tells whose patches they are.
        """
        if not isinstance(instruction, str) or not instruction.strip():
            raise BadInput("instruction", repr(instruction)[:80], "a text", "say what the robot is to do")
        start, *text = self.tokenizer.encode(inputs.prompt(instruction, self.config))
        if not self.config.reasoning and text[-1] != self.tokenizer.space:
            text.append(self.tokenizer.space)
        first = self.config.language["vocab_size"] + row * self.config.patches
        return [start, *range(first, first + self.config.patches), *text]

    def _prediction(self, ids, statistics):
        count = len(decode.limits(statistics)[0])
        said = ids[:-1] if self.config.reasoning and ids[-1] == self.tokenizer.eos else ids
        if len(said) < count:
            expected = f"{count} tokens of an action"
            raise decode.NoAction(
                "generated tokens", f"{len(said)} of them", expected, "ask for what it was trained for"
            )
        normalized = decode.decode(said[-count:], self.config)
        text, last = said[:-count], self.config.action_vocab
        if more := ((text >= last - self.config.bins) & (text < last)).sum():
            expected = f"{count} behind the text: nobody knows which of them are meant"
            raise decode.NoAction("generated tokens", f"{more + count} of actions", expected, "use weights that end")
        return Prediction(decode.unnormalize(normalized, statistics), ids, self.tokenizer.decode(text))
