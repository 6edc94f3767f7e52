"""Number of prompts that a comparison needs, before the run."""

import math

from verax import _special as special
from verax._arrays import to_number
from verax._errors import check

from ._numeric import take_count, take_level
from ._quantiles import normal_quantile

_MOST = 10**9


def prompts_needed(
    difference: float,
    *,
    discordant: float | None = None,
    standard_deviation: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
    num_comparisons: int = 1,
) -> int:
    r"""Number of prompts with which a paired comparison finds a difference of this size.

    .. math:: n = \Bigl( \frac{z_{1 - \alpha/2} \sqrt{\psi} + z_{\text{power}} \sqrt{\psi - d^2}}{d} \Bigr)^2

    for single verdicts that disagree on a share :math:`\psi` of the prompts; and
    :math:`n = ((z_{1 - \alpha/2} + z_{\text{power}})\, \sigma / d)^2` for prompt means over several samples, whose
    differences have the standard deviation :math:`\sigma`.

    Parameters
    ----------
    difference
        Difference ``d`` of the two rates, in (0, 1).
    discordant
        Share of prompts on which the two models' verdicts differ, at least ``difference``; from a pilot, or from models
        like these. By default 0.5, which is more than most pairs of models show.
    standard_deviation
        Standard deviation of the differences of prompt means instead (``standard_error * sqrt(num_units)`` of a pilot).
    power
        Probability of finding the difference, in (0, 1).
    level
        One minus the error of the two-sided test, in (0, 1).
    num_comparisons
        Number of pairs or attacks that are tested at once (Bonferroni).

    Returns
    -------
    int
        Prompts, or clusters of them, at least 6: fewer single verdicts cannot reach p < .05.

    Raises
    ------
    ValueError
        For numbers outside these ranges, or both kinds of variation.

    Examples
    --------
    >>> from verax.evals import prompts_needed
    >>> prompts_needed(0.05, discordant=0.2), prompts_needed(0.05, standard_deviation=0.25)
    (626, 197)

    References
    ----------
    Miettinen (1968), The matched pairs design in the case of all-or-none responses; Miller (2024), Adding error bars to
    evals.
    """
    d = to_number("difference", difference, "(0, 1)")
    power, level = to_number("power", power, "(0, 1)"), take_level(level)
    pairs = take_count("num_comparisons", num_comparisons)
    one_kind = discordant is None or standard_deviation is None
    check(one_kind, "standard_deviation", "one beside discordant", "one of the two")
    alpha, z_power = (1 - level) / pairs, float(special.ndtri(power))
    z = normal_quantile(alpha / 2)
    if standard_deviation is not None:
        sigma = to_number("standard_deviation", standard_deviation, "(0, 1]")
        number = ((z + z_power) * sigma / d) ** 2
    else:
        psi = to_number("discordant", max(0.5, d) if discordant is None else discordant, "(0, 1]")
        check(psi >= d, "discordant", psi, f"at least the difference, {d}")
        number = ((z * math.sqrt(psi) + z_power * math.sqrt(max(psi - d * d, 0))) / d) ** 2
    fewest = math.ceil(1 - math.log2(alpha))  # 2 * (1/2)^n is the least p-value of n prompts that all agree
    check(number < _MOST, "difference", d, "a difference that fewer than a billion prompts show")
    return max(math.ceil(number), fewest)
