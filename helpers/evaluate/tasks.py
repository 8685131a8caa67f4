"""What is kept of a frame, and what is made of all: one class for each kind of metrics. No torch.

The table of them is that of `helpers.evaluate`.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np

from helpers.boxes import Boxes
from helpers.dataset import Dataset, Frame
from helpers.dataset import occupancy as labels
from helpers.errors import BadInput
from helpers.evaluate.store import AGAIN
from helpers.metrics import detection, occupancy
from helpers.sequence import Arrays

Results = Iterable[tuple[str, Arrays]]


class Task:
    """What an evaluation keeps. A system whose results are of another kind brings a class of its own."""

    headlines: tuple[str, ...] = ()  # the metrics that are told first

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """Name -> array of numbers: what is kept of a frame of what the configuration decoded.

        The same for a frame, whoever evaluates it.
        """
        raise NotImplementedError

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """Metrics by name of (token, what was kept) of all frames, in the order of the split."""
        raise NotImplementedError


class Detection(Task):
    """Boxes, scored by `helpers.metrics.detection.score`."""

    headlines = ("NDS", "mAP")
    names = ("centers", "sizes", "yaws", "velocities", "labels", "scores")
    classes = tuple(detection.ATTRIBUTES)

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """The boxes in the global frame, within the range of evaluation; labels index `classes`."""
        boxes = detection.to_global(found, frame)
        kept = {name: getattr(boxes, name) for name in self.names}
        return kept | {"labels": np.array([self.classes.index(name) for name in boxes.names], np.int64)}

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """NDS, mAP, the errors, and AP of each class."""
        return detection.score({token: boxes(arrays, token) for token, arrays in results}, dataset)


class Occupancy(Task):
    """Labels of voxels, scored as `helpers.metrics.occupancy.score` does: counts are kept, 30 kB a frame at most."""

    headlines = ("mIoU", "mIoU/labeled", "RayIoU", "RayIoU/labeled")
    shapes: ClassVar = {
        "counts": (len(labels.CLASSES),) * 2,
        "rays": (2 + len(occupancy.THRESHOLDS), labels.FREE),
    }

    def keep(self, frame: Frame, found: Any, dataset: Dataset) -> Arrays:
        """counts int64 [18,18] of voxels and rays int64 [5,17], against the labels of the frame, and their digest."""
        label = labels.read(dataset.dataroot, frame)
        rays = occupancy.ray_counts(found, label, frame.lidar2ego[:3, 3])
        digest = np.frombuffer(label.digest, np.uint8)
        return {"counts": occupancy.histogram(found, label), "rays": rays, "labels": digest}

    def total(self, results: Results, dataset: Dataset) -> dict[str, float]:
        """mIoU, the IoU of each class, and RayIoU, in percent; those that nothing defines are left out.

        Raises BadInput for counts that are none, and for two frames with the same labels that cannot have them.
        """
        sums: dict[str, Any] = {name: np.zeros(shape, np.int64) for name, shape in self.shapes.items()}
        frames, number = 0, {token: i for i, token in enumerate(dataset.tokens)}
        first: dict[bytes, str] = {}  # digest of labels -> the first frame that has them
        for token, arrays in results:
            for name, shape in self.shapes.items():
                counts = read(arrays, name, token)
                if counts.shape != shape or counts.dtype.kind not in "iu" or counts.min() < 0:
                    found = f"{name} {counts.dtype}{list(counts.shape)}"
                    raise BadInput(f"result of {token}", found, f"counts {list(shape)}", AGAIN)
                sums[name] += counts.astype(np.int64)
            if "labels" in arrays:  # a result that is older does not tell
                other = first.setdefault(arrays["labels"].tobytes(), token)
                if other != token:
                    labels.check_apart(dataset.dataroot, dataset[number[token]], dataset[number[other]])
            frames += 1
        return defined(occupancy.mean_iou(sums["counts"]) | occupancy.ray_iou(sums["rays"])) | {"frames": frames}


def defined(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that are numbers: a record, and JSON, take no other."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def boxes(arrays: Arrays, token: str) -> Boxes:
    """The boxes of what was kept of a sample, in the global frame; BadInput that names the sample."""
    fields = {name: read(arrays, name, token) for name in Detection.names}
    with of_sample(token):
        return Boxes(**fields, frame="global", classes=Detection.classes)


@contextlib.contextmanager
def of_sample(token: str) -> Iterator[None]:
    """A BadInput of the block names the sample whose result is read, and says to make it again."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"result of {token}: {error.where}", error.found, error.expected, AGAIN) from error


def read(arrays: Arrays, name: str, token: str) -> np.ndarray:
    """An array of what was kept of a sample; BadInput where it is not among them."""
    if name not in arrays:
        raise BadInput(f"result of {token}", f"arrays {', '.join(arrays) or 'none'}", f"an array {name!r}", AGAIN)
    return arrays[name]
