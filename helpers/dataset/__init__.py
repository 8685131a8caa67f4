"""MiniDrive and nuScenes through one path: typed frames and network inputs. No torch."""

from helpers.dataset.images import MEAN, STD, inputs, preprocess, stream
from helpers.dataset.nuscenes import Dataset, Frame, can_bus_vector, open_dataset

__all__ = ["MEAN", "STD", "Dataset", "Frame", "can_bus_vector", "inputs", "open_dataset", "preprocess", "stream"]
