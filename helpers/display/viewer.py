"""Netron inside the notebook."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.display.graphs import graph_picture
from helpers.display.pictures import Picture
from helpers.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Collection

    from IPython.display import IFrame

    from helpers.files import PathLike


def netron(
    path: "PathLike", height: int = 500, live: bool | None = None, nodes: "Collection[str] | None" = None
) -> "IFrame | Picture":
    """Show the graph in `path` in Netron, inside the notebook.

    With `live=True` a Netron server for this file starts on a free loopback port and an `IFrame` of `height` pixels
    shows it (Netron first asks for its cookies); that needs the browser to be on the same machine. With `live=False`
    the answer is `graph_picture(path, nodes)`, which stays readable in an executed copy. By default it is live where a
    Jupyter server started this kernel: it names the notebook in the kernel's environment, papermill and nbconvert do
    not.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(path, "no such file", "an ONNX file", "run the cell that exports it")
    if live is None:
        live = "JPY_SESSION_NAME" in os.environ
    if not live:
        return graph_picture(path, nodes)
    from IPython.display import IFrame

    host, port = _serve(str(path))
    return IFrame(f"http://{host}:{port}", width="100%", height=height)


_served: dict[str, tuple[str, int]] = {}


def stop_netron() -> None:
    """Stop every Netron server that `netron` started."""
    import netron

    while _served:
        netron.stop(_served.popitem()[1])


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
