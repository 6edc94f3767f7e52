"""Matching markets: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_seeds
        Independent runs, each with its own market where markets are drawn.
    horizons
        For the hard markets.
    size, horizon
        Agents per side and rounds of the random markets, a new one for each run.
    rules
        Price rules of MatchUCB on the random markets, at confidence scale 1, a heuristic that explores less than the
        valid 2. "width_slack" solves a linear programme per round.
    scales
        Further confidence scales of MatchUCB at midpoint prices: 2 is valid, 8 the paper's.
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
    scales: tuple[float, ...] = ()
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
            scales=(2.0, 8.0),
            sizes=(4, 8, 16),
            populations=(12, 24, 48),
            dimensions=(2, 4, 8),
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the laptop's run with 64 seeds."""
        return dataclasses.replace(cls.laptop(), planned_seconds=4 * 3600.0, num_seeds=64)
