"""UniAD's collision optimization: a plan is led past what will be occupied, on the host, after the network. No torch.

Each point of the plan goes to the least, seen from where it was planned, of

    |p - planned|² + sum over cells c of 5 / (2.507 sigma) exp(-|p - c|² / (2 sigma²)),    sigma = 1 m

The cells are those within 5 m that are occupied at the point's own time: of the first half second for the first, of the
last that is known for the last ones. No point pulls at another, so each is a problem of two numbers.
Source: UniAD (arXiv:2212.10156), evaluation of planning, which solves with CasADi and IPOPT.
"""

import functools
from collections.abc import Callable

import numpy as np

from helpers.arguments import array, between, typed
from helpers.errors import BadInput

RANGE, SIGMA, ALPHA = 5.0, 1.0, 5.0  # m, m, how much a cell counts
WEIGHT = ALPHA / (2.507 * SIGMA)
INSTALL = ".venv/bin/python -m pip install --no-deps --require-hashes -r requirements/solver.txt"


@typed
def cells(plan: np.ndarray, occupied: np.ndarray, reach: float, truncated: bool = True) -> list[np.ndarray]:
    """Middles [n, 2] in m of the cells that each point of the plan keeps away from.

    Args:
        plan: [P, 2] m, x and y in the lidar frame, half a second apart.
        occupied: bool [T, H, W] at 0, 0.5, ... s; rows run along y, columns along x, both from -reach to reach, in m.
        truncated: middles are cut toward zero to whole meters, as in the public evaluation, which writes them into a
            tensor of integers: every cell moves up to 1 m toward the sensor, and several may become one place.

    Raises:
        BadInput: another shape, a plan that is not finite, a reach that is not positive.
    """
    plan, occupied = array("plan", plan, (None, 2)), array("occupied", occupied, (None, None, None), "truth")
    between("reach", reach, 1e-3, 1e6)
    if 0 in occupied.shape:
        raise BadInput("occupied", f"shape {occupied.shape}", "one step and one cell at least", "pass Driven.occupied")
    found = []
    for k, point in enumerate(plan):
        rows = np.argwhere(occupied[min(k + 1, len(occupied) - 1)])
        middles = (rows[:, ::-1] + 0.5) * 2 * reach / np.array(occupied.shape[:0:-1]) - reach
        middles = np.trunc(middles) if truncated else middles
        found.append(middles[((middles - point) ** 2).sum(1) < RANGE**2])
    return found


@typed
def cost(point: np.ndarray, planned: np.ndarray, middles: np.ndarray) -> float:
    """What is made least: of a point [2] that was planned at [2], with cells [n, 2], all in m."""
    given = array("point", point, (2,)), array("planned", planned, (2,)), array("middles", middles, (None, 2))
    return _cost(*given)[0]


def _cost(point, planned, middles):
    """The cost and its gradient [2]."""
    away, apart = point - planned, point - middles
    each = WEIGHT * np.exp(-(apart**2).sum(1) / (2 * SIGMA**2))
    return float(away @ away + each.sum()), 2 * away - each @ apart / SIGMA**2


@typed
def avoid(
    plan: np.ndarray, occupied: np.ndarray, reach: float, truncated: bool = True, solver: str = "scipy"
) -> np.ndarray:
    """The plan [P, 2] after the optimization; arguments as of `cells`.

    Args:
        solver: of `SOLVERS`: "scipy" (BFGS), or "ipopt", which comes with CasADi (requirements/solver.txt). A plan in
            the middle between two ways around goes where its solver happens to step first.

    Raises:
        BadInput: as `cells`, another solver, or one that is not installed.
    """
    if solver not in SOLVERS:
        raise BadInput("solver", repr(solver), " or ".join(SOLVERS), "choose one of them")
    near, led = cells(plan, occupied, reach, truncated), np.array(plan, np.float64)
    for k, middles in enumerate(near):
        if len(middles):
            led[k] = SOLVERS[solver](led[k], middles)
    return led


def _by_scipy(planned, middles):
    from scipy.optimize import minimize

    return minimize(_cost, planned, (planned, middles), jac=True, method="BFGS", options={"gtol": 1e-7}).x


def _by_ipopt(planned, middles):
    room = 1 << (len(middles) - 1).bit_length()  # of few sizes, each of which is set up once
    filled = np.zeros((room, 3))
    filled[: len(middles)] = np.column_stack([middles, np.full(len(middles), WEIGHT)])
    return np.array(_ipopt(room)(x0=planned, p=np.concatenate([planned, filled.ravel()]))["x"]).ravel()


@functools.cache
def _ipopt(room):
    """The solver of a point with that many cells: x, y and weight of each are its parameters."""
    try:
        import casadi
    except ImportError as error:
        raise BadInput("solver 'ipopt'", "casadi is not installed", "the package casadi", INSTALL) from error
    point, planned, given = casadi.SX.sym("p", 2), casadi.SX.sym("planned", 2), casadi.SX.sym("cells", 3, room)
    apart = casadi.sum1((given[:2, :] - point) ** 2)
    total = casadi.sumsqr(point - planned) + casadi.sum2(given[2, :] * casadi.exp(-apart / (2 * SIGMA**2)))
    problem = {"x": point, "p": casadi.vertcat(planned, casadi.vec(given)), "f": total}
    quiet = {"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes"}
    return casadi.nlpsol("plan", "ipopt", problem, quiet)


SOLVERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"scipy": _by_scipy, "ipopt": _by_ipopt}
