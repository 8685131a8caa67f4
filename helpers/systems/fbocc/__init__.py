"""FB-OCC (arXiv:2307.01492): occupancy of the space around the vehicle from six cameras and remembered volumes."""
