"""UniAD in TensorRT's network definition API: a file for each of `helpers.systems.uniad`, under its names. No torch."""
