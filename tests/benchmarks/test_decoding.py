"""A decoder is tried in a process of its own."""

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


CODEC = """
import os, signal, sys
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
     ("os._exit(3)", "exit code 3"), ("raise RuntimeError('status 5')", "RuntimeError: status 5"),
     ("raise OSError('no libnvjpeg')", "OSError: no libnvjpeg")],
)  # fmt: skip
def test_a_library_that_brings_its_process_down_is_told(codec, jpeg, decode, expected):
    """A package of nvImageCodec's name that really ends the process in which it decodes."""
    codec(decode)
    assert expected in decoding.refused("nvimgcodec", [jpeg])


def test_a_library_that_warns_is_not_refused(codec, jpeg):
    codec("sys.stderr.write('a warning'); return [SimpleNamespace(cpu=list) for _ in streams]")
    assert decoding.refused("nvimgcodec", [jpeg]) == ""


@pytest.fixture
def codec(tmp_path, monkeypatch):
    """What makes that package, of the statement with which it decodes."""

    def write(decode):
        (tmp_path / "nvidia").mkdir()
        (tmp_path / "nvidia/nvimgcodec.py").write_text(CODEC.format(decode=decode))
        monkeypatch.syspath_prepend(tmp_path)

    return write
