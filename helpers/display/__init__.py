"""What the lessons look at: tables, plots, camera and bird's-eye pictures, graphs, Netron, progress.

Every picture is an `IPython.display.Image` that carries its own bytes (`.data`) and an alternative text made from the
data (`.alt`), so it shows in JupyterLab, under papermill and in a static HTML copy alike; a cell shows it once, by
ending in it. A figure drawn with matplotlib becomes one by `figure`. Colors are those of Okabe & Ito's
palette for color-blind readers, with three more from Paul Tol's.
"""

from helpers.display.bars import bars
from helpers.display.conversation import conversation
from helpers.display.diagram import network_diagram
from helpers.display.driven import driving
from helpers.display.environment import diff, messages, stack, statuses
from helpers.display.graphs import graph_picture
from helpers.display.matrices import matrices
from helpers.display.modules import module_tree
from helpers.display.mosaic import cameras
from helpers.display.operators import op_chart, shares
from helpers.display.outliers import outliers
from helpers.display.parts import parts
from helpers.display.plots import frontier, histogram, lines
from helpers.display.reading import reading
from helpers.display.requests import Request, requests
from helpers.display.scenes import bev, bev_row, side_by_side
from helpers.display.steps import cards, slider
from helpers.display.style import figure
from helpers.display.tables import progress, table
from helpers.display.timing import roofline, schedule, timeline, tokens
from helpers.display.viewer import netron
from helpers.display.voxels import voxels

__all__ = [
    "Request",
    "bars",
    "bev",
    "bev_row",
    "cameras",
    "cards",
    "conversation",
    "diff",
    "driving",
    "figure",
    "frontier",
    "graph_picture",
    "histogram",
    "lines",
    "matrices",
    "messages",
    "module_tree",
    "netron",
    "network_diagram",
    "op_chart",
    "outliers",
    "parts",
    "progress",
    "reading",
    "requests",
    "roofline",
    "schedule",
    "shares",
    "side_by_side",
    "slider",
    "stack",
    "statuses",
    "table",
    "timeline",
    "tokens",
    "voxels",
]
