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


@pytest.mark.parametrize(
    "code, told, expected",
    [(0, "a warning", ""), (-11, "a library said something", "it ended its process by SIGSEGV"),
     (1, "Traceback\n  ...\nOSError: no libnvjpeg\n", "OSError: no libnvjpeg"), (3, "", "exit code 3")],
)  # fmt: skip
def test_how_it_ended_is_told(code, told, expected):
    assert decoding.reason(code, told) == expected
