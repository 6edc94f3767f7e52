"""TCT (Yu, Wei, Karimireddy, Ma, Jordan, NeurIPS 2022): federated learning under label skew, convexified.

Federated averaging and its rivals against Train-Convexify-Train with both of its second stages, and the diagnosis
behind it: what fails, what the early layers have learned, what stage 1 adds to the random initialisation.
"""

import functools
import pathlib

import jax
import numpy as np

from verax._digest import digest
from verax._errors import check
from verax.data import Dataset, load, load_cifar10
from verax.papers._measurements import Measurements
from verax.papers._run import Steps, make_report
from verax.report import Report

from .claims import make_claims
from .config import Config as Config
from .experiment import run_baseline
from .figures import make_figures
from .layers import run_layers
from .problem import make_problem
from .results import Results
from .stage2 import Bootstrapped, bootstrap, run_second_stage, run_tct
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
    With ``config.cache`` the results of every method, setting and seed are kept as rows of a readable file.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    source = load_cifar10(data) if config.dataset == "cifar10" else load(config.dataset, data)
    kept = Measurements(config.cache or None)
    content = digest(source.x_train, source.y_train, source.x_test, source.y_test)
    cells: dict[tuple[str, str, int], dict[str, np.ndarray]] = {}
    rates: dict[tuple[str, str], float] = {}
    per_setting = len(config.methods) + 2 * len(_rounds_of_stage1(config))
    with Steps("TCT", config.num_seeds * len(config.settings) * per_setting + 1, show=progress) as steps:
        for seed in range(config.num_seeds):
            for setting in config.settings:
                experiment = _Experiment(config, source, content, setting, seed, jax.random.fold_in(key, seed), kept)
                for method in config.methods:
                    steps(f"{method}, {setting}, seed {seed + 1}")
                    if seed == 0:
                        scores = {
                            rate: float(np.mean(experiment.baseline(method, rate)["validation"][-5:]))
                            for rate in config.learning_rates
                        }
                        rates[setting, method] = max(scores, key=lambda rate: scores[rate])
                    cells[setting, method, seed] = experiment.baseline(method, rates[setting, method])
                for name, rounds1 in _rounds_of_stage1(config).items():
                    steps(f"{name}, {setting}, seed {seed + 1}")
                    cells[setting, name, seed] = experiment.tct(name, rates[setting, "fedavg"], rounds1)
                    steps(f"{name}, {setting}, seed {seed + 1}: stage 2 by local steps and rounds")
                    if name == "tct":
                        cells[setting, "stage 2", seed] = experiment.second_stage(rates[setting, "fedavg"], rounds1)
                if "layers" in config.ablations and setting == config.settings[0]:
                    chosen = {method: rates[setting, method] for method in ("fedavg", "centralized")}
                    cells[setting, "layers", seed] = experiment.layers(chosen)
        steps("tables and figures")
        results = Results(config, cells, rates)
        claims, tables, figures = make_claims(results), make_tables(results), make_figures(results)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _rounds_of_stage1(config: Config) -> dict[str, int]:
    """Rounds of stage 1 by the name of the variant."""
    return {"tct": config.rounds1} | ({"tct, random": 0} if "initialisation" in config.ablations else {})


class _Experiment:
    """One rule of division and one seed; every result is kept as a row of measurements."""

    def __init__(
        self, config: Config, source: Dataset, content: str, setting: str, seed: int, key: jax.Array, kept: Measurements
    ) -> None:
        self._training, self._stage2, self._table_steps = config.training, config.second_stage, config.table_steps
        self._key, self._kept = key, kept
        self._labels = {
            "data": config.dataset,
            "network": config.network,
            "pool": config.pool,
            "setting": setting,
            "seed": seed,
        }
        self._inputs = [content, config.division, setting, key]
        # Built when it is first needed: a run that resumes may need none.
        self._problem = functools.cache(lambda: make_problem(source, config.division, setting, key=key))
        self._bootstrapped = functools.lru_cache(maxsize=1)(self._bootstrap)

    def baseline(self, method: str, rate: float) -> dict[str, np.ndarray]:
        labels = {**self._labels, "measurement": "baseline", "method": method, "learning rate": rate}
        key = jax.random.fold_in(self._key, 10)
        return self._kept.get(
            labels,
            [*self._inputs, self._training],
            lambda: run_baseline(self._problem(), method, rate, self._training, key),
        )

    def tct(self, name: str, rate: float, rounds1: int) -> dict[str, np.ndarray]:
        labels = {**self._labels, "measurement": "tct", "method": name, "learning rate": rate}
        return self._kept.get(
            labels,
            [*self._inputs, self._training, self._stage2],
            lambda: run_tct(self._problem(), self._bootstrapped(rate, rounds1), self._stage2),
        )

    def second_stage(self, rate: float, rounds1: int) -> dict[str, np.ndarray]:
        labels = {**self._labels, "measurement": "second stage", "method": "tct", "learning rate": rate}
        return self._kept.get(
            labels,
            [*self._inputs, self._training, self._stage2, self._table_steps],
            lambda: run_second_stage(
                self._problem(), self._bootstrapped(rate, rounds1), self._stage2, self._table_steps
            ),
        )

    def layers(self, rates: dict[str, float]) -> dict[str, np.ndarray]:
        labels = {**self._labels, "measurement": "layers"}
        key = jax.random.fold_in(self._key, 11)
        return self._kept.get(
            labels,
            [*self._inputs, self._training, rates],
            lambda: run_layers(self._problem(), rates, self._training, key),
        )

    def _bootstrap(self, rate: float, rounds1: int) -> Bootstrapped:
        key = jax.random.fold_in(self._key, 10)
        return bootstrap(self._problem(), rate, self._training, self._stage2, key, rounds1=rounds1)
