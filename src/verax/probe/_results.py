"""Results of a probe: named, arrays in NumPy."""

import enum
from typing import NamedTuple

import numpy as np

from verax._results import raise_if_failed, result


@result()
class Estimate(NamedTuple):
    """Number with its uncertainty.

    Attributes
    ----------
    value, standard_error, lower, upper : float
        The interval has the probe's ``level``.
    """

    value: float
    standard_error: float
    lower: float
    upper: float


@result()
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


class ForecastStatus(enum.IntEnum):
    """Whether `RidgeProbe.learning_curve` has a forecast."""

    OK = 0
    NONE = 1


_NO_FORECAST = (
    "no forecast: weights in the fit, fewer than 64 examples, fewer than 16 groups, or parts of the data that cannot "
    "be fitted; .message says which"
)


@result({ForecastStatus.NONE: _NO_FORECAST})
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
        Where the best effective ridge is at or below the smallest one that this sample shows reliably: the risk there
        is an upper estimate, and the band is wide.
    status : ForecastStatus
        OK, or NONE where this fit allows no forecast: ``value``, ``lower``, ``upper`` and ``risk`` are NaN then, and
        ``extrapolated`` is False.
    reason : str
        Why there is no forecast; empty where there is one.
    """

    num_samples: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    risk: np.ndarray
    extrapolated: np.ndarray
    status: ForecastStatus = ForecastStatus.OK
    reason: str = ""

    raise_if_failed = raise_if_failed

    @property
    def message(self) -> str:
        """Whether there is a forecast, and why not."""
        return "a forecast with its band" if self.status == ForecastStatus.OK else f"no forecast: {self.reason}"


class NeedStatus(enum.IntEnum):
    """Outcome of `RidgeProbe.samples_needed`."""

    REACHED = 0
    NOT_REACHABLE = 1
    BEYOND_HORIZON = 2
    UNDECIDED = 3
    NONE = 4


_NEED_SENTENCES = {
    NeedStatus.NOT_REACHABLE: "the whole band ends above the target: other features, or another target",
    NeedStatus.BEYOND_HORIZON: "the band does not reach the target within 1,000 times the examples at hand",
    NeedStatus.UNDECIDED: "only the lower end of the band reaches the target: label more examples and ask again",
    NeedStatus.NONE: _NO_FORECAST,
}


@result(_NEED_SENTENCES)
class SamplesNeeded(NamedTuple):
    """How many examples would be enough, decided by the band.

    Attributes
    ----------
    status : NeedStatus
        REACHED: the whole band falls below the target, between ``lower`` and ``upper`` examples. UNDECIDED: only its
        lower end does, at ``lower``. NOT_REACHABLE: not even its lower end does with unlimited examples.
        BEYOND_HORIZON: not within 1,000 times the examples at hand. NONE: this fit allows no forecast, and all numbers
        that would come from one are NaN.
    num_samples : float
        Where the forecast itself reaches the target; infinite where it does not within the horizon.
    lower, upper : float
        Where the band's ends reach the target; infinite where they do not within the horizon.
    asymptote, asymptote_lower, asymptote_upper : float
        Error with these features and unlimited examples, and the band there.
    target : float
        The error that was asked for.
    num_samples_now : int
        Examples of the fit.
    reason : str
        Why there is no forecast; empty where there is one.
    """

    status: NeedStatus
    num_samples: float
    lower: float
    upper: float
    asymptote: float
    asymptote_lower: float
    asymptote_upper: float
    target: float
    num_samples_now: int
    reason: str = ""

    raise_if_failed = raise_if_failed

    @property
    def message(self) -> str:
        """The answer in a sentence."""
        if self.status == NeedStatus.NONE:
            return f"no forecast: {self.reason}"
        target, ends = f"{self.target:.4g}", f"between {self.asymptote_lower:.3g} and {self.asymptote_upper:.3g}"
        if self.status == NeedStatus.NOT_REACHABLE:
            return f"{target} is not reachable with these features: they end {ends}"
        if self.status == NeedStatus.REACHED and self.upper <= self.num_samples_now:
            return f"{target} is reached with the {self.num_samples_now:,} examples at hand"
        if self.status == NeedStatus.REACHED:
            return (
                f"between {self.lower:,.0f} and {self.upper:,.0f} examples for {target} (about {self.num_samples:,.0f})"
            )
        start = f"{target} not before {self.lower:,.0f} examples"
        if self.lower <= self.num_samples_now:
            start = f"{target} may be reached already"
        if np.isfinite(self.num_samples) and self.status == NeedStatus.UNDECIDED:
            start += f" (about {self.num_samples:,.0f} examples by the forecast itself)"
        if self.status == NeedStatus.BEYOND_HORIZON:
            return start
        return f"{start}, or never: with these features the error ends {ends}"


class LawStatus(enum.IntEnum):
    """Whether the forecasts may be believed within two points: the first reason against it."""

    OK = 0
    TOO_FEW_SAMPLES = 1
    DUPLICATES = 2
    DEPENDENT_ROWS = 3
    UNEQUAL_LEVERAGE = 4
    INCONSISTENT_DIMENSION = 5
    BACKTEST_MISSED = 6
    ERROR_TOO_HIGH = 7
    EXTRAPOLATED = 8
    UNSTABLE = 9


_LAW_SENTENCES = {
    LawStatus.OK: "nothing speaks against the forecasts",
    LawStatus.TOO_FEW_SAMPLES: "too few labelled examples now for a forecast within 2 points (regression: 10 %); the "
    "band holds, so decide by the band or label more",
    LawStatus.DUPLICATES: "over 1 % of the rows are copies or near-copies of others, so every error is too small; "
    "remove them, or pass groups=",
    LawStatus.DEPENDENT_ROWS: "neighbouring rows have similar residuals (frames of one video, sentences of one text), "
    "so the error on new groups is larger than leave-one-out says; pass groups=",
    LawStatus.UNEQUAL_LEVERAGE: "generalized cross-validation and leave-one-out differ by over 15 % (rows of very "
    "different size or difficulty); the error stands, the forecasts do not",
    LawStatus.INCONSISTENT_DIMENSION: "halves and quarters of the data see another effective dimension at the same "
    "effective ridge, so the theory behind the forecasts does not hold here",
    LawStatus.BACKTEST_MISSED: "halves of the data, asked for the error at the present size, missed it by over 2 "
    "points (regression: 10 %), and forecasts from here would miss likewise",
    LawStatus.ERROR_TOO_HIGH: "an error this high cannot be forecast within 2 points (regression: 10 %) from any "
    "number of examples; the band holds, so decide by the band",
    LawStatus.EXTRAPOLATED: "four times the examples would resolve more of the features than this sample shows, so the "
    "forecast is an upper estimate within a wide band; decide by the band or label more",
    LawStatus.UNSTABLE: "parts of the data disagree about the risk at four times the examples by over 15 %; the band "
    "holds, so decide by the band or label more",
}


@result(_LAW_SENTENCES)
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
        Error that the halves of the data forecast for all of it.
    backtest_miss : float
        ``backtest`` minus the leave-one-out error (regression: relative to the leave-one-out risk); NaN where there
        were too few examples.
    forecast_error : float
        Standard error of the forecast at four times the examples (regression: relative).
    risk_spread : float
        Relative standard error of the risk there, from the disagreement of the parts of the data.
    extrapolated : bool
        Whether that forecast rests on effective ridges below those that this sample shows reliably.
    promise_samples : float
        Number of examples at which the standard errors would allow a forecast within 2 points, if they fall as
        ``1 / sqrt(n)``.
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
    forecast_error: float
    risk_spread: float
    extrapolated: bool
    promise_samples: float

    raise_if_failed = raise_if_failed

    @property
    def message(self) -> str:
        """Meaning of the status, and the remedy."""
        text = _LAW_SENTENCES[self.status]
        if self.status == LawStatus.TOO_FEW_SAMPLES and np.isfinite(self.promise_samples):
            text += f" (about {max(self.promise_samples, 64):,.0f} would do)"
        return text


@result()
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


@result()
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
