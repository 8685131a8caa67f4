"""Prose that follows what was measured: the text under a table must not say what the table does not."""

from IPython.display import Markdown


def reading(*cases: tuple[bool, str], otherwise: str | None = None) -> Markdown:
    """The text of the first case that holds, as Markdown.

    Args:
        cases: pairs of a condition and the text that is true under it.
        otherwise: the text if no condition holds.

    Raises:
        ValueError: no condition holds and there is no `otherwise`: the lesson does not know what it sees.
    """
    for holds, text in cases:
        if holds:
            return Markdown(text)
    if otherwise is None:
        raise ValueError(f"none of the {len(cases)} cases holds, and there is no text for any other")
    return Markdown(otherwise)
