"""o1 System Card (OpenAI 2024): its tables with limits, and what its kinds of numbers are worth.

Published cells that were read, with limits where the source says how many items they rest on, and how many it would
take to tell models apart where it does not; the estimators behind such cards on simulated evaluations; and deliberation
over a policy, in organisms that speak an invented language.
"""

import pathlib
from collections.abc import Callable

import jax
import numpy as np

from verax._errors import check
from verax._numpy_random import numpy_generator
from verax.papers._cache import Cache
from verax.papers._run import Steps, make_report
from verax.papers._untested import gather_untested
from verax.report import Report

from . import deliberation_results
from .claims import make_claims
from .config import Config as Config
from .deliberation import Deliberation, Size, by_length, study
from .figures import make_figures
from .preparedness import FILE, preparedness_tables
from .published import PUBLISHED, read_cells
from .simulations import attempt_coverage, coverage, goodness, peeking, power
from .tables import make_tables

_TITLE = "o1 System Card"


_CITATION = "OpenAI, 2024 (arXiv 2412.16720)"


def run(config: Config, *, key: jax.Array, data: str | pathlib.Path | None = None, progress: bool = True) -> Report:
    """Rebuild the card's tables with limits, and test its estimators where the truth is known.

    Parameters
    ----------
    config
        From ``Config.demo()``, ``.laptop()`` or ``.full()``, or with fields replaced.
    key
        A ``jax.random.key``.
    data
        Folder that may hold ``o1_cells.csv``: further cells, each with source, page and date; and
        ``o1_preparedness.csv``: counts of risk indicators before and after mitigations. Nothing else is read.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Report
        Claims, tables and figures.

    Raises
    ------
    ValueError
        For a cell without its citation, and for counts or thresholds that are none.
    """
    check(isinstance(config, Config), "config", type(config).__name__, "a Config of this module")
    own = None if data is None else pathlib.Path(data)
    cells = PUBLISHED + (read_cells(own / "o1_cells.csv") if own and (own / "o1_cells.csv").is_file() else ())
    card = preparedness_tables(own / FILE) if own and (own / FILE).is_file() else {}
    rng = numpy_generator(key)
    repeats = config.num_repeats
    with Steps(_TITLE, 6 + config.num_organisms + len(config.lengths) * config.num_capable, show=progress) as steps:
        steps("limits near 0 and 1")
        limits = coverage(repeats, rng)
        steps("goodness at 0.1")
        harm = goodness(max(20, repeats // 10), rng, key)
        steps("attempts and problems")
        attempts = attempt_coverage(repeats, rng)
        steps("pairing")
        found = power(repeats, rng)
        steps("looking more than once")
        looked = peeking(repeats, rng)
        thinking, lengths = _deliberate(config, key, steps)
        steps("tables and figures")
        own = deliberation_results.make_claims(thinking, lengths)
        claims = make_claims(limits, harm, attempts, found, looked)
        claims += gather_untested(own, "deliberation over a policy, in organisms")
        tables, figures = make_tables(cells, limits, harm) | card, make_figures(cells, harm)
        if thinking is not None:
            tables |= deliberation_results.make_tables(thinking, lengths, config.lengths)
            figures |= deliberation_results.make_figures(thinking)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _deliberate(
    config: Config, key: jax.Array, step: Callable[[str], None]
) -> tuple[Deliberation | None, np.ndarray | None]:
    """Train and ask the organisms; None for what the configuration does not test."""
    if not config.num_organisms:
        return None, None
    cache = Cache(config.cache or None)
    size = Size(*(getattr(config, name) for name in Size._fields))
    think, grow = jax.random.split(jax.random.fold_in(key, 1))
    found = study(size, config.num_organisms, cache, think, step)
    if not config.lengths:
        return found, None
    # Half of the steps, so that what a chain helps with is not yet learned without one.
    half = size._replace(pretraining=config.pretraining // 2)
    return found, by_length(half, config.lengths, config.num_capable, cache, grow, step)
