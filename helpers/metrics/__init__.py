"""Accuracy of what a network says, by the measure of its task. No torch.

Every measure is a module, which is there as an attribute too: `from helpers import metrics; metrics.detection.score`.
"""

from importlib import import_module
from types import ModuleType

MEASURES = ("actions", "detection", "driven", "future_occupancy", "lanes", "motion", "occupancy")


def __getattr__(name: str) -> ModuleType:
    if name in MEASURES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its measures are {', '.join(MEASURES)}")
