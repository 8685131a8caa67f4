"""MiniDrive and nuScenes through one path: typed frames, and the steps of a sequence made of them. No torch."""

from helpers.dataset.frame import CAMERAS, CLASSES, Frame, stream
from helpers.dataset.images import preprocess, read_image
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
    "stream",
]
