"""Matching markets: the claims, and the criteria that decide them, fixed before any run."""

import numpy as np

from verax.papers._criteria import above, below, within
from verax.papers._estimate import Estimate, jackknife, over_seeds
from verax.report import Claim, Criterion

from . import measure
from .config import Config

EXACT = Criterion("at most 1e-5", lambda m, _: m <= 1e-5)
ROOT = within(0.1, 0.5)
TWO_THIRDS = within(0.1, 2 / 3)
LINEAR = above(0.85)
GROWS = above(0.35)
FLAT = below(0.25)
APART = above(0.0)
POSITIVE = Criterion("at least 0.9", lambda m, _: m >= 0.9)
AT_MOST_CUBE = below(1.5)
SAME = within(0.1)
AT_MOST_ROOT = below(0.5)
AT_MOST_LINEAR = below(1.0)

_LATE = "exponent of regret in time over the last three quarters of the rounds"
_NOISE = "The interval over markets is wider than the criterion allows, or the exponent lies outside."


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
    profit = (friction.revenue.sum(1) > 0).astype(float)

    def claim(statement: str, quantity: str, source: str, estimate: Estimate | None, criterion: Criterion) -> Claim:
        verdict = "" if estimate is not None else "not tested at this scale"
        measured = (None, None, 0) if estimate is None else estimate
        return Claim(statement, source, None, *measured, "synthetic", criterion, verdict, quantity, reason=_NOISE)

    def mean_slope(x: tuple[int, ...], regret: np.ndarray) -> Estimate:
        return jackknife(lambda kept: float(measure.slope(x, regret[:, kept].mean(1))), seeds)

    def scaled(statement: str, quantity: str, name: str, criterion: Criterion) -> Claim:
        estimate = mean_slope(*scaling[name]) if name in scaling else None
        return claim(statement, quantity, "abstract", estimate, criterion)

    def late_of(statement: str, rule: str, criterion: Criterion) -> Claim:
        name = f"MatchUCB, {rule}"
        return claim(statement, _LATE, here, over_seeds(late[name]) if name in late else None, criterion)

    return [
        Claim(
            "One customer matched to the worse of two providers has instability 3 and welfare gap 2",
            "Figure 1",
            "instability 3, gap 2",
            max(abs(value - 3), abs(gap - 2)),
            None,
            0,
            "theorem",
            EXACT,
            quantity="larger of the two differences",
        ),
        claim(
            "The regret of MatchUCB grows as the square root of time, on markets made hard for each horizon",
            "exponent of regret in the horizon",
            "abstract",
            mean_slope(config.horizons, np.stack(hard["MatchUCB"])),
            ROOT,
        ),
        claim(
            "The regret of explore-then-commit grows as time to the power 2/3, on the same hard markets",
            "exponent of regret in the horizon",
            here,
            mean_slope(config.horizons, np.stack(hard["explore, then commit"])),
            TWO_THIRDS,
        ),
        claim(
            "Without transfers regret grows nearly linearly, while the welfare gap of the match vanishes",
            _LATE,
            "abstract",
            over_seeds(late["without transfers"]),
            LINEAR,
        ),
        claim(
            "Without transfers the late instability exceeds the late welfare gap",
            "mean instability less mean welfare gap over the last quarter of the rounds",
            "Section 3",
            over_seeds(apart),
            APART,
        ),
        late_of("Under prices best for customers the regret of MatchUCB keeps growing", "row_optimal", GROWS),
        late_of("Under prices best for providers the regret of MatchUCB keeps growing", "column_optimal", GROWS),
        late_of("Under midpoint prices the regret of MatchUCB flattens", "midpoint", FLAT),
        late_of(
            "Under prices with the most slack at uncertain utilities the regret of MatchUCB flattens",
            "width_slack",
            FLAT,
        ),
        claim(
            "With search frictions and a fee the platform ends with a profit",
            "share of runs",
            "abstract",
            over_seeds(profit),
            POSITIVE,
        ),
        scaled(
            "The regret of MatchUCB grows at most as the power 3/2 of the number of agents",
            "exponent of regret in the number of agents per side",
            "agents",
            AT_MOST_CUBE,
        ),
        scaled(
            "With types, and a fixed number of agents per round, regret does not depend on the population",
            "exponent of regret in the population",
            "population",
            SAME,
        ),
        scaled(
            "With types and all agents present, regret grows at most as the square root of the population",
            "exponent of regret in the population",
            "population, all present",
            AT_MOST_ROOT,
        ),
        scaled(
            "With linear utilities, regret grows at most in proportion to the dimension",
            "exponent of regret in the dimension",
            "dimension",
            AT_MOST_LINEAR,
        ),
    ]
