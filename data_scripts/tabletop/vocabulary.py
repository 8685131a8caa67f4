"""The tokens of the mini: characters, every word of the tabletop as one token, and 256 tokens of actions at the end."""

from data_scripts.tabletop.world import COLORS, KINDS, VERBS
from helpers.llm.tokenizer import SPACE

TEXT, ACTIONS = 384, 256
CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEGIJKLMNOPRSTUVW0123456789.,:?![]'-\n"
WORDS = (
    *("In:", "What", "action", "should", "the", "robot", "take", "to", "VISIBLE", "OBJECTS:", "SUBTASK:", "MOVE:"),
    *("GRIPPER", "POSITION:", "ACTION:", "left", "right", "backward", "forward", "down", "up", "close", "stay"),
    *" ".join(VERBS).split(), *COLORS, *KINDS,
    *(f"[{column}," for column in range(32)), *(f"{row}]" for row in range(24)),
)  # fmt: skip


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(token -> id, merges): a word grows from its first character on, so that it is one token when it is whole."""
    tokens = ["<unk>", "<s>", "</s>", SPACE, *CHARACTERS]
    merges = []
    for word in ("\nOut:", *(SPACE + word for word in WORDS)):
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                tokens.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    tokens += [f"<unused {k}>" for k in range(TEXT - len(tokens))]
    tokens += [f"<action {k}>" for k in range(ACTIONS)]
    if len(tokens) != TEXT + ACTIONS:
        raise ValueError(f"{len(tokens)} tokens, of which {TEXT} were to be text")
    return {token: number for number, token in enumerate(tokens)}, merges
