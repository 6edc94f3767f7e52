"""Projection Norm (Yu, Yang, Wei, Ma, Steinhardt, ICML 2022): error under distribution shift, without labels.

A deployed classifier labels a shifted set; a network is retrained on these labels from its initialisation, and its
distance from one retrained in distribution predicts the error. By retraining and in closed form, beside the scores that
it competes with, on corrupted images, with the calibration from score to error frozen.
"""

import functools
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from verax._errors import check
from verax.papers._measurements import Measurements
from verax.papers._run import Steps, make_report
from verax.papers._untested import gather_untested
from verax.report import Report
from verax.shift import MonitorTable

from .claims import make_claims
from .config import Config as Config
from .figures import make_figures
from .measure import Extent, Measurement, measure_agreement, measure_draw, with_agreement
from .monitor import monitored
from .passes import Anchors, make_anchors
from .setting import Setting, load_setting
from .summary import summarise
from .tables import make_tables
from .text import TEXT_NETWORKS, make_experiment, retrain_texts, score_texts, with_retraining
from .text_claims import make_text_claims, make_text_tables
from .texts import read_texts

_TITLE = "Predicting Out-of-Distribution Error with the Projection Norm"


_CITATION = "Y. Yu, Z. Yang, A. Wei, Y. Ma, J. Steinhardt, ICML 2022 (PMLR 162)"


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
    With ``config.cache`` what was measured is kept as rows of a readable file, one for each network, seed and kind of
    set, so that an interrupted run goes on where it was.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    kept = Measurements(config.cache or None)
    total = len(config.networks) * config.num_seeds + len(TEXT_NETWORKS) * config.text_seeds + 1
    with Steps("Projection Norm", total, show=progress) as steps:
        measurements: dict[str, list[Measurement]] = {}
        watched: list[MonitorTable] = []  # the first network's first seed
        stored: dict[str, Setting] = {}
        for place, network in enumerate(config.networks):
            measurements[network] = []
            loaded: tuple[jax.Array, Setting, Anchors] | None = None
            for seed in range(config.num_seeds):
                steps(f"{network}, seed {seed + 1}")
                extent = Extent(
                    seed < config.retrain_seeds[place],
                    seed < config.adversarial_seeds[place],
                    seed < config.tangent_seeds[place],
                    initial=config.retrain_seeds[place] > 0,
                )
                if loaded is None or not loaded[1].stored:
                    own = jax.random.fold_in(key, seed)
                    setting = load_setting(network, data, config, own)
                    loaded = own, setting, make_anchors(setting, initial=extent.initial)
                own, setting, anchors = loaded
                number = seed if setting.stored else 0
                if setting.stored:
                    stored[network] = setting
                labels = {"network": network, "seed": seed}
                measurements[network].append(measure_draw(setting, anchors, config, own, number, extent, labels, kept))
                if not watched:
                    watched.append(monitored(setting, config, own))
        text = _text(config, data, key, steps, kept)
        steps("tables and figures")
        summary = summarise(config, _with_agreement(config, key, measurements, stored, kept))
        tables, figures = make_tables(summary) | make_text_tables(text), make_figures(summary, watched[0])
        claims = make_claims(summary) + gather_untested(make_text_claims(text), "classifiers of text")
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _with_agreement(
    config: Config,
    key: jax.Array,
    measurements: dict[str, list[Measurement]],
    stored: dict[str, Setting],
    kept: Measurements,
) -> dict[str, list[Measurement]]:
    """Add the agreement of each stored network with the next: all of them are given the same sets."""

    def agreement(first: str, second: str, number: int) -> dict[str, np.ndarray]:
        pair, own = (stored[first], stored[second]), jax.random.fold_in(key, 0)
        labels = {"network": f"{first}, {second}", "seed": number, "measurement": "agreement"}
        inputs = [*(setting.identity() for setting in pair), config.target_sets]
        return kept.get(labels, inputs, lambda: measure_agreement(*pair, config.target_sets, own, number))

    names = list(stored)
    partners = dict(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else {}
    return with_agreement(measurements, partners, agreement)


def _text(
    config: Config, data: str | pathlib.Path | None, key: jax.Array, step: Callable[[str], None], kept: Measurements
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Measure the sentiment classifiers, or nothing where the configuration has none."""
    if not config.text_seeds:
        return {}
    texts = read_texts(data or os.environ.get("VERAX_DATA"))
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for network in TEXT_NETWORKS:
        for seed in range(config.text_seeds):
            step(f"text, {network}, seed {seed + 1}")
            own = jax.random.fold_in(jax.random.fold_in(key, 1000), seed)
            labels = {"network": f"text, {network}", "seed": seed}
            make = functools.cache(lambda name=network, own=own: make_experiment(texts, name, own))
            scores = kept.get(
                {**labels, "measurement": "scores"},
                [texts, own, config.scoring],
                lambda make=make: score_texts(make(), config.scoring),
            )
            results = [
                kept.get(
                    {**labels, "measurement": "retraining", "recipe": str(retraining)},
                    [texts, own, retraining],
                    lambda make=make, retraining=retraining: retrain_texts(make(), retraining),
                )
                for retraining in config.retrainings
            ]
            found.setdefault(network, []).append(with_retraining(scores, results))
    return found
