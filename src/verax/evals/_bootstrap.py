"""Resampling of prompts, clusters of prompts, and attacks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from verax._arrays import to_key
from verax._errors import check, check_option
from verax._types import PyTree

from ._numeric import Numeric, take_count, take_level
from ._quantiles import percentile_limits
from ._table import OutcomeTable

AXES = (("prompt",), ("prompt", "attack"))


def resampled_weights(key: Array, num: int, num_prompts: int, cluster: Numeric | None) -> Array:
    """Number of times each prompt is drawn in each replicate, ``[num, num_prompts]``, clusters drawn whole."""
    dtype = jnp.result_type(float)
    if cluster is None:
        return draw_counts(key, num, num_prompts, jnp.int32(num_prompts)).astype(dtype)
    cluster = jnp.asarray(cluster, jnp.int32)
    present = jax.ops.segment_sum(jnp.ones_like(cluster), cluster, num_prompts) > 0
    rank = jnp.cumsum(present) - 1  # clusters without prompts are no clusters
    counts = draw_counts(key, num, num_prompts, present.sum().astype(jnp.int32))
    return counts[:, rank[cluster]].astype(dtype)


def draw_counts(key: Array, num: int, width: int, size: Array) -> Array:
    """Multinomial counts ``[num, width]`` of ``size`` draws among ``size <= width`` equal units."""
    draws = jax.random.randint(key, (num, width), 0, size, size.dtype)
    used = (jnp.arange(width, dtype=size.dtype) < size).astype(jnp.int32)
    rows = jnp.arange(num)[:, None]
    return jnp.zeros((num, width), jnp.int32).at[rows, draws].add(used)


def bootstrap(
    table: OutcomeTable,
    statistic_fn: Callable[[OutcomeTable], PyTree],
    *,
    num_resamples: int = 2000,
    level: float = 0.95,
    batch_size: int = 100,
    key: Array,
) -> tuple[PyTree, PyTree]:
    """Percentile limits of any statistic, prompts (or clusters of them) resampled for all models at once.

    Parameters
    ----------
    table
        Verdicts; with ``cluster``, clusters are drawn whole.
    statistic_fn
        Statistic of a table, whose ``weight`` is the number of times each prompt was drawn times its own weight;
        traceable.
    num_resamples
        Replicates.
    level
        Coverage, in (0, 1).
    batch_size
        Replicates computed at once, which bounds memory.
    key
        A ``jax.random.key``.

    Returns
    -------
    lower, upper : pytrees as the statistic's

    Raises
    ------
    ValueError
        For fewer than 100 replicates or a level outside (0, 1).

    Notes
    -----
    Percentile intervals under-cover rates near 0 and 1, where a resample has the same few events: use :func:`rate` for
    rates, and this for composites (differences of composites, ranks, areas).

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.evals import OutcomeTable, bootstrap, rate
    >>> labels = np.random.default_rng(0).integers(0, 2, (2, 1, 200, 1))
    >>> def gap(table):
    ...     estimate = rate(table).estimate
    ...     return estimate[0, 0] - estimate[1, 0]
    >>> lower, upper = bootstrap(OutcomeTable(labels), gap, num_resamples=400, key=jax.random.key(0))
    >>> bool(lower < 0 < upper)
    True

    References
    ----------
    Efron and Tibshirani (1993), An introduction to the bootstrap.
    """
    num_resamples = take_count("num_resamples", num_resamples, minimum=100)
    batch_size = take_count("batch_size", batch_size)
    level = take_level(level)
    check(callable(statistic_fn), "statistic_fn", type(statistic_fn).__name__, "a function of a table")
    weights = resampled_weights(to_key("key", key), num_resamples, table.labels.shape[2], table.cluster)
    if table.weight is not None:
        weights = weights * jnp.asarray(table.weight, weights.dtype)

    def one(weight: Array) -> PyTree:
        return statistic_fn(table.with_weight(weight))

    table = jax.tree.map(jnp.asarray, table)  # so that all replicates compute in JAX
    leaves, structure = jax.tree.flatten(jax.lax.map(one, weights, batch_size=batch_size))
    limits = [percentile_limits(leaf, level) for leaf in leaves]
    return structure.unflatten(low for low, _ in limits), structure.unflatten(high for _, high in limits)


def check_axes(generalize_over: object) -> None:
    """Raise unless the axes to generalise over are ones that can be resampled."""
    names = tuple(generalize_over) if isinstance(generalize_over, tuple | list) else generalize_over
    check_option("generalize_over", str(names), [str(axes) for axes in AXES])
