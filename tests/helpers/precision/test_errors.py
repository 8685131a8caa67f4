"""How far two arrays are apart."""

import numpy as np
import pytest

from helpers.precision.errors import Range, measure, measure_rms, undefined


def test_measure():
    one = np.float32([1, -4])
    assert measure(one, one, 0, 3) == (0, 0, 3)
    assert measure(np.float16([1, -3]), one, 0.1, 0) == (0.25, 0.5, 0)
    assert measure(np.float32([1, np.nan]), one, 0.1, 0) == (np.inf, 0.5, 0)
    assert measure(np.float32([1, np.inf]), np.float32([1, np.inf]), 0, 0).relative == 0
    assert measure(np.float32([1, -np.inf]), np.float32([1, np.inf]), 0, 0).relative == np.inf
    assert measure(np.array([True, False]), np.array([True, True]), 0, 0).relative == 0.5
    assert measure(one[None], one, 0, 0).relative == np.inf


def test_rms_is_not_moved_by_one_element():
    a, b = np.ones(10000, np.float32), np.ones(10000, np.float32)
    a[0] = 2
    assert measure(a, b, 0, 0).relative == 1 and measure_rms(a, b, 0, 0).relative == pytest.approx(0.01)
    assert measure_rms(b * 1.5, b, 0, 0).relative == pytest.approx(0.5)
    a[0] = np.nan
    assert measure_rms(a, b, 0, 0).relative == np.inf


def test_undefined_is_what_is_nan_in_both():
    nan, one = np.float32([np.nan, np.nan, 1, np.inf]), np.float32([np.nan, 1, 1, np.inf])
    assert undefined(nan, one) == undefined(one, nan) == 0.25 and undefined(nan, nan) == 0.5
    assert undefined(one, nan[:2]) == undefined(np.array([1, 2]), np.array([1, 2])) == undefined(one[:0], one[:0]) == 0
    assert measure(nan, nan, 0, 0).relative == 0 and measure(one, nan, 0, 0) == (np.inf, 0.25, 0)


def test_ranges():
    assert str(Range.of(np.float32([1, -2, np.nan, np.inf]))) == "float32 -2 to 1, 2 not finite"
    assert Range.of(np.array([], np.float16))[2:] == (0, "float16") and Range.of(np.array([True]))[:3] == (1, 1, 0)
    assert Range.of(np.array(["a", "b"], dtype=object)).nonfinite == 0
