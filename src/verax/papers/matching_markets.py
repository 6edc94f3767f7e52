"""Learning Equilibria in Matching Markets from Bandit Feedback (Jagadeesan, Wei, Wang, Jordan, Steinhardt 2021).

A platform that learns utilities from noisy observations of its own matches: regret of MatchUCB and of policies without
optimism, transfers or knowledge, what price rules do, and what search frictions pay for.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np

from verax._errors import check, check_integer
from verax.report import Claim, Criterion, Report, Table, style, subplots

from . import _matching_measure as measure
from ._estimate import Estimate, jackknife, over_seeds
from ._run import Steps, make_report

_TITLE = "Learning Equilibria in Matching Markets from Bandit Feedback"
_CITATION = "M. Jagadeesan, A. Wei, Y. Wang, M. I. Jordan, J. Steinhardt, NeurIPS 2021"

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


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_seeds
        Independent runs, each with its own market where markets are drawn.
    horizons
        For the hard markets.
    size, horizon
        Agents a side and rounds of the fixed market.
    rules
        Price rules of MatchUCB on the fixed market. "width_slack" solves a linear programme a round.
    fee
        Of search frictions.
    sizes, populations, dimensions
        For scaling in agents, in the population of typed agents, and in the dimension; empty where not tested.
    """

    planned_seconds: float
    num_seeds: int
    horizons: tuple[int, ...]
    size: int
    horizon: int
    rules: tuple[str, ...] = ("midpoint", "row_optimal", "column_optimal")
    fee: float = 0.5
    sizes: tuple[int, ...] = ()
    populations: tuple[int, ...] = ()
    dimensions: tuple[int, ...] = ()

    def __post_init__(self):
        check_integer("num_seeds", self.num_seeds, minimum=4)
        check_integer("size", self.size, minimum=2)
        check_integer("horizon", self.horizon, minimum=100)
        needed = {"midpoint", "row_optimal", "column_optimal"}
        check(needed <= set(self.rules), "rules", self.rules, f"at least {', '.join(sorted(needed))}")
        check(len(self.horizons) >= 3, "horizons", self.horizons, "at least three")

    @classmethod
    def demo(cls) -> "Config":
        """Return a small market and short horizons."""
        return cls(planned_seconds=40.0, num_seeds=16, horizons=(128, 512, 2048), size=4, horizon=1500)

    @classmethod
    def laptop(cls) -> "Config":
        """Return longer horizons, and scaling in agents, populations and dimensions."""
        return cls(
            planned_seconds=1800.0,
            num_seeds=16,
            horizons=(256, 1024, 4096, 16384),
            size=5,
            horizon=20_000,
            rules=("midpoint", "width_slack", "row_optimal", "column_optimal"),
            sizes=(4, 8, 16),
            populations=(12, 24, 48),
            dimensions=(2, 4, 8),
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the laptop's run with 64 seeds."""
        return dataclasses.replace(cls.laptop(), planned_seconds=4 * 3600.0, num_seeds=64)


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Let policies learn markets, and judge their regret.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Not read: the paper has no data.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    del data
    keys = jax.random.split(key, config.num_seeds)
    fixed = {f"MatchUCB, {rule}": measure.ucb(rule) for rule in config.rules}
    fixed |= {"without transfers": measure.unpaid, "explore, then commit": measure.commit}
    fixed |= {"epsilon-greedy": measure.greedy, "Thompson": measure.thompson}
    with Steps("Matching markets", len(config.horizons) + len(fixed) + 3, show=progress) as steps:
        hard: dict[str, list[np.ndarray]] = {"MatchUCB": [], "explore, then commit": []}
        for horizon in config.horizons:
            steps(f"hard markets, {horizon:,} rounds")
            make = measure.minimax(config.size)
            for name, policy in (("MatchUCB", measure.ucb()), ("explore, then commit", measure.commit)):
                hard[name].append(measure.play(policy, make, horizon, keys).regret()[:, -1])
        curves = {}
        for name, policy in fixed.items():
            steps(f"one market, {name}")
            curves[name] = measure.play(policy, measure.uniform(config.size), config.horizon, keys, shared=True)
        steps("search frictions")
        friction = measure.play(
            measure.ucb(fee=config.fee), measure.uniform(config.size), config.horizon, keys, shared=True
        )
        steps("scaling")
        scaling = _scaling(config, keys)
        steps("tables and figures")
        claims = _claims(config, hard, curves, friction, scaling)
        tables, figures = _tables(config, hard, curves, scaling), _figures(config, hard, curves, friction, scaling)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _scaling(config: Config, keys: jax.Array) -> dict[str, tuple[tuple[int, ...], np.ndarray]]:
    """Regret at the end, ``[size, seed]``, in what grows."""
    horizon = config.horizons[-1]
    grown: dict[str, tuple[tuple[int, ...], Any]] = {
        "agents": (config.sizes, measure.minimax),
        "population": (config.populations, lambda size: measure.typed(size, 6)),
        "population, all present": (config.populations, lambda size: measure.typed(size, None)),
        "dimension": (config.dimensions, lambda dimension: measure.linear(5, dimension)),
    }
    return {
        name: (sizes, np.stack([measure.play(measure.ucb(), make(s), horizon, keys).regret()[:, -1] for s in sizes]))
        for name, (sizes, make) in grown.items()
        if sizes
    }


def _claims(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    friction: measure.Curves,
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> list[Claim]:
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


def _tables(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> dict[str, tuple[Table, str]]:
    quarter = -config.horizon // 4
    rows = []
    for name, curve in curves.items():
        late = over_seeds(measure.late_slope(curve.regret()))
        regret = over_seeds(curve.regret()[:, -1])
        rows.append(
            (name, regret.value, regret.standard_error, late.value, late.standard_error,
             float((curve.instability[:, quarter:] <= 1e-4).mean()), float(curve.instability[:, quarter:].mean()),
             float(curve.utility_gap[:, quarter:].mean()))
        )  # fmt: skip
    columns = ("policy", "regret", "± se", "late slope", "± se", "stable rounds", "late instability", "late gap")
    caption = (
        f"One market of {config.size} agents a side, {config.horizon:,} rounds, {config.num_seeds} runs, confidence "
        "scale 1. Stable rounds and late values are those of the last quarter."
    )
    by_horizon = [
        (name, horizon, over_seeds(regret).value, over_seeds(regret).standard_error)
        for name, values in hard.items()
        for horizon, regret in zip(config.horizons, values, strict=True)
    ]
    tables = {
        "policies on one market": (Table(columns, rows), caption),
        "hard markets": (
            Table(("policy", "rounds", "regret", "± se"), by_horizon),
            f"Markets of {config.size} agents a side, a new one for each run and made hard for its horizon.",
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
            "side in a round, or all of them. Dimension: five agents a side.",
        )
    return tables


def _figures(
    config: Config,
    hard: dict[str, list[np.ndarray]],
    curves: dict[str, measure.Curves],
    friction: measure.Curves,
    scaling: dict[str, tuple[tuple[int, ...], np.ndarray]],
) -> dict[str, tuple]:
    times = np.unique(np.geomspace(1, config.horizon, 200).astype(int))
    with style():
        regret, axes = subplots(1, 2, width=9.3, height=3.8)
        for color, (name, values) in enumerate(hard.items()):
            middle = [value.mean() for value in values]
            error = [2 * value.std(ddof=1) / len(value) ** 0.5 for value in values]
            axes[0].errorbar(config.horizons, middle, yerr=error, fmt="o-", color=f"C{color}", label=name)
        axes[0].set(xscale="log", yscale="log", xlabel="rounds", ylabel="regret", title="Hard markets")
        axes[0].legend()
        for color, (name, curve) in enumerate(curves.items()):
            axes[1].plot(times, curve.regret().mean(0)[times - 1], color=f"C{color}", label=name)
        axes[1].set(xscale="log", yscale="log", xlabel="round", ylabel="regret so far", title="One market")
        axes[1].legend()
        late, panels = subplots(1, 2, width=9.3, height=3.4)
        window = max(1, config.horizon // 50)
        for color, name in enumerate(("MatchUCB, midpoint", "without transfers")):
            for part, line in (("instability", "-"), ("utility_gap", ":")):
                values = getattr(curves[name], part).mean(0)
                smooth = np.convolve(values, np.ones(window) / window, "valid")
                panels[0].plot(smooth, line, color=f"C{color}", label=f"{name}: {part.replace('_', ' ')}")
        panels[0].set(xlabel="round", title="Instability and welfare gap")
        panels[0].legend()
        profit = friction.revenue.cumsum(1)
        panels[1].plot(profit.mean(0), color="C0")
        panels[1].fill_between(np.arange(config.horizon), profit.min(0), profit.max(0), color="C0", alpha=0.2)
        panels[1].axhline(0, color="black", linewidth=0.8)
        panels[1].set(xlabel="round", title=f"Profit so far, fee {config.fee}")
        figures = {
            "regret": (regret, "Means over runs, with two standard errors on the left."),
            "transfers and frictions": (late, "Moving means on the left; mean and range over runs on the right."),
        }
        if scaling:
            figures["scaling"] = (_scaling_figure(scaling), "Regret at the end: means over runs, two standard errors.")
    return figures


def _scaling_figure(scaling: dict[str, tuple[tuple[int, ...], np.ndarray]]) -> Any:
    figure, axis = subplots(1, 1, width=5.2, height=3.8)
    for color, (name, (sizes, regret)) in enumerate(scaling.items()):
        estimates = [over_seeds(values) for values in regret]
        middle = [estimate.value for estimate in estimates]
        error = [2 * (estimate.standard_error or 0) for estimate in estimates]
        axis.errorbar(sizes, middle, yerr=error, fmt="o-", color=f"C{color}", label=name)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set(yscale="log", xlabel="number", ylabel="regret")
    axis.legend()
    return figure
