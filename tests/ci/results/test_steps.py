"""What docs/results.md says of decode steps and of the mixture of levels follows from the records."""

import pytest

from ci.results import kernels, steps
from ci.results.recorded import Recorded
from helpers.files import ROOT


@pytest.fixture(scope="module")
def results():
    return Recorded(ROOT / "results")


def test_the_kernels_that_are_kept_are_the_fastest_of_their_run(results):
    """Of the 1.1B variants that are divided by default, on one machine: FP16 and INT4."""
    for kind in ("fp16", "int4"):
        ends = {end for end, prefix in steps.STEPS if end.startswith("1.1b") and not prefix and "prefetch" not in end}
        took = {end: results.latest(steps.NAME + end).metrics[f"{kind}_step_ms"] for end in ends}
        assert len(took) == 8 and min(took, key=took.get) == "1.1b"
        assert sorted(took, key=took.get)[1] == "1.1b-two-launches"
    held, without = (results.latest(f"{steps.SHOWN}{end}").metrics for end in ("-held-loads", "-two-launches"))
    kept = results.latest(steps.SHOWN).metrics
    assert max(held["fp16_norm_us"], kept["fp16_norm_us"]) < without["fp16_norm_us"]
    assert kept["fp16_attention_us"] < without["fp16_attention_us"]
    seven = results.latest(f"{steps.NAME}7b-held-loads").metrics
    layer = sum(seven[f"fp16_{name}_us"] * (1 + (name == "norm")) for name in steps.OPERATORS if name != "head")
    assert seven["fp16_step_ms"] > (32 * layer + seven["fp16_head_us"]) / 1e3
    assert all(results.latest(f"{steps.NAME}{end}").metrics["fp16_best"].endswith(f"attention {splits}")
               for end, splits in (("1.1b-held-loads-choices", 32), ("7b-held-loads", 8)))  # fmt: skip


def test_a_step_is_shown_over_its_own_floor_and_operators_beside_pytorch(results):
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in steps.steps(results).splitlines()[2:]]
    kept = next(row for row in table if row[0].startswith("**"))
    assert kept[1:7] == ["0.804", "0.492", "1.64", "0.545", "0.152", "3.58"]
    names = {record.name: record.metrics for record in results.files.values()}
    recorded = [end for end, prefix in steps.STEPS if f"fp16_{prefix}step_ms" in names.get(steps.NAME + end, {})]
    assert "20261130T042915Z" in kept[7] and len(table) == len(recorded) >= 15
    operators = steps.step_operators(results).splitlines()
    assert len(operators) == 2 + len(steps.OPERATORS)
    assert "| gate and up, SwiGLU | 12.02 | 91% | 13.55 | 5.76 | 49% | 9.15 |" in operators[5]


def test_the_mixture_is_compared_in_its_own_precision(results):
    table = kernels.mixture(results).splitlines()
    assert "| FP32, row-major | 288.3 | 6.31 | 5.79 | 30% |" in table[2]
    assert "| FP16, row-major | 199.5 | 10.97 | 9.43 | 22% |" in table[3]
