"""One message per client: sums that determine the pooled ridge regression, and its risk, exactly."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from verax._arrays import to_host, to_integer, to_number
from verax._errors import check, fail
from verax._results import result
from verax._types import AnyArray
from verax.spectral import RiskPath, Spectrum, risk_path

from ._options import check_number
from ._standardize import check_features, check_targets


@result()
class Statistics(NamedTuple):
    """Sums over examples; those of several clients add up.

    Attributes
    ----------
    gram : [m, m]
        ``Phi^T Phi``.
    cross : [m, C]
        ``Phi^T Y``.
    target_square : float
        ``sum Y^2``.
    num_examples : int
        ``N``.
    """

    gram: np.ndarray
    cross: np.ndarray
    target_square: float
    num_examples: int

    @property
    def message_bytes(self) -> int:
        """Bytes that a client sends: half of the symmetric matrix, with its diagonal, and the rest."""
        m = len(self.gram)
        return (m * (m + 1) // 2 + self.cross.size) * self.gram.itemsize + 16


@result()
class RidgeFit(NamedTuple):
    """Ridge regression from statistics.

    Attributes
    ----------
    coefficients : [m, C]
        Float64.
    ridge : float
        1/n-normalised.
    path : RiskPath or None
        The estimates that chose the ridge; None where it was given.
    """

    coefficients: np.ndarray
    ridge: float
    path: RiskPath | None


def client_statistics(
    features: Float[AnyArray, "K n m"], targets: Float[AnyArray, "K n C"], mask: Bool[AnyArray, "K n"]
) -> list[Statistics]:
    r"""Message of each client in the one-shot method: ``Phi_i^T Phi_i``, ``Phi_i^T Y_i``, ``sum Y_i^2``, ``n_i``.

    Parameters
    ----------
    features : [K, n, m]
        Features of each client's examples.
    targets : [K, n, C]
        For classes, ``onehot - 1/C``.
    mask : [K, n]
        Which rows are examples.

    Returns
    -------
    list of Statistics
        One per client, float64.

    Raises
    ------
    ValueError
        For shapes that do not fit, a client without data, or non-finite values.

    Notes
    -----
    ``2 N m^2`` flops, in float64 on the host, or in the features' dtype on an accelerator. Their sum is the same for
    every division of the examples among clients, up to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import client_statistics, fit_ridge, total_statistics
    >>> features = np.arange(12.0).reshape(3, 2, 2)
    >>> total = total_statistics(client_statistics(features, features[:, :, :1], np.ones((3, 2), bool)))
    >>> fit_ridge(total, 0.0).coefficients.round(6).tolist(), total.num_examples
    ([[1.0], [0.0]], 6)
    """
    phi, keep = check_features(features, mask)
    targets = check_targets(targets, keep)
    on_device = isinstance(phi, jax.Array) and all(device.platform != "cpu" for device in phi.devices())
    result = []
    for client in range(len(keep)):
        if on_device:
            rows = phi[client][keep[client]]
            y = jnp.asarray(targets)[client][keep[client]].astype(rows.dtype)
            with jax.default_matmul_precision("highest"):
                gram, cross = np.asarray(rows.T @ rows, np.float64), np.asarray(rows.T @ y, np.float64)
        else:
            rows = np.asarray(phi[client])[keep[client]].astype(np.float64)
            y = np.asarray(targets[client])[keep[client]].astype(np.float64)
            gram, cross = rows.T @ rows, rows.T @ y
        result.append(Statistics(gram, cross, float(np.sum(np.asarray(y, np.float64) ** 2)), int(keep[client].sum())))
    return result


def total_statistics(parts: list[Statistics], *, without: list[Statistics] | tuple[Statistics, ...] = ()) -> Statistics:
    """Add clients up; subtract those ``without`` whom the model is to be.

    A client that leaves is forgotten exactly by the linear model; features that were trained with its data still hold
    its influence.

    Parameters
    ----------
    parts
        Statistics to add.
    without
        Statistics to subtract.

    Returns
    -------
    Statistics

    Raises
    ------
    ValueError
        If there is none to add, or fewer examples than are taken away; for sums that are not finite or of different
        shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import Statistics, total_statistics
    >>> one = Statistics(np.eye(2), np.ones((2, 1)), 1.0, 3)
    >>> total_statistics([one, one], without=[one]).num_examples
    3
    """
    check(len(parts) > 0, "parts", "none", "the statistics of at least one client")
    signed = [(1, _read("parts", part)) for part in parts] + [(-1, _read("without", part)) for part in without]
    shapes = {(part.gram.shape, part.cross.shape) for _, part in signed}
    check(len(shapes) == 1, "parts", f"sums of shapes {sorted(shapes)}", "statistics of the same features and targets")
    count = sum(sign * part.num_examples for sign, part in signed)
    check(count > 0, "without", f"{count} examples left", "at least one")
    return Statistics(
        sum(sign * part.gram for sign, part in signed),  # pyright: ignore[reportArgumentType]
        sum(sign * part.cross for sign, part in signed),  # pyright: ignore[reportArgumentType]
        float(sum(sign * part.target_square for sign, part in signed)),
        count,
    )


def statistics_spectrum(statistics: Statistics) -> Spectrum:
    r"""Spectrum of the pooled kernel from the summed statistics: all that generalized cross-validation needs.

    With ``G / N = V diag(l) V^T`` the targets' energy along eigenvector j of the kernel is ``||V_j^T b||^2 / (N l_j)``,
    and what is left of ``sum Y^2`` lies in its null space.

    Parameters
    ----------
    statistics
        Statistics of all clients, from `total_statistics`.

    Returns
    -------
    Spectrum
        For `verax.spectral.risk_path`; without eigenvectors and without intercept.

    Raises
    ------
    ValueError
        If the matrix is not positive semi-definite or vanishes.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> from verax.federated import client_statistics, statistics_spectrum, total_statistics
    >>> features = np.random.default_rng(0).normal(size=(2, 30, 4))
    >>> targets = features[:, :, :1] + np.random.default_rng(1).normal(size=(2, 30, 1))
    >>> total = total_statistics(client_statistics(features, targets, np.ones((2, 30), bool)))
    >>> pooled = vs.feature_spectrum(features.reshape(60, 4), targets.reshape(60, 1), center=False)
    >>> both = [vs.risk_path(spectrum, 0.1).gcv for spectrum in (statistics_spectrum(total), pooled)]
    >>> bool(np.allclose(*both, rtol=1e-12))
    True
    """
    return _decompose(_read("statistics", statistics))[0]


def fit_ridge(
    statistics: Statistics, ridge: str | float | int = "gcv", *, ridges: Float[AnyArray, "L"] | None = None
) -> RidgeFit:
    r"""Ridge regression on the pooled data, from the clients' sums.

    .. math::
        \theta = (G / N + \lambda I)^{-1} b / N, \qquad G = \sum_i \Phi_i^\top \Phi_i, \quad b = \sum_i \Phi_i^\top Y_i

    Parameters
    ----------
    statistics
        Statistics of all clients, from `total_statistics`.
    ridge
        1/n-normalised, >= 0 (0: the solution of least norm), or "gcv": the one of the smallest generalized
        cross-validation, which is a function of the same sums: no validation data and no further message.
    ridges : [L]
        Candidates for "gcv"; chosen from the spectrum by default.

    Returns
    -------
    RidgeFit

    Raises
    ------
    ValueError
        For a ridge that is negative, or statistics that are not of features.

    Notes
    -----
    "gcv" takes one symmetric eigendecomposition, about ``9 m^3`` flops; a given ridge above the rounding of the sums
    takes one Cholesky factorisation, ``m^3 / 3``. The *value* of the estimated risk is too small where a
    network behind the features was trained on these labels; the ridge it picks is still useful.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import client_statistics, fit_ridge, total_statistics
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(4, 50, 20))
    >>> targets = features[:, :, :1] + 2 * rng.normal(size=(4, 50, 1))
    >>> fit = fit_ridge(total_statistics(client_statistics(features, targets, np.ones((4, 50), bool))))
    >>> 0.01 < fit.ridge < 10, fit.coefficients.shape
    (True, (20, 1))
    """
    path, statistics = None, _read("statistics", statistics)
    if isinstance(ridge, str):
        check(ridge == "gcv", "ridge", repr(ridge), "'gcv' or a number >= 0")
    else:
        check_number("ridge", ridge, minimum=0.0)
        coefficients = _by_cholesky(*_moments(statistics), float(ridge))
        if coefficients is not None:
            return RidgeFit(coefficients, float(ridge), None)
    spectrum, values, vectors, projected = _decompose(statistics)
    if isinstance(ridge, str):
        path = risk_path(spectrum, ridges)
        ridge = path.best_ridge
    kept = values > spectrum.precision_floor
    inverse = np.where(kept, 1 / (np.where(kept, values, 1.0) + float(ridge)), 0.0)
    return RidgeFit(vectors @ (inverse[:, None] * projected), float(ridge), path)


def _by_cholesky(covariance: np.ndarray, cross: np.ndarray, ridge: float) -> np.ndarray | None:
    """Solve, or None where the ridge is too small to make up for rounding or for what is not positive semi-definite."""
    # The trace bounds the largest eigenvalue.
    if not ridge > 1e3 * len(covariance) * np.finfo(np.float64).eps * max(float(np.trace(covariance)), 0.0):
        return None
    try:
        factor = scipy.linalg.cho_factor(covariance + ridge * np.eye(len(covariance)), lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return None
    return scipy.linalg.cho_solve(factor, cross, check_finite=False)


def _read(argument: str, statistics: Any) -> Statistics:
    """Statistics in double precision, after checks."""
    kind = type(statistics).__name__
    check(isinstance(statistics, Statistics), argument, kind, "Statistics, from client_statistics or total_statistics")
    gram = to_host(f"{argument}.gram", statistics.gram, finite=False)
    cross = to_host(f"{argument}.cross", statistics.cross, finite=False)
    square = gram.ndim == 2 and gram.shape[0] == gram.shape[1] and cross.ndim == 2 and len(cross) == len(gram)
    check(square, argument, f"gram {gram.shape} and cross {cross.shape}", "[m, m] and [m, C]")
    check(bool(np.isfinite(gram).all() and np.isfinite(cross).all()), argument, "non-finite sums", "finite ones")
    largest = max(float(np.abs(part).max(initial=0)) for part in (gram, cross))
    check(largest < 1e150, argument, f"a sum of size {largest:.3g}", "sums below 1e150, whose squares do not overflow")
    return Statistics(
        gram,
        cross,
        to_number(f"{argument}.target_square", statistics.target_square),
        to_integer(f"{argument}.num_examples", statistics.num_examples, minimum=1),
    )


def _moments(statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """``G / N`` and ``b / N``."""
    return statistics.gram / statistics.num_examples, statistics.cross / statistics.num_examples


def _decompose(statistics: Statistics) -> tuple[Spectrum, np.ndarray, np.ndarray, np.ndarray]:
    """Spectrum; eigenvalues of ``G / N``, eigenvectors, ``V^T b / N``."""
    covariance, cross = _moments(statistics)
    count = statistics.num_examples
    values, vectors = np.linalg.eigh(covariance)
    floor = len(covariance) * np.finfo(np.float64).eps * float(values[-1])
    if not values[-1] > 0 or values[0] < -1e3 * floor:
        fail(
            "statistics",
            f"eigenvalues of G/N from {values[0]:.3g} to {values[-1]:.3g}",
            "a positive semi-definite matrix",
        )
    floor = max(floor, -2 * float(values[0]))
    projected = vectors.T @ cross
    order = np.argsort(values)[::-1]
    rank = min(int(np.sum(values > floor)), count)
    kept = order[:rank]
    energy = count * np.sum(projected[kept] ** 2, axis=1) / values[kept]
    spectrum = Spectrum(
        eigenvalues=values[kept],
        target_energy=energy,
        num_samples=count,
        num_targets=cross.shape[1],
        centered=False,
        rank=rank,
        null_count=float(count - rank),
        # The difference of two sums; where the features explain everything only its rounding is left.
        null_energy=max(statistics.target_square - float(energy.sum()), 0.0) if rank < count else 0.0,
        precision_floor=floor,
    )
    return spectrum, values, vectors, projected
