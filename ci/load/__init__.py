"""Loads an action server with requests that are right, wrong, slow and abandoned, and counts what comes of them."""
