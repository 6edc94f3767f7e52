"""Tables of several models as one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from verax._errors import check, fail

from ._table import Outcome, OutcomeTable

_AXES = {"attack_names": 1, "prompt_ids": 2}


def stack_models(tables: Sequence[OutcomeTable], *, common: bool = False) -> OutcomeTable:
    """Put models that answered the same prompts under the same attacks into one table.

    Parameters
    ----------
    tables
        Tables with names of prompts and attacks, in any order; the first decides the order, the clusters and the
        weights. Unequal numbers of samples are filled with NOT_RUN, which counts nowhere.
    common
        Whether to keep only the prompts and attacks that all tables have; ``provenance`` lists the others.

    Returns
    -------
    OutcomeTable
        Models one after another; names that occur twice get a number.

    Raises
    ------
    ValueError
        For prompts or attacks that only some of the tables have, which are listed, unless ``common``; for tables that
        have none in common.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, stack_models
    >>> first = OutcomeTable(np.array([0, 1]).reshape(1, 1, 2, 1), attack_names=["none"], prompt_ids=["a", "b"])
    >>> second = OutcomeTable(np.array([0, 1]).reshape(1, 1, 2, 1), attack_names=["none"], prompt_ids=["b", "a"])
    >>> stack_models([first, second]).labels[:, 0, :, 0].tolist()
    [[0, 1], [1, 0]]
    """
    sound = isinstance(tables, Sequence) and all(isinstance(table, OutcomeTable) for table in tables)
    check(sound, "tables", f"{type(tables).__name__}", "a list of outcome tables")
    check(len(tables) > 0, "tables", "none", "at least one")
    kept, dropped = {}, []
    for field in _AXES:
        kept[field], left_out = _shared(tables, field, common)
        dropped += left_out
    width = max(table.labels.shape[3] for table in tables)
    places = [[_places(table, field, kept[field]) for field in _AXES] for table in tables]
    labels = [_taken(table.labels, place, width, Outcome.NOT_RUN) for table, place in zip(tables, places, strict=True)]
    scores = None
    if all(table.scores is not None for table in tables):
        scores = [_taken(table.scores, place, width, 0.0) for table, place in zip(tables, places, strict=True)]
    first, (attacks, prompts) = tables[0], places[0]
    return OutcomeTable(
        np.concatenate(labels),
        scores=None if scores is None else np.concatenate(scores),
        cluster=None if first.cluster is None else np.asarray(first.cluster)[prompts],
        weight=None if first.weight is None else np.asarray(first.weight)[prompts],
        model_names=_numbered(tables),
        attack_names=kept["attack_names"],
        attack_family=None if first.attack_family is None else [first.attack_family[place] for place in attacks],
        prompt_ids=kept["prompt_ids"],
        provenance="; ".join([*(table.provenance or "?" for table in tables), *dropped]),
    )


def _shared(tables: Sequence[OutcomeTable], field: str, common: bool) -> tuple[list[str], list[str]]:
    """Names along an axis in the order of the first table, and sentences on those left out."""
    names = []
    for table in tables:
        own = getattr(table, field)
        if own is None:
            fail("tables", f"a table without {field}", "named prompts and attacks")
        names.append(own)
    everywhere = set(names[0]).intersection(*names)
    dropped = []
    for number, own in enumerate(names):
        only = [name for name in own if name not in everywhere]
        if only:
            more = f" and {len(only) - 5} more" if len(only) > 5 else ""
            dropped.append(f"left out: {field} {only[:5]}{more} of table {number}")
    got = "; ".join(text.replace("left out: ", "") + ", not in all" for text in dropped)
    check(common or not dropped, "tables", got, "the same prompts and attacks in each, or common=True")
    kept = [name for name in names[0] if name in everywhere]
    check(bool(kept), "tables", f"no {field} that all tables have", "models that were asked the same")
    return kept, dropped


def _places(table: OutcomeTable, field: str, kept: list[str]) -> np.ndarray:
    place = {name: number for number, name in enumerate(getattr(table, field))}
    return np.array([place[name] for name in kept])


def _taken(array: Any, places: Sequence[np.ndarray], width: int, filler: float) -> np.ndarray:
    chosen = np.asarray(array)[:, places[0]][:, :, places[1]]
    missing = width - chosen.shape[3]
    return np.pad(chosen, ((0, 0), (0, 0), (0, 0), (0, missing)), constant_values=filler)


def _numbered(tables: Sequence[OutcomeTable]) -> list[str]:
    names = [
        name
        for number, table in enumerate(tables)
        for name in (table.model_names or [f"model {number}"] * table.labels.shape[0])
    ]
    repeated = {name for name in names if names.count(name) > 1}
    return [f"{name} ({i})" if name in repeated else name for i, name in enumerate(names)]
