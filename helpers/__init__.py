"""Onramp's helpers: one module per verb, called by the lessons. Import the module you need; nothing runs on import."""
