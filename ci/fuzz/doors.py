"""The doors by name."""

from ci.fuzz import archives, graphs

DOORS = {"onnx": graphs.DOOR, **archives.DOORS}
