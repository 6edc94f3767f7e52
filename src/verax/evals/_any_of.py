"""The adaptive attacker: some attack of several succeeds."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._errors import check, check_option

from ._bootstrap import check_axes, draw_counts, resampled_weights
from ._interval import Interval, Status
from ._numeric import Numeric, as_float, module_for, need_key, take_count, take_level
from ._quantiles import percentile_limits
from ._table import Outcome, OutcomeTable
from ._units import count_outcomes, interval_over_units

ESTIMATORS = ("unbiased", "plug_in", "held_out")


def any_of(
    table: OutcomeTable,
    *,
    attacks: int | str | list | tuple | None = None,
    draws: int = 1,
    estimator: str = "unbiased",
    generalize_over: tuple[str, ...] = ("prompt",),
    level: float = 0.95,
    num_resamples: int = 10_000,
    key: Array | None = None,
) -> Interval:
    r"""Share of prompts for which at least one of ``draws`` samples under at least one attack is BAD.

    With :math:`c` BAD of :math:`n` samples in a cell, unbiased for samples that are independent between attacks,

    .. math:: P_{any}(p) = 1 - \prod_a \binom{n_{pa} - c_{pa}}{k} / \binom{n_{pa}}{k}

    Parameters
    ----------
    table
        Verdicts.
    attacks
        Names or indices; all by default.
    draws
        ``k``, samples of each attack that the attacker may draw, at most as many as the table holds.
    estimator
        ``"unbiased"``; ``"plug_in"``, :math:`1 - \prod_a (1 - c/n)^k`, which is too low for fewer draws than samples;
        or ``"held_out"``: for each prompt the attack that does best on half of the samples, one draw, scored on the
        other half: what is left when choosing is not allowed to see the outcome.
    generalize_over
        ``("prompt",)``: these attacks on further prompts. ``("prompt", "attack")``: further attacks too, by a two-way
        bootstrap, which needs ``key``.
    level
        Coverage, in (0, 1).
    num_resamples, key
        Number of replicates of the two-way bootstrap, and the key for these and for the split of samples
        (``"held_out"``).

    Returns
    -------
    Interval
        Fields ``[model]``. UNCLEAR and MISSING widen the limits; a prompt with fewer verdicts than draws under some
        attack is left out of the estimate.

    Raises
    ------
    ValueError
        For more draws than samples, an attack that is not in the table, or an option outside those above.

    Notes
    -----
    Any-of over the evaluation set is adaptive with an oracle: the attacker knows afterwards what worked.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, any_of
    >>> labels = np.zeros((1, 2, 50, 1), int)
    >>> labels[0, 0, :10] = 1  # one attack succeeds on ten prompts, the other on five others
    >>> labels[0, 1, 10:15] = 1
    >>> found = any_of(OutcomeTable(labels))
    >>> print(np.asarray(found.estimate).round(3), np.asarray(found.lower).round(3), np.asarray(found.upper).round(3))
    [0.3] [0.179] [0.446]

    References
    ----------
    Wei, Haghtalab, Steinhardt (2023), the adaptive column; Chen et al. (2021) for one attack; Hoeffding (1948).
    """
    check_option("estimator", estimator, ESTIMATORS)
    check_axes(generalize_over)
    level = take_level(level)
    draws = take_count("draws", draws)
    samples = table.labels.shape[-1]
    check(draws <= samples, "draws", draws, f"at most the {samples} samples of the table")
    chosen = table.attacks(attacks)
    two_way = len(tuple(generalize_over)) == 2
    if estimator == "held_out":
        check(samples >= 2, "table", "one sample a cell", "two or more, to choose on half of them")
        check(draws == 1, "draws", draws, "1 for estimator 'held_out'")
        check(not two_way, "generalize_over", generalize_over, "('prompt',) for estimator 'held_out'")
    if estimator == "held_out":
        x, weight = _held_out(table, chosen, need_key(key, "to split the samples"))
    else:
        counts = count_outcomes(table, Outcome.BAD, "bounds", "bounds")
        hits, verdicts = (part[:, :, chosen] for part in counts)
        miss = _miss(hits, verdicts, draws, estimator)  # [3, model, attack, prompt]
        xp = module_for(miss)
        x = 1 - miss.prod(2)
        weight = as_float((verdicts >= draws).all(2), xp)
        if two_way:
            return _two_way(table, miss, weight, level, num_resamples, need_key(key, "for the bootstrap"))
    return interval_over_units(x, weight, table.cluster, level, table.weight)


def _miss(hits: Numeric, verdicts: Numeric, draws: int, estimator: str) -> Numeric:
    """Probability that no draw of a cell is BAD."""
    xp = module_for(hits, verdicts)
    if estimator == "plug_in":
        return as_float(xp.where(verdicts > 0, 1 - hits / xp.maximum(verdicts, 1), 1), xp) ** draws
    # The ratio of binomial coefficients as a product: exact, and 0 as soon as a factor is.
    miss = as_float(xp.ones_like(hits), xp)
    for step in range(draws):
        miss = miss * as_float(xp.maximum(verdicts - hits - step, 0) / xp.maximum(verdicts - step, 1), xp)
    return miss


def _held_out(table: OutcomeTable, chosen: np.ndarray, key: Array) -> tuple[Numeric, Numeric]:
    labels = jnp.asarray(table.labels)[:, chosen]
    samples = labels.shape[-1]
    order = jax.random.permutation(key, samples)
    dtype = jnp.result_type(float)
    bad = (labels == int(Outcome.BAD)).astype(dtype)
    known = ((labels == int(Outcome.GOOD)) | (labels == int(Outcome.BAD))).astype(dtype)
    unknown = (labels > int(Outcome.BAD)).astype(dtype)
    half = samples // 2
    parts = (order[:half], order[half:])
    values, weights = [], []
    for chosen_on, scored_on in (parts, parts[::-1]):
        best = bad[..., chosen_on].mean(-1).argmax(1)  # [model, prompt], the first of equals
        cells = [
            jnp.take_along_axis(part[..., scored_on].sum(-1), best[:, None], 1)[:, 0] for part in (bad, known, unknown)
        ]
        hits, verdicts, rest = cells
        number = verdicts + rest
        seen, run = verdicts > 0, number > 0
        number = jnp.maximum(number, 1)
        values.append(
            jnp.stack([jnp.where(seen, hits / jnp.maximum(verdicts, 1), 0), hits / number, (hits + rest) / number])
        )
        weights.append(jnp.stack([part.astype(dtype) for part in (seen, run, run)]))
    total = weights[0] + weights[1]
    x = (values[0] * weights[0] + values[1] * weights[1]) / jnp.maximum(total, 1)
    some = (total > 0).astype(dtype)
    if module_for(table, key) is np:
        return np.asarray(x, np.float64), np.asarray(some, np.float64)
    return x, some


def _two_way(table: OutcomeTable, miss: Numeric, weight: Numeric, level: float, num: int, key: Array) -> Interval:
    """Percentile limits over prompts and attacks drawn together; never inside those for these attacks."""
    num = take_count("num_resamples", num, minimum=100)
    xp = module_for(table, miss, key)
    if table.weight is not None:
        weight = weight * as_float(table.weight, xp)
    found = interval_over_units(1 - miss.prod(2), weight, table.cluster, level)
    prompt_key, attack_key = jax.random.split(key)
    num_attacks, num_prompts = miss.shape[2:]
    prompts = resampled_weights(prompt_key, num, num_prompts, table.cluster)
    times = draw_counts(attack_key, num, num_attacks, jnp.int32(num_attacks)).astype(prompts.dtype)
    # A finite logarithm of 0, since 0 times minus infinity would be no number.
    miss, weight = jnp.asarray(miss, prompts.dtype), jnp.asarray(weight, prompts.dtype)
    finite = jnp.where(miss > 0, jnp.log(jnp.where(miss > 0, miss, 1)), -1e4)

    def one(drawn: tuple[Array, Array]) -> Array:
        prompt, attack = drawn
        x = 1 - jnp.exp(jnp.einsum("a,vmap->vmp", attack, finite, precision="highest"))
        share = weight * prompt
        return (share * x).sum(-1) / jnp.maximum(share.sum(-1), 1e-30)

    replicates = jax.lax.map(one, (prompts, times), batch_size=64)
    parts = (
        percentile_limits(replicates[:, 1], level)[0],
        percentile_limits(replicates[:, 2], level)[1],
        replicates[:, 0].std(0, ddof=1),
    )
    low, high, error = parts if xp is jnp else (np.asarray(part, np.float64) for part in parts)
    lower, upper = xp.minimum(low, found.lower), xp.maximum(high, found.upper)
    status = found.status if num_attacks > 1 else xp.maximum(found.status, np.int32(Status.ONE_UNIT))
    return found._replace(lower=lower, upper=upper, standard_error=error, status=status)
