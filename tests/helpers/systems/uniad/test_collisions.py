"""The collision optimization: cells and their places, a case worked by hand, and two solvers that agree."""

import sys

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.systems.uniad import collisions

STRAIGHT = np.stack([np.arange(1, 7) * 2.0, np.zeros(6)], 1)
NEEDED = {"ipopt": "casadi"}


def grid(*taken, steps=5, size=50):
    """Nothing, but for the cells (step, row, column), in a map that reaches 12.5 m."""
    occupied = np.zeros((steps, size, size), bool)
    for cell in taken:
        occupied[cell] = True
    return occupied


@pytest.fixture(params=collisions.SOLVERS)
def solver(request):
    pytest.importorskip(NEEDED.get(request.param, "scipy"), reason="an extra: requirements/solver.txt")
    return request.param


def test_cells_lie_where_the_public_evaluation_has_them():
    """Column 30 of 50 has its middle at (30 - 25) / 2 + 0.25 = 2.75 m, row 22 at -1.25 m, cut to 2 and -1."""
    occupied = grid((1, 22, 30), (4, 25, 45))
    found = collisions.cells(STRAIGHT, occupied, 12.5)
    assert [each.tolist() for each in found] == [[[2, -1]], [], [], [[10, 0]], [[10, 0]], [[10, 0]]]
    exact = collisions.cells(STRAIGHT, occupied, 12.5, truncated=False)
    assert [each.tolist() for each in exact] == [[[2.75, -1.25]], [], [], *[[[10.25, 0.25]]] * 3]
    far, near = (collisions.cells([[x, 2.0]], grid((1, 10, 12), size=20), 50.0, False)[0] for x in (2.0, 8.0))
    assert len(far) == 0 and near.tolist() == [[12.5, 2.5]]  # cells of 5 m


def test_a_point_beside_one_cell_goes_where_the_forces_are_equal(solver):
    """Planned 1 m beside a cell, u meters away: 2 (u - 1) = 5 / 2.507 u exp(-u² / 2), which 1.4897 solves."""
    led = collisions.avoid([[2.0, 0.0]], grid((1, 22, 30)), 12.5, solver=solver)  # the cell becomes (2, -1)
    u = led[0, 1] + 1
    assert led[0, 0] == pytest.approx(2, abs=1e-6) and u == pytest.approx(1.4897, abs=1e-4)
    assert 2 * (u - 1) == pytest.approx(5 / 2.507 * u * np.exp(-(u**2) / 2), abs=1e-5)


def test_what_is_not_near_or_not_at_that_time_moves_nothing(solver):
    occupied = grid((0, 25, 29), (2, 25, 44))  # now; and at 1 s, 5.7 m from where the vehicle then is
    np.testing.assert_array_equal(collisions.avoid(STRAIGHT, occupied, 12.5, solver=solver), STRAIGHT)


def test_every_point_ends_at_a_least_cost_below_that_of_the_plan(solver):
    random = np.random.default_rng(0)
    occupied, plan = random.random((5, 50, 50)) < 0.03, STRAIGHT + random.normal(0, 0.1, (6, 2))
    led = collisions.avoid(plan, occupied, 12.5, solver=solver)
    for before, after, near in zip(plan, led, collisions.cells(plan, occupied, 12.5), strict=True):
        least = collisions.cost(after, before, near)
        around = [
            collisions.cost(after + step, before, near) for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01))
        ]
        assert least < collisions.cost(before, before, near) and least <= min(around)
    assert np.abs(led - collisions.avoid(plan, occupied, 12.5)).max() < 1e-5  # of SciPy


def test_another_solver_and_one_that_is_absent_are_refused(monkeypatch):
    with pytest.raises(BadInput, match="scipy or ipopt"):
        collisions.avoid(STRAIGHT, grid(), 12.5, solver="newton")
    collisions._ipopt.cache_clear()
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(BadInput, match=r"casadi is not installed[^$]*requirements/solver.txt"):
        collisions.avoid(STRAIGHT, grid((1, 22, 30)), 12.5, solver="ipopt")


@pytest.mark.parametrize(
    "arguments",
    [
        (STRAIGHT[:, :1], grid(), 12.5),
        (STRAIGHT * np.nan, grid(), 12.5),
        (STRAIGHT, grid().astype(float), 12.5),
        (STRAIGHT, grid()[0], 12.5),
        (STRAIGHT, grid(steps=0), 12.5),
        (STRAIGHT, grid(), -1.0),
    ],
)
def test_what_is_no_plan_or_no_occupancy_is_refused(arguments):
    with pytest.raises(BadInput):
        collisions.avoid(*arguments)
