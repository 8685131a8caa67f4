"""Netron inside the notebook, for those who ask for it; everybody else looks at a drawn graph."""

import logging
import os
from typing import TYPE_CHECKING

from helpers.arguments import typed
from helpers.display.graphs import graph_picture
from helpers.display.pictures import Picture, tag
from helpers.errors import BadInput
from helpers.files import as_path

if TYPE_CHECKING:
    from collections.abc import Collection

    from IPython.display import IFrame
    from ipywidgets import VBox

    from helpers.files import PathLike

THIRD_PARTIES = (
    "Netron is a viewer by other people. It is served from this machine, and your file stays here. But its page "
    "contacts third parties: it asks ipinfo.io for your country, and it may report its use to Google Analytics. "
    "Nothing is opened before you click."
)


@typed
def netron(path: "PathLike", height: int = 500, nodes: "Collection[str] | None" = None) -> "Picture | VBox":
    """Show the graph in `path` as `graph_picture(path, nodes)`, with a button for Netron where one can be clicked.

    Where a Jupyter server started this kernel (it names the notebook in the kernel's environment; papermill and
    nbconvert do not), the picture comes with the sentence `THIRD_PARTIES` and a button. A click starts a Netron server
    for this file on a free loopback port and shows it below, `height` pixels high; that needs the browser to be on the
    same machine. Without the click nothing is served, opened or asked.
    """
    path = as_path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", "an ONNX file", "run the cell that exports it")
    drawn = graph_picture(path, nodes)
    return _with_button(drawn, path, height) if "JPY_SESSION_NAME" in os.environ else drawn


_served: dict[str, tuple[str, int]] = {}


def open_netron(path: "PathLike", height: int = 500) -> "IFrame":
    """Start a Netron server for `path` on a free loopback port, in place of its former one; the frame that shows it."""
    from IPython.display import IFrame

    host, port = _serve(str(path))
    return IFrame(f"http://{host}:{port}", width="100%", height=height)


def stop_netron() -> None:
    """Stop every Netron server that a click started."""
    import netron

    while _served:
        netron.stop(_served.popitem()[1])


def _with_button(drawn, path, height):
    """The picture, the sentence about third parties, a button, and the place where Netron appears after a click."""
    import ipywidgets
    from IPython.display import display

    button, below = ipywidgets.Button(description="Open in Netron"), ipywidgets.Output()

    def clicked(_):
        below.clear_output()
        with below:
            display(open_netron(path, height))

    button.on_click(clicked)
    return ipywidgets.VBox([ipywidgets.HTML(tag(drawn)), ipywidgets.HTML(f"<p>{THIRD_PARTIES}</p>"), button, below])


def _serve(path):
    """Serve `path`, in place of its former server, without the INFO messages that netron turns on for every library."""
    import netron

    if path in _served:
        netron.stop(_served.pop(path))
    quiet, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(quiet)
    try:
        _served[path] = netron.start(path, address=("127.0.0.1", 0), browse=False)
    finally:
        root.removeHandler(quiet)
    return _served[path]
