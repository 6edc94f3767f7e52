"""Two predictions of risk that use less than GCV does: the norm of the fit, or the spectrum alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from verax._types import AnyArray

from ._resolvent import check_ridges, over_probes, resolvent, trace_sums
from ._spectrum import Spectrum


def norm_bound(
    spectrum: Spectrum, ridge: int | float | Sequence[int | float] | Float[AnyArray, "L"]
) -> Float[np.ndarray, "*L"]:
    r"""Rademacher-type bound from the norm of the fitted function, up to constants.

    .. math:: \sqrt{\frac{\operatorname{tr} K}{n} \cdot \frac{\lVert \hat f \rVert_H^2}{n}}, \qquad
              \lVert \hat f \rVert_H^2 = \frac1n \sum_i \frac{l_i a_i^2}{(l_i + \lambda)^2}

    A baseline: as a prediction of risk it has the wrong scale and, often, the wrong order. The features must be
    independent of these labels for it to mean anything.

    Parameters
    ----------
    spectrum
        From `kernel_spectrum` or `feature_spectrum`.
    ridge
        1/n-normalised, one or several; at 0 the minimum-norm interpolant's norm.

    Returns
    -------
    float64 array, ``[]`` for one ridge or ``[L]``

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> spectrum = vs.kernel_spectrum(np.eye(4), np.array([1.0, 0.0, 0.0, -1.0]), center=False)
    >>> float(vs.norm_bound(spectrum, 0.0))  # tr K / n = 1, squared norm 2
    0.7071067811865476
    """
    ridges = check_ridges(spectrum, ridge, "ridge")
    eigenvalues, n = spectrum.eigenvalues, spectrum.num_samples
    norm2 = (1 / (eigenvalues + ridges[:, None]) ** 2) @ (eigenvalues * spectrum.target_energy) / n
    multiplicity = 1.0 if spectrum.multiplicity is None else spectrum.multiplicity.mean(0)
    trace = float(np.sum(multiplicity * eigenvalues))
    return np.sqrt(trace * norm2 / n).reshape(np.shape(ridge))


def spectrum_only_risk(
    spectrum: Spectrum, ridge: int | float | Sequence[int | float] | Float[AnyArray, "L"]
) -> Float[np.ndarray, "*L"]:
    r"""Generalized cross-validation with the targets' energy spread evenly over the eigendirections.

    .. math:: a_i^2 \to \lVert y \rVert^2 / n

    What the eigenvalues alone say: a baseline that shows how much the alignment of targets and kernel matters.

    Parameters
    ----------
    spectrum
        From `kernel_spectrum` or `feature_spectrum`.
    ridge
        1/n-normalised, one or several.

    Returns
    -------
    float64 array, ``[]`` for one ridge or ``[L]``

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> spectrum = vs.kernel_spectrum(np.eye(4), np.array([1.0, 0.0, 0.0, -1.0]), center=False)
    >>> round(float(vs.spectrum_only_risk(spectrum, 1.0)), 6)  # equal eigenvalues: the targets' own mean square
    0.5
    """
    ridges = check_ridges(spectrum, ridge, "ridge")
    r = resolvent(spectrum, ridges)
    sum1, sum2 = (over_probes(trace_sums(spectrum, r, power)) for power in (1, 2))
    directions = spectrum.num_samples - spectrum.centered
    energy = (float(spectrum.target_energy.sum()) + spectrum.null_energy) / directions
    return (spectrum.num_samples * energy * sum2 / sum1**2).reshape(np.shape(ridge))
