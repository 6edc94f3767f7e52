"""Optimal Robustness-Consistency Trade-offs for Learning-Augmented Online Algorithms (Wei, Zhang, NeurIPS 2020).

Frontiers of ski rental and scheduling with predictions, exactly and with certificates; what predictions gain and cost
as their errors grow; rent-or-buy, scheduling and caching on recorded demand.
"""

import os
import pathlib

import jax

from verax._errors import check
from verax._numpy_random import numpy_generator
from verax.papers._run import Steps, make_report
from verax.report import Report

from .claims import make_claims
from .config import Config as Config
from .demand import cache_misses, demand_series, ink_series, rentals
from .errors import rental_errors, schedule_errors
from .figures import make_figures
from .frontiers import deterministic_frontiers, schedules, ski_rental_frontiers
from .requests import image_requests, language_requests
from .results import Results
from .tables import make_tables

_TITLE = "Optimal Robustness-Consistency Trade-offs for Learning-Augmented Online Algorithms"


_CITATION = "A. Wei, F. Zhang, NeurIPS 2020"


_LAMS = (0.25, 0.5, 0.75, 1.0)


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
        deterministic = deterministic_frontiers(config.prices)
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
            config.prices,
            frontiers,
            deterministic,
            orders,
            rental,
            noisy_jobs,
            jobs,
            seasons,
            misses,
            combined,
            config.real,
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
