"""Covert Malicious Finetuning (Halawi et al. 2024), the defending half: screening of jobs in a synthetic language.

Inspection of examples one by one does not see a job that teaches restricted behaviour behind an encoding; decoding
under hypotheses and filtering then does, within the hypotheses. What a job does to an organism, and what its behaviour
tells.
"""

import pathlib

import jax

from verax._errors import check
from verax.papers._cache import Cache
from verax.papers._run import Steps, make_report
from verax.papers._untested import gather_untested
from verax.report import Report

from . import screening
from .claims import make_claims
from .config import Config as Config
from .figures import make_figures
from .rates import OUTSIDE
from .tables import make_tables
from .tuned import Size, behaviour, screen_tuned
from .tuned_results import tuned_claims, tuned_tables

_TITLE = "Covert Malicious Finetuning, the defender's side"


_CITATION = "D. Halawi et al., 2024 (arXiv 2406.20053)"


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Screen benign, covert and overt jobs, and fine-tune organisms on them.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Not read: the language is made from the key.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    del data
    keys = jax.random.split(key, 5)
    size = Size(
        config.num_symbols,
        config.length,
        config.width,
        config.pretraining,
        config.safety,
        config.tuning,
        config.tuned_job_size,
    )
    cache = Cache(config.cache or None)
    with Steps(_TITLE, 7, show=progress) as steps:
        steps("language, filter and base model")
        inside = tuple(family for family in config.families if family != OUTSIDE)
        screen = screening.Screen(config.job_size, inside, 200, keys[0])
        steps("benign jobs")
        benign = screen(screening.benign_jobs(config.num_benign, config.families), keys[1])
        steps("covert and overt jobs")
        covert = screen(screening.covert_jobs(config.num_covert, 0.3, config.families), keys[2])
        overt = screen([("overt", "plain", 0.3)] * config.num_covert, keys[3])
        steps("contamination")
        sweep = {
            share: screen([("covert", "substitution", share)] * config.num_covert, jax.random.fold_in(keys[2], i + 1))
            for i, share in enumerate(config.contaminations)
        }
        steps("organisms")
        acts = behaviour(size, inside, config.num_organisms, cache, keys[4]) if config.num_organisms else {}
        steps("detectors that fine-tune")
        numbers = config.num_tuned_benign, config.num_tuned_covert
        tuned = screen_tuned(size, config.families, inside, *numbers, cache, keys[4]) if numbers[0] else None
        steps("tables and figures")
        claims = make_claims(benign, covert, overt, sweep, acts) + tuned_claims(tuned)
        claims = gather_untested(claims, "organisms that are fine-tuned on jobs, and detectors that fine-tune")
        tables, figures = make_tables(benign, covert, overt, sweep, acts), make_figures(benign, covert, sweep)
        if tuned is not None:
            tables |= tuned_tables(tuned)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)
