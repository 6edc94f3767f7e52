"""TCT (Yu, Wei, Karimireddy, Ma, Jordan, NeurIPS 2022): federated learning under label skew, convexified.

Federated averaging and its rivals against Train-Convexify-Train with both of its second stages, and the diagnosis
behind it: what fails, what the early layers have learned, what stage 1 adds to the random initialisation.
"""

import pathlib
from typing import Any

import jax
import numpy as np

from verax._errors import check
from verax.data import Dataset, load, load_cifar10
from verax.papers._cache import Cache
from verax.papers._run import Steps, make_report
from verax.report import Report

from .claims import make_claims
from .config import Config as Config
from .experiment import Plan, run_baseline, run_tct
from .figures import make_figures
from .layers import run_layers
from .problem import Problem, make_problem
from .results import Results
from .tables import make_tables

_TITLE = "TCT: Convexifying Federated Learning using Bootstrapped Neural Tangent Kernels"


_CITATION = "Y. Yu, A. Wei, S. P. Karimireddy, Y. Ma, M. I. Jordan, NeurIPS 2022 (vol. 35)"


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Measure the paper's claims on one data set, over rules of division and seeds.

    Every seed draws images, their division among clients, initial weights and heads. Learning rates are chosen on
    validation images with the first seed, by the mean accuracy of the last five rounds, each method from the same grid;
    TCT takes FedAvg's. Test images enter nothing but the accuracies reported.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()``, ``.full()``, ``.headline()`` or ``.cifar()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder of data sets; the environment variable ``VERAX_DATA`` where it is None. Digits need none.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        If there is no data folder, or the data set has too few images.
    FileNotFoundError
        If the data set is missing.

    Notes
    -----
    With ``config.cache`` every method's results on one setting and seed are kept under a hash of what they depend on.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    source = load_cifar10(data) if config.dataset == "cifar10" else load(config.dataset, data)
    plan = Plan(
        config.rounds1,
        config.rounds2,
        config.local_epochs,
        config.batch_size,
        config.local_steps,
        config.num_features,
        config.long_rounds,
    )
    cache = Cache(config.cache or None)
    cells: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
    tcts = ["tct", *(["tct, random"] if "initialisation" in config.ablations else [])]
    total = config.num_seeds * len(config.settings) * (len(config.methods) + len(tcts)) + 1
    with Steps("TCT", total, show=progress) as steps:
        rates: dict[tuple[str, str], float] = {}
        for seed in range(config.num_seeds):
            for setting in config.settings:
                seed_key = jax.random.fold_in(key, seed)
                problem = _problem(config, source, setting, seed_key)
                data_key = np.asarray(jax.random.key_data(seed_key))
                context = [setting, plan, data_key, *(getattr(config, name) for name in _DATA_FIELDS)]
                for method in config.methods:
                    steps(f"{method}, {setting}, seed {seed + 1}")

                    def curves(
                        rate: float,
                        method: str = method,
                        problem: Problem = problem,
                        seed_key: Any = seed_key,
                        context: list[Any] = context,
                    ) -> dict[str, np.ndarray]:
                        return cache.get(
                            "tct-baseline1",
                            [*context, method, rate],
                            lambda: run_baseline(problem, method, rate, plan, jax.random.fold_in(seed_key, 10)),
                        )

                    if seed == 0:
                        scores = {
                            rate: float(np.mean(curves(rate)["validation"][-5:])) for rate in config.learning_rates
                        }
                        rates[setting, method] = max(scores, key=lambda rate: scores[rate])
                    cells[setting, method, seed] = curves(rates[setting, method])
                rate = rates[setting, "fedavg"]
                for name in tcts:
                    steps(f"{name}, {setting}, seed {seed + 1}")
                    bootstrapped = name == "tct"
                    cells[setting, name, seed] = cache.get(
                        "tct-both1", [*context, rate, bootstrapped],
                        lambda problem=problem, rate=rate, seed_key=seed_key, bootstrapped=bootstrapped: run_tct(
                            problem, rate, plan, jax.random.fold_in(seed_key, 10), bootstrapped=bootstrapped
                        ),
                    )  # fmt: skip
                if "layers" in config.ablations and setting == config.settings[0]:
                    chosen = {method: rates[setting, method] for method in ("fedavg", "centralized")}
                    cells[setting, "layers", seed] = cache.get(
                        "tct-layers1", [*context, sorted(chosen.items())],
                        lambda problem=problem, chosen=chosen, seed_key=seed_key: run_layers(
                            problem, chosen, plan, jax.random.fold_in(seed_key, 11)
                        ),
                    )  # fmt: skip
        steps("tables and figures")
        results = Results(config, cells, rates)
        claims, tables, figures = make_claims(results), make_tables(results), make_figures(results)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


_DATA_FIELDS = (
    "dataset",
    "network",
    "num_clients",
    "examples_per_client",
    "num_validation",
    "num_test",
    "pool",
)
"""Fields on which the data and the network of a seed depend."""


def _problem(config: Config, source: Dataset, setting: str, key: jax.Array) -> Problem:
    return make_problem(
        source,
        config.network,
        setting,
        num_clients=config.num_clients,
        per_client=config.examples_per_client,
        num_validation=config.num_validation,
        num_test=config.num_test,
        pool=config.pool,
        key=key,
    )
