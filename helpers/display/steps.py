"""Cards in a row, and a slider over pictures: HTML that follows the reader's theme and needs no kernel."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from helpers.display.pictures import escaped, tag
from helpers.display.style import PALETTE
from helpers.display.told import told

if TYPE_CHECKING:
    from IPython.display import HTML

CARD = "padding:8px 10px;border:1px solid #8888;border-radius:6px;border-top:4px solid"
ARROW = '<div style="align-self:center;opacity:.6" aria-hidden="true">➜</div>'
SHOW = (
    "const pages=this.closest('.onramp-slider').querySelectorAll('[data-page]');"
    "pages.forEach((page,i)=>page.style.display=i==this.value?'':'none');"
    "this.setAttribute('aria-valuetext',pages[this.value].dataset.page)"
)
DRAG = (
    "if(event.buttons){const input=this.parentNode.querySelector('input');this.way=(this.way||0)+event.movementX;"
    "const count=+input.max+1,pages=Math.trunc(this.way/14);if(pages){this.way-=14*pages;"
    "input.value=((+input.value-pages)%count+count)%count;input.dispatchEvent(new Event('input'))}}"
)
DRAGGED = f'onpointermove="{DRAG}" ondragstart="return false" style="cursor:grab;touch-action:pan-y;user-select:none"'
KEYS = 'data-lm-suppress-shortcuts="true"'  # the arrow keys move the slider; JupyterLab would take them
PLAY = (
    "const button=this,input=this.closest('.onramp-slider').querySelector('input'),stop=()=>{"
    "clearInterval(button.turn);button.turn=0;button.textContent='▶ play'};"
    "if(button.turn){stop()}else{button.textContent='❚❚ pause';button.turn=setInterval(()=>{"
    "if(!button.isConnected){stop();return}input.value=(+input.value+1)%(+input.max+1);"
    "input.dispatchEvent(new Event('input'))},600)}"
)
_numbers = itertools.count()


@told
def cards(steps: Mapping[str, str | Sequence[str]]) -> "HTML":
    """One card for each step, in a row with arrows between; a step's text may have several lines."""
    from IPython.display import HTML

    shown = []
    for number, (title, text) in enumerate(steps.items()):
        lines = "<br>".join(map(escaped, [text] if isinstance(text, str) else text))
        color = PALETTE[number % len(PALETTE)]
        small = f'<span style="font-size:.9em">{lines}</span>'
        shown.append(f'<div style="flex:1 1 130px;{CARD} {color}"><b>{escaped(title)}</b><br>{small}</div>')
    return HTML(f'<div style="display:flex;flex-wrap:wrap;gap:8px;max-width:1050px">{ARROW.join(shown)}</div>')


@told
def slider(
    name: str, pages: Mapping[Any, tuple[str, Any]], start: Any = None, turns: bool = False, plays: bool = False
) -> "HTML":
    """A slider that shows one page at a time; it works in JupyterLab and in a static page alike.

    Args:
        name: what the slider changes, as its label.
        pages: value -> (sentence, picture), in the slider's order; a picture is what the other functions return, also
            their HTML, or a list of pictures, which stand side by side where there is room.
        start: the value shown first; the first one by default.
        turns: dragging a picture to the right or left moves the slider too, from the last page to the first.
        plays: a button shows one page after the other, as a film that begins anew at its end.

    Raises:
        ValueError: no pages, or `start` is none of them.
    """
    from IPython.display import HTML

    values = list(pages)
    if not values or (start is not None and start not in values):
        raise ValueError(f"start {start!r} is none of the slider's values: {values}")
    first = 0 if start is None else values.index(start)
    label = f"onramp-slider-{next(_numbers)}"
    shown = "".join(_page(value, *pages[value], visible=i == first) for i, value in enumerate(values))
    shown = f"<div {DRAGGED}>{shown}</div>" if turns else shown
    button = f' <button type="button" onclick="{PLAY}">▶ play</button>' if plays else ""
    return HTML(
        f'<div class="onramp-slider"><label for="{label}">{escaped(name)} </label>'
        f'<input id="{label}" type="range" min="0" max="{len(values) - 1}" value="{first}" {KEYS} '
        f'aria-valuetext="{escaped(values[first])}" oninput="{SHOW}">{button}{shown}</div>'
    )


def _page(value, sentence, image, visible):
    hidden = "" if visible else "display:none"
    text = f"<p><b>{escaped(value)}</b>: {escaped(sentence)}</p>"
    if isinstance(image, list):
        shown = _row(tag(each, sentence) for each in image)
    else:
        shown = image.data if isinstance(image.data, str) else tag(image, sentence)
    return f'<div data-page="{escaped(value)}" style="{hidden}">{text}{shown}</div>'


def _row(tags):
    shown = "".join(f'<div style="flex:1 1 300px;max-width:520px">{each}</div>' for each in tags)
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>'
