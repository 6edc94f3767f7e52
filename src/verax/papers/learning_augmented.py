"""Optimal Robustness-Consistency Trade-offs for Learning-Augmented Online Algorithms (Wei, Zhang, NeurIPS 2020).

Frontiers of ski rental and scheduling with predictions, exactly and with certificates; what predictions gain and cost
as their errors grow; rent-or-buy, scheduling and caching on recorded demand.
"""

import dataclasses
import os
import pathlib

import jax

from verax._errors import check, check_integer
from verax._numpy_random import numpy_generator
from verax.report import Report

from ._augmented_claims import Results, make_claims
from ._augmented_figures import make_figures, make_tables
from ._augmented_measure import (
    cache_misses,
    demand_series,
    image_requests,
    ink_series,
    language_requests,
    rental_errors,
    rentals,
    schedule_errors,
    schedules,
    ski_rental_frontiers,
)
from ._run import Steps, make_report

_TITLE = "Optimal Robustness-Consistency Trade-offs for Learning-Augmented Online Algorithms"
_CITATION = "A. Wei, F. Zhang, NeurIPS 2020"
_LAMS = (0.25, 0.5, 0.75, 1.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on.

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


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Measure frontiers, certificates, and what predictions gain and cost.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder with ``demand_series.npz``, ``alibaba_genai_requests.npz`` and ``azure_llm_trace.npz``; the environment
        variable ``VERAX_DATA`` where it is None. The demo needs none.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        If recorded data are asked for and there is no data folder.
    FileNotFoundError
        If one of its files is missing.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    folder = _folder(data) if config.real else None
    with Steps("Robustness and consistency", 7, show=progress) as steps:
        keys = jax.random.split(key, 3)
        rng = numpy_generator(keys[0])
        steps("frontiers of ski rental")
        frontiers = ski_rental_frontiers(config.prices)
        steps("frontiers of scheduling")
        orders = schedules(config.num_jobs, config.num_points)
        steps("errors of predictions")
        rental = rental_errors(_LAMS, config.num_seasons, config.num_seeds, keys[1])
        noisy_jobs = schedule_errors(config.num_batches, config.num_seeds, rng)
        steps("requests")
        jobs = {}
        if folder is not None:
            jobs = {"image requests": image_requests(folder, 10), "language requests": language_requests(folder, 10)}
        series = ink_series() if folder is None else demand_series(folder)
        steps("rent or buy")
        seasons = rentals(series, config.lam)
        steps("caching")
        misses, combined = cache_misses(series, keys[2])
        steps("tables and figures")
        results = Results(
            config.prices, frontiers, orders, rental, noisy_jobs, jobs, seasons, misses, combined, config.real
        )
        claims, tables, figures = make_claims(results), make_tables(results), make_figures(results)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _folder(data: str | pathlib.Path | None) -> pathlib.Path:
    given = data if data is not None else os.environ.get("VERAX_DATA")
    check(given is not None, "data", "None", "a folder with demand_series.npz, or the environment variable VERAX_DATA")
    folder = pathlib.Path(str(given))
    for name in ("demand_series.npz", "alibaba_genai_requests.npz", "azure_llm_trace.npz"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} does not exist; name the folder that holds it with --data")
    return folder
