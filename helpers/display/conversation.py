"""What a network was asked and what it said, beside what it saw: HTML that follows the reader's theme."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.display.pictures import escaped, tag
from helpers.display.told import told

if TYPE_CHECKING:
    from IPython.display import HTML

ASKED = "margin:4px 0 4px 15%;background:#0072B233;border-radius:12px 12px 2px 12px"
ANSWERED = "margin:4px 15% 4px 0;background:#8882;border-radius:12px 12px 12px 2px"
BUBBLE = "padding:7px 11px;font-size:.92em;overflow-wrap:anywhere"


@told
def conversation(image: Any, turns: Sequence[tuple[str, str]], wide: bool = False) -> "HTML":
    """A picture, and beside it, where there is room, questions on the right and answers on the left of a column.

    Args:
        image: what the other functions return.
        turns: (question, answer) in order.
        wide: the picture takes two thirds of the width, or half of it.
    """
    from IPython.display import HTML

    shown = "".join(
        f'<div style="{BUBBLE};{style}"><span style="font-size:.85em">{who}</span><br>{escaped(text)}</div>'
        for turn in turns
        for who, text, style in zip(("question", "answer"), turn, (ASKED, ANSWERED), strict=True)
    )
    left = f'<div style="flex:{"2 1 620px" if wide else "1 1 340px"}">{tag(image)}</div>'
    return HTML(
        '<div style="display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start;max-width:1150px">'
        f'{left}<div style="flex:1 1 260px">{shown}</div></div>'
    )
