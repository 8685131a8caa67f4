"""The functions from which PyTorch's exporter makes a graph, looked up once in a process and not at every export.

It reads the sources of 497 functions anew each time, to learn the domain of each: half of the export of a small module.
"""

import functools
import importlib

from torch.onnx._internal import _lazy_import

NAME = "get_torchlib_ops"


@functools.cache
def _functions():
    """As the exporter's own NAME returns them; it registers them and changes none."""
    return tuple(getattr(importlib.import_module(_lazy_import.onnxscript_apis._name), NAME)())


def remember() -> None:
    """Let every export of this process take the functions that the first one has found."""
    setattr(_lazy_import.onnxscript_apis, NAME, _functions)
