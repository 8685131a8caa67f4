"""Training of the mini OpenVLA."""
