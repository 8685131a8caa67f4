"""The stages of a network in a row, with what flows between them and what comes back from the frame before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helpers.display.pictures import escaped
from helpers.display.steps import ARROW, CARD
from helpers.display.style import PALETTE
from helpers.display.told import told

if TYPE_CHECKING:
    from IPython.display import HTML

ROW = "display:flex;flex-wrap:wrap;gap:8px;max-width:1050px"
BOX = "flex:1 1 112px;max-width:220px"
LOOP = "margin-top:8px;padding:6px 10px;max-width:1028px;border:2px dashed #888;border-radius:6px;font-size:.9em"
Stage = tuple[str, str, str]  # name, what it does, what leaves it


@told
def network_diagram(stages: Sequence[Stage], memory: tuple[str, str, str] | None = None) -> "HTML":
    """The stages as boxes from left to right, below each other where it is narrow; in each stands what leaves it.

    Args:
        stages: (name, what it does, what leaves it), in order.
        memory: (stage that gives, stage that takes, label) of what comes back.

    Raises:
        ValueError: `memory` names a stage that is not there.
    """
    from IPython.display import HTML

    names = [name for name, _, _ in stages]
    if memory and not {memory[0], memory[1]} <= set(names):
        raise ValueError(f"memory {memory[:2]} names none of the stages {names}")
    boxes = ARROW.join(_box(number, *stage) for number, stage in enumerate(stages))
    return HTML(f'<div style="{ROW}">{boxes}</div>{_loop(*memory) if memory else ""}')


def _box(number, name, work, leaves):
    color = PALETTE[number % len(PALETTE)]
    small = f'<span style="font-size:.9em">{escaped(work)}</span>'
    sizes = escaped(leaves.replace(" × ", "\u00a0×\u00a0"))  # a shape stays in one line
    gives = f'<span style="font-size:.9em">gives <b>{sizes}</b></span>'
    return f'<div style="{BOX};{CARD} {color}"><b>{escaped(name)}</b><br>{small}<br>{gives}</div>'


def _loop(gives, takes, label):
    ends = gives if gives == takes else f"{gives} ➜ {takes}"
    return f'<div style="{LOOP}">↻ <b>{escaped(ends)}</b>: {escaped(label)}</div>'
