"""Pictures of an environment: the parts it is made of, what the doctor said at each visit, a diff, known messages."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.display.pictures import escaped
from helpers.display.style import INK, PALETTE, WIDEST, ink_on, new_figure, picture
from helpers.display.told import told

if TYPE_CHECKING:
    from IPython.display import HTML, Image

STATUSES = {"OK": "#DDEFE8", "WARN": PALETTE[1], "FAIL": PALETTE[3]}
SIDES = {"-": "deletion", "+": "insertion"}
WIDTHS = {"message": 23, "cause": 29, "cure": 33, "source": 15}  # in percent
CELL = (
    "padding:4px 10px;border-bottom:1px solid rgba(128,128,128,0.35);text-align:left;vertical-align:top;"
    "white-space:normal;overflow-wrap:anywhere"
)
FILTER = (
    "const words=this.value.toLowerCase().split(/\\s+/);"
    "this.closest('.onramp-messages').querySelectorAll('details').forEach(part=>{let count=0;"
    "part.querySelectorAll('tr[data-row]').forEach(row=>{"
    "const shown=words.every(word=>row.textContent.toLowerCase().includes(word));"
    "row.style.display=shown?'':'none';count+=shown});"
    "part.style.display=count?'':'none';part.open=count>0&&this.value.trim()!==''})"
)


@told
def stack(floors: Mapping[str, str]) -> "Image":
    """Parts that stand on each other, the top one first, each with a note beside it."""
    figure, axes = new_figure(WIDEST, 0.45 * len(floors))
    for level, (name, note) in enumerate(floors.items()):
        color = PALETTE[level % len(PALETTE)]
        axes.barh(-level, 2.6, height=0.8, color=color)
        axes.text(0.12, -level, name, va="center", color=ink_on(color), fontsize=10)
        axes.text(2.75, -level, note, va="center", color=INK, fontsize=10)
    axes.set(xlim=(0, WIDEST), ylim=(0.5 - len(floors), 0.5))
    axes.set_axis_off()
    parts = "; ".join(f"{name}: {note}" for name, note in floors.items())
    return picture(figure, f"Parts that stand on each other, from the top down. {parts}")


@told
def statuses(visits: Mapping[str, Mapping[str, str]]) -> "Image":
    """A grid of what the doctor said: a column for each visit, a row for each topic, OK where a visit lacks one."""
    topics = list(dict.fromkeys(topic for visit in visits.values() for topic in visit))
    figure, axes = new_figure(WIDEST, 0.8 + 0.28 * len(topics))
    for j, visit in enumerate(visits.values()):
        for i, topic in enumerate(topics):
            status = visit.get(topic, "OK")
            axes.barh(i, 0.96, left=j, height=0.92, color=STATUSES[status])
            text = "·" if status == "OK" else status
            axes.text(j + 0.48, i, text, ha="center", va="center", fontsize=8, color=ink_on(STATUSES[status]))
    axes.set_yticks(range(len(topics)), topics)
    axes.set_xticks([j + 0.48 for j in range(len(visits))], [textwrap.fill(title, 12) for title in visits], fontsize=8)
    axes.set(xlim=(0, len(visits)), ylim=(len(topics) - 0.5, -0.5))
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    return picture(figure, f"What the doctor says at each visit. {'; '.join(map(_visit, visits, visits.values()))}")


def _visit(title, visit):
    ill = [f"{status} in {topic}" for topic, status in visit.items() if status != "OK"]
    return f"{title}: {', '.join(ill) or 'all OK'}"


@told
def diff(text: str) -> "HTML":
    """A unified diff, removed lines marked red and added lines green; the signs in front stay."""
    from IPython.display import HTML

    tints = {"-": "rgba(213,94,0,0.22)", "+": "rgba(0,158,115,0.22)"}
    lines = []
    for line in text.splitlines():
        sign = line[:1] if line[:3] not in ("---", "+++") else ""
        role = f' role="{SIDES[sign]}"' if sign in SIDES else ""
        lines.append(f"<span{role} style='background:{tints.get(sign, 'none')}'>{escaped(line)}</span>")
    style = "line-height:1.35;overflow-x:auto;color:inherit;background:none"
    return HTML(f"<pre tabindex='0' style='{style}'>{chr(10).join(lines)}</pre>")


@told
def messages(rows: Sequence[Mapping[str, str]]) -> "HTML":
    """Known messages, folded by topic, with a box that filters them while one types; it needs no kernel.

    Args:
        rows: dicts of `topic`, `message`, `cause`, `cure` and `source`, as `environment.messages.rows()` gives them.
    """
    from IPython.display import HTML

    parts = []
    for topic in dict.fromkeys(row["topic"] for row in rows):
        members = [row for row in rows if row["topic"] == topic]
        parts.append(f"<details><summary><b>{escaped(topic)}</b> ({len(members)})</summary>{_wall(members)}</details>")
    label = "<label>Filter the messages: <input type='search' "
    box = f'{label}oninput="{escaped(FILTER)}" style="color:inherit;background:transparent"></label>'
    return HTML(f"<div class='onramp-messages'>{box}{''.join(parts)}</div>")


def _wall(rows):
    """Columns of fixed widths whose text wraps; narrower than 680 px, the table scrolls."""
    head = "".join(f"<th scope='col' style='width:{width}%;{CELL}'>{name}</th>" for name, width in WIDTHS.items())
    body = ""
    for row in rows:
        cells = [_link(row[name]) if name == "source" else escaped(row[name]) for name in WIDTHS]
        body += "<tr data-row>" + "".join(f"<td style='{CELL}'>{cell}</td>" for cell in cells) + "</tr>"
    style = "table-layout:fixed;width:100%;min-width:680px;border-collapse:collapse;color:inherit;font-size:0.95em"
    return f"<div tabindex='0' style='overflow-x:auto'><table style='{style}'><tr>{head}</tr>{body}</table></div>"


def _link(url):
    """A link named by its address in short; an issue of GitHub as GitHub writes it."""
    name = url.split("://")[-1].removeprefix("github.com/").removeprefix("www.").rstrip("/")
    name = re.sub(r"/(?:issues|pull)/(\d+)", r" #\1", name)
    return f"<a href='{escaped(url)}'>{escaped(name)}</a>"
