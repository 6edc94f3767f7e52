"""o1 System Card: the tables."""

import numpy as np

import verax.evals as ve
from verax.report import Table

from .published import Cell
from .simulations import Coverage, Goodness


def make_tables(cells: tuple[Cell, ...], limits: Coverage, harm: Goodness) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
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
            Table(("evaluation", "metric", "model", "difference from GPT-4o", "items needed"), items_needed(cells)),
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


def items_needed(cells: tuple[Cell, ...]) -> list[tuple]:
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
