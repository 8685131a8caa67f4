"""Damaged inputs at every door of the helpers, and what came of each of them."""
