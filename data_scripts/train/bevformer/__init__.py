"""Training of the mini BEVFormer."""
