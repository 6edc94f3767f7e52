"""Checks of the random-matrix law behind generalized cross-validation, from the training sample alone."""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from verax._errors import check
from verax._numpy_random import numpy_generator
from verax._results import raise_if_failed, result
from verax._types import AnyArray

from ._checks import read_kernel, read_targets
from ._kernel_spectrum import kernel_spectrum
from ._learning_curve import lowest_ridge
from ._resolvent import population_curve
from ._risk_path import risk_path
from ._spectrum import Spectrum, check_concrete

# Relative to the full sample's df1, at df1 >= 10: Gaussian features stay below .06 from n = 100 and below .02 from n =
# 400.
_DIMENSION_TOLERANCE = 0.1
# Squared distance below this share of the pair's squared distances from the mean: copies, not neighbours.
_DUPLICATE_SHARE = 1e-3
# A few copies among many samples bias nothing.
_DUPLICATES_ALLOWED = 0.01


class Status(enum.IntEnum):
    """Outcome of `law_check`, the first that applies."""

    OK = 0
    DUPLICATES = 1
    UNEQUAL_LEVERAGE = 2
    INCONSISTENT_DIMENSION = 3


_MESSAGES = {
    Status.OK: "no violation found",
    Status.DUPLICATES: "near-duplicate samples: generalized cross-validation and leave-one-out are both too small; "
    "remove or group them",
    Status.UNEQUAL_LEVERAGE: "GCV and leave-one-out differ by over two standard errors at some ridges: samples have "
    "unequal leverage (rows of very different size); prefer leave-one-out there",
    Status.INCONSISTENT_DIMENSION: "subsamples see another effective dimension at the same effective ridge: the "
    "deterministic equivalent does not hold, so learning curves are not to be trusted",
}


@result(_MESSAGES)
class LawReport(NamedTuple):
    """Diagnostics of the random-matrix law.

    Attributes
    ----------
    status : int array
        A `Status`.
    ridge : [L]
        Ridges at which GCV and leave-one-out were compared.
    gcv_loo_gap : [L]
        ``gcv / loo - 1``.
    gcv_loo_score : [L]
        ``(gcv - loo) / standard_error``.
    leverage_dispersion : [L]
        Standard deviation over mean of ``1 - H_ii``.
    fractions : [F]
        Subsample fractions.
    dimension_gap : [F]
        Largest ``|df1_sub / df1 - 1|`` over the effective ridges that both samples reach with ``df1 >= 10``; NaN where
        there are none.
    duplicates : int [d, 2]
        Pairs of near-duplicate samples, ``i < j``; the status counts them when they involve over 1 % of the samples.
    """

    status: np.ndarray
    ridge: np.ndarray
    gcv_loo_gap: np.ndarray
    gcv_loo_score: np.ndarray
    leverage_dispersion: np.ndarray
    fractions: np.ndarray
    dimension_gap: np.ndarray
    duplicates: np.ndarray

    raise_if_failed = raise_if_failed

    @property
    def message(self) -> str:
        """Meaning of the status, and the remedy."""
        return _MESSAGES[Status(int(self.status))]


def law_check(
    kernel: Float[AnyArray, "n n"],
    targets: Float[AnyArray, "n *C"],
    *,
    fractions: Sequence[int | float] = (0.25, 0.5),
    center: bool = True,
    key: jax.Array | None = None,
) -> LawReport:
    """Test whether the sample behaves as generalized cross-validation assumes.

    Three tests that need no held-out data: the effective dimension as a function of the effective ridge is the same for
    subsamples as for all; GCV agrees with leave-one-out; no two samples are copies. They cannot see that features
    depend on these labels, as those of a network trained on them do: only fresh data shows that.

    Parameters
    ----------
    kernel : [n, n]
        Gram matrix.
    targets : [n] or [n, C]
        Real targets.
    fractions
        Sizes of the subsamples, each between 0 and 1.
    center
        Fit an unpenalised intercept.
    key
        A ``jax.random.key`` for the subsamples; None takes one fixed permutation.

    Returns
    -------
    LawReport
        ``status`` 0 when nothing was found, and all statistics; ``.message`` explains.

    Raises
    ------
    ValueError
        For bad input, or a fraction that leaves fewer than 3 samples.

    Notes
    -----
    One decomposition of the kernel and one for each fraction. A test passed is no proof: the law is an asymptotic
    statement.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(200, 800)) * np.arange(1, 801) ** -0.7
    >>> targets = features @ rng.normal(size=800)
    >>> vs.law_check(features @ features.T, targets).message
    'no violation found'
    >>> scaled = features * rng.exponential(size=(200, 1)) ** 2
    >>> int(vs.law_check(scaled @ scaled.T, targets).status) > 0
    True
    """
    check_concrete("kernel", kernel, targets)
    kernel = np.asarray(read_kernel(kernel))
    num_samples = len(kernel)
    targets = read_targets(targets, num_samples)
    sizes = [round(float(fraction) * num_samples) for fraction in fractions]
    for fraction, size in zip(fractions, sizes, strict=True):
        check(0 < fraction < 1 and size >= 3, "fractions", f"{fraction} of {num_samples}", "0 < fraction < 1, 3 left")
    rng = np.random.default_rng(0) if key is None else numpy_generator(key)
    order = rng.permutation(num_samples)
    spectrum = kernel_spectrum(kernel, targets, center=center, method="eigh")
    path = risk_path(spectrum)
    loo, dispersion = path.loo, path.leverage_dispersion
    assert loo is not None and dispersion is not None  # noqa: PT018 - eigenvectors were kept
    gaps = []
    for size in sizes:
        chosen = np.sort(order[:size])
        part = kernel_spectrum(
            kernel[np.ix_(chosen, chosen)],
            targets[chosen],
            center=center,
            method="eigh",
            keep_eigenvectors=False,
        )
        gaps.append(_dimension_gap(spectrum, part))
    duplicates = near_duplicates(kernel)
    status = Status.OK
    if len(np.unique(duplicates)) > _DUPLICATES_ALLOWED * num_samples:
        status = Status.DUPLICATES
    elif bool(np.any(np.abs(path.gcv - loo) > 2 * path.standard_error)):
        status = Status.UNEQUAL_LEVERAGE
    elif any(gap > _DIMENSION_TOLERANCE for gap in gaps):
        status = Status.INCONSISTENT_DIMENSION
    return LawReport(
        status=np.array(int(status)),
        ridge=path.ridge,
        gcv_loo_gap=path.gcv / loo - 1,
        gcv_loo_score=(path.gcv - loo) / path.standard_error,
        leverage_dispersion=dispersion,
        fractions=np.array(fractions, np.float64),
        dimension_gap=np.array(gaps),
        duplicates=duplicates,
    )


def near_duplicates(kernel: np.ndarray) -> np.ndarray:
    """Pairs ``[d, 2]`` far closer to each other than to the mean of all."""
    diagonal = np.diagonal(kernel).astype(np.float64)
    n = len(diagonal)
    row = kernel.mean(0, dtype=np.float64)
    from_mean = diagonal - 2 * row + row.mean()
    pairs = []
    step = max(1, 2**22 // n)
    for start in range(0, n, step):
        block = diagonal[start : start + step, None] + diagonal - 2 * kernel[start : start + step].astype(np.float64)
        i, j = np.nonzero(block < _DUPLICATE_SHARE * (from_mean[start : start + step, None] + from_mean))
        pairs.append(np.stack([i + start, j], axis=1)[i + start < j])
    return np.concatenate(pairs)


def _dimension_gap(full: Spectrum, part: Spectrum) -> float:
    top = 10 * float(full.eigenvalues[0])
    curves = []
    for spectrum in (full, part):
        lowest = max(lowest_ridge(spectrum), 1e-10 * top)
        curves.append(population_curve(spectrum, np.geomspace(lowest, top, 300)))
    reference, other = curves
    df1 = np.exp(np.interp(np.log(other.effective_ridge), np.log(reference.effective_ridge), np.log(reference.df1)))
    shared = (other.effective_ridge >= reference.effective_ridge[0]) & (other.df1 >= 10)
    return float(np.max(np.abs(other.df1[shared] / df1[shared] - 1))) if shared.any() else float("nan")
