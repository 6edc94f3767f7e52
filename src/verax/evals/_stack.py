"""Tables of several models as one."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from verax._errors import check, fail

from ._table import OutcomeTable


def stack_models(tables: Sequence[OutcomeTable]) -> OutcomeTable:
    """Put models that answered the same prompts under the same attacks into one table.

    Parameters
    ----------
    tables
        Tables with names of prompts and attacks, in any order; the first decides the order, the clusters and the
        weights.

    Returns
    -------
    OutcomeTable
        Models one after another; names that occur twice get a number.

    Raises
    ------
    ValueError
        For prompts or attacks that only some of the tables have, which are listed, or other numbers of samples.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, stack_models
    >>> first = OutcomeTable(np.array([0, 1]).reshape(1, 1, 2, 1), attack_names=["none"], prompt_ids=["a", "b"])
    >>> second = OutcomeTable(np.array([0, 1]).reshape(1, 1, 2, 1), attack_names=["none"], prompt_ids=["b", "a"])
    >>> stack_models([first, second]).labels[:, 0, :, 0].tolist()
    [[0, 1], [1, 0]]
    """
    check(len(tables) > 0, "tables", "none", "at least one")
    first = tables[0]
    parts, names = [], []
    for number, table in enumerate(tables):
        order = []
        for field in ("attack_names", "prompt_ids"):
            wanted, given = getattr(first, field), getattr(table, field)
            if wanted is None or given is None:
                fail("tables", f"a table without {field}", "named prompts and attacks")
            only = sorted(set(wanted) ^ set(given))
            more = f" and {len(only) - 5} more" if len(only) > 5 else ""
            got = f"{field} {only[:5]}{more} in only one of table 0 and table {number}"
            check(not only, "tables", got, "the same prompts and attacks in each")
            order.append(np.array([given.index(name) for name in wanted]))
        same = table.labels.shape[3] == first.labels.shape[3]
        samples = f"{table.labels.shape[3]} samples in table {number}"
        check(same, "tables", samples, f"{first.labels.shape[3]}, as in the first")
        parts.append(table.labels[:, order[0]][:, :, order[1]])
        names += list(table.model_names or [f"model {number}"] * table.labels.shape[0])
    repeated = {name for name in names if names.count(name) > 1}
    unique = [f"{name} ({i})" if name in repeated else name for i, name in enumerate(names)]
    return OutcomeTable(
        jnp.concatenate(parts),
        cluster=first.cluster,
        weight=first.weight,
        model_names=unique,
        attack_names=first.attack_names,
        attack_family=first.attack_family,
        prompt_ids=first.prompt_ids,
        provenance="; ".join(table.provenance or "?" for table in tables),
    )
