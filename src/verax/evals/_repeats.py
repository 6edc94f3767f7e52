"""Several attempts at a problem: one succeeds, all succeed, most agree."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax import _special as special
from verax._arrays import to_host, to_key, to_labels
from verax._errors import check, check_option, is_traced

from ._interval import Interval, Status
from ._numeric import Numeric, as_float, module_for, on_host, take, take_count, take_level
from ._quantiles import normal_quantile
from ._table import take_cluster
from ._units import interval_over_units

_NOT_RUN = -1


def pass_at_k(
    correct: Any,
    *,
    k: int,
    cluster: Any = None,
    resample: str = "problem",
    level: float = 0.95,
) -> Interval:
    r"""Probability that at least one of ``k`` attempts is right, unbiased.

    .. math:: \frac1n \sum_i \Bigl(1 - \binom{s - c_i}{k} / \binom{s}{k}\Bigr)

    Parameters
    ----------
    correct : [..., n, s]
        Attempts ``s`` at problems ``n``, right or not. Problems may have unequal numbers of attempts: a list of lists,
        or -1 or NaN for attempts that were not made.
    k
        At most the number of attempts at each problem.
    cluster : [n]
        Problems that share one are not independent.
    resample
        The variation that the interval covers: ``"problem"``, further problems of this kind; ``"attempt"``, further
        attempts at these problems alone, which is too narrow for any claim beyond them.
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
    return _repeated(*_counted(correct), k, cluster, resample, level)


def pass_hat_k(
    correct: Any,
    *,
    k: int,
    cluster: Any = None,
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
    right, made = _counted(correct)
    # All attempts are right unless one is wrong.
    some_wrong = _repeated(made - right, made, k, cluster, resample, level)
    lower, upper = 1 - some_wrong.upper, 1 - some_wrong.lower
    return some_wrong._replace(estimate=1 - some_wrong.estimate, lower=lower, upper=upper)


def _counted(correct: Any) -> tuple[Numeric, Numeric]:
    """Numbers of right attempts and of attempts ``[..., n]``."""
    if is_traced(correct):
        attempts = take("correct", correct, shape=("...", "problem", "attempt"), dtype="integer")
        return (attempts == 1).sum(-1), (attempts >= 0).sum(-1)
    attempts = to_host("correct", _padded(correct), dtype="any", finite=False)
    check(attempts.ndim >= 2, "correct", f"shape {attempts.shape}", "[..., problem, attempt]")
    attempts = np.where(np.isnan(attempts), _NOT_RUN, attempts)
    known = np.isin(attempts, (_NOT_RUN, 0, 1))
    wrong = attempts[~known][:3].tolist()
    check(not wrong, "correct", f"values such as {wrong}", "0 and 1, or -1 for an attempt that was not made")
    return (attempts == 1).sum(-1), (attempts >= 0).sum(-1)


def _padded(correct: Any) -> Any:
    """A list of lists of unequal lengths as one array, filled with -1."""
    if not isinstance(correct, list | tuple) or not all(hasattr(row, "__len__") for row in correct):
        return correct
    lengths = {len(row) for row in correct}
    if len(lengths) < 2:
        return correct
    width = max(lengths)
    rows = [to_host("correct", row, shape=("attempt",), finite=False, empty=True) for row in correct]
    return np.stack([np.concatenate([row, np.full(width - len(row), _NOT_RUN)]) for row in rows])


def _repeated(right: Numeric, made: Numeric, k: int, cluster: Any, resample: str, level: float) -> Interval:
    check_option("resample", resample, ("problem", "attempt"))
    level = take_level(level)
    k = take_count("k", k)
    if not is_traced(made):
        place = np.unravel_index(made.argmin(), made.shape)
        check(k <= made[place], "k", k, f"at most the {made[place]} attempts at problem {place[-1]}")
    xp = module_for(right, made)
    right, made = as_float(right, xp), as_float(made, xp)
    x = on_host(lambda c, s: _ratio_of_any(c, s, k), right, made)
    three = xp.broadcast_to(x, (3, *x.shape))
    unit = None if cluster is None else take_cluster(cluster, right.shape[-1])
    enough = xp.broadcast_to(as_float(made >= k, xp), three.shape)
    found = interval_over_units(three, enough, unit, level)
    return found if resample == "problem" else _further_attempts(found, right, made, k, level)


def _further_attempts(found: Interval, right: Numeric, made: Numeric, k: int, level: float) -> Interval:
    """Limits if each problem's attempts were made again.

    Problems with one kind of attempt show no spread: the rate of
    success of those that never succeeded is at most ``1 - tail^(1/attempts)``, and likewise for the others.
    """
    xp, tail = module_for(right, made), (1 - level) / 2
    never, always = right == 0, right == made
    num = right.shape[-1]
    variance = on_host(lambda c, s: _variance(c, s, k), right, made)
    error = xp.sqrt(xp.where(never | always, 0, variance).sum(-1)) / num
    half = normal_quantile(tail) * error

    def unseen(which: Numeric) -> Numeric:
        attempts = xp.where(which, made, 0).sum(-1)
        return xp.where(attempts > 0, 1 - tail ** (1 / xp.maximum(attempts, 1)), 0)

    more = as_float(never.sum(-1), xp) / num * (1 - (1 - unseen(never)) ** k)
    less = as_float(always.sum(-1), xp) / num * unseen(always)
    lower = xp.clip(found.estimate - xp.sqrt(half**2 + less**2), 0, 1)
    upper = xp.clip(found.estimate + xp.sqrt(half**2 + more**2), 0, 1)
    status = xp.full(found.status.shape, int(Status.OK), np.int32)
    return found._replace(lower=lower, upper=upper, standard_error=error, status=status)


def _ratio_of_any(right: np.ndarray, made: np.ndarray, k: int) -> np.ndarray:
    """``1 - C(made - right, k) / C(made, k)`` as a product, exact."""
    step = np.arange(k)
    left = np.maximum((made - right)[..., None] - step, 0)
    return 1 - (left / np.maximum(made[..., None] - step, 1)).prod(-1)


def _variance(right: np.ndarray, made: np.ndarray, k: int) -> np.ndarray:
    """Variance of each problem's estimate over its attempts: by the jackknife, and at least at a rate near the middle.

    The jackknife is ``p (1 - p) / (s - 1)`` for k = 1, and sees nothing where no single attempt decides; the variance
    at the rate ``(c + 1) / (s + 2)`` does.
    """
    fewer = np.maximum(made - 1, 1)
    without_right = _left_out(np.maximum(right - 1, 0), fewer, k)
    without_wrong = _left_out(np.minimum(right, fewer), fewer, k)
    share = right / made
    mean = share * without_right + (1 - share) * without_wrong
    squares = share * (without_right - mean) ** 2 + (1 - share) * (without_wrong - mean) ** 2
    first = second = np.zeros(np.shape(right))
    for outcome in range(int(made.max()) + 1):
        inside = outcome <= made
        wrong = np.where(inside, made - outcome, 0)
        log_ways = special.gammaln(made + 1) - special.gammaln(outcome + 1.0) - special.gammaln(wrong + 1)
        rate = (right + 1) / (made + 2)
        chance = np.where(inside, np.exp(log_ways + outcome * np.log(rate) + wrong * np.log1p(-rate)), 0)
        value = _ratio_of_any(np.where(inside, outcome, 0), made, k)
        first, second = first + chance * value, second + chance * value**2
    return np.maximum((made - 1) * squares, second - first**2)


def _left_out(right: np.ndarray, made: np.ndarray, k: int) -> np.ndarray:
    """The estimate with ``k`` at most the number of attempts that are left."""
    found = np.zeros(np.shape(right))
    for draws in range(1, k + 1):
        found = np.where(draws <= made, _ratio_of_any(right, made, draws), found)
    return found


def cons_at_k(
    answers: Any,
    reference: Any,
    *,
    k: int,
    cluster: Any = None,
    num_resamples: int = 200,
    level: float = 0.95,
    key: Array,
) -> Interval:
    """Accuracy of the most frequent answer among ``k``: consensus, or self-consistency.

    Parameters
    ----------
    answers : [n, s]
        Answers as numbers or text; a missing one (None, NaN) is an answer that is never right.
    reference : [n]
        The right answers.
    k
        At most ``s``; ``k`` of the ``s`` are drawn without replacement.
    cluster : [n]
        Problems that share one are not independent.
    num_resamples
        Number of draws per problem; their noise is part of the interval.
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
    >>> found = cons_at_k(answers, np.array([4, 1, 5]), k=3, key=jax.random.key(0))  # a majority of any three
    >>> print(found.estimate.round(4))
    0.6667

    References
    ----------
    Wang et al. (2023), Self-consistency improves chain of thought reasoning.
    """
    level = take_level(level)
    given, right = _answers(answers, reference)
    samples = given.shape[1]
    k = take_count("k", k)
    check(k <= samples, "k", k, f"at most the {samples} attempts at each problem")
    num_resamples = take_count("num_resamples", num_resamples)
    unit = None if cluster is None else take_cluster(cluster, given.shape[0])
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

    x = jax.lax.map(one, jax.random.split(to_key("key", key), num_resamples)).mean(0)
    x = x if is_traced((answers, reference, key)) else np.asarray(x, np.float64)
    three = module_for(x).broadcast_to(x, (3, *x.shape))
    return interval_over_units(three, module_for(x).ones_like(three), unit, level)


def _answers(answers: Any, reference: Any) -> tuple[Array, Array]:
    """Answers and references as numbers, equal where they are equal."""
    if is_traced((answers, reference)):
        given = take("answers", answers, reference, shape=("problem", "attempt"), dtype="integer")
        return given, take("reference", reference, answers, shape=given.shape[:1], dtype="integer")
    shape = np.shape(answers)
    check(len(shape) == 2 and 0 not in shape, "answers", f"shape {shape}", "[problem, attempt]")
    check(
        np.shape(reference) == shape[:1], "reference", f"shape {np.shape(reference)}", f"one per problem, {shape[:1]}"
    )
    given, classes = to_labels("answers", np.asarray(answers).reshape(-1))
    right, named = to_labels("reference", reference)
    check(bool((right >= 0).all()), "reference", "missing answers", "an answer for each problem")
    place = {answer: number for number, answer in enumerate(classes.tolist())}
    right = np.array([place.get(answer, -2) for answer in named[right].tolist()])
    return jnp.asarray(given.reshape(shape), jnp.int32), jnp.asarray(right, jnp.int32)
