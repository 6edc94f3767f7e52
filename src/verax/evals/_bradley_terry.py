"""Which of several models people find safer, from pairwise judgements with ties."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from verax._errors import check, is_traced
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._interval import SENTENCES, Status
from ._numeric import take

_STEPS = 60


@result(SENTENCES)
class Strengths(NamedTuple):
    """Fitted strengths.

    Attributes
    ----------
    strength : [m]
        Logarithms, mean 0: P(i beats j) / P(j beats i) = exp(strength_i - strength_j).
    standard_error : [m]
        Infinite where ``status`` is ``SEPARATED``: the data exclude no strength then.
    covariance : [m, m]
        Covariance of the strengths, for the error of any difference.
    tie : scalar
        Davidson's parameter: P(tie) / sqrt(P(i) P(j)).
    status : scalar int
        ``OK``, ``SEPARATED`` (some models never lose, or never win, against all others) or ``NOT_CONVERGED``.
    """

    strength: Float[Array, "m"]
    standard_error: Float[Array, "m"]
    covariance: Float[Array, "m m"]
    tie: Float[Array, ""]
    status: Int[Array, ""]
    raise_if_failed = raise_if_failed


def bradley_terry(wins: Int[AnyArray, "m m"], *, ties: Int[AnyArray, "m m"] | None = None) -> Strengths:
    r"""Maximum-likelihood strengths by Davidson's extension of the Bradley-Terry model.

    .. math:: P(i \succ j) = \frac{e^{s_i}}{D}, \quad P(\text{tie}) = \frac{\nu\, e^{(s_i + s_j)/2}}{D}, \quad
        D = e^{s_i} + e^{s_j} + \nu\, e^{(s_i + s_j)/2}

    Parameters
    ----------
    wins : [m, m]
        ``wins[i, j]``: how often i was preferred to j; the diagonal is 0.
    ties : [m, m]
        Symmetric counts, each tie once in ``[i, j]`` and once in ``[j, i]``; none by default.

    Returns
    -------
    Strengths

    Raises
    ------
    ValueError
        For other shapes, negative counts, an asymmetric table of ties, or models that were never compared.

    Notes
    -----
    Newton's method, 60 steps with the gauge fixed by the mean; O(m^3) each.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import bradley_terry
    >>> found = bradley_terry(np.array([[0, 60], [28, 0]]), ties=np.array([[0, 12], [12, 0]]))
    >>> gap = found.strength[0] - found.strength[1]  # log(60 / 28)
    >>> print(np.asarray(gap).round(4), int(found.status))
    0.7621 0

    References
    ----------
    Bradley, Terry (1952); Davidson (1970), On extending the Bradley-Terry model to accommodate ties; Ford (1957).
    """
    won = take("wins", wins, ties, shape=("m", "m"), dtype="integer", within="[0, inf)")
    check(won.shape[0] >= 2, "wins", f"shape {won.shape}", "[m, m] for m >= 2 models")
    given = np.zeros(won.shape, int) if ties is None else ties
    tied = take("ties", given, wins, shape=won.shape, dtype="integer", within="[0, inf)")
    if not is_traced((won, tied)):
        for name, array in (("wins", won), ("ties", tied)):
            check(not np.diagonal(array).any(), name, np.diagonal(array).tolist(), "no count of a model against itself")
        check(bool((tied == tied.T).all()), "ties", "an asymmetric table", "a symmetric one")
        check(_reaches_all(won + won.T + tied > 0), "wins", "models without a chain of comparisons", "all connected")
    return _fit(jnp.asarray(won, jnp.result_type(float)), jnp.asarray(tied, jnp.result_type(float)))


def _reaches_all(edges: np.ndarray) -> bool:
    seen = np.zeros(len(edges), bool)
    seen[0] = True
    for _ in range(len(edges)):
        seen |= edges[seen].any(0)
    return bool(seen.all())


@jax.jit
def _fit(won: Array, tied: Array) -> Strengths:
    num, dtype = won.shape[0], won.dtype
    any_tie = tied.sum() > 0

    def loss(theta: Array) -> Array:
        s, log_nu = theta[:-1], theta[-1]
        both = (s[:, None] + s[None, :]) / 2 + jnp.where(any_tie, log_nu, -50)
        total = jnp.logaddexp(jnp.logaddexp(s[:, None], s[None, :]), both)
        likelihood = (won * (s[:, None] - total)).sum() + (tied * (both - total)).sum() / 2
        # Neither the mean strength nor, without ties, their parameter is in the likelihood.
        return -likelihood + 0.5 * s.mean() ** 2 * num + jnp.where(any_tie, 0, 0.5 * log_nu**2)

    gradient, hessian = jax.grad(loss), jax.hessian(loss)

    def step(_: Array, theta: Array) -> Array:
        move = jnp.linalg.solve(hessian(theta) + 1e-9 * jnp.eye(num + 1, dtype=dtype), gradient(theta))
        return theta - jnp.clip(move, -1, 1)

    theta = jax.lax.fori_loop(0, _STEPS, step, jnp.zeros(num + 1, dtype))
    s = theta[:-1] - theta[:-1].mean()
    # The mean is fixed at 0: project its direction out of the covariance.
    centre = jnp.eye(num, dtype=dtype) - 1 / num
    covariance = centre @ jnp.linalg.inv(hessian(theta))[:-1, :-1] @ centre
    converged = jnp.abs(gradient(theta)).max() <= 1e-3 * jnp.maximum(1, (won.sum() + tied.sum()) * 1e-2)
    status = jnp.where(converged, Status.OK, Status.NOT_CONVERGED)
    finite = _connected(won + tied)
    status = jnp.where(finite, status, Status.SEPARATED).astype(jnp.int32)
    covariance = jnp.where(finite, covariance, jnp.where(jnp.eye(num, dtype=bool), jnp.inf, 0))
    tie = jnp.where(any_tie, jnp.exp(theta[-1]), 0)
    return Strengths(s, jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), 0)), covariance, tie, status)


def _connected(not_lost: Array) -> Array:
    """Ford's condition: every model reaches every other along wins and ties."""
    reach = (not_lost > 0) | jnp.eye(not_lost.shape[0], dtype=bool)
    for _ in range(max(1, (not_lost.shape[0] - 1).bit_length())):
        reach = (reach.astype(jnp.float32) @ reach.astype(jnp.float32)) > 0
    return reach.all()
