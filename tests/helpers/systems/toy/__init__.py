"""A second system for the tests: occupancy voxels of 17 classes, two states, an int64 input."""
