"""Matching markets: the claims, and the criteria that decide them, fixed before any run."""

import numpy as np

from verax.papers._estimate import Estimate, jackknife, over_seeds
from verax.report import Claim, Criterion

from . import measure
from .config import Config

EXACT = Criterion("instability 3 and gap 2: the larger difference at most 1e-5", lambda m, _: m <= 1e-5)


ROOT = Criterion("slope within 0.1 of 1/2, or two standard errors", lambda m, se: abs(m - 0.5) <= 0.1 + 2 * (se or 0))


TWO_THIRDS = Criterion(
    "slope within 0.1 of 2/3, or two standard errors", lambda m, se: abs(m - 2 / 3) <= 0.1 + 2 * (se or 0)
)


LINEAR = Criterion("late slope of at least 0.85", lambda m, se: m + 2 * (se or 0) >= 0.85)


GROWS = Criterion("late slope of at least 0.35", lambda m, se: m + 2 * (se or 0) >= 0.35)


FLAT = Criterion("late slope of at most 0.25", lambda m, se: m - 2 * (se or 0) <= 0.25)


APART = Criterion("above 0 by two standard errors", lambda m, se: m - 2 * (se or 0) > 0)


POSITIVE = Criterion("profit by the end in at least 90 % of the runs", lambda m, _: m >= 0.9)


CUBE = Criterion("slope within 0.3 of 3/2", lambda m, se: abs(m - 1.5) <= 0.3 + 2 * (se or 0))


SAME = Criterion("slope in the population within 0.1 of 0", lambda m, se: abs(m) <= 0.1 + 2 * (se or 0))


ROOT_OF_ALL = Criterion("slope in the population within 0.3 of 1/2", lambda m, se: abs(m - 0.5) <= 0.3 + 2 * (se or 0))


DIMENSION = Criterion("slope in the dimension within 0.3 of 1", lambda m, se: abs(m - 1) <= 0.3 + 2 * (se or 0))


def make_claims(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    friction: measure.Curves,
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> list[Claim]:
    """Judge every claim on the regret of the runs."""
    here, seeds = "not the paper's", config.num_seeds
    value, gap = measure.golden()
    late = {name: measure.late_slope(curve.regret()) for name, curve in curves.items()}
    quarter = -config.horizon // 4
    free = curves["without transfers"]
    apart = free.instability[:, quarter:].mean(1) - free.utility_gap[:, quarter:].mean(1)

    def mean_slope(x: tuple[int, ...], regret: np.ndarray) -> Estimate:
        return jackknife(lambda kept: float(measure.slope(x, regret[:, kept].mean(1))), seeds)

    def scaled(statement: str, name: str, criterion: Criterion) -> Claim:
        if name not in scaling:
            return Claim(statement, "abstract", None, None, None, 0, "synthetic", criterion, "not tested at this scale")
        return Claim(statement, "abstract", None, *mean_slope(*scaling[name]), "synthetic", criterion)

    def late_of(statement: str, rule: str, criterion: Criterion) -> Claim:
        if (name := f"MatchUCB, {rule}") not in late:
            return Claim(statement, here, None, None, None, 0, "synthetic", criterion, "not tested at this scale")
        return Claim(statement, here, None, *over_seeds(late[name]), "synthetic", criterion)

    def over(statement: str, source: str, values: np.ndarray, criterion: Criterion) -> Claim:
        return Claim(statement, source, None, *over_seeds(values), "synthetic", criterion)

    return [
        Claim("The example of one customer and two providers", "Figure 1", "instability 3, gap 2",
              max(abs(value - 3), abs(gap - 2)), None, 0, "theorem", EXACT),
        Claim("MatchUCB's regret grows as the square root of time, on markets made hard for each horizon", "abstract",
              None, *mean_slope(config.horizons, np.stack(hard["MatchUCB"])), "synthetic", ROOT),
        Claim("Explore-then-commit's grows as time to the two thirds, on the same markets", here,
              None, *mean_slope(config.horizons, np.stack(hard["explore, then commit"])), "synthetic", TWO_THIRDS),
        over("Without transfers regret is near linear, though the match is learned", "abstract",
             late["without transfers"], LINEAR),
        over("There the welfare gap vanishes and the instability does not: late instability less gap", "Section 3",
             apart, APART),
        late_of("On one market, prices best for customers keep regret growing", "row_optimal", GROWS),
        late_of("... and prices best for providers too", "column_optimal", GROWS),
        late_of("... while at midpoint prices it flattens", "midpoint", FLAT),
        late_of("... and at prices with the most slack where utilities are uncertain", "width_slack", FLAT),
        over("With search frictions the platform ends with a profit: share of runs", "abstract",
             (friction.revenue.sum(1) > 0).astype(float), POSITIVE),
        scaled("Regret grows with the number of agents to the power 3/2", "agents", CUBE),
        scaled("With types, and as many agents a round, it does not depend on the population", "population", SAME),
        scaled("... and with everybody present it grows as the square root of the population",
               "population, all present", ROOT_OF_ALL),
        scaled("With linear utilities it grows in proportion to the dimension", "dimension", DIMENSION),
    ]  # fmt: skip
