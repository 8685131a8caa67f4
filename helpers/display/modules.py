"""The tree of a network's modules as a picture: names indented by depth, what each holds as a bar."""

from helpers.display.pictures import Picture, listed, sentence
from helpers.display.plots import checked
from helpers.display.style import GRID, INK, MUTED, PALETTE, WIDEST, new_figure, picture
from helpers.display.tables import Rows
from helpers.display.told import told

ROW, INDENT, NAMES, SIZES = 0.26, 0.18, 2.2, 1.8  # inches: height of a row, step of a level, room for the texts
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@told
def module_tree(rows: Rows, title: str | None = None) -> Picture:
    """The rows of `helpers.models.tree.modules`, from top to bottom: columns `module`, `depth`, `tensors`, `bytes`.

    A bar is a module's share of the bytes of the largest row; its color tells the depth.
    """
    rows = checked(rows, ["module", "depth", "tensors", "bytes"])
    most = max(row["bytes"] for row in rows) or 1
    deepest = max(row["depth"] for row in rows)
    left = NAMES + INDENT * deepest
    figure, axes = new_figure(WIDEST, 0.5 + ROW * len(rows))
    axes.set_axis_off()
    axes.set(xlim=(0, WIDEST), ylim=(len(rows) - 0.3, -0.7))
    for k, row in enumerate(rows):
        _draw_branch(axes, rows, k)
        name = str(row["module"]) if not row["depth"] else str(row["module"]).rpartition(".")[2]
        axes.text(0.1 + INDENT * row["depth"], k, name, fontsize=9, color=INK, va="center")
        length = (WIDEST - left - SIZES) * row["bytes"] / most
        axes.barh(k, length, left=left, height=0.66, color=PALETTE[row["depth"] % len(PALETTE)])
        axes.text(left + length + 0.08, k, _said(row), fontsize=8, color=MUTED, va="center")
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    parts = (f"{row['module']}: {_said(row)}" for row in rows)
    return picture(figure, sentence(title, f"Tree of modules to depth {deepest}: {listed(parts)}"))


def _draw_branch(axes, rows, k):
    """The line from a module to the one that holds it."""
    depth = rows[k]["depth"]
    above = next((j for j in range(k - 1, -1, -1) if rows[j]["depth"] < depth), None)
    if above is not None:
        x = 0.06 + INDENT * (depth - 1) + 0.05
        axes.plot([x, x, x + 0.09], [above + 0.4, k, k], color=GRID, linewidth=1)


def _said(row):
    size = next((f"{row['bytes'] / unit:.1f} {name}" for unit, name in UNITS if row["bytes"] >= unit), None)
    return f"{row['tensors']:,} tensor{'s' * (row['tensors'] != 1)}, {size or str(row['bytes']) + ' B'}"
