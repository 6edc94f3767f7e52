"""The spectrum of a kernel from its features: by singular values, or in one pass over rows."""

from typing import Any

import numpy as np
from jaxtyping import Float

from verax._arrays import effective_eps, to_host
from verax._errors import check
from verax._types import AnyArray

from ._checks import RANGE, check_center, read_targets
from ._moments import streamed_spectrum
from ._spectrum import Spectrum, assemble, centered_targets, check_concrete


def feature_spectrum(
    features: Float[AnyArray, "n p"],
    targets: Float[AnyArray, "n"] | Float[AnyArray, "n C"],
    *,
    center: bool = True,
    keep_eigenvectors: bool = True,
    block_rows: int | None = None,
) -> Spectrum:
    r"""Spectrum of ``features @ features.T`` without forming it: the way in for many samples and few features.

    The features must be independent of these labels: features of a network trained on these very examples make every
    estimate too small.

    Parameters
    ----------
    features : [n, p]
        Rows ``phi(x_i)``.
    targets : [n] or [n, C]
        Real targets; class labels as one-hot columns.
    center
        Fit an unpenalised intercept.
    keep_eigenvectors
        Keep ``U`` (``8 n min(n, p)`` bytes) for leave-one-out errors and leverages.
    block_rows
        Read the features so many rows at a time, once, and hold their ``p x p`` second moments alone: for memory-mapped
        files and n >> p. Nothing is kept then, so ``keep_eigenvectors`` must be False.

    Returns
    -------
    Spectrum
        As from `kernel_spectrum`; the null space holds ``n - rank`` directions (one fewer with an intercept).

    Raises
    ------
    ValueError
        For shapes, dtypes or values that are not as described, or features that are constant after centring.

    Notes
    -----
    A singular value decomposition in float64 on the host, about ``6 n p min(n, p)`` flops; with ``block_rows`` ``2 n
    p^2``, and the precision of `moment_spectrum`.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> features = np.random.default_rng(0).normal(size=(200, 5))
    >>> vs.feature_spectrum(features, features[:, 0]).rank
    5
    """
    if block_rows is not None:  # a file may be larger than memory: looked at block by block
        return _in_blocks(features, targets, center=center, keep_eigenvectors=keep_eigenvectors, block_rows=block_rows)
    check_concrete("features", features, targets)
    given = to_host("features", features, shape=("n", "p"), dtype="any", within=RANGE)
    # Narrow floats are the features that they are; only the arithmetic behind single precision has rounding of its own.
    given = given if given.dtype.itemsize >= 4 or given.dtype.kind in "iub" else given.astype(np.float32)
    x, num_samples = given.astype(np.float64), len(given)
    y = centered_targets(read_targets(targets, num_samples), center=bool(center))
    check_center(center, num_samples, "features")
    size = float(np.sum(x**2)) / num_samples  # the trace of K / n before centring bounds its largest eigenvalue
    eps = effective_eps(given)
    if center:
        x -= x.mean(0)
    if x.shape[1] > num_samples:  # x = R^T Q^T has the left singular vectors of R^T, and Q is not needed
        x = np.asarray(np.linalg.qr(x.T, mode="r")).T
    vectors, singular, _ = np.linalg.svd(x, full_matrices=False)
    values = singular**2 / num_samples
    # Rounding moves a singular value by at most its norm times eps, hence an eigenvalue l by about sqrt(l l_max) eps:
    # small eigenvalues come out far better than from the Gram matrix. The tolerance is that error for l = tolerance.
    floor = size * (8 * eps) ** 2 if eps > 1e-10 else size * (max(given.shape) * eps) ** 2
    spectrum = assemble(values, vectors.T @ y, vectors, y, center=bool(center), floor=floor, argument="features")
    return spectrum if keep_eigenvectors else spectrum.without_eigenvectors()


def _in_blocks(features: Any, targets: Any, *, center: Any, keep_eigenvectors: bool, block_rows: int) -> Spectrum:
    check(not keep_eigenvectors, "keep_eigenvectors", "True, with block_rows", "False: nothing is held whole")
    two = hasattr(features, "shape") and len(features.shape) == 2
    features = features if two else to_host("features", features, shape=("n", "p"), dtype="any")
    num_samples = features.shape[0]
    y = centered_targets(read_targets(targets, num_samples), center=bool(center))
    check_center(center, num_samples, "features")
    return streamed_spectrum(features, y, center=bool(center), block_rows=block_rows)
