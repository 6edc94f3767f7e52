"""Probabilities as logits."""

from typing import Any

import numpy as np

from verax._arrays import to_host, to_number
from verax._errors import check


def from_probabilities(probabilities: Any, *, floor: float | int = 0.0) -> np.ndarray:
    r"""Logits of probabilities, :math:`z_{ik} = \log p_{ik}`, as every score of this package takes them.

    Parameters
    ----------
    probabilities : [m, K], or [m] or [m, 1] for two classes
        Rows that sum to 1, such as ``predict_proba`` returns; one column is the probability of the second class.
    floor
        Least probability, in [0, 1/K). At 0, a probability of zero becomes ``-inf``, which scores take as exactly zero.
        :func:`fit_temperature` needs a positive floor where true labels have probability zero, as forests give them.

    Returns
    -------
    float64 [m, K]

    Raises
    ------
    ValueError
        For entries outside [0, 1], and rows that do not sum to 1 within 0.01.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import average_confidence, from_probabilities
    >>> p = np.array([[0.8, 0.2], [0.0, 1.0]])
    >>> from_probabilities(p).round(2).tolist()
    [[-0.22, -1.61], [-inf, 0.0]]
    >>> round(float(average_confidence(from_probabilities(p), [0, 1], from_probabilities(p))), 3)
    0.1
    """
    p = to_host("probabilities", probabilities, shape=[("m", "K"), ("m",)], within="[0, 1.001]")
    p = p[:, None] if p.ndim == 1 else p
    if p.shape[1] == 1:
        check(bool((p <= 1).all()), "probabilities", f"an entry of {p.max():g}", "entries in [0, 1]")
        p = np.concatenate([1 - p, p], axis=1)
    sums = p.sum(1)
    worst = int(np.abs(sums - 1).argmax())
    check(
        abs(sums[worst] - 1) <= 0.01, "probabilities", f"row {worst} with sum {sums[worst]:.4g}", "rows that sum to 1"
    )
    least = to_number("floor", floor, within=f"[0, {1 / p.shape[1]})")
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(p / sums[:, None], least))
