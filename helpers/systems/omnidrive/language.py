"""What the language model reads: a question in words, with the vision tokens in the place of a picture. Needs no torch.

The answer's path is read by `helpers.dataset.questions.parse_path`, and the language model of a checkpoint taken out by
`helpers.llm.merge.save_language_model`: it stands behind `Config.elsewhere`.
"""

from collections.abc import Callable

from helpers.arguments import typed
from helpers.errors import BadInput
from helpers.systems.base import VICUNA

TEMPERATURE, TOP_P, ANSWER = 0.1, 0.75, 320  # of the published sampling; tokens of an answer at most


@typed
def prompt(question: str, location: str) -> tuple[str, str]:
    """The text before and after the vision tokens.

    location: of the log, such as "boston-seaport", of which the city is told.
    """
    if not question.strip():
        raise BadInput("question", repr(question), "a text", "ask something, such as for the path")
    city = location.partition("-")[0]
    return f"{VICUNA} USER: ", f"\nYou are driving in {city}. {question} ASSISTANT:"


@typed
def prompt_ids(
    encode: Callable[[str], list[int]], question: str, location: str, vocab_size: int, vision_tokens: int
) -> list[int]:
    """The ids of a prompt, as `helpers.llm.language_model.LanguageModel.prefill` takes them.

    Args:
        encode: text to ids behind that of a text's start, such as `helpers.llm.tokenizer.Tokenizer.encode`. The two
            texts are encoded apart, as the public code does.
        vocab_size: of the language model; ids from it on stand for rows of the table, `vision_embeded[0]`.
        vision_tokens: number of those rows.
    """
    before, after = prompt(question, location)
    return [*encode(before), *range(vocab_size, vocab_size + vision_tokens), *encode(after)[1:]]
