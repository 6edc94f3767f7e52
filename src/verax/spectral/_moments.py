"""Spectra from sums over samples: for many samples of few features, read once and never held whole."""

import numpy as np
from jaxtyping import Float

from verax._arrays import to_host, to_integer, to_number
from verax._errors import check, check_integer, fail
from verax._types import AnyArray

from ._checks import RANGE, check_symmetric
from ._eigh import graded_eigh
from ._spectrum import Spectrum, check_semidefinite


def moment_spectrum(
    gram: Float[AnyArray, "p p"],
    cross: Float[AnyArray, "p C"],
    target_energy: float,
    *,
    num_samples: int,
    center: bool = True,
) -> tuple[Spectrum, Float[np.ndarray, "p m"]]:
    r"""Spectrum of the samples' kernel from second moments of their features and targets.

    .. math:: X^\top X = V \operatorname{diag}(n l) V^\top, \qquad a = \operatorname{diag}(n l)^{-1/2} V^\top X^\top y

    Such sums are all that leaves a shard, a client or a pass over a file.

    Parameters
    ----------
    gram, cross : [p, p], [p, C]
        ``X^T X`` and ``X^T y``.
    target_energy
        ``||y||^2``, summed over targets.
    num_samples
        Rows behind the sums.
    center
        Whether features and targets were centred; the intercept then counts as one degree of freedom.

    Returns
    -------
    spectrum : Spectrum
        As from `feature_spectrum`, without eigenvectors.
    directions : [p, m]
        ``V``, the eigenvectors in the space of features.

    Raises
    ------
    ValueError
        As `kernel_spectrum` for ``gram``, and for a negative energy or too few samples.

    Notes
    -----
    Forming ``X^T X`` halves the digits: in float64 eigenvalues below about ``1e-13`` of the largest are lost, which
    features in float32 do not have anyway. Columns whose scales differ by over 1,000 are brought to one scale for the
    decomposition, so that a time in seconds does not hide a ratio. About ``5 p^3`` flops.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> x = np.random.default_rng(0).normal(size=(200, 5))
    >>> x -= x.mean(0)
    >>> spectrum, _ = vs.moment_spectrum(x.T @ x, x.T @ x[:, :1], float(np.sum(x[:, 0] ** 2)), num_samples=200)
    >>> np.allclose(spectrum.eigenvalues, vs.feature_spectrum(x, x[:, 0]).eigenvalues)
    True
    """
    num_samples = to_integer("num_samples", num_samples, minimum=2)
    target_energy = to_number("target_energy", target_energy, "[0, inf)")
    gram = to_host("gram", gram, shape=("p", "p"), within=RANGE)
    check_symmetric("gram", gram)
    cross = to_host("cross", cross, shape=(len(gram), "C"), within=RANGE)
    most = num_samples - int(center)
    values, vectors, floor = graded_eigh(gram)
    check_semidefinite("gram", float(values[-1]), float(values[0]), floor)
    floor = max(floor, -2 * float(values[-1]))
    rank = min(int(np.sum(values > floor)), most)
    check(rank > 0, "gram", "a matrix that vanishes", "at least one positive eigenvalue")
    values, vectors = values[:rank], vectors[:, :rank]
    energy = np.sum((vectors.T @ cross) ** 2, axis=1) / values
    null_count = most - rank
    spectrum = Spectrum(
        eigenvalues=values / num_samples,
        target_energy=energy,
        num_samples=num_samples,
        num_targets=cross.shape[1],
        centered=center,
        rank=rank,
        null_count=float(null_count),
        null_energy=max(target_energy - float(energy.sum()), 0.0) if null_count else 0.0,
        precision_floor=floor / num_samples,
    )
    return spectrum, vectors


def streamed_spectrum(features: AnyArray, targets: np.ndarray, *, center: bool, block_rows: int) -> Spectrum:
    """Spectrum of features read ``block_rows`` at a time; ``targets`` are centred if an intercept is fitted."""
    check_integer("block_rows", block_rows, minimum=1)
    num_samples, num_features = features.shape
    shift, total = np.zeros(num_features), np.zeros(num_features)
    gram, cross = np.zeros((num_features, num_features)), np.zeros((num_features, targets.shape[1]))
    for start in range(0, num_samples, block_rows):
        block = np.array(to_host("features", features[start : start + block_rows], finite=False))
        if not np.isfinite(block).all():
            fail("features", f"NaN or infinity in rows {start} to {start + len(block) - 1}", "finite values")
        if center and start == 0:  # a large common offset must cost no digits
            shift = block.mean(0)
        block -= shift
        total += block.sum(0)
        gram += block.T @ block
        cross += block.T @ targets[start : start + block_rows]
    if center:  # targets sum to zero, so that what is left of the mean drops out of ``cross``
        gram -= np.outer(total, total) / num_samples
    return moment_spectrum(gram, cross, float(np.sum(targets**2)), num_samples=num_samples, center=center)[0]
