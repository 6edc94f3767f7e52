"""Confidence optimal transport: COT, and COTT with thresholds."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from verax._types import AnyArray
from verax.matching import solve_transport

from ._checks import check_inputs
from ._confidence import margins


def cot(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Optimal transport from the target's softmax rows to one-hot labels distributed as on the holdout.

    .. math:: \min_{T \ge 0} \sum_{ik} T_{ik}\,\tfrac12\lVert p_i - e_k\rVert_1 \quad\text{subject to}\quad
        \sum_k T_{ik} = \tfrac1m,\ \sum_i T_{ik} = \pi_k,

    where :math:`\tfrac12\lVert p_i - e_k\rVert_1 = 1 - p_{ik}` and :math:`\pi` is the holdout's share of each label.

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; scale by a temperature first (:func:`fit_temperature`).

    Returns
    -------
    scalar
        Predicted error, at least that of :func:`average_confidence`.

    Raises
    ------
    ValueError
        As :func:`average_confidence`.

    Notes
    -----
    Exact, by :func:`verax.matching.solve_transport`, and traceable. Under a change of the label shares it is biased by
    as much as they change.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import cot
    >>> val, labels = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1])
    >>> sure_of_one = np.array([[50.0, 0.0], [50.0, 0.0]])  # half of the labels must be the other class
    >>> round(float(cot(val, labels, sure_of_one)), 6)
    0.5

    References
    ----------
    Y. Lu et al., "Characterizing out-of-distribution error via optimal transport", NeurIPS 2023, section 3.
    """
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    return _row_costs(target, _shares(labels, val.shape[1])).mean()


def cott(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""COT with thresholds: the share of the target whose transport costs more than a threshold learned on the holdout.

    With :math:`c_i` the cost of moving row i, :math:`\frac1m\sum_i 1\{c_i > t\}` where
    :math:`\frac1n\sum_i 1\{c^{val}_i > t\} = \mathrm{err}_{val}`.

    Parameters, errors and cost as for :func:`cot`, for two transports. t is the (e + 1)-th largest cost of the holdout,
    e its number of errors. A row that the plan splits costs the mean over its parts.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import cott
    >>> val, labels = np.array([[3.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 0.9]]), np.array([0, 1, 0, 0])
    >>> target = np.array([[3.0, 0.0], [0.0, 0.5], [0.4, 0.0], [0.0, 0.8]])
    >>> float(cott(val, labels, target))
    0.75

    References
    ----------
    Y. Lu et al., "Characterizing out-of-distribution error via optimal transport", NeurIPS 2023, section 4.
    """
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    shares = _shares(labels, val.shape[1])
    num_errors = (val.argmax(1) != labels).sum()
    costs = jnp.append(jnp.sort(_row_costs(val, shares), descending=True), -jnp.inf)
    # Two solutions of one transport differ by rounding, which is relative: costs near 0 keep their order.
    threshold = costs[num_errors] * (1 + 100 * jnp.finfo(costs.dtype).eps)
    return (_row_costs(target, shares) > threshold).mean(dtype=costs.dtype)


def _shares(labels: jax.Array, num_classes: int) -> jax.Array:
    return jnp.bincount(labels, length=num_classes) / labels.shape[0]


def _row_costs(logits: jax.Array, shares: jax.Array) -> jax.Array:
    """Cost of moving each softmax row, an average over its parts, under an optimal plan; one mass per row."""
    costs = jax.nn.sigmoid(-margins(logits))  # 1 - p, without the rounding of p near 1
    demand = shares.astype(costs.dtype) * logits.shape[0]
    return (solve_transport(costs, jnp.ones_like(costs[:, 0]), demand).plan * costs).sum(1)
