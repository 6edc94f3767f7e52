"""Matching markets: the tables."""

import numpy as np

from verax.papers._estimate import over_seeds
from verax.report import Table

from . import measure
from .config import Config


def make_tables(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
    quarter = -config.horizon // 4
    rows = []
    for name, curve in curves.items():
        late = over_seeds(measure.late_slope(curve.regret()))
        regret = over_seeds(curve.regret()[:, -1])
        rows.append(
            (
                name,
                regret.value,
                regret.standard_error,
                late.value,
                late.standard_error,
                float((curve.instability[:, quarter:] <= 1e-4).mean()),
                float(curve.instability[:, quarter:].mean()),
                float(curve.utility_gap[:, quarter:].mean()),
            )
        )
    columns = ("policy", "regret", "± se", "late slope", "± se", "stable rounds", "late instability", "late gap")
    caption = (
        f"Markets of {config.size} agents per side, a new one for each of {config.num_seeds} runs, {config.horizon:,} "
        "rounds; confidence scale 1 unless named. Stable rounds and late values are those of the last quarter; "
        "standard errors are over markets."
    )
    by_horizon = [
        (name, horizon, over_seeds(regret).value, over_seeds(regret).standard_error)
        for name, values in hard.items()
        for horizon, regret in zip(config.horizons, values, strict=True)
    ]
    tables = {
        "policies on random markets": (Table(columns, rows), caption),
        "hard markets": (
            Table(("policy", "rounds", "regret", "± se"), by_horizon),
            f"Markets of {config.size} agents per side, a new one for each run and made hard for its horizon.",
        ),
    }
    if scaling:
        grown = [
            (name, size, over_seeds(regret).value, over_seeds(regret).standard_error)
            for name, (sizes, regrets) in scaling.items()
            for size, regret in zip(sizes, regrets, strict=True)
        ]
        tables["scaling"] = (
            Table(("in", "number", "regret", "± se"), grown),
            f"MatchUCB, {config.horizons[-1]:,} rounds. Agents: hard markets. Population: three types, six of each "
            "side in a round, or all of them. Dimension: five agents per side.",
        )
    return tables
