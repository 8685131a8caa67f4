"""MiniDrive and nuScenes through one path: typed frames, and the steps of a sequence made of them. No torch.

The devkit is imported when a data set is opened: pictures and boxes need none of it.
"""

from typing import TYPE_CHECKING, Any

from helpers.dataset.frame import CAMERAS, CLASSES, Frame, seconds_of_sequence, stream
from helpers.dataset.images import preprocess, read_image

if TYPE_CHECKING:
    from helpers.dataset.nuscenes import Dataset, can_bus_vector, open_dataset

__all__ = [
    "CAMERAS",
    "CLASSES",
    "Dataset",
    "Frame",
    "can_bus_vector",
    "open_dataset",
    "preprocess",
    "read_image",
    "seconds_of_sequence",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in ("Dataset", "can_bus_vector", "open_dataset"):
        from helpers.dataset import nuscenes

        return getattr(nuscenes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
