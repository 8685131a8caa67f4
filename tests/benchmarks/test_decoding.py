"""A decoder is tried in a process of its own."""

import os

import cv2
import numpy as np
import pytest

from benchmarks import decoding


@pytest.fixture(scope="module")
def jpeg():
    return cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def test_one_that_is_there_is_not_refused(jpeg):
    assert decoding.refused("libjpeg-turbo", [jpeg]) == ""


def test_one_that_fails_says_why(jpeg):
    assert "install it, or name another" in decoding.refused("no such decoder", [jpeg])


@pytest.mark.parametrize(
    "code, told, expected",
    [(0, "a warning", ""), (-11, "a library said something", "it ended its process by SIGSEGV"),
     (1, "Traceback\n  ...\nOSError: no libnvjpeg\n", "OSError: no libnvjpeg"), (3, "", "exit code 3")],
)  # fmt: skip
def test_how_it_ended_is_told(code, told, expected):
    assert decoding.reason(code, told) == expected


CODEC = """
import os, signal
from types import SimpleNamespace
HW_GPU_ONLY, HYBRID_CPU_GPU, GPU_ONLY, SRGB, I_RGB = range(5)
Backend = DecodeParams = CodeStream = lambda *given, **named: None


class Decoder:
    def __init__(self, **options):
        pass

    def decode(self, streams, **options):
        {decode}
"""


@pytest.mark.parametrize(
    "decode, expected",
    [("os.kill(os.getpid(), signal.SIGSEGV)", "it ended its process by SIGSEGV"), ("os.abort()", "by SIGABRT"),
     ("os._exit(7)", "exit code 7"), ("raise RuntimeError('status 5')", "RuntimeError: status 5")],
)  # fmt: skip
def test_a_library_that_brings_its_process_down_is_told(tmp_path, monkeypatch, jpeg, decode, expected):
    """A package of nvImageCodec's name that really ends the process in which it decodes."""
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia/nvimgcodec.py").write_text(CODEC.format(decode=decode))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert expected in decoding.refused("nvimgcodec", [jpeg])
