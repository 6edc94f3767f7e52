"""Effect of a random sketch of the features on ridge regression: that of a larger ridge."""

from typing import NamedTuple

import numpy as np

from verax._arrays import to_integer
from verax._errors import check
from verax._results import result

from ._risk_path import RiskPath

MAX_SHARE = 0.2


@result()
class SketchBias(NamedTuple):
    """How far a sketch is from the features that it stands for, at every ridge.

    Attributes
    ----------
    share : [L]
        ``df1 / k``, degrees of freedom used for each sketched feature.
    effective_ridge : [L]
        Ridge that acts on the population of the features before the sketch.
    reliable : bool [L]
        Whether the share is at most 0.2: the sketch then raises the effective ridge by a quarter at most.
    """

    share: np.ndarray
    effective_ridge: np.ndarray
    reliable: np.ndarray


def sketch_bias(path: RiskPath, num_features: int) -> SketchBias:
    r"""Bias of ridge regression on ``k`` randomly sketched features against that on all features.

    .. math:: \kappa = \frac{\lambda}{(1 - \mathrm{df}_1 / n)\,(1 - \mathrm{df}_1 / k)}

    A sketch with independent entries, such as ``verax.ntk.Rademacher``, acts like more ridge. Generalized
    cross-validation of the sketched features is right about the sketched predictor; this says how much another
    predictor it is.

    Parameters
    ----------
    path
        From `risk_path` of the sketched features' spectrum.
    num_features
        ``k``, the width of the sketch.

    Returns
    -------
    SketchBias

    Raises
    ------
    ValueError
        For a width that is no positive integer.

    Notes
    -----
    ``df1`` is the sketched fit's, without the intercept. Where ``df1`` reaches k the effective ridge is infinite.

    Examples
    --------
    >>> import numpy as np, verax.spectral as vs
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(400, 1000)) * np.arange(1, 1001) ** -0.75
    >>> sketched = features @ rng.normal(size=(1000, 100)) / 10
    >>> path = vs.risk_path(vs.feature_spectrum(sketched, features[:, 0]), [1e-3, 1e-1])
    >>> vs.sketch_bias(path, 100).reliable
    array([False,  True])

    References
    ----------
    A. Atanasov, J. Zavatone-Veth, C. Pehlevan, "Scaling and renormalization in high-dimensional regression",
    arXiv:2405.00592, for linear random features.
    """
    check(isinstance(path, RiskPath), "path", type(path).__name__, "a RiskPath")
    num_features = to_integer("num_features", num_features, minimum=1)
    share = (path.df1 - path.spectrum.centered) / num_features
    left = np.maximum(1 - share, 0)
    with np.errstate(divide="ignore"):
        ridge = np.where(left > 0, path.effective_ridge / left, np.inf)
    return SketchBias(share, ridge, share <= MAX_SHARE)
