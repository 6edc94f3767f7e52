"""o1 System Card (OpenAI 2024): its tables with limits, and what its kinds of numbers are worth.

Published cells that were read, with limits where the source says how many items they rest on, and how many it would
take to tell models apart where it does not; the estimators behind such cards on simulated evaluations; and deliberation
over a policy, in organisms that speak an invented language.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import jax
import numpy as np

import verax.evals as ve
from verax._errors import check, check_integer
from verax._numpy_random import numpy_generator
from verax.report import Claim, Criterion, Report, Table, style, subplots

from . import _deliberation_results as deliberation
from ._cache import Cache
from ._deliberation_measure import Deliberation, Size, by_length, study
from ._estimate import over_seeds
from ._o1_preparedness import FILE, preparedness
from ._o1_published import FLAGGED, PUBLISHED, Cell, read_cells
from ._o1_simulations import Coverage, Goodness, attempt_coverage, coverage, goodness, peeking, power
from ._run import Steps, make_report

_TITLE = "o1 System Card"
_CITATION = "OpenAI, 2024 (arXiv 2412.16720)"

SAME = Criterion("the published percentage to its two decimals", lambda m, _: round(100 * m, 2) == 0.79)
COVERS = Criterion("at least 94 % in every setting, less two standard errors", lambda m, se: m + 2 * (se or 0) >= 0.94)
FAILS = Criterion("at most 90 % in some setting", lambda m, _: m <= 0.90)
BELOW = Criterion("below the truth by two standard errors", lambda m, se: m + 2 * (se or 0) < 0)
ABOVE = Criterion("above the truth by two standard errors", lambda m, se: m - 2 * (se or 0) > 0)
MORE = Criterion("above 0 by two standard errors", lambda m, se: m - 2 * (se or 0) > 0)
RARELY = Criterion("at most 5 %", lambda m, se: m - 2 * (se or 0) <= 0.05)
OFTEN = Criterion("at least 20 %", lambda m, _: m >= 0.2)
DEPLOYED = Criterion("needs the deployed model's logs", lambda m, _: m > 0)


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run depends on.

    Attributes
    ----------
    planned_seconds
        On two CPU cores.
    num_repeats
        Simulated evaluations for each estimator.
    num_organisms
        Organisms that deliberate, at least 2; 0 tests nothing that needs them.
    lengths, num_capable
        Lengths of arguments at which chains are compared with none, and helpful-only organisms at each.
    num_symbols, length, num_dialects
        Of the organisms' language.
    width, batch_size, pretraining, distilling, reinforcing
        Of the organisms, and the batches of their stages.
    num_samples, num_prompts
        Chains sampled for the supervised stage, and requests of each kind in an evaluation.
    cache
        Folder for finished organisms, so that an interrupted run resumes; empty keeps nothing.
    """

    planned_seconds: float
    num_repeats: int
    num_organisms: int = 0
    lengths: tuple[int, ...] = ()
    num_capable: int = 3
    num_symbols: int = 12
    length: int = 4
    num_dialects: int = 1
    width: int = 48
    batch_size: int = 128
    pretraining: int = 1500
    distilling: int = 300
    reinforcing: int = 100
    num_samples: int = 4000
    num_prompts: int = 200
    cache: str = ""

    def __post_init__(self):
        check_integer("num_repeats", self.num_repeats, minimum=20)
        check_integer("num_organisms", self.num_organisms, minimum=0)
        check(self.num_organisms != 1, "num_organisms", 1, "0, or at least 2 for a standard error")
        check(len(self.lengths) != 1, "lengths", self.lengths, "none, or at least two to compare")

    @classmethod
    def demo(cls) -> "Config":
        """Return a first look."""
        return cls(planned_seconds=25.0, num_repeats=300)

    @classmethod
    def laptop(cls) -> "Config":
        """Return more repetitions, and five organisms that deliberate."""
        return cls(
            planned_seconds=3000.0, num_repeats=2000, num_organisms=5, lengths=(2, 4, 6),
            cache="build/cache/o1_system_card",
        )  # fmt: skip

    @classmethod
    def full(cls) -> "Config":
        """Return more repetitions, and twenty organisms of the whole language."""
        return dataclasses.replace(
            cls.laptop(), planned_seconds=10 * 3600.0, num_repeats=10_000, num_organisms=20, lengths=(2, 4, 6, 8),
            num_symbols=24, length=6, num_dialects=2, width=64, pretraining=3000,
        )  # fmt: skip


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
    card = preparedness(own / FILE) if own and (own / FILE).is_file() else {}
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
        thinking, lengths = _deliberation(config, key, steps)
        steps("tables and figures")
        claims = _claims(limits, harm, attempts, found, looked) + deliberation.make_claims(thinking, lengths)
        tables, figures = _tables(cells, limits, harm) | card, _figures(cells, harm)
        if thinking is not None:
            tables |= deliberation.make_tables(thinking, lengths, config.lengths)
            figures |= deliberation.make_figures(thinking)
    return make_report(_TITLE, _CITATION, config, steps.seconds, claims, tables, figures)


def _deliberation(
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


def _claims(
    limits: Coverage, harm: Goodness, attempts: np.ndarray, found: np.ndarray, looked: np.ndarray
) -> list[Claim]:
    exact, wald = limits.share[:, 2], limits.share[:, 0]
    worst, least = exact[exact.mean(1).argmin()], wald[wald.mean(1).argmin()]
    low, high = (side[harm.samples.index(2)] - harm.truth for side in (harm.lower, harm.upper))
    flagged = float(np.asarray(ve.proportion(sum(FLAGGED.values()), 102_443).estimate))
    here = "not the card's"

    def simulated(statement: str, values: np.ndarray, criterion: Criterion) -> Claim:
        return Claim(statement, here, None, *over_seeds(values), "synthetic", criterion)

    return [
        Claim("o1-preview's completions flagged as deceptive", "September card", 0.0079, flagged, None, 0, "real data",
              SAME),
        simulated("Exact limits of a rate near 0 or 1 hold: least coverage of four settings", worst, COVERS),
        simulated("The usual limits (Wald) do not: least coverage", least, FAILS),
        simulated("goodness@0.1 as usually computed (two samples a cell) is too low", low, BELOW),
        simulated("... and cross-fitted it is too high", high, ABOVE),
        simulated("Intervals of pass@1 over problems hold", attempts[0], COVERS),
        simulated("Intervals of pass@1 over attempts alone do not", attempts[1], FAILS),
        simulated("Pairing by prompt finds a difference of 4 points more often", found[0] - found[1], MORE),
        simulated("A confidence sequence looked at 480 times rarely misses", looked[1], RARELY),
        simulated("Wilson limits looked at as often miss", looked[0], OFTEN),
        Claim("o1 refuses and complies as the card says", "card", None, None, None, 0, "real data", DEPLOYED,
              "not testable here"),
    ]  # fmt: skip


def _tables(cells: tuple[Cell, ...], limits: Coverage, harm: Goodness) -> dict[str, tuple[Table, str]]:
    rows: list[tuple] = []
    for cell in cells:
        low = high = None
        if cell.items is not None:
            found = ve.proportion(round(cell.value * cell.items), cell.items)
            low, high = float(np.asarray(found.lower)), float(np.asarray(found.upper))
        what, where = (cell.evaluation, cell.metric, cell.model), (cell.source, cell.page, cell.date)
        rows.append((*what, cell.value, cell.items, low, high, *where))
    columns = ("evaluation", "metric", "model", "published", "items", "lower", "upper", "source", "place", "date")
    caption = "Cells that were read. 95 % Clopper-Pearson limits where the source says how many items a rate rests on."
    shares = [
        (num, p, *(float(value) for value in share.mean(1)))
        for (num, p), share in zip(limits.settings, limits.share, strict=True)
    ]
    sides = [
        (number, harm.truth, *(float(side[row].mean()) for side in (harm.lower, harm.estimate, harm.upper)))
        for row, number in enumerate(harm.samples)
    ]
    return {
        "published cells": (Table(columns, rows), caption),
        "differences": (
            Table(("evaluation", "metric", "model", "difference from GPT-4o", "items needed"), _needed(cells)),
            "Items each model must have answered for 95 % limits of the difference, not paired, to exclude 0, if the "
            "published rates were the true ones (for the conditional rate of BBQ: answers that are not unknown). "
            "Pairing by item usually needs fewer; the cards do not pair.",
        ),
        "coverage": (
            Table(("items", "rate", *limits.methods), shares),
            "Simulated: share of evaluations whose 95 % limits hold the true rate.",
        ),
        "goodness at 0.1": (
            Table(("samples a cell", "truth", "plug-in", "shrunk", "cross-fitted"), sides),
            "Simulated: 30 attacks, 60 prompts, means over evaluations. With one sample there is no upper side.",
        ),
    }


def _needed(cells: tuple[Cell, ...]) -> list[tuple]:
    """How many items would tell each model from GPT-4o."""
    baseline = {(c.evaluation, c.metric, c.source): c.value for c in cells if c.model == "GPT-4o"}
    rows = []
    for cell in cells:
        q = baseline.get((cell.evaluation, cell.metric, cell.source))
        if q is None or cell.model == "GPT-4o":
            continue
        gap = cell.value - q
        spread = cell.value * (1 - cell.value) + q * (1 - q)
        needed = None if abs(gap) < 1e-12 else int(np.ceil(1.959964**2 * spread / gap**2))
        rows.append((cell.evaluation, cell.metric, cell.model, round(gap, 4), needed))
    return rows


def _figures(cells: tuple[Cell, ...], harm: Goodness) -> dict[str, tuple]:
    with style():
        figure, axes = subplots(1, 2, width=9.3, height=4.2)
        rows = [row for row in _needed(cells) if row[4] is not None]
        labels = [f"{row[0]}, {row[1]}, {row[2]}" for row in rows]
        axes[0].barh(np.arange(len(rows)), [row[4] for row in rows], color="C0")
        axes[0].set_yticks(np.arange(len(rows)), labels, fontsize=5)
        axes[0].set(xscale="log", xlabel="items needed", title="To tell a model from GPT-4o")
        axes[0].invert_yaxis()
        for side, label, color in ((harm.lower, "plug-in", "C1"), (harm.estimate, "shrunk", "C0"),
                                   (harm.upper, "cross-fitted", "C2")):  # fmt: skip
            known = slice(1, None) if label == "cross-fitted" else slice(None)
            axes[1].plot(np.array(harm.samples)[known], side.mean(1)[known], "o-", color=color, label=label)
        axes[1].axhline(harm.truth, color="black", linewidth=0.8, label="truth")
        axes[1].set(xscale="log", xlabel="samples a cell", title="goodness@0.1, simulated")
        axes[1].legend()
    return {
        "what the numbers are worth": (figure, "Left: from published rates. Right: means over simulated evaluations.")
    }
