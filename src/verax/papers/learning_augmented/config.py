"""Learning-augmented algorithms: the configuration of a run."""

import dataclasses

from verax._errors import check, check_integer


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes
    ----------
    planned_seconds
        The time that a run should take on two CPU cores.
    prices
        Of ski rental, for the frontiers.
    num_jobs
        Of schedules, for the frontiers.
    num_points
        Robustness values for each number of jobs.
    num_seasons, num_batches, num_seeds
        Of the synthetic experiments on errors.
    lam
        Trade-off of the learned predictors.
    real
        Whether recorded requests and demand series of the data folder are used; otherwise a stand-in.
    """

    planned_seconds: float
    prices: tuple[int, ...]
    num_jobs: tuple[int, ...]
    num_points: int
    num_seasons: int
    num_batches: int
    num_seeds: int
    lam: float = 0.5
    real: bool = False

    def __post_init__(self):
        check(bool(self.prices), "prices", "none", "at least one price")
        check(bool(self.num_jobs), "num_jobs", "none", "at least one number of jobs")
        for name in ("num_points", "num_seasons", "num_batches"):
            check_integer(name, getattr(self, name), minimum=1)
        check_integer("num_seeds", self.num_seeds, minimum=2)
        check(0.25 <= self.lam <= 1, "lam", self.lam, "a trade-off in [0.25, 1]")

    @classmethod
    def demo(cls) -> "Config":
        """Return small prices and a stand-in for demand."""
        return cls(
            planned_seconds=30.0,
            prices=(5, 10),
            num_jobs=(2, 3, 10),
            num_points=4,
            num_seasons=20_000,
            num_batches=200,
            num_seeds=8,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return larger prices, and recorded requests and demand from a data folder."""
        return cls(
            planned_seconds=300.0,
            prices=(5, 10, 20, 50, 100),
            num_jobs=(2, 3, 5, 10),
            num_points=12,
            num_seasons=200_000,
            num_batches=1000,
            num_seeds=16,
            real=True,
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the laptop's experiments with finer grids and more seeds: the paper itself has no experiments."""
        return dataclasses.replace(cls.laptop(), planned_seconds=1800.0, num_points=40, num_seeds=64)
