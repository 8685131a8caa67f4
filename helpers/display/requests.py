"""Requests to a server over time: how long each waited, was served, and what it was answered."""

from collections.abc import Sequence
from typing import NamedTuple

from helpers.display.pictures import Picture
from helpers.display.style import GRID, INK, MUTED, PALETTE, WIDEST, new_figure, picture
from helpers.display.tables import number
from helpers.display.told import told

PARTS = {"queue": PALETTE[1], "policy": PALETTE[0]}


class Request(NamedTuple):
    """One request: when it was sent and answered, on one clock; its status; time in queue and policy. In seconds."""

    sent: float
    answered: float
    status: int
    queue: float = 0.0
    policy: float = 0.0


@told
def requests(found: Sequence[Request], title: str) -> Picture:
    """A lane for each request in the order they were sent in: a line from sent to answered, bars for its parts."""
    found = sorted(found)
    start = found[0].sent
    figure, axes = new_figure(WIDEST, 1.3 + 0.24 * len(found))
    for lane, request in enumerate(found):
        sent, answered = (1e3 * (moment - start) for moment in (request.sent, request.answered))
        queue, policy = 1e3 * request.queue, 1e3 * request.policy
        axes.plot([sent, answered], [lane, lane], color=MUTED, linewidth=1, zorder=1)
        begun = answered - policy
        for name, left, width in (("queue", begun - queue, queue), ("policy", begun, policy)):
            axes.barh(lane, width, left=left, height=0.7, color=PARTS[name], zorder=2)
        axes.annotate(str(request.status), (answered, lane), (4, 0), textcoords="offset points", va="center",
                      fontsize=9, color=INK, fontweight="normal" if request.status == 200 else "bold")  # fmt: skip
    _axes(figure, axes, len(found))
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    return picture(figure, f"{title}. {_told(found)}")


def _axes(figure, axes, lanes):
    from matplotlib.patches import Patch

    axes.set(ylim=(lanes - 0.4, -0.6), yticks=range(lanes), yticklabels=[f"{lane + 1}" for lane in range(lanes)])
    axes.set_ylabel("request", fontsize=10, color=INK)
    axes.set_xlabel("ms since the first was sent; beside each line its status", fontsize=10, color=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.margins(x=0.08)
    handles = [Patch(color=color, label=name) for name, color in PARTS.items()]
    figure.legend(handles=handles, frameon=False, fontsize=10, ncols=2, loc="outside lower left")


def _told(found):
    """The requests in words: how many had each status, and how long the slowest of them took."""
    told = []
    for status in sorted({request.status for request in found}):
        took = [1e3 * (request.answered - request.sent) for request in found if request.status == status]
        told.append(f"{len(took)} with status {status}, the slowest after {number(max(took))} ms")
    return f"{len(found)} requests: {'; '.join(told)}."
