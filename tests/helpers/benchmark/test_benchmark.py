import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.benchmark import Timing, compare, compare_engines, end_to_end, latency, pace, roofline
from helpers.engine import Engine
from helpers.errors import BadInput


class Clock:
    """A clock that only the measured functions move."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def takes(self, *milliseconds):
        """A function whose calls last the given times, in turn, and then the last one for ever."""
        left = list(milliseconds)

        def call(argument=None):
            self.calls.append(argument)
            self.now += (left.pop(0) if len(left) > 1 else left[0]) / 1e3
            return argument

        self.calls = []
        return call


def test_latency_leaves_the_warm_up_out():
    clock = Clock()
    timing = latency(clock.takes(900, 800, 1, 2, 3, 4, 5), warmup=2, iterations=5, clock=clock)
    np.testing.assert_allclose(timing.samples, [1, 2, 3, 4, 5])
    assert timing["n"] == 5 and timing["p50"] == pytest.approx(3) and timing["min"] == pytest.approx(1)
    assert timing["p90"] == pytest.approx(4.6) and timing["p99"] == pytest.approx(4.96)  # linear between 4 and 5
    assert timing["mean"] == pytest.approx(3)


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=50))
def test_percentiles_by_linear_interpolation(samples):
    ordered, timing = sorted(samples), Timing(samples)
    for name, fraction in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        position = fraction * (len(ordered) - 1)
        low, part = int(position), position - int(position)
        expected = ordered[low] + part * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
        assert timing[name] == pytest.approx(expected)


def test_timing_formats_itself_and_becomes_metrics():
    timing = Timing([1.0, 2.0, 300.0])
    assert str(timing) == "p50 2.000  mean 101.0  min 1.000 ms  (n = 3)"
    assert timing.metrics()["latency_ms_p50"] == 2.0 and timing.metrics("total_ms")["total_ms_n"] == 3


@pytest.mark.parametrize(
    ("calls", "told"),
    [(1, ["p50"]), (9, ["p50"]), (10, ["p50", "p90"]), (99, ["p50", "p90"]), (100, ["p50", "p90", "p99"])],
)
def test_a_percentile_is_shown_only_if_a_call_lies_above_it(calls, told):
    clock = Clock()
    result = compare({"a": clock.takes(1), "b": clock.takes(1)}, rounds=1, iterations=calls, warmup=0, clock=clock)
    row, timing = result.rows()[1], result.timings["b"]
    assert [key for key in row if key.startswith("p")] == [f"{name} ms" for name in told] and row["calls"] == calls
    assert [key for key in timing.metrics("ms") if key.startswith("ms_p")] == [f"ms_{name}" for name in told]
    for name in ("p50", "p90", "p99"):
        assert name in timing and (name in str(timing)) == (name in str(result)) == (name in told)


def test_compare_interleaves_and_gives_the_spread():
    clock, order = Clock(), []

    def lasting(name, *milliseconds):
        call = clock.takes(*milliseconds)
        return lambda: (order.append(name), call())

    functions = {"slow": lasting("slow", 50, 10, 10, 30), "fast": lasting("fast", 50, 5, 2, 10)}
    result = compare(functions, rounds=3, iterations=1, warmup=1, clock=clock)
    assert order == ["slow", "fast", "slow", "fast", "fast", "slow", "slow", "fast"]
    # slow 10, 10, 30; fast 5, 2, 10 by rounds
    assert result.speedups["fast"] == pytest.approx((2, 2, 5)) and result.speedups["slow"] == pytest.approx((1, 1, 1))
    assert result.baseline == "slow" and result.timings["fast"]["n"] == 3
    row = result.rows()[1]
    assert row["name"] == "fast" and row["p50 ms"] == 5 and row["speed-up over slow"] == 2
    assert row["lowest to highest round"] == "2.00 to 5.00"
    assert "speed-up 2.00 (2.00 to 5.00)" in str(result)


def test_compare_shows_how_far_it_is():
    clock, watched = Clock(), []
    result = compare(
        {"a": clock.takes(*[1] * 6)},
        rounds=3,
        iterations=1,
        clock=clock,
        progress=lambda rounds: (watched.append(turn) or turn for turn in rounds),
    )
    assert watched == [0, 1, 2] and result.timings["a"]["n"] == 3


def test_a_drift_of_the_machine_cancels():
    """Everything becomes ten times slower half way: medians of one after the other would show it, turns do not."""
    clock = Clock()
    a, b = clock.takes(*[2] * 10, *[20] * 11), clock.takes(*[1] * 10, *[10] * 11)
    result = compare({"a": a, "b": b}, rounds=20, iterations=1, warmup=0, baseline="b", clock=clock)
    assert result.speedups["a"] == pytest.approx((0.5, 0.5, 0.5))


def test_end_to_end_splits_by_stage():
    clock = Clock()
    seen = []

    def stage(milliseconds, change):
        def call(argument):
            clock.now += milliseconds / 1e3
            seen.append(argument)
            return change(argument)

        return call

    stages = stage(1, lambda x: x + 10), stage(20, lambda x: x * 2), stage(3, lambda x: x)
    result = end_to_end(*stages, items=iter([1, 2]), warmup=1, clock=clock)
    assert list(result) == ["preprocess", "run", "decode", "total"]
    assert [result[name]["p50"] for name in result] == pytest.approx([1, 20, 3, 24])
    assert {timing["n"] for timing in result.values()} == {2}
    assert seen == [1, 11, 22, 1, 11, 22, 2, 12, 24]


def test_end_to_end_with_fewer_items_than_warm_up():
    clock = Clock()
    result = end_to_end(clock.takes(1), clock.takes(1), clock.takes(1), [1], warmup=5, clock=clock)
    assert result["total"]["n"] == 1


def test_bad_numbers_are_named():
    with pytest.raises(BadInput, match="iterations"):
        latency(lambda: None, iterations=0)
    with pytest.raises(BadInput, match="rounds"):
        compare({"a": lambda: None}, rounds=0)
    with pytest.raises(BadInput, match="baseline"):
        compare({"a": lambda: None}, baseline="b")
    with pytest.raises(BadInput, match="baseline"):
        compare({})
    with pytest.raises(BadInput, match="items"):
        end_to_end(str, str, str, [])


def test_real_clock():
    assert 0 < latency(lambda: sum(range(1000)), warmup=1, iterations=5)["min"] < 1000


class Plain(Engine):
    """An engine without a GPU."""

    def __init__(self):
        super().__init__("plain", {}, {}, "plain", {})
        self.seen = []

    def run(self, feeds):
        self.seen.append(feeds)
        return feeds


class Timed(Plain):
    def time(self, feeds, warmup=10, iterations=100):
        self.seen.append((feeds, warmup, iterations))
        return {"gpu": Timing([feeds] * iterations), "host": Timing([2.0 * feeds] * iterations)}


def test_engines_of_all_kinds_are_compared_in_what_they_share():
    both = compare_engines({"a": Timed(), "b": Timed()}, [1.0, 3.0], rounds=4, iterations=2)
    assert set(both) == {"gpu", "host"} and both["gpu"].timings["a"]["n"] == 8
    assert sorted(set(both["gpu"].timings["b"].samples)) == [1.0, 3.0] and both["host"].timings["a"]["min"] == 2.0
    assert set(compare_engines({"a": Timed(), "b": Plain()}, [1.0], rounds=1, iterations=1)) == {"host"}
    with pytest.raises(BadInput, match="feeds"):
        compare_engines({"a": Timed()}, [])


def test_engines_are_warm_at_the_start_of_each_of_their_turns():
    plain, timed = Plain(), Timed()
    compare_engines({"plain": plain, "timed": timed}, [1.0, 3.0], rounds=3, iterations=2, warmup=4)
    assert timed.seen == [(1.0, 4, 2), (3.0, 4, 2), (1.0, 4, 2)]
    assert plain.seen == [1.0] * 6 + [3.0] * 6 + [1.0] * 6


def test_an_engine_without_a_time_of_its_own_is_timed_on_the_host_when_it_is_warm():
    plain = Plain()
    times = plain.time(5.0, warmup=2, iterations=3)
    assert list(times) == ["host"] and times["host"]["n"] == 3 and len(plain.seen) == 5


def test_roofline_has_two_ceilings():
    low = roofline(flops=2e9, moved=1e9, peak_flops=100e12, bandwidth=2e12)
    assert low["bound"] == "memory" and low["attainable"] == 4e12 and low["least_ms"] == pytest.approx(0.5)
    high = roofline(flops=1e12, moved=1e9, peak_flops=100e12, bandwidth=2e12)
    assert high["bound"] == "compute" and high["ridge"] == 50 and high["least_ms"] == pytest.approx(10)
    with pytest.raises(BadInput, match="moved"):
        roofline(1, 0, 1, 1)


@pytest.mark.parametrize("times", [[], [1, np.nan], [np.inf], [2, -1], [[1, 2]], 1.0, ["one"], None])
def test_times_that_say_nothing_are_refused(times):
    with pytest.raises(BadInput, match="times"):
        Timing(times)


@pytest.mark.parametrize("baseline", ["slow", "none"])
def test_a_clock_too_coarse_for_a_comparison_is_named(baseline):
    clock = Clock()
    functions = {"slow": clock.takes(1), "none": clock.takes(0, 0, 0, 0, 0, 0, 0, 0, 1, 0)}
    with pytest.raises(BadInput, match="times of none"):
        compare(functions, rounds=2, iterations=3, baseline=baseline, clock=clock)


def test_a_clock_too_coarse_for_one_function_is_named_and_a_part_may_take_no_time():
    clock = Clock()
    with pytest.raises(BadInput, match="a median of 0 ms"):
        latency(clock.takes(0), clock=clock)
    assert Timing([0, 0])["p50"] == 0


@pytest.mark.parametrize("clock", [[0, 1, 5, 4], [0, np.nan, 1, 2]])
def test_a_clock_that_runs_backwards_or_tells_no_number_is_refused(clock):
    with pytest.raises(BadInput, match="unusable"):
        latency(lambda: None, warmup=0, iterations=2, clock=iter(clock).__next__)


@pytest.mark.parametrize("value", [np.inf, np.nan, 0, -1])
@pytest.mark.parametrize("place", range(4))
def test_a_roofline_of_no_finite_number_is_refused(place, value):
    with pytest.raises(BadInput, match="above 0 and finite"):
        roofline(*[value if position == place else 1 for position in range(4)])


@pytest.mark.parametrize("wrong", [{"warmup": np.nan}, {"warmup": -1}, {"iterations": 2.5}, {"iterations": np.inf}])
def test_numbers_of_calls_are_whole(wrong):
    with pytest.raises(BadInput, match="a whole number"):
        latency(lambda: None, **wrong)


def test_the_pace_of_frames_that_overlap():
    frames = [{"decode": (at, at + 0.01), "compute": (at + 0.05, at + 0.07)} for at in (3, 3.03, 3.06)]
    frames[2]["compute"] = (3.15, 3.17)
    assert pace(frames) == pytest.approx((70, 50))
    with pytest.raises(BadInput, match="at least 2"):
        pace(frames[:1])
