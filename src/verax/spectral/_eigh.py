"""Symmetric eigendecomposition on the host in float64, in LAPACK's own three stages."""

import numpy as np
from scipy.linalg import eigh_tridiagonal, get_lapack_funcs, svd

_BLOCK = 64
_SAME_SCALE = 1e3
"""Ratio of the columns' scales up to which a plain decomposition of their second moments is accurate enough."""


def symmetric_eigh(
    a: np.ndarray, y: np.ndarray, *, with_vectors: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Ascending eigenvalues of a symmetric float64 matrix, ``U^T y``, and ``U`` if asked for.

    The stages are called one by one (reduction to tridiagonal form, its eigenvectors by divide and conquer, back
    transformation) because generalized cross-validation can do without the last: ``U^T y`` needs only the reflectors
    applied to ``y``. That leaves under half the time of ``numpy.linalg.eigh``.
    """
    size = a.shape[0]
    if size < 3:
        values, vectors = np.linalg.eigh(a)
        return values, vectors.T @ y, vectors if with_vectors else None
    (sytrd,) = get_lapack_funcs(("sytrd",), (a,))
    reflectors, diagonal, off_diagonal, tau, info = sytrd(np.asfortranarray(a), lower=1, lwork=_BLOCK * size)
    _check("sytrd", info)
    values, inner = eigh_tridiagonal(diagonal, off_diagonal, lapack_driver="stevd", check_finite=False)
    coefficients = inner.T @ _reflect(reflectors, tau, y, "T")
    return values, coefficients, _reflect(reflectors, tau, inner, "N") if with_vectors else None


def graded_eigh(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Descending eigenvalues and eigenvectors of a matrix of second moments, and the uncertainty of an eigenvalue.

    Columns of very different scale (a time in seconds beside a ratio) leave every entry of the moments accurate, but
    not a plain decomposition, whose error is that of the largest. Scaled to unit diagonal, ``D C D`` with ``C = W c
    W^T``, the matrix is ``B^T B`` for ``B = c^(1/2) W^T D``, and the singular values of ``B`` are accurate to its own
    largest singular value, not to the square of it.
    """
    scale = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    size, eps = len(gram), np.finfo(np.float64).eps
    varying = scale > 0
    if not varying.any() or scale.max() <= _SAME_SCALE * scale[varying].min():
        values, _, vectors = symmetric_eigh(gram, np.zeros((size, 1)), with_vectors=True)
        assert vectors is not None
        return values[::-1], vectors[:, ::-1], size * eps * max(float(values[-1]), 0.0)
    inverse = np.where(varying, 1 / np.where(varying, scale, 1), 0)
    shares, rotation = np.linalg.eigh(inverse[:, None] * gram * inverse)
    root = np.sqrt(np.where(shares > size * eps * shares[-1], shares, 0))[:, None] * rotation.T * scale
    # The QR algorithm: divide and conquer may not converge on columns graded over many orders of magnitude.
    _, singular, right = svd(root, lapack_driver="gesvd")
    largest = float(singular[0])
    return singular**2, right.T, (size * eps * largest) ** 2


def _reflect(reflectors: np.ndarray, tau: np.ndarray, block: np.ndarray, transpose: str) -> np.ndarray:
    """``Q block`` or ``Q^T block``; the reflectors are laid out below the subdiagonal as a QR factorisation's."""
    out = np.asfortranarray(block)
    (ormqr,) = get_lapack_funcs(("ormqr",), (reflectors,))
    tail, _, info = ormqr("L", transpose, reflectors[1:, :-1], tau, out[1:], _BLOCK * max(block.shape))
    _check("ormqr", info)
    return np.concatenate([out[:1], tail])


def _check(routine: str, info: int) -> None:
    if info != 0:
        raise np.linalg.LinAlgError(f"LAPACK's {routine} returned {info}")
