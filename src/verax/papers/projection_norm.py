"""Projection Norm (Yu, Yang, Wei, Ma, Steinhardt, ICML 2022): error under distribution shift, without labels.

A deployed classifier labels a shifted set; a network is retrained on these labels from its initialisation, and its
distance from one retrained in distribution predicts the error. By retraining and in closed form, beside the scores that
it competes with, on corrupted images, with the calibration from score to error frozen.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from verax._errors import check, check_integer, check_option
from verax.report import Report
from verax.shift import MonitorTable

from ._cache import Cache
from ._projection_norm_measure import Anchors, Extent, Measurement, make_anchors, measure, monitored, with_agreement
from ._projection_norm_results import make_claims, make_figures, make_tables, summarise
from ._projection_norm_setting import NETWORKS, Setting, load_setting
from ._projection_norm_text import TEXT_NETWORKS, measure_text, read_texts, text_claims, text_tables
from ._run import Steps, make_report

_TITLE = "Predicting Out-of-Distribution Error with the Projection Norm"
_CITATION = "Y. Yu, Z. Yang, A. Wei, Y. Ma, J. Steinhardt, ICML 2022 (PMLR 162)"


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on.

    Attributes
    ----------
    planned_seconds
        The time that a run should take: two CPU cores for ``demo`` and ``laptop``, one large GPU for ``full``.
    networks
        Deployed networks: "mlp" (trained on the spot, on digits), "small cnn" (trained on the spot, on Fashion-MNIST),
        "resnet20", "resnet32" (stored weights, CIFAR-10).
    size, small_size
        Examples in a target set, and in the small sets that show the failures.
    severities
        Of the corruptions.
    num_holdout
        Labelled in-distribution examples for thresholds, function norm and null draws.
    num_seeds
        Draws: for networks that are trained here, of weights, splits, images and corruptions; for those with stored
        weights, of disjoint sets of images and of corruptions, under one split into holdout and pool.
    budgets
        Of the closed form; the one used is chosen on the corruptions that are held out of all else.
    retrain_seeds, adversarial_seeds, tangent_seeds
        For each of the networks, for how many of the seeds Projection Norm is computed by retraining, adversarial sets
        are made, and the closed form is computed on sketched tangents of the deployed network. Networks that are
        retrained also have a closed form on features of the initialisation.
    retrain_steps, retrain_batch, retrain_learning_rate
        Of SGD with momentum 0.9.
    other_sizes
        Further sizes of target sets for the closed form: smaller ones are parts of the sets; larger ones, multiples of
        the size, are unions over seeds, once for each network whose weights are stored.
    num_tangent_features
        Of the sketched tangent kernel.
    text_seeds
        Draws of weights and sets for sentiment classifiers on text; 0 for none.
    num_references, num_nulls
        Draws of the reference and of the null.
    radii
        Of adversarial perturbations, as shares of full intensity.
    cache
        Folder for measurements, by a hash of their content, so that an interrupted run resumes; "" for none.
    stand_in
        Whether data and network are only an analogue of the paper's.
    """

    planned_seconds: float
    networks: tuple[str, ...]
    size: int
    small_size: int
    severities: tuple[int, ...]
    num_holdout: int
    num_seeds: int
    retrain_seeds: tuple[int, ...]
    adversarial_seeds: tuple[int, ...]
    tangent_seeds: tuple[int, ...]
    retrain_steps: int
    retrain_batch: int
    radii: tuple[float, ...]
    retrain_learning_rate: float = 0.05
    budgets: tuple[float, ...] = (0.0, 1.0, 10.0, 100.0, 1000.0)
    other_sizes: tuple[int, ...] = ()
    num_tangent_features: int = 1024
    text_seeds: int = 0
    num_references: int = 2
    num_nulls: int = 8
    cache: str = ""
    stand_in: bool = False

    def __post_init__(self):
        check(bool(self.networks), "networks", "none", "at least one")
        for name in self.networks:
            check_option("networks", name, NETWORKS)
        for name in ("retrain_seeds", "adversarial_seeds", "tangent_seeds"):
            numbers = getattr(self, name)
            check(len(numbers) == len(self.networks), name, numbers, f"one number for each of {self.networks}")
        for size in self.other_sizes:
            check_integer("other_sizes", size, minimum=10)
            most = self.num_seeds * self.size
            fits = size < self.size or (size % self.size == 0 and size <= most)
            check(fits, "other_sizes", size, f"less than the size, {self.size}, or a multiple up to {most}")
        check_integer("num_tangent_features", self.num_tangent_features, minimum=1)
        for name in ("size", "small_size", "num_holdout", "retrain_batch"):
            check_integer(name, getattr(self, name), minimum=10)
        check_integer("num_seeds", self.num_seeds, minimum=1)
        good = bool(self.severities) and set(self.severities) <= {1, 2, 3, 4, 5}
        check(good, "severities", self.severities, "some of 1 to 5")

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look at scikit-learn's digits."""
        return cls(
            planned_seconds=40.0,
            networks=("mlp",),
            size=200,
            small_size=50,
            severities=(1, 3, 5),
            num_holdout=500,
            num_seeds=3,
            retrain_seeds=(3,),
            adversarial_seeds=(3,),
            tangent_seeds=(0,),
            retrain_steps=60,
            retrain_batch=64,
            radii=tuple(round(0.03 * i, 3) for i in range(1, 9)),
            stand_in=True,
        )

    @classmethod
    def laptop(cls) -> "Config":
        """Return ResNets on CIFAR-10 with stored weights, a small network on Fashion-MNIST, and text."""
        return cls(
            planned_seconds=3600.0,
            networks=("resnet20", "resnet32", "small cnn"),
            size=1000,
            small_size=100,
            severities=(1, 2, 3, 4, 5),
            num_holdout=4000,
            num_seeds=5,
            retrain_seeds=(1, 0, 5),
            adversarial_seeds=(1, 0, 0),
            tangent_seeds=(1, 0, 0),
            other_sizes=(100, 5000),
            text_seeds=3,
            retrain_steps=40,
            retrain_batch=64,
            radii=tuple(i / 255 for i in range(1, 9)),
            num_nulls=4,
            cache="build/cache/projection_norm",
        )

    @classmethod
    def full(cls) -> "Config":
        """Return the laptop's networks with 500 steps of retraining and five seeds, for a GPU."""
        return dataclasses.replace(
            cls.laptop(), planned_seconds=6 * 3600.0, retrain_seeds=(5, 5, 5), adversarial_seeds=(5, 5, 5),
            tangent_seeds=(5, 5, 5), retrain_steps=500, retrain_batch=128, num_nulls=8,
        )  # fmt: skip


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Score corrupted, label-shifted and adversarial sets, and judge the predictions of their errors.

    Each seed splits unseen labelled images once: a holdout for thresholds, the function norm and null draws, and a pool
    that target sets are drawn from. Images that the network was trained on serve as the reference set only. Labels of
    the pool enter nothing but true errors: those of the calibration's families, never of the family that is predicted.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder of data sets and stored weights; the environment variable ``VERAX_DATA`` where it is None. Digits need
        none.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        If there is no data folder, or stored weights are missing.
    FileNotFoundError
        If a data set is missing.

    Notes
    -----
    With ``config.cache`` what was measured is kept, one file for each network, seed and kind of set, so that an
    interrupted run goes on where it was.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    total = len(config.networks) * config.num_seeds + len(TEXT_NETWORKS) * config.text_seeds + 1
    with Steps("Projection Norm", total, show=progress) as steps:
        measurements: dict[str, list[Measurement]] = {}
        watched: list[MonitorTable] = []  # the first network's first seed
        stored: list[str] = []
        for place, network in enumerate(config.networks):
            measurements[network] = []
            loaded: tuple[jax.Array, Setting, Anchors] | None = None
            for seed in range(config.num_seeds):
                steps(f"{network}, seed {seed + 1}")
                extent = Extent(
                    seed < config.retrain_seeds[place], seed < config.adversarial_seeds[place],
                    seed < config.tangent_seeds[place], initial=config.retrain_seeds[place] > 0,
                )  # fmt: skip
                if loaded is None or not loaded[1].stored:
                    own = jax.random.fold_in(key, seed)
                    setting = load_setting(network, data, config, own)
                    loaded = own, setting, make_anchors(setting, initial=extent.initial)
                own, setting, anchors = loaded
                number = seed if setting.stored else 0
                if setting.stored and network not in stored:
                    stored.append(network)
                measurements[network].append(measure(setting, anchors, config, own, number, extent))
                if not watched:
                    watched.append(monitored(setting, config, own))
        text = _text(config, data, key, steps)
        steps("tables and figures")
        summary = summarise(config, with_agreement(measurements, stored))
        tables, figures = make_tables(summary) | text_tables(text), make_figures(summary, watched[0])
        claims = make_claims(summary) + text_claims(text)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _text(
    config: Config, data: str | pathlib.Path | None, key: jax.Array, step: Callable[[str], None]
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Measure the sentiment classifiers, or nothing where the configuration has none."""
    if not config.text_seeds:
        return {}
    texts, cache = read_texts(data or os.environ.get("VERAX_DATA")), Cache(config.cache or None)
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for network in TEXT_NETWORKS:
        for seed in range(config.text_seeds):
            step(f"text, {network}, seed {seed + 1}")
            own = jax.random.fold_in(jax.random.fold_in(key, 1000), seed)
            options = [config.budgets, config.num_references, config.num_nulls, config.retrain_steps,
                       config.retrain_batch, config.retrain_learning_rate]  # fmt: skip
            identity = [network, np.asarray(jax.random.key_data(own)), *options]
            found.setdefault(network, []).append(
                cache.get("text1", identity, lambda n=network, k=own: measure_text(texts, n, config, k))
            )
    return found
