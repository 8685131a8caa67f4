"""The commands of `python -m helpers`, one file each."""
