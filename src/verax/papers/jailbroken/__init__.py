"""Jailbroken: How Does LLM Safety Training Fail? (Wei, Haghtalab, Steinhardt 2023): measured, and caused on purpose.

The two failure modes, competing objectives and mismatched generalization, as experiments on organisms that speak an
invented language under an invented policy; and the paper's table, with limits, of verdicts that a user brings.
"""

import pathlib

import jax

from verax._errors import check
from verax.evals import from_frame
from verax.papers._cache import Cache
from verax.papers._run import Steps, make_report
from verax.papers._untested import gather_untested
from verax.report import Report

from . import measure
from .claims import make_claims
from .config import Config as Config
from .figures import make_figures
from .measure import Size
from .tables import LOGS, brought_tables, make_tables

_TITLE = "Jailbroken: How Does LLM Safety Training Fail?"


_CITATION = "A. Wei, N. Haghtalab, J. Steinhardt, NeurIPS 2023 (arXiv 2307.02483)"


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Train organisms whose safety fails in known ways, and tabulate verdicts that the user brings.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder that may hold ``jailbroken.csv``: verdicts by model, attack, prompt and sample. Nothing else is read.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        For a file of verdicts that is not in long form.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    logs = None if data is None else pathlib.Path(data) / LOGS
    brought = None if logs is None or not logs.is_file() else from_frame(logs)
    size = Size(
        config.num_symbols,
        config.length,
        config.num_dialects,
        config.width,
        config.batch_size,
        config.pretraining,
        config.safety,
        config.num_prompts,
    )
    cache = Cache(config.cache or None)
    scaled = tuple(name for name in ("standard", "safety as wide as capability") if name in config.recipes)
    total = config.num_seeds * (len(config.recipes) + len(config.widths) * len(scaled)) + 1
    with Steps("Jailbroken", total, show=progress) as steps:
        found = measure.study(size, config.recipes, config.num_seeds, cache, key, steps)
        by_width = {
            width: measure.study(size._replace(width=width), scaled, config.num_seeds, cache, key, steps)
            for width in config.widths
        }
        by_width[config.width] = {name: found[name] for name in scaled}
        steps("tables and figures")
        claims = gather_untested(
            make_claims(found, by_width), "longer training, scale, and recipes that this scale leaves out"
        )
        tables = make_tables(found, by_width) | ({} if brought is None else brought_tables(brought))
        figures = make_figures(found, by_width)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)
