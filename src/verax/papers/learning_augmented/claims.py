"""Robustness against consistency: the claims, and the criteria that decide them, fixed before any run."""

import numpy as np

from verax.papers._estimate import over_seeds
from verax.report import Claim, Criterion

from .results import Results

EXACT = Criterion("largest difference at most 1e-6", lambda m, _: m <= 1e-6)


PROVED = Criterion("attained minus certified consistency between 0 and 1e-9", lambda m, _: -1e-12 <= m <= 1e-9)


BELOW = Criterion("the finite frontier below the limit everywhere: largest difference", lambda m, _: m < 0)


ATTAINED = Criterion("distance from the lower bound at most 1e-4", lambda m, _: abs(m) <= 1e-4)


OPEN = Criterion("a gap of more than 0.01 remains", lambda m, _: m > 0.01)


CAPPED = Criterion("worst ratio minus the exact robustness, at most rounding", lambda m, _: m <= 1e-5)


GAINS = Criterion("below 0 by two standard errors", lambda m, se: m + 2 * (se or 0.0) < 0)


GAINS_STAND_IN = Criterion("below 0 by two standard errors", GAINS.test, when_met="analogue only")


TWICE = Criterion("at most 2", lambda m, _: m <= 2)


def make_claims(results: Results) -> list[Claim]:
    """Judge every claim on the measurements."""
    f, s, real = results.frontiers, results.schedules, results.real
    theorem, here = "theorem", "real data" if real else "synthetic"
    ways = np.stack([f.programme, f.vertices, f.policy]) - f.closed_form
    few = [row for row, n in enumerate(s.num_jobs) if n <= 4]
    many = [row for row, n in enumerate(s.num_jobs) if n > 4]
    gap = s.search - s.bound
    mean = results.rental.mean
    trust = mean[0, 0] - mean[-1, 0]  # the most trusting against the most robust, with right predictions
    jobs = results.jobs or {"50 jobs of Pareto sizes": results.noisy_jobs.mean[:, 3]}
    learned = results.seasons.ratios[:, 2] - results.seasons.ratios[:, 0]
    return [
        _claim(
            "The optimal trade-off of randomized ski rental: closed form, vertices, linear programme and policy agree",
            "abstract",
            np.abs(ways).max(),
            theorem,
            EXACT,
        ),
        _claim(
            "No policy does better: certificates verified in rational arithmetic meet the attained consistency",
            "abstract",
            (f.policy - f.certified).max(),
            theorem,
            PROVED,
        ),
        _claim(
            "At a finite price the frontier lies below the limit formula (an observation of this library)",
            "not the paper's",
            (f.closed_form - f.limit).max(),
            theorem,
            BELOW,
        ),
        _claim(
            "Two jobs: the two-stage schedule's exact worst case is the lower bound",
            "abstract",
            s.worst_two_jobs,
            theorem,
            EXACT,
        ),
        _claim(
            "Two-stage, equal predictions: no adversary beats the one that ends all waiting jobs (enumerated)",
            "not the paper's",
            s.adversary,
            theorem,
            EXACT,
        ),
        _claim(
            "Up to four jobs a schedule meets the lower bound: distance of the best found",
            "abstract",
            np.abs(gap[few]).max() if few else None,
            theorem,
            ATTAINED,
        ),
        _claim(
            "From five jobs on a gap between the best schedule found and the bound remains (observed here)",
            "not the paper's",
            gap[many].max() if many else None,
            theorem,
            OPEN,
        ),
        _claim(
            "Preferential round robin: closed forms of consistency and robustness are attained",
            "not the paper's",
            s.tight,
            theorem,
            EXACT,
        ),
        _claim(
            "Ski rental: whatever the errors of the predictions, no ratio exceeds the exact robustness",
            "abstract",
            (results.rental.worst.max((1, 2)) - results.rental.caps).max(),
            "synthetic",
            CAPPED,
            seeds=mean.shape[-1],
        ),
        _over(
            "Ski rental: with right predictions trusting them is cheaper (mean ratio, trusting minus robust)",
            "abstract",
            trust,
            "synthetic",
            GAINS_STAND_IN,
        ),
        *(
            _over(
                f"Scheduling {name} by imperfect predictions: preferential less plain round robin (mean ratio)",
                "not the paper's",
                ratios[2] - ratios[0],
                here,
                GAINS if real else GAINS_STAND_IN,
            )
            for name, ratios in jobs.items()
        ),
        _over(
            "Rent or buy: a predictor trained through the exact cost beats the best policy without (over series)",
            "not the paper's",
            learned,
            here,
            GAINS if real else GAINS_STAND_IN,
        ),
        _claim(
            "Caching: the combined policy's misses beyond the cache size, over the better of the two",
            "not the paper's",
            results.combined,
            here,
            TWICE,
        ),
    ]


def _claim(
    statement: str, source: str, measured: float | None, evidence: str, criterion: Criterion, *, seeds: int = 0
) -> Claim:
    verdict = "" if measured is not None else "not tested at this scale"
    value = None if measured is None else float(measured)
    return Claim(statement, source, None, value, None, seeds, evidence, criterion, verdict)


def _over(statement: str, source: str, values: np.ndarray, evidence: str, criterion: Criterion) -> Claim:
    """A mean over seeds, blocks or series; with a single one there is no standard error, and no verdict."""
    estimate = over_seeds(values)
    if estimate.standard_error is None:
        return Claim(statement, source, None, None, None, 0, evidence, criterion, "not tested at this scale")
    return Claim(statement, source, None, *estimate, evidence, criterion)
