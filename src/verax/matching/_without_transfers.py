"""Markets without transfers: deferred acceptance, and instability."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Int
from scipy import optimize, sparse

from verax._errors import check_option, fail, is_traced
from verax._types import AnyArray

from ._market import Instability, Market, check_market, check_match, matched_utility
from ._status import Status


def deferred_acceptance(market: Market, *, proposing: str = "customers") -> Int[AnyArray, "*b n"]:
    r"""Gale and Shapley's stable match, the best one for every agent of the proposing side.

    Agents of one side propose down their lists; those of the other hold the best proposal so far. A partner of
    negative utility is never accepted.

    Parameters
    ----------
    market
        Utilities ``[*b, n, m]``. Of equal ones the partner of lower index is preferred.
    proposing
        ``"customers"`` or ``"providers"``.

    Returns
    -------
    Array
        Provider of each customer ``[*b, n]``, -1 = unmatched; everywhere where a utility is NaN.

    Raises
    ------
    ValueError
        As :func:`stable_outcome`, and on another word for the side.

    Notes
    -----
    All free agents propose at once; at most n m rounds of O(n m), usually few. Traceable. Minus infinity forbids a
    pair.

    References
    ----------
    D. Gale and L. S. Shapley, "College admissions and the stability of marriage", American Mathematical Monthly 69
    (1962), 9-15.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, deferred_acceptance
    >>> customer = np.array([[2.0, 1.0], [2.0, 1.0]], np.float32)
    >>> provider = np.array([[1.0, 1.0], [2.0, 2.0]], np.float32)
    >>> deferred_acceptance(Market(customer, provider)).tolist()
    [1, 0]
    """
    check_option("proposing", proposing, ("customers", "providers"))
    customer, provider = check_market(market)
    n, m = customer.shape[-2:]
    if n == 0 or m == 0:
        return jnp.full((*customer.shape[:-2], n), -1, jnp.int32)
    sound = ~(jnp.isnan(customer) | jnp.isnan(provider)).any((-1, -2), keepdims=True)
    acceptable = (customer >= 0) & (provider >= 0) & sound
    if proposing == "customers":
        held = _propose(customer, provider, acceptable)
    else:
        turned = (jnp.swapaxes(x, -1, -2) for x in (provider, customer, acceptable))
        held = jnp.swapaxes(_propose(*turned), -1, -2)
    return jnp.where(held.any(-1), held.argmax(-1), -1).astype(jnp.int32)


def _propose(proposer: jax.Array, receiver: jax.Array, acceptable: jax.Array) -> jax.Array:
    """Matrix of the pairs that are matched; the axis -2 proposes."""
    n, m = proposer.shape[-2:]
    row, col = jnp.arange(n)[:, None], jnp.arange(m)

    def proposals(open_: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = jnp.where(open_, proposer, -jnp.inf).argmax(-1, keepdims=True)
        offer = open_ & (col == first)
        best = jnp.where(offer, receiver, -jnp.inf).argmax(-2, keepdims=True)
        return offer, offer & (row == best)

    def reject(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        open_, _ = state
        offer, held = proposals(open_)
        return open_ & ~(offer & ~held), (offer & ~held).any()

    open_, _ = lax.while_loop(lambda s: s[1], reject, (acceptable, acceptable.any() | True))
    return proposals(open_)[1]


def ntu_subset_instability(market: Market, match: Int[AnyArray, "*b n"]) -> Instability:
    r"""Least total subsidy that makes a match stable where agents cannot pay one another.

    .. math:: \min_{s \ge 0} \sum_a s_a \quad\text{subject to}\quad u_a(\mu(a)) + s_a \ge 0, \quad
        s_i \ge u_i(j) - u_i(\mu(i)) \;\text{or}\; s_j \ge u_j(i) - u_j(\mu(j))

    for every pair: with its subsidy, one of the two would not leave.

    Parameters
    ----------
    market
        Utilities ``[*b, n, m]``, finite, concrete.
    match
        Provider of each customer, -1 = unmatched.

    Returns
    -------
    Instability
        ``value`` is 0 exactly if the match is stable; ``coalition`` marks the agents that would leave, alone or in a
        pair. NaN, with ``Status.NON_FINITE``, where utilities are not finite.

    Raises
    ------
    ValueError
        As :func:`subset_instability`; under ``jit``, since it is solved on the host.

    Notes
    -----
    Exact. Each agent's subsidy is 0 or one of its at most m + 1 (n + 1) thresholds, so that the disjunctions make a
    weighted closure problem, whose linear relaxation has an integral solution: a linear programme of at most 2 n m
    variables.

    References
    ----------
    As :func:`stable_outcome`. The definition without transfers and the reduction are stated here as this library
    derives them.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.matching import Market, ntu_subset_instability
    >>> customer = np.array([[2.0, 1.0], [2.0, 1.0]], np.float32)
    >>> provider = np.array([[1.0, 1.0], [2.0, 2.0]], np.float32)
    >>> unstable = ntu_subset_instability(Market(customer, provider), np.array([0, 1]))
    >>> float(unstable.value), unstable.coalition.tolist()
    (1.0, [False, True, True, False])
    """
    customer, provider = check_market(market)
    for name, x in (("market.customer_utility", customer), ("market.provider_utility", provider), ("match", match)):
        if is_traced(x):
            fail(name, "a traced array", "a concrete one: it is solved on the host")
    *batch, n, m = customer.shape
    at = check_match("match", match, customer)
    got = [np.asarray(x, np.float64) for x in matched_utility(customer, provider, at)]
    sides = [np.asarray(x, np.float64) for x in (customer, provider)]
    subsidy = np.zeros((*batch, n + m))
    coalition = np.zeros((*batch, n + m), bool)
    status = np.zeros(tuple(batch), np.int32)
    for k in np.ndindex(*batch):
        if np.isfinite(sides[0][k]).all() and np.isfinite(sides[1][k]).all():
            subsidy[k], coalition[k] = _subsidise(*(side[k] for side in sides), *(one[k] for one in got))
        else:
            subsidy[k], status[k] = np.nan, Status.NON_FINITE
    value = jnp.asarray(subsidy.sum(-1), customer.dtype)
    return Instability(value, jnp.asarray(subsidy, customer.dtype), jnp.asarray(coalition), jnp.asarray(status))


def _subsidise(
    customer: np.ndarray, provider: np.ndarray, got_customer: np.ndarray, got_provider: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n, m = customer.shape
    base = np.maximum(-np.concatenate([got_customer, got_provider]), 0)
    gain = [customer - got_customer[:, None], provider - got_provider]
    rows, columns = np.nonzero((gain[0] > base[:n, None]) & (gain[1] > base[n:]))
    coalition = base > 0
    coalition[rows], coalition[n + columns] = True, True
    if not len(rows):
        return base, coalition
    # One variable for each agent and threshold: whether the subsidy reaches it. Reaching one costs the step from the
    # one below, and means reaching that.
    agents = np.concatenate([rows, n + columns])
    needs = np.concatenate([gain[0][rows, columns], gain[1][rows, columns]])
    keys, variable = np.unique(np.stack([agents, needs]), axis=1, return_inverse=True)
    variable = variable.ravel()
    owner, threshold = keys[0].astype(int), keys[1]
    first = np.append(True, owner[1:] != owner[:-1])
    step = threshold - np.where(first, base[owner], np.append(0, threshold[:-1]))
    size, pairs = len(owner), len(rows)
    (later,) = np.nonzero(~first)
    chain = sparse.csr_array(
        (
            np.tile([1.0, -1.0], len(later)),
            (np.repeat(np.arange(len(later)), 2), np.stack([later, later - 1], 1).ravel()),
        ),
        shape=(len(later), size),
    )
    either = sparse.csr_array((-np.ones(2 * pairs), (np.tile(np.arange(pairs), 2), variable)), shape=(pairs, size))
    solution = optimize.linprog(
        step,
        A_ub=sparse.vstack([chain, either]),
        b_ub=np.concatenate([np.zeros(len(later)), -np.ones(pairs)]),
        bounds=(0, 1),
        method="highs-ds",  # a vertex, and vertices are integral
    )
    if solution.status != 0:
        raise RuntimeError(f"the subsidies were not found: {solution.message}")
    subsidy = base + np.bincount(owner, weights=step * solution.x.round(6), minlength=n + m)
    return subsidy, coalition
