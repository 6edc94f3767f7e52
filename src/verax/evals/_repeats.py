"""Several attempts at a problem: one succeeds, all succeed, most agree."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln
from jaxtyping import Bool, Int

from verax._errors import check, check_integer, check_option, is_traced
from verax._types import AnyArray

from ._interval import Interval
from ._units import check_level, interval_over_units


def pass_at_k(
    correct: Bool[AnyArray, "... n s"] | Int[AnyArray, "... n s"],
    *,
    k: int,
    cluster: Int[AnyArray, "n"] | None = None,
    resample: str = "problem",
    level: float = 0.95,
) -> Interval:
    r"""Probability that at least one of ``k`` attempts is right, unbiased.

    .. math:: \frac1n \sum_i \Bigl(1 - \binom{s - c_i}{k} / \binom{s}{k}\Bigr)

    Parameters
    ----------
    correct : [..., n, s]
        Attempts ``s`` at problems ``n``, right or not.
    k
        At most ``s``.
    cluster : [n]
        Problems that share one are not independent.
    resample
        What the interval allows for: ``"problem"``, further problems of this kind; ``"attempt"``, further attempts at
        these problems alone, which is too narrow for any claim beyond them.
    level
        Coverage, in (0, 1).

    Returns
    -------
    Interval
        Leading axes as given.

    Raises
    ------
    ValueError
        For ``k > s``, values other than 0 and 1, or clusters of other length.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import pass_at_k
    >>> correct = np.arange(10) < np.array([[0], [1], [5], [10]])  # 0, 1, 5 and 10 of ten attempts
    >>> found = pass_at_k(correct, k=2)
    >>> print(np.asarray(found.estimate).round(4))  # mean of 0, 0.2, 0.7778, 1
    0.4944

    References
    ----------
    Chen et al. (2021), Evaluating large language models trained on code; Inspect's ``pass_at``.
    """
    return _repeated(correct, k, cluster, resample, level, lambda c, s: 1 - _ratio(s - c, s, k))


def pass_hat_k(
    correct: Bool[AnyArray, "... n s"] | Int[AnyArray, "... n s"],
    *,
    k: int,
    cluster: Int[AnyArray, "n"] | None = None,
    resample: str = "problem",
    level: float = 0.95,
) -> Interval:
    r"""Probability that all of ``k`` attempts are right, unbiased.

    .. math:: \frac1n \sum_i \binom{c_i}{k} / \binom{s}{k}

    Parameters, errors and limits as for :func:`pass_at_k`.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import pass_hat_k
    >>> print(np.asarray(pass_hat_k(np.arange(10) < np.array([[0], [1], [5], [10]]), k=2).estimate).round(4))
    0.3056

    References
    ----------
    Yao et al. (2024), tau-bench; Inspect's ``pass_k``.
    """
    return _repeated(correct, k, cluster, resample, level, lambda c, s: _ratio(c, s, k))


def _ratio(part: Array, total: int, k: int) -> Array:
    """``C(part, k) / C(total, k)`` as a product, exact, and 0 for ``part < k``."""
    step = jnp.arange(k, dtype=part.dtype)
    return jnp.maximum((part[..., None] - step) / (total - step), 0).prod(-1)


def _repeated(
    correct: Any, k: int, cluster: Any, resample: str, level: float, value_fn: Callable[[Array, int], Array]
) -> Interval:
    check_option("resample", resample, ("problem", "attempt"))
    check_level(level)
    attempts = jnp.asarray(correct)
    check(attempts.ndim >= 2 and attempts.size > 0, "correct", f"shape {attempts.shape}", "[..., problem, attempt]")
    kind = attempts.dtype == bool or jnp.issubdtype(attempts.dtype, jnp.integer)
    check(kind, "correct", f"dtype {attempts.dtype}", "right or not, as booleans or 0 and 1")
    if not is_traced(attempts):
        values = np.unique(np.asarray(attempts))
        check(set(values.tolist()) <= {0, 1}, "correct", values.tolist(), "0 and 1")
    samples = attempts.shape[-1]
    check_integer("k", k, minimum=1)
    check(k <= samples, "k", k, f"at most the {samples} attempts at each problem")
    unit = as_clusters(cluster, attempts.shape[-2])
    count = attempts.astype(jnp.result_type(float)).sum(-1)
    x = value_fn(count, samples)
    weight = jnp.ones(x.shape, x.dtype)
    three = jnp.broadcast_to(x, (3, *x.shape))
    found = interval_over_units(three, jnp.broadcast_to(weight, three.shape), unit, level)
    if resample == "problem":
        return found
    # Exact variance of the estimator if each problem's attempts were drawn again at its observed rate.
    outcomes = jnp.arange(samples + 1, dtype=x.dtype)
    p = (count / samples)[..., None]
    log_pmf = (
        gammaln(samples + 1.0) - gammaln(outcomes + 1) - gammaln(samples - outcomes + 1)
        + jax.scipy.special.xlogy(outcomes, p) + jax.scipy.special.xlogy(samples - outcomes, 1 - p)
    )  # fmt: skip
    pmf, values = jnp.exp(log_pmf), value_fn(outcomes, samples)
    first = (pmf * values).sum(-1)
    variance = jnp.maximum((pmf * values**2).sum(-1) - first**2, 0)
    error = jnp.sqrt(variance.sum(-1)) / x.shape[-1]
    half = jax.scipy.special.ndtri(jnp.asarray(1 - (1 - level) / 2, x.dtype)) * error
    estimate = found.estimate
    return found._replace(
        lower=jnp.clip(estimate - half, 0, 1), upper=jnp.clip(estimate + half, 0, 1), standard_error=error,
        status=jnp.zeros_like(found.status),
    )  # fmt: skip


def as_clusters(cluster: Any, num: int) -> Array | None:
    """Cluster numbers from 0, or None."""
    if cluster is None:
        return None
    array = jnp.asarray(cluster)
    check(array.shape == (num,), "cluster", f"shape {array.shape}", f"one a unit, ({num},)")
    check(jnp.issubdtype(array.dtype, jnp.integer), "cluster", f"dtype {array.dtype}", "integers")
    if is_traced(array):
        return array
    return jnp.asarray(np.unique(np.asarray(array), return_inverse=True)[1], jnp.int32)


def cons_at_k(
    answers: Int[AnyArray, "n s"],
    reference: Int[AnyArray, "n"],
    *,
    k: int,
    cluster: Int[AnyArray, "n"] | None = None,
    num_resamples: int = 200,
    level: float = 0.95,
    key: Array,
) -> Interval:
    """Accuracy of the most frequent answer among ``k``: consensus, or self-consistency.

    Parameters
    ----------
    answers : [n, s], int
        Answers as numbers, any integers; equal answers are equal numbers.
    reference : [n], int
        The right ones.
    k
        At most ``s``; ``k`` of the ``s`` are drawn without replacement.
    cluster : [n]
        Problems that share one are not independent.
    num_resamples
        Draws for each problem; their noise is part of the interval.
    level
        Coverage, in (0, 1).
    key
        A ``jax.random.key``, for the draws and for ties, which are broken evenly.

    Returns
    -------
    Interval
        Scalars.

    Raises
    ------
    ValueError
        For ``k > s``, or another number of right answers.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.evals import cons_at_k
    >>> answers = np.array([[4, 4, 4, 7], [1, 2, 2, 2], [5, 6, 5, 5]])
    >>> print(cons_at_k(answers, np.array([4, 1, 5]), k=3, key=jax.random.key(0)).estimate)  # a majority of any three
    0.6666667

    References
    ----------
    Wang et al. (2023), Self-consistency improves chain of thought reasoning.
    """
    check_level(level)
    given, right = jnp.asarray(answers), jnp.asarray(reference)
    sound = given.ndim == 2 and given.size > 0 and jnp.issubdtype(given.dtype, jnp.integer)
    check(sound, "answers", f"shape {given.shape}, dtype {given.dtype}", "integers [problem, attempt]")
    check(
        right.shape == given.shape[:1], "reference", f"shape {right.shape}", f"one answer a problem, {given.shape[:1]}"
    )
    samples = given.shape[1]
    check_integer("k", k, minimum=1)
    check(k <= samples, "k", k, f"at most the {samples} attempts at each problem")
    check_integer("num_resamples", num_resamples, minimum=1)
    dtype = jnp.result_type(float)

    def one(key: Array) -> Array:
        draw_key, tie_key = jax.random.split(key)
        order = jax.random.permutation(
            draw_key, jnp.broadcast_to(jnp.arange(samples), given.shape), 1, independent=True
        )
        drawn = jnp.take_along_axis(given, order[:, :k], 1)
        votes = (drawn[:, :, None] == drawn[:, None, :]).sum(-1).astype(dtype)
        most = votes.max(1, keepdims=True)
        # Tied answers fill equally many places of the draw, so that a random tied place is a random tied answer.
        place = jnp.where(votes == most, jax.random.uniform(tie_key, votes.shape, dtype), -1).argmax(1)
        return (jnp.take_along_axis(drawn, place[:, None], 1)[:, 0] == right).astype(dtype)

    x = jax.lax.map(one, jax.random.split(key, num_resamples)).mean(0)
    three = jnp.broadcast_to(x, (3, *x.shape))
    return interval_over_units(three, jnp.ones_like(three), as_clusters(cluster, given.shape[0]), level)
