"""UniAD (arXiv:2212.10156): tracks, map, motion, occupancy and plan of six cameras."""
