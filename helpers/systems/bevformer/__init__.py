"""BEVFormer (arXiv:2203.17270)."""
