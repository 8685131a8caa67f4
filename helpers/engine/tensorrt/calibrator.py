"""INT8 calibration inside TensorRT 8.6 to 10.x, from a calibration set of `helpers.calibration`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.calibration import CalibrationReader, check_calibration
from helpers.engine import cuda


def entropy_calibrator(path: str | Path, input_shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """A trt.IInt8EntropyCalibrator2 that feeds the set sample by sample.

    Args:
        path: `.npz` of `helpers.calibration.collect`.
        input_shapes: {input name: shape of one sample}.

    The result has `error` (what went wrong while feeding, else None: an exception must not cross into the builder),
    `table` (bytes of the ranges that TensorRT wrote) and `close()`. Raises BadInput as `check_calibration`.
    """
    import tensorrt as trt

    class Calibrator(trt.IInt8EntropyCalibrator2):
        def __init__(self):
            super().__init__()
            check_calibration(path, input_shapes)
            self.reader = CalibrationReader(path, input_shapes)
            self.device = cuda.device()
            self.stream, self.buffers = self.device.stream(), {}
            self.error, self.table = None, b""

        def get_batch_size(self):
            return 1

        def get_batch(self, names):
            try:
                sample = self.reader.get_next()
                return None if sample is None else [self._upload(name, sample[name]) for name in names]
            except Exception as error:
                self.error = error
                return None

        def _upload(self, name, array):
            if name not in self.buffers:
                self.buffers[name] = self.device.pinned(array.nbytes), self.device.allocate(array.nbytes)
            host, memory = self.buffers[name]
            host.array(array.shape, array.dtype)[...] = array
            self.stream.upload(memory.address, host.address, array.nbytes)
            self.stream.synchronize()
            return memory.address

        def read_calibration_cache(self):
            return None

        def write_calibration_cache(self, cache):
            self.table = bytes(cache)

        def close(self):
            for pair in self.buffers.values():
                for memory in pair:
                    memory.free()
            self.stream.close()

    return Calibrator()
