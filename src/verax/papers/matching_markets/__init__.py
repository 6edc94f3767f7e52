"""Learning Equilibria in Matching Markets from Bandit Feedback (Jagadeesan, Wei, Wang, Jordan, Steinhardt 2021).

A platform that learns utilities from noisy observations of its own matches: regret of MatchUCB and of policies without
optimism, transfers or knowledge, what price rules do, and what search frictions pay for.
"""

import pathlib

import jax
import numpy as np

from verax._errors import check
from verax.papers._run import Steps, make_report
from verax.papers._untested import gather_untested
from verax.report import Report

from . import measure
from .claims import make_claims
from .config import Config as Config
from .figures import make_figures
from .scaling import scaled_regret
from .tables import make_tables

_TITLE = "Learning Equilibria in Matching Markets from Bandit Feedback"


_CITATION = "M. Jagadeesan, A. Wei, Y. Wang, M. I. Jordan, J. Steinhardt, NeurIPS 2021"


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
    fixed |= {f"MatchUCB, midpoint, scale {scale:g}": measure.ucb(scale=scale) for scale in config.scales}
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
            steps(f"random markets, {name}")
            curves[name] = measure.play(policy, measure.uniform(config.size), config.horizon, keys)
        steps("search frictions")
        friction = measure.play(measure.ucb(fee=config.fee), measure.uniform(config.size), config.horizon, keys)
        steps("scaling")
        scaling = scaled_regret(config, keys)
        steps("tables and figures")
        claims = gather_untested(
            make_claims(config, hard, curves, friction, scaling),
            "growth of regret in agents, population and dimension, and prices with the most slack",
        )
        tables, figures = (
            make_tables(config, hard, curves, scaling),
            make_figures(config, hard, curves, friction, scaling),
        )
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)
