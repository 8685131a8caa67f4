"""Runs, checks and publishes the lessons."""
