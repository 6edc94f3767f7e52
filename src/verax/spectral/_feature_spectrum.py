"""The spectrum of a kernel from its features: by singular values, or in one pass over rows."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from verax._errors import check, check_finite, check_floating
from verax._types import AnyArray

from ._checks import check_center, check_targets
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
    check_concrete(features, targets)
    check(
        hasattr(features, "ndim") and features.ndim == 2 and features.size > 0,
        "features",
        f"shape {np.shape(features)}",
        "a non-empty [n, p] array",
    )
    check_floating("features", features)
    num_samples = features.shape[0]
    check_targets(targets, num_samples)
    check_center(center, num_samples)
    if block_rows is not None:
        check(not keep_eigenvectors, "keep_eigenvectors", "True, with block_rows", "False: nothing is held whole")
        y = centered_targets(targets, center=bool(center))
        return streamed_spectrum(features, y, center=bool(center), block_rows=block_rows)
    check_finite("features", features)
    x = np.asarray(features, np.float64)
    size = float(np.sum(x**2)) / num_samples  # the trace of K / n before centring bounds its largest eigenvalue
    eps = float(jnp.finfo(features.dtype).eps)
    if center:
        x = x - x.mean(0)
    vectors, singular, _ = np.linalg.svd(x, full_matrices=False)
    values = singular**2 / num_samples
    # Rounding moves a singular value by at most its norm times eps, hence an eigenvalue l by about sqrt(l l_max) eps:
    # small eigenvalues come out far better than from the Gram matrix. The tolerance is that error for l = tolerance.
    floor = size * (8 * eps) ** 2 if eps > 1e-10 else size * (max(x.shape) * eps) ** 2
    y = centered_targets(targets, center=bool(center))
    spectrum = assemble(values, vectors.T @ y, vectors, y, center=bool(center), floor=floor, argument="features")
    return spectrum if keep_eigenvectors else spectrum.without_eigenvectors()
