"""Training of the mini FB-OCC."""
