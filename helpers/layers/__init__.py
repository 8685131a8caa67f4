"""Network blocks that several systems share; needs torch."""
