"""Learning-augmented algorithms: exact frontiers of ski rental and scheduling, and their certificates."""

from typing import NamedTuple

import jax
import numpy as np

from verax.online import scheduling, ski_rental

GAMMAS = (1.6, 1.8, 2.0, 3.0, 6.0)


class Frontiers(NamedTuple):
    """Ski rental at each price (rows) and robustness (columns)."""

    closed_form: np.ndarray
    programme: np.ndarray
    certified: np.ndarray
    vertices: np.ndarray
    policy: np.ndarray
    limit: np.ndarray


def ski_rental_frontiers(prices: tuple[int, ...]) -> Frontiers:
    """The frontier by closed form, linear programme, certificate, interpolated vertices and measured policy."""
    gammas = np.array(GAMMAS)
    rows = []
    with jax.enable_x64(True):
        for price in prices:
            robustness, consistency = (np.asarray(side)[::-1] for side in ski_rental.frontier_vertices(price))
            game = ski_rental.rental_game(price, 2 * price + 2)
            policy = ski_rental.optimal_distribution(gammas, price)
            rows.append(
                (
                    ski_rental.consistency_lower_bound(gammas, price),
                    game.frontier(gammas, 2 * price + 1).consistency,
                    [ski_rental.lower_bound_certificate(float(gamma), price).bound for gamma in gammas],
                    np.interp(gammas, robustness, consistency),
                    ski_rental.worst_case(policy, price).consistency,
                    ski_rental.consistency_lower_bound(gammas),
                )
            )
        return Frontiers(*(np.array([np.asarray(row[k]) for row in rows]) for k in range(6)))


class Deterministic(NamedTuple):
    """Deterministic ski rental at one price: every day on which a policy may buy, from 1 to the price."""

    price: int
    robustness: np.ndarray
    """Exact worst case over all seasons, [price]."""
    consistency: np.ndarray
    """Cost over the optimum of a season that outlasts the policy, as predicted, [price]."""
    closed_form: np.ndarray
    """``1 + (b - 1) / k`` and ``1 + (k - 1) / b`` for the day k, [2, price]."""


def deterministic_frontiers(prices: tuple[int, ...]) -> list[Deterministic]:
    """Enumerate the deterministic policies of each price, which proves their trade-off.

    A policy that is told of a long season buys on some day k. A later day is less consistent and an earlier one less
    robust, so that no deterministic policy is better than those enumerated; days after the price are worse in both.
    """
    found = []
    with jax.enable_x64(True):
        for price in prices:
            exact = ski_rental.worst_case(np.eye(price), price)
            day = np.arange(1, price + 1)
            closed = np.stack([1 + (price - 1) / day, 1 + (day - 1) / price])
            found.append(Deterministic(price, np.asarray(exact.robustness), np.asarray(exact.consistency), closed))
    return found


class Schedules(NamedTuple):
    """Excess consistency at each number of jobs (rows) and robustness (columns), NaN where it is not attained."""

    num_jobs: tuple[int, ...]
    robustness: np.ndarray  # one row a number of jobs
    bound: np.ndarray
    search: np.ndarray
    two_stage: np.ndarray
    preferential: np.ndarray
    worst_two_jobs: float  # two-stage against the bound, exact worst case, two jobs
    adversary: (
        float  # two-stage, exact worst case against the adversary that ends all others at once, equal predictions
    )
    tight: float  # preferential round robin on its tight instances, against the closed forms


def schedules(num_jobs: tuple[int, ...], points: int) -> Schedules:
    """Frontiers of schedules for equal predictions."""
    with jax.enable_x64(True):
        robustness = np.stack([np.linspace(2 * n / (n + 1), max(2.0, 0.6 * n), points + 2)[1:-1] for n in num_jobs])
        found = [
            [scheduling.search_schedule(n, float(g)) for g in row] for n, row in zip(num_jobs, robustness, strict=True)
        ]
        search = np.array([[float(s.consistency) for s in row] for row in found])
        bound = np.array([[float(s.lower_bound) for s in row] for row in found])
        two_stage, preferential = np.empty_like(search), np.empty_like(search)
        for row, n in enumerate(num_jobs):
            lam = np.linspace(1e-4, (n - 1) / (n + 1), 400)
            worst = np.asarray(scheduling.two_stage_equal_jobs(n, lam)[0])
            two_stage[row] = 1 + np.interp(robustness[row], worst[::-1], lam[::-1])
            share = np.linspace(0, 1 - 1e-9, 2000)
            ratio = np.asarray(scheduling.preferential_round_robin_robustness(n, share))
            preferential[row] = np.interp(
                robustness[row], ratio, np.asarray(scheduling.preferential_round_robin_consistency(n, share))
            )
        lams = np.array([0.02, 0.05, 0.1, 0.2, 0.3])
        worst = [float(scheduling.two_stage_worst_case(np.ones(2), float(lam)).robustness) for lam in lams]
        worst_two_jobs = float(np.abs(worst - np.asarray(scheduling.robustness_lower_bound(2, lams))).max())
        adversary = max(_beyond_adversary(n, lam) for n in num_jobs for lam in (0.02, 0.1, 0.3))
        tight = max(_tightness(n, lam) for n in num_jobs for lam in (0.2, 0.5, 0.8))
    return Schedules(num_jobs, robustness, bound, search, two_stage, preferential, worst_two_jobs, adversary, tight)


def _beyond_adversary(n: int, lam: float) -> float:
    equal, _ = scheduling.two_stage_equal_jobs(n, lam)
    return abs(float(scheduling.two_stage_worst_case(np.ones(n), lam).robustness) - float(equal))


def _tightness(n: int, lam: float) -> float:
    equal, order = np.ones(n), np.arange(1.0, n + 1)
    long = np.append(n / (1 - lam) - (n - 1), np.ones(n - 1))
    ratios = [
        float(scheduling.preferential_round_robin_cost(x, order, lam) / scheduling.optimal_cost(x))
        for x in (equal, long)
    ]
    forms = (
        scheduling.preferential_round_robin_consistency(n, lam),
        scheduling.preferential_round_robin_robustness(n, lam),
    )
    return max(abs(ratio - float(form)) for ratio, form in zip(ratios, forms, strict=True))
