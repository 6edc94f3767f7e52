"""Learning-augmented algorithms: the tables."""

from verax.report import Table

from .frontiers import GAMMAS
from .results import Results


def make_tables(results: Results) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
    rows = [
        (price, *(float(value) for value in row))
        for price, row in zip(results.prices, results.frontiers.closed_form, strict=True)
    ]
    seasons = [
        (name, *map(float, row)) for name, row in zip(results.seasons.names, results.seasons.ratios, strict=True)
    ]
    s = results.schedules
    gaps = [
        (
            n,
            float(s.robustness[i, j]),
            *(float(side[i, j] - 1) for side in (s.bound, s.search, s.two_stage, s.preferential)),
        )
        for i, n in enumerate(s.num_jobs)
        for j in range(s.robustness.shape[1])
    ]
    return {
        "frontier of ski rental": (
            Table(("price", *(f"robustness {gamma:g}" for gamma in GAMMAS)), rows),
            "Smallest consistency at each robustness.",
        ),
        "schedules": (
            Table(("jobs", "robustness", "lower bound", "best found", "two-stage", "preferential"), gaps),
            "Consistency less 1 of schedules for equal predictions.",
        ),
        "rent or buy": (
            Table(("series", "no prediction", "repeat the last", "learned"), seasons),
            "Cost over optimum on the second half of each series.",
        ),
    }
