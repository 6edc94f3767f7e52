"""Robustness against consistency: the claims, and the criteria that decide them, fixed before any run."""

import jax
import numpy as np

from verax.online import ski_rental
from verax.papers._criteria import below
from verax.papers._estimate import over_seeds
from verax.report import Claim, Criterion

from .frontiers import Deterministic
from .results import Results

EXACT = Criterion("at most 1e-6", lambda m, _: m <= 1e-6)
PROVED = Criterion("between 0 and 1e-9", lambda m, _: -1e-12 <= m <= 1e-9)
BELOW = Criterion("below 0 at every price and robustness", lambda m, _: m < 0)
ATTAINED = Criterion("at most 1e-4", lambda m, _: abs(m) <= 1e-4)
OPEN = Criterion("above 0.01: the gap stays open", lambda m, _: m > 0.01)
CAPPED = Criterion("at most rounding, 1e-5", lambda m, _: m <= 1e-5)
GAINS = below(0.0)
GAINS_STAND_IN = below(0.0, when_met="analogue only")
ADVANTAGE = Criterion("above 0", lambda m, _: m > 0)
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
            "Randomized ski rental: closed form, vertices, linear programme and policy give one optimal trade-off",
            "largest difference in consistency",
            "abstract",
            np.abs(ways).max(),
            theorem,
            EXACT,
        ),
        _claim(
            "Randomized ski rental: certificates in rational arithmetic prove that no policy is more consistent",
            "attained less certified consistency",
            "abstract",
            (f.policy - f.certified).max(),
            theorem,
            PROVED,
        ),
        _claim(
            "Deterministic ski rental: enumerated policies have robustness 1 + (b - 1)/k, consistency 1 + (k - 1)/b",
            "largest difference from the closed form",
            "abstract",
            max(
                float(np.abs(np.stack([d.robustness, d.consistency]) - d.closed_form).max())
                for d in results.deterministic
            ),
            theorem,
            EXACT,
        ),
        _claim(
            "Deterministic ski rental: randomization is strictly more consistent at equal robustness",
            "least advantage in consistency, over robustness from 2 on",
            "not the paper's",
            min(_advantage(d) for d in results.deterministic),
            theorem,
            ADVANTAGE,
        ),
        _claim(
            "Randomized ski rental: at a finite price the optimal trade-off lies below the limit formula",
            "largest difference in consistency",
            "not the paper's",
            (f.closed_form - f.limit).max(),
            theorem,
            BELOW,
        ),
        _claim(
            "Scheduling two jobs: the exact worst case of the two-stage schedule equals the lower bound",
            "largest difference in robustness",
            "abstract",
            s.worst_two_jobs,
            theorem,
            EXACT,
        ),
        _claim(
            "Two-stage schedule, equal predictions: no adversary is worse than ending all waiting jobs at once",
            "largest difference in robustness",
            "not the paper's",
            s.adversary,
            theorem,
            EXACT,
        ),
        _claim(
            "Scheduling two to four jobs: the best schedule found meets the lower bound",
            "largest distance in consistency",
            "abstract",
            np.abs(gap[few]).max() if few else None,
            theorem,
            ATTAINED,
        ),
        _claim(
            "Scheduling five or more jobs: a gap remains between the best schedule found and the lower bound",
            "largest distance in consistency",
            "not the paper's",
            gap[many].max() if many else None,
            theorem,
            OPEN,
        ),
        _claim(
            "Preferential round robin: instances attain the closed forms of its consistency and robustness",
            "largest difference in ratio",
            "not the paper's",
            s.tight,
            theorem,
            EXACT,
        ),
        _claim(
            "Ski rental: at every size of prediction error, no cost ratio exceeds the exact robustness",
            "worst ratio less robustness",
            "abstract",
            (results.rental.worst.max((1, 2)) - results.rental.caps).max(),
            "synthetic",
            CAPPED,
            seeds=mean.shape[-1],
        ),
        _over(
            "Ski rental: with exact predictions, the trusting policy costs less than the robust one",
            "difference of mean cost ratios",
            "abstract",
            trust,
            "synthetic",
            GAINS_STAND_IN,
        ),
        *(
            _over(
                f"Scheduling {name} by imperfect predictions: preferential beats plain round robin",
                "difference of mean cost ratios",
                "not the paper's",
                ratios[2] - ratios[0],
                here,
                GAINS if real else GAINS_STAND_IN,
            )
            for name, ratios in jobs.items()
        ),
        _over(
            "Rent or buy: a predictor trained through the exact cost beats the best policy without predictions",
            "difference of cost ratios over series",
            "not the paper's",
            learned,
            here,
            GAINS if real else GAINS_STAND_IN,
        ),
        _claim(
            "Caching: the combined policy misses at most twice as often as the better of its two parts",
            "largest ratio of misses, those of the cache's size taken off",
            "not the paper's",
            results.combined,
            here,
            TWICE,
        ),
    ]


def _advantage(found: Deterministic) -> float:
    """Least consistency of a deterministic policy less that of the randomized optimum, at days with a choice."""
    inner = slice(1, found.price)  # on the first day nothing is random
    with jax.enable_x64(True):
        best = np.asarray(ski_rental.consistency_lower_bound(found.robustness[inner], found.price))
    return float((found.consistency[inner] - best).min())


def _claim(
    statement: str,
    quantity: str,
    source: str,
    measured: float | None,
    evidence: str,
    criterion: Criterion,
    *,
    seeds: int = 0,
) -> Claim:
    verdict = "" if measured is not None else "not tested at this scale"
    value = None if measured is None else float(measured)
    return Claim(statement, source, None, value, None, seeds, evidence, criterion, verdict, quantity)


def _over(statement: str, quantity: str, source: str, values: np.ndarray, evidence: str, criterion: Criterion) -> Claim:
    """A mean over seeds, blocks or series; with a single one there is no standard error, and no verdict."""
    estimate = over_seeds(values)
    if estimate.standard_error is None:
        return Claim(statement, source, None, None, None, 0, evidence, criterion, "not tested at this scale", quantity)
    return Claim(statement, source, None, *estimate, evidence, criterion, quantity=quantity)
