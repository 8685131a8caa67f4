"""The doors by name."""

from ci.fuzz import archives, checkpoints, folders, graphs, layers, options, records, tables

DOORS = {
    "onnx": graphs.DOOR,
    **archives.DOORS,
    **records.DOORS,
    **tables.DOORS,
    **checkpoints.DOORS,
    **folders.DOORS,
    **layers.DOORS,
    **options.DOORS,
}
