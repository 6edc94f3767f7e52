"""Two models or more on the same prompts: all pairs, simultaneous limits, and which models may be the best."""

from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from verax._errors import check, check_option, is_traced
from verax._numpy_random import numpy_generator
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._interval import SENTENCES
from ._numeric import need_key, sums_by_group, take_count, take_level
from ._paired import PairedResult, adjusted, differences, paired_difference
from ._quantiles import normal_tail
from ._rate import rate
from ._sentences import pair_sentence
from ._table import Outcome, OutcomeTable
from ._units import as_outcome

ADJUSTMENTS = ("holm", "max_t")
_FEWEST = 20  # units below which the bootstrap of max_t is not trusted


@result(SENTENCES)
class Comparison(NamedTuple):
    """All pairs of models under one attack.

    Attributes
    ----------
    model_names : tuple of str
    outcome : Outcome or "score"
        The rate that was compared.
    level : float
        Joint coverage of the limits of all differences.
    estimate, lower, upper : [model]
        Each model's own rate, with limits one model at a time.
    difference, difference_lower, difference_upper : [model, model]
        Row less column. All limits hold at once with probability ``level``.
    p_value : [model, model]
        Two-sided, adjusted for the number of pairs.
    minimum_detectable : [model, model]
        Difference that this many prompts would show with 80 % power in a single comparison.
    discordant : [model, model]
        Prompts on which the row's model alone has the outcome.
    num_units, num_excluded : [model, model]
        Prompts (or clusters) that both models answered, and prompts left out.
    order : [model]
        Models from the best to the worst: the smallest share of BAD, else the largest estimate.
    may_be_best : [model]
        Models that no other model is shown to be better than: the ties for the first rank.
    status : [model, model]
        A :class:`Status`; 0 on the diagonal.
    """

    model_names: tuple[str, ...]
    outcome: Any
    level: float
    estimate: Float[AnyArray, "m"]
    lower: Float[AnyArray, "m"]
    upper: Float[AnyArray, "m"]
    difference: Float[AnyArray, "m m"]
    difference_lower: Float[AnyArray, "m m"]
    difference_upper: Float[AnyArray, "m m"]
    p_value: Float[AnyArray, "m m"]
    minimum_detectable: Float[AnyArray, "m m"]
    discordant: Int[AnyArray, "m m"]
    num_units: Int[AnyArray, "m m"]
    num_excluded: Int[AnyArray, "m m"]
    order: Int[AnyArray, "m"]
    may_be_best: Bool[AnyArray, "m"]
    status: Int[AnyArray, "m m"]
    raise_if_failed = raise_if_failed

    def sentence(self, model_a: int | str, model_b: int | str) -> str:
        """The comparison of two models in one sentence."""
        i, j = (self._index(model, name) for model, name in ((model_a, "model_a"), (model_b, "model_b")))
        if self._gain(i, j) < 0:
            i, j = j, i
        return pair_sentence(
            (self.model_names[i], self.model_names[j]),
            (self.estimate[i], self.estimate[j]),
            (self.difference[i, j], self.difference_lower[i, j], self.difference_upper[i, j]),
            self.p_value[i, j],
            outcome=self.outcome,
            level=self.level,
            basis=f"{self.num_units[i, j]} prompts, paired",
            detectable=self.minimum_detectable[i, j],
        )

    def sentences(self) -> list[str]:
        """Each pair in one sentence, the best models first; before them, for three models or more, who may be best."""
        ranked = [self.model_names[i] for i in self.order]
        first = [name for name in ranked if self.may_be_best[self.model_names.index(name)]]
        pairs = [self.sentence(int(i), int(j)) for place, i in enumerate(self.order) for j in self.order[place + 1 :]]
        if len(ranked) < 3:
            return pairs
        rest = "" if len(first) == 1 else " (not told apart)"
        return [f"May be best of {len(ranked)} models: {', '.join(first)}{rest}", *pairs]

    def _index(self, model: int | str, argument: str) -> int:
        names = self.model_names
        check(model in names or model in range(len(names)), argument, repr(model), f"one of {list(names)}, or an index")
        return names.index(model) if isinstance(model, str) else int(model)

    def _gain(self, i: int, j: int) -> float:
        return float(self.difference[i, j]) * (-1 if self.outcome == Outcome.BAD else 1)


def compare_models(
    table: OutcomeTable,
    *,
    outcome: Outcome | str = Outcome.GOOD,
    attack: int | str | None = None,
    adjust: str = "holm",
    level: float = 0.95,
    num_resamples: int = 10_000,
    key: Array | None = None,
) -> Comparison:
    r"""Compare all pairs of models on the prompts that both answered.

    Parameters
    ----------
    table
        Verdicts of two models or more; :func:`stack_models` makes one of several tables.
    outcome
        GOOD (larger is better), BAD (smaller is better) or ``"score"``.
    attack
        Name or index; needed where the table has several.
    adjust
        ``"holm"``: p-values of :func:`paired_difference` adjusted by Holm, limits by Bonferroni. ``"max_t"``: both by
        the largest t statistic over all pairs, from a multiplier bootstrap over units, which knows that pairs share
        models; needs ``key`` and at least 20 units.
    level
        Coverage of all limits of differences at once, in (0, 1).
    num_resamples, key
        Number of replicates of ``"max_t"``, and the key to draw them with.

    Returns
    -------
    Comparison
        With ``.sentences()``.

    Raises
    ------
    ValueError
        For fewer than two models, several attacks without a choice, or traced verdicts.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, compare_models
    >>> right = np.stack([np.arange(200) < number for number in (120, 150, 152)])
    >>> found = compare_models(OutcomeTable(1 - right[:, None, :, None], model_names=("a", "b", "c")))
    >>> for sentence in found.sentences():
    ...     print(sentence)  # doctest: +ELLIPSIS
    May be best of 3 models: c, b (not told apart)
    cannot tell c from b: 76.0 % against 75.0 % correct, +1.0 points [...], p = .50, 200 prompts, paired; ...
    c is better than a: 76.0 % against 60.0 % correct, +16.0 points [...], p < .0001, 200 prompts, paired
    b is better than a: 75.0 % against 60.0 % correct, +15.0 points [...], p < .0001, 200 prompts, paired

    References
    ----------
    Holm (1979); Westfall and Young (1993), Resampling-based multiple testing; Chernozhukov, Chetverikov, Kato (2013)
    for the multiplier bootstrap of a maximum.
    """
    check(not is_traced(table), "table", "traced verdicts", "concrete ones: this runs on the host")
    check_option("adjust", adjust, ADJUSTMENTS)
    level, wanted = take_level(level), as_outcome(outcome)
    num = table.labels.shape[0]
    check(num >= 2, "table", "one model", "two models or more")
    several = table.labels.shape[1] > 1
    check(attack is not None or not several, "attack", f"None, of {table.labels.shape[1]} attacks", "one of them")
    place = int(table.attacks(attack, argument="attack")[0])
    one = _one_attack(table, place)
    pairs = [(i, j) for i in range(num) for j in range(i + 1, num)]
    share = 1 - (1 - level) / len(pairs)
    found = [paired_difference(one, model_a=i, model_b=j, outcome=wanted, level=share) for i, j in pairs]
    p = adjusted(np.array([float(pair.p_value[0]) for pair in found]), "holm")
    if adjust == "max_t":
        num_resamples = take_count("num_resamples", num_resamples, minimum=100)
        drawn = numpy_generator(need_key(key, "for the bootstrap"))
        least = min(int(pair.num_units[0]) for pair in found)
        check(least >= _FEWEST, "adjust", f"'max_t' with {least} units", f"{_FEWEST} units, or 'holm'")
        critical, p_max = _max_t(one, pairs, wanted, found, level, num_resamples, drawn)
        p = np.minimum(p, p_max)
        own = 1 - 2 * normal_tail(critical)
        found = [paired_difference(one, model_a=i, model_b=j, outcome=wanted, level=own) for i, j in pairs]
    rates = rate(one, outcome=wanted, level=level)
    estimate = rates.estimate[:, 0]
    lower = _square(num, pairs, found, "lower", "upper")
    best = -estimate if wanted == Outcome.BAD else estimate
    better = lower > 0 if wanted != Outcome.BAD else _square(num, pairs, found, "upper", "lower") < 0
    better &= _filled(num, pairs, p, 1.0) < 1 - level
    names = table.model_names or tuple(f"model {i}" for i in range(num))
    return Comparison(
        model_names=tuple(names),
        outcome=wanted,
        level=level,
        estimate=estimate,
        lower=rates.lower[:, 0],
        upper=rates.upper[:, 0],
        difference=_square(num, pairs, found, "difference", "difference"),
        difference_lower=lower,
        difference_upper=_square(num, pairs, found, "upper", "lower"),
        p_value=_filled(num, pairs, p, 1.0),
        minimum_detectable=_filled(num, pairs, [pair.minimum_detectable[0] for pair in found], 0.0),
        discordant=_discordant(num, pairs, found),
        num_units=_filled(num, pairs, [pair.num_units[0] for pair in found], 0).astype(int),
        num_excluded=_filled(num, pairs, [pair.num_excluded[0] for pair in found], 0).astype(int),
        order=np.argsort(-np.nan_to_num(best, nan=-np.inf), kind="stable"),
        may_be_best=~np.isnan(estimate) & ~better.any(0),
        status=_filled(num, pairs, [pair.status[0] for pair in found], 0).astype(int),
    )


def _one_attack(table: OutcomeTable, place: int) -> OutcomeTable:
    return OutcomeTable(
        np.asarray(table.labels)[:, place : place + 1],
        scores=None if table.scores is None else np.asarray(table.scores)[:, place : place + 1],
        cluster=table.cluster,
        weight=table.weight,
        model_names=table.model_names,
        prompt_ids=table.prompt_ids,
    )


def _max_t(
    table: OutcomeTable,
    pairs: list[tuple[int, int]],
    outcome: Outcome | str,
    found: list[PairedResult],
    level: float,
    num: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Critical value of the largest |t| over the pairs, and the adjusted p-value of each pair."""
    scaled = []
    for (i, j), pair in zip(pairs, found, strict=True):
        d, both = differences(table, i, j, outcome)
        mean = np.nan_to_num(pair.difference[0])
        residual = both * (d - mean)
        units = residual if table.cluster is None else sums_by_group(residual, table.cluster, residual.shape[-1])
        size = np.sqrt((units**2).sum())
        scaled.append(units[0] / size if size > 0 else np.zeros(units.shape[-1]))
    largest = np.empty(num)
    for start in range(0, num, 1000):
        signs = rng.standard_normal((min(1000, num - start), len(scaled[0])))
        largest[start : start + len(signs)] = np.abs(signs @ np.array(scaled).T).max(1)
    t = np.array([abs(float(pair.difference[0])) / max(float(pair.standard_error[0]), 1e-300) for pair in found])
    p = (1 + (largest[:, None] >= t).sum(0)) / (1 + num)
    single = np.array([float(pair.p_value[0]) for pair in found])
    return float(np.quantile(largest, level)), np.maximum(p, single)


def _square(num: int, pairs: list[tuple[int, int]], found: list[PairedResult], field: str, mirrored: str) -> np.ndarray:
    square = np.zeros((num, num))
    for (i, j), pair in zip(pairs, found, strict=True):
        square[i, j], square[j, i] = getattr(pair, field)[0], -getattr(pair, mirrored)[0]
    return square


def _filled(num: int, pairs: list[tuple[int, int]], values: Any, diagonal: float) -> np.ndarray:
    square = np.full((num, num), diagonal, float)
    for (i, j), value in zip(pairs, values, strict=True):
        square[i, j] = square[j, i] = value
    return square


def _discordant(num: int, pairs: list[tuple[int, int]], found: list[PairedResult]) -> np.ndarray:
    square = np.zeros((num, num), int)
    for (i, j), pair in zip(pairs, found, strict=True):
        square[i, j], square[j, i] = pair.discordant[0]
    return square
