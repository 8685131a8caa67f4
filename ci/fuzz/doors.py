"""The doors by name."""

from ci.fuzz import archives, checkpoints, folders, graphs, options, records, tables

DOORS = {
    "onnx": graphs.DOOR,
    **archives.DOORS,
    **records.DOORS,
    **tables.DOORS,
    **checkpoints.DOORS,
    **folders.DOORS,
    **options.DOORS,
}
