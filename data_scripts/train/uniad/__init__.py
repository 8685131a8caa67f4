"""Training of the mini UniAD: tracks and map first, then all that drives."""
