r"""The link between the squared risk, which the theory forecasts, and the error that is asked for.

A link is a straight line in coordinates in which errors and risks fall alike, with a normal prior on its parameters. It
is fitted to the leave-one-out error of the whole sample and to the errors that fits to halves, quarters and eighths of
the rows make on the rows left out.

Two classes. With normal scores, the share ``q`` of the targets' variance that is explained determines the error of the
rule "score above one half": ``e(q) = p_1 \Phi((p_2 (1 - q) - 1/2) / s) + p_2 \Phi((1/2 - p_2 - p_1 q) / s)``, ``s^2 = q
(1 - q) p_1 p_2``. The coordinate is the logit of ``q``, and the prior holds the line near the identity.

Several classes, or several labels per row. Logarithms, with a power of the number of samples beside the power of the
risk: the classes differ, and so do their scores from normal ones.

Regression. Logarithms; the line has slope near 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

_LOGITS = np.linspace(-12.0, 12.0, 961)
_LARGEST_FACTOR = 64.0
"""Sample sizes beyond this factor no longer count in the power of the number of samples."""


class Prior(NamedTuple):
    """Prior of a link's parameters (level first), and the theory's error per factor of four and per unit of change."""

    mean: tuple[float, ...]
    standard_deviation: tuple[float, ...]
    per_step: float
    per_change: float


# Chosen before the benchmark, on other draws of data that are partly the same, so that bands hold the truth.
TWO_CLASSES = Prior((0.0, 1.0), (0.2, 0.15), 0.02, 0.2)
SEVERAL_CLASSES = Prior((0.0, 0.8, 0.15), (1e3, 0.6, 0.1), 0.04, 0.45)
REGRESSION = Prior((0.0, 1.0), (1e3, 0.3), 0.03, 0.3)


class Link(NamedTuple):
    """Coordinates of errors and of risks."""

    prior: Prior
    null_risk: float
    """Risk of the mean alone."""
    class_shares: np.ndarray
    """[2] for two classes; empty otherwise."""
    num_samples: float

    @property
    def most(self) -> float:
        """Largest error that a fit to unlimited examples would make."""
        return float(self.class_shares.min()) if len(self.class_shares) else np.inf

    def from_error(self, error: np.ndarray) -> np.ndarray:
        """Coordinate of an error."""
        if not len(self.class_shares):
            return np.log(error)
        table = self._errors()
        return np.interp(-np.clip(error, table[-1], 0.985 * table[0]), -table, _LOGITS)

    def to_error(self, coordinate: np.ndarray) -> np.ndarray:
        """Error at a coordinate."""
        if not len(self.class_shares):
            return np.exp(coordinate)
        return np.interp(coordinate, _LOGITS, self._errors())

    def from_risk(self, risk: np.ndarray) -> np.ndarray:
        """Coordinate of a risk, up to the line."""
        if not len(self.class_shares):
            return np.log(np.maximum(risk / self.null_risk, 1e-12))
        return logit(np.clip(1 - risk / self.null_risk, 0.004, 0.98))

    def design(self, risk: np.ndarray, num_samples: np.ndarray) -> np.ndarray:
        """Columns of the line's parameters, [S, 2 or 3]."""
        columns = [np.ones(len(risk)), self.from_risk(risk)]
        if len(self.prior.mean) == 3:
            columns.append(-np.log(np.minimum(num_samples / self.num_samples, _LARGEST_FACTOR)))
        return np.stack(columns, axis=1)

    def slope(self, error: np.ndarray) -> np.ndarray:
        """Change of the coordinate per relative change of the error."""
        return _log_slope(self.from_error, np.minimum(error, 0.93 * self.most))

    def _errors(self) -> np.ndarray:
        """Errors of normal scores at the logits, descending."""
        first, second = np.sort(self.class_shares)[::-1]
        q = expit(_LOGITS)
        spread = np.sqrt(q * (1 - q) * first * second)
        found = first * norm.cdf((second * (1 - q) - 0.5) / spread) + second * norm.cdf(
            (0.5 - second - first * q) / spread
        )
        return np.minimum.accumulate(np.maximum(found, 1e-12)) - 1e-14 * np.arange(len(q))


def _log_slope(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    return np.abs(function(at * 1.05) - function(at * 0.95)) / 0.1


class FittedLine(NamedTuple):
    """Posterior of the line's parameters."""

    mean: np.ndarray
    covariance: np.ndarray


def fit_line(
    prior: Prior, design: np.ndarray, coordinates: np.ndarray, covariance: np.ndarray, *, center: np.ndarray
) -> FittedLine:
    """Normal posterior of the line through points [S] with a covariance; the prior's level holds at ``center``."""
    inverse = np.linalg.inv(covariance)
    mean = np.array(prior.mean)
    mean[0] += center @ mean[1:]
    shifted = design - np.concatenate([[0.0], center])
    precision = shifted.T @ inverse @ shifted + np.diag(1 / np.array(prior.standard_deviation) ** 2)
    start = np.diag(1 / np.array(prior.standard_deviation) ** 2) @ mean
    found = np.linalg.solve(precision, shifted.T @ inverse @ coordinates + start)
    # More examples do not make errors larger.
    found[1:] = np.maximum(found[1:], 0.0)
    return FittedLine(found, np.linalg.inv(precision))
