"""What turns JPEG files into the pixels that a slot of an engine takes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from helpers import cores
from helpers.arguments import between, typed
from helpers.dataset import jpeg
from helpers.engine.slots import Slot
from helpers.errors import BadInput


class Decoder:
    """Decodes the pictures of one frame."""

    def decode(self, jpegs: Sequence[bytes], slot: Slot, name: str) -> None:
        """Bring the pixels of the JPEG files into the input `name` of a slot, uint8 [B,N,h,w,3] RGB.

        Raises:
            BadInput: too few or too many files, or one that is no whole JPEG file of a color picture of that size.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release what the decoder holds, while the slots that it wrote to are still open."""


class Turbo(Decoder):
    """libjpeg-turbo, as OpenCV has it, in a thread for each core; writes once, where the copy to the GPU begins."""

    @typed
    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            between("threads", threads, 1, 1024)
        self._pool = ThreadPoolExecutor(threads or cores.count())

    def decode(self, jpegs: Sequence[bytes], slot: Slot, name: str) -> None:
        target = _planes(jpegs, slot, name)
        list(self._pool.map(jpeg.decode, jpegs, target, map(_camera, range(len(jpegs)))))

    def close(self) -> None:
        self._pool.shutdown()


class NvImageCodec(Decoder):
    """NVIDIA's nvImageCodec: on the GPU, by its JPEG engine where it has one. Package nvidia-nvimgcodec-cu12 or -cu13.

    Its pictures lie in memory that is given back on the stream of their slot; on one that is closed by then this may
    end the process.

    Args:
        hardware: False leaves the JPEG engine out, for what it cannot do and the CUDA cores can.
    """

    def __init__(self, hardware: bool = True) -> None:
        from nvidia import nvimgcodec

        kinds = [*([nvimgcodec.HW_GPU_ONLY] if hardware else []), nvimgcodec.HYBRID_CPU_GPU, nvimgcodec.GPU_ONLY]
        self._codec, self._images = nvimgcodec, dict[Slot, list[Any]]()
        self._decoder = nvimgcodec.Decoder(
            device_id=0,
            max_num_cpu_threads=cores.count(),
            backends=[nvimgcodec.Backend(kind) for kind in kinds],
            options=":fancy_upsampling=1",
        )
        self._params = nvimgcodec.DecodeParams(
            color_spec=nvimgcodec.SRGB, sample_format=nvimgcodec.I_RGB, apply_exif_orientation=False
        )

    def decode(self, jpegs: Sequence[bytes], slot: Slot, name: str) -> None:
        target = _planes(jpegs, slot, name)
        for index, data in enumerate(jpegs):
            jpeg.check(data, target.shape[1:3], _camera(index))
        kept = {"images": self._images[slot]} if slot in self._images else {}
        found = self._images[slot] = self._decoded(jpegs, cuda_stream=slot.stream, **kept)
        slot.place(name, [(_address(image, target.shape[1:]), target[0].nbytes) for image in found])

    def pixels(self, jpegs: Sequence[bytes]) -> list[np.ndarray]:
        """The pictures on the host, uint8 [h,w,3] RGB each, to be compared with another decoder's."""
        return [np.asarray(image.cpu()) for image in self._decoded(jpegs)]

    def _decoded(self, jpegs, **how):
        streams = [self._codec.CodeStream(data) for data in jpegs]
        found = self._decoder.decode(streams, params=self._params, **how)
        for index, image in enumerate(found):
            if image is None:
                raise BadInput(_camera(index), "a file that nvImageCodec refuses", "a whole JPEG file", jpeg.AGAIN)
        return found

    def close(self) -> None:
        self._images.clear()
        self._decoder = None


def available() -> dict[str, Callable[[], Decoder]]:
    """Name -> what makes a decoder, of those installed here: a GPU's JPEG engine, its cores, the host."""
    found: dict[str, Callable[[], Decoder]] = {}
    if find_spec("nvidia") and find_spec("nvidia.nvimgcodec"):
        found = {"nvimgcodec": NvImageCodec, "nvimgcodec without engine": partial(NvImageCodec, hardware=False)}
    return {**found, "libjpeg-turbo": Turbo}


def _planes(jpegs, slot, name):
    """The input as [pictures, h, w, 3]; BadInput unless there are as many files."""
    target = slot.inputs[name]
    planes = target.reshape(-1, *target.shape[-3:])
    if len(jpegs) != len(planes):
        raise BadInput("pictures of the frame", len(jpegs), f"{len(planes)} JPEG files", "pass one for every camera")
    return planes


def _camera(index):
    return f"picture {index}"


def _address(image, shape):
    """Where the pixels lie on the GPU, one row behind the other."""
    told = image.__cuda_array_interface__
    whole = told["strides"] in (None, (shape[1] * shape[2], shape[2], 1))
    if tuple(told["shape"]) != shape or told["typestr"] not in ("|u1", "<u1") or not whole:
        raise BadInput("nvImageCodec", told, f"bytes {shape}, one row behind the other", "use another decoder")
    return told["data"][0]
