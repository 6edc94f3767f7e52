"""o1 System Card: the claims, and the criteria that decide them, fixed before any run."""

import numpy as np

import verax.evals as ve
from verax.papers._estimate import over_seeds
from verax.papers._untested import not_testable
from verax.report import Claim, Criterion

from .published import FLAGGED
from .simulations import Coverage, Goodness

SAME = Criterion("the published percentage to its two decimals", lambda m, _: round(100 * m, 2) == 0.79)


COVERS = Criterion("at least 94 % in every setting, less two standard errors", lambda m, se: m + 2 * (se or 0) >= 0.94)


FAILS = Criterion("at most 90 % in some setting", lambda m, _: m <= 0.90)


BELOW = Criterion("below the truth by two standard errors", lambda m, se: m + 2 * (se or 0) < 0)


ABOVE = Criterion("above the truth by two standard errors", lambda m, se: m - 2 * (se or 0) > 0)


MORE = Criterion("above 0 by two standard errors", lambda m, se: m - 2 * (se or 0) > 0)


RARELY = Criterion("at most 5 %", lambda m, se: m - 2 * (se or 0) <= 0.05)


OFTEN = Criterion("at least 20 %", lambda m, _: m >= 0.2)


DEPLOYED = Criterion("needs the deployed model's logs", lambda m, _: m > 0)


def make_claims(
    limits: Coverage, harm: Goodness, attempts: np.ndarray, found: np.ndarray, looked: np.ndarray
) -> list[Claim]:
    """Judge the estimators on simulated evaluations, and the published cells."""
    exact, wald = limits.share[:, 2], limits.share[:, 0]
    worst, least = exact[exact.mean(1).argmin()], wald[wald.mean(1).argmin()]
    low, high = (side[harm.samples.index(2)] - harm.truth for side in (harm.lower, harm.upper))
    flagged = float(np.asarray(ve.proportion(sum(FLAGGED.values()), 102_443).estimate))
    here = "not the card's"

    def simulated(statement: str, values: np.ndarray, criterion: Criterion) -> Claim:
        return Claim(statement, here, None, *over_seeds(values), "synthetic", criterion)

    return [
        Claim(
            "o1-preview's completions flagged as deceptive",
            "September card",
            0.0079,
            flagged,
            None,
            0,
            "real data",
            SAME,
        ),
        simulated("Exact limits of a rate near 0 or 1 hold: least coverage of four settings", worst, COVERS),
        simulated("The usual limits (Wald) do not: least coverage", least, FAILS),
        simulated("goodness@0.1 as usually computed (two samples per cell) is too low: bias", low, BELOW),
        simulated("Cross-fitted goodness@0.1 is too high: bias", high, ABOVE),
        simulated("Intervals of pass@1 over problems hold", attempts[0], COVERS),
        simulated("Intervals of pass@1 over attempts alone do not", attempts[1], FAILS),
        simulated("Pairing by prompt finds a difference of 4 points more often", found[0] - found[1], MORE),
        simulated("A confidence sequence looked at 480 times rarely misses", looked[1], RARELY),
        simulated("Wilson limits looked at as often miss", looked[0], OFTEN),
        not_testable("o1 refuses and complies as the card says", "card", DEPLOYED),
    ]
