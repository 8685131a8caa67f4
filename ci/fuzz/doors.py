"""The doors by name."""

from ci.fuzz import archives, checkpoints, graphs, options, records, tables

DOORS = {
    "onnx": graphs.DOOR,
    **archives.DOORS,
    **records.DOORS,
    **tables.DOORS,
    **checkpoints.DOORS,
    **options.DOORS,
}
