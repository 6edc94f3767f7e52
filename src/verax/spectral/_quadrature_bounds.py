"""How far block Lanczos has converged: an interval that holds the exact value, by two quadratures that err apart."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from verax._errors import check
from verax._results import result
from verax._types import AnyArray

from ._resolvent import check_ridges
from ._spectrum import Spectrum


@result()
class QuadratureBounds(NamedTuple):
    """Bounds for each ridge.

    Attributes
    ----------
    lower, upper : [L]
        float64; ``upper`` is infinite at ridges that the kernel's precision does not resolve.
    """

    lower: np.ndarray
    upper: np.ndarray


def quadrature_bounds(spectrum: Spectrum, ridges: Float[AnyArray, "*L"] | float) -> QuadratureBounds:
    r"""Bounds on the targets' energy under the resolvent, from a Lanczos spectrum.

    .. math:: E(\lambda) = \sum_c y_c^\top (K / n + \lambda I)^{-1} y_c, \qquad
        \text{Gauss}(\lambda) \le E(\lambda) \le \text{Gauss-Radau}(\lambda)

    ``ridge / n`` times E is the least training objective of ridge regression, ``(1/n) ||y - X b||^2 + ridge ||b||^2``.
    Where the two bounds meet, the recurrence has converged for this ridge: more steps cannot change what is made from
    the targets' energies.

    Parameters
    ----------
    spectrum
        From ``kernel_spectrum(method="lanczos")``.
    ridges : [L]
        Positive.

    Returns
    -------
    QuadratureBounds

    Raises
    ------
    ValueError
        For the spectrum of an exact decomposition, which needs no bounds, and ridges that are not positive.

    Notes
    -----
    ``1 / (x + ridge)`` has derivatives of alternating sign, so that Gauss quadrature is below the integral, and the
    rule with one prescribed node at or below the smallest eigenvalue above it. The node here is minus the precision
    floor. In exact arithmetic; rounding of the products enters both.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.spectral import kernel_spectrum, quadrature_bounds
    >>> x = np.random.default_rng(0).normal(size=(200, 300)) * np.arange(1, 301) ** -1.0
    >>> few, many = (
    ...     kernel_spectrum(x @ x.T, x[:, 0], method="lanczos", num_steps=s, key=jax.random.key(0)) for s in (4, 12)
    ... )
    >>> bounds = [quadrature_bounds(spectrum, 1e-3) for spectrum in (few, many)]
    >>> wide, narrow = (float(b.upper[0] / b.lower[0] - 1) for b in bounds)
    >>> narrow < 0.1 * wide
    True

    References
    ----------
    G. Golub, G. Meurant, "Matrices, Moments and Quadrature with Applications", 2010, chapters 6 and 7.
    """
    check(spectrum.radau_nodes is not None, "spectrum", "an exact decomposition", "one with method='lanczos'")
    grid = check_ridges(spectrum, ridges)
    check(float(grid.min()) > 0, "ridges", f"{grid.min():.3g}", "ridges > 0")
    nodes, energy = np.asarray(spectrum.radau_nodes), np.asarray(spectrum.radau_energy)
    lower = (spectrum.target_energy / (spectrum.eigenvalues + grid[:, None])).sum(1)
    lower = lower + spectrum.null_energy / (spectrum.precision_floor + grid)
    # The prescribed node is minus the floor, so that a ridge up to it has no upper bound.
    resolved = grid > spectrum.precision_floor
    upper = np.full(grid.shape, np.inf)
    upper[resolved] = (energy / (nodes + grid[resolved, None])).sum(1)
    return QuadratureBounds(lower, upper)
