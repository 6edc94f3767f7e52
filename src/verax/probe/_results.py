"""What a probe answers: named results, arrays in NumPy."""

import enum
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number with its uncertainty.

    Attributes
    ----------
    value, standard_error, lower, upper : float
        The interval has the probe's ``level``.
    """

    value: float
    standard_error: float
    lower: float
    upper: float


class PerClass(NamedTuple):
    """Leave-one-out errors by true class; arrays [C] in the order of ``classes``.

    Attributes
    ----------
    classes
        Labels.
    num_examples : int
        Examples of the class.
    error
        Share of them that the fit to all other examples gets wrong.
    lower, upper
        Wilson intervals.
    """

    classes: np.ndarray
    num_examples: np.ndarray
    error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Forecast(NamedTuple):
    """A learning curve; arrays of the shape of ``num_samples``.

    Attributes
    ----------
    num_samples
        Training examples, ``n'``.
    value
        0-1 error on new data of a probe fitted to ``n'`` examples (regression: mean squared error, summed over
        targets).
    lower, upper
        Band of the probe's ``level``.
    risk
        Squared risk that the theory gives, on one-hot labels for a classifier.
    extrapolated : bool
        Where the theory had to continue power laws below the smallest effective ridge that this sample shows.
    """

    num_samples: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    risk: np.ndarray
    extrapolated: np.ndarray


class NeedStatus(enum.IntEnum):
    """What `RidgeProbe.samples_needed` found."""

    REACHED = 0
    NOT_REACHABLE = 1
    BEYOND_HORIZON = 2


class SamplesNeeded(NamedTuple):
    """How many examples would be enough.

    Attributes
    ----------
    status : NeedStatus
        REACHED, NOT_REACHABLE (the asymptote lies above the target) or BEYOND_HORIZON (more than 1,000 times the
        examples at hand: the number is a lower bound).
    num_samples : float
        Infinite where it is not reachable.
    lower, upper : float
        Where the band's ends reach the target; infinite where they do not within the horizon.
    asymptote : float
        Error with these features and unlimited examples.
    target : float
        What was asked for.
    """

    status: NeedStatus
    num_samples: float
    lower: float
    upper: float
    asymptote: float
    target: float

    @property
    def message(self) -> str:
        """The answer in a sentence."""
        if self.status == NeedStatus.NOT_REACHABLE:
            return f"{self.target:.4g} is not reachable with these features: they end at {self.asymptote:.4g}"
        if self.status == NeedStatus.BEYOND_HORIZON:
            return f"more than {self.num_samples:,.0f} examples for {self.target:.4g}"
        high = "beyond the horizon" if np.isinf(self.upper) else f"{self.upper:,.0f}"
        return f"about {self.num_samples:,.0f} examples ({self.lower:,.0f} to {high}) for {self.target:.4g}"


class LawStatus(enum.IntEnum):
    """Whether the forecasts may be believed: the first reason against it."""

    OK = 0
    TOO_FEW_SAMPLES = 1
    DUPLICATES = 2
    DEPENDENT_ROWS = 3
    UNEQUAL_LEVERAGE = 4
    INCONSISTENT_DIMENSION = 5
    BACKTEST_MISSED = 6


class ProbeLaw(NamedTuple):
    """Diagnostics of the assumptions behind the estimates and the forecasts.

    Attributes
    ----------
    status : LawStatus
        OK, or the first reason not to believe the forecasts.
    duplicates : int
        Rows that are an exact copy of an earlier row.
    near_duplicate_share : float
        Share of the checked rows that have a near-copy (exact copies included) among all rows.
    num_checked : int
        Rows checked for near-copies, all of them up to 2,000.
    row_correlation, row_score : float
        Correlation of leave-one-out residuals of consecutive rows, class means removed; and in standard errors of
        independent rows.
    label_order_score : float
        How much more often than by chance consecutive rows have the same label (regression: similar targets), in
        standard errors.
    gcv_loo_gap : float
        ``gcv / loo - 1`` at the chosen ridge.
    leverage_dispersion : float
        Standard deviation over mean of ``1 - H_ii`` at the chosen ridge.
    dimension_gap : float
        Largest ``|df1(half) / df1(all) - 1|`` at the same effective ridge, that of the fit or larger, over halves and
        quarters; NaN where it could not be compared.
    backtest : float
        What the halves of the data forecast for all of it.
    backtest_miss : float
        ``backtest`` minus the leave-one-out error (regression: relative to the leave-one-out risk); NaN where there
        were too few examples.
    """

    status: LawStatus
    duplicates: int
    near_duplicate_share: float
    num_checked: int
    row_correlation: float
    row_score: float
    label_order_score: float
    gcv_loo_gap: float
    leverage_dispersion: float
    dimension_gap: float
    backtest: float
    backtest_miss: float

    @property
    def message(self) -> str:
        """What the status means and what to do."""
        return _LAW_MESSAGES[self.status]


_LAW_MESSAGES = {
    LawStatus.OK: "nothing speaks against the forecasts",
    LawStatus.TOO_FEW_SAMPLES: "too few examples (fewer than 64, or for this error) to promise that forecasts at four "
    "times as many are within 2 points: their standard error is over 1 point, or that of the error now over 1.2 "
    "(regression: 10 % of the risk); read the band, or label more examples",
    LawStatus.DUPLICATES: "over 1 % of the rows are copies or near-copies of others: every error is too small; remove "
    "or group them",
    LawStatus.DEPENDENT_ROWS: "neighbouring rows have similar residuals (frames of one video, sentences of one text, "
    "one writer's digits): the error on new groups is larger than leave-one-out says; keep one row a group, or hold "
    "whole groups out",
    LawStatus.UNEQUAL_LEVERAGE: "generalized cross-validation and leave-one-out differ by over 15 %: rows of very "
    "different size or difficulty; the error stands (it is leave-one-out), the forecasts do not",
    LawStatus.INCONSISTENT_DIMENSION: "halves and quarters of the data see another effective dimension at the same "
    "effective ridge: the deterministic equivalent does not hold, so forecasts are not to be trusted",
    LawStatus.BACKTEST_MISSED: "halves of the data, asked for the error at the present size, missed it by over 2 "
    "points (regression: 10 %): forecasts from here would miss likewise",
}


class IndependenceCheck(NamedTuple):
    """Whether the features were trained on these labels, by fresh data.

    Attributes
    ----------
    p_value : float
        Of the hypothesis that fresh examples are no harder than left-out ones, one-sided: small means that the features
        (or their preprocessing) have seen the labels of the fit, or that the fresh data are from elsewhere.
    loo_risk, fresh_risk, standard_error : float
        Mean squared errors, and the standard error of their difference.
    loo_error, fresh_error : float
        0-1 errors; NaN for regression.
    num_fresh : int
        Fresh examples.
    """

    p_value: float
    loo_risk: float
    fresh_risk: float
    standard_error: float
    loo_error: float
    fresh_error: float
    num_fresh: int


class Comparison(NamedTuple):
    """Two representations of the same examples, paired; negative differences favour the probe that was asked.

    Attributes
    ----------
    difference, standard_error, lower, upper, p_value : float
        Of the leave-one-out errors (regression: risks) at the present number of examples, this minus the other; normal
        approximation of the mean of paired differences.
    num_samples, curve, other_curve : arrays
        Both forecasts on one grid, empty where a probe has none.
    crossing : float
        Examples beyond which the forecasts change places; NaN where they do not on the grid.
    """

    difference: float
    standard_error: float
    lower: float
    upper: float
    p_value: float
    num_samples: np.ndarray
    curve: np.ndarray
    other_curve: np.ndarray
    crossing: float
