"""Markets from rank lists."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from verax._arrays import to_host
from verax._errors import check

from ._market import Market


def from_rankings(customer_rankings: Sequence[Any] | Any, provider_rankings: Sequence[Any] | Any) -> Market:
    r"""Utilities that order partners as rank lists do.

    .. math:: u_a(a') = 1 - \frac{\text{rank}_a(a')}{k}, \quad \text{rank} = 0, 1, \dots, \qquad
        u_a(a') = -1 \text{ if } a' \text{ is not on the list}

    with k the number of agents of the other side.

    Parameters
    ----------
    customer_rankings, provider_rankings
        For each agent the indices of acceptable partners, best first: lists of any lengths, or ``[n, k]`` integers in
        which -1 ends a list early.

    Returns
    -------
    Market
        ``[n, m]`` utilities in [-1, 1]; of unlisted partners -1, which :func:`deferred_acceptance` never matches.

    Raises
    ------
    ValueError
        On indices outside of the other side, or twice on a list.

    Notes
    -----
    Differences between ranks mean nothing to :func:`deferred_acceptance`, which looks at their order; to
    :func:`stable_outcome`, with transfers, they are utilities.

    Examples
    --------
    >>> from verax.matching import deferred_acceptance, from_rankings
    >>> market = from_rankings([[0, 1], [0]], [[1, 0], [0, 1]])
    >>> deferred_acceptance(market).tolist()
    [1, 0]
    """
    n, m = len(customer_rankings), len(provider_rankings)
    customer = _utilities("customer_rankings", customer_rankings, m)
    provider = _utilities("provider_rankings", provider_rankings, n)
    return Market(jnp.asarray(customer), jnp.asarray(provider.T))


def _utilities(argument: str, rankings: Any, num: int) -> np.ndarray:
    utility = np.full((len(rankings), num), -1.0, np.float32)
    for agent, ranking in enumerate(rankings):
        name = f"{argument}[{agent}]"
        listed = to_host(name, ranking, shape=("k",), dtype="integer", empty=True)
        ends = np.flatnonzero(listed == -1)
        listed = listed[: ends[0]] if len(ends) else listed
        inside = bool(((listed >= 0) & (listed < num)).all())
        check(inside, name, f"{listed.tolist()[:10]}", f"indices of the other side, 0 to {num - 1}")
        check(len(set(listed.tolist())) == len(listed), name, f"{listed.tolist()[:10]}", "each partner once")
        utility[agent, listed] = 1 - np.arange(len(listed)) / num
    return utility
