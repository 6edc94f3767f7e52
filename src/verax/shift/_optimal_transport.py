"""Confidence optimal transport: COT, and COTT with thresholds."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, sparse

from verax._errors import fail, is_traced
from verax._types import AnyArray

from ._checks import check_inputs


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
        As :func:`average_confidence`; under ``jit``, since the exact transport is solved on the host.

    Notes
    -----
    Exact. Under a change of the label shares it is biased by as much as they change.

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
    _refuse_traced(val_logits, val_labels, target_logits)
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    return jnp.asarray(_row_costs(target, _shares(labels, val.shape[1])).mean(), val.dtype)


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
    _refuse_traced(val_logits, val_labels, target_logits)
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    shares = _shares(labels, val.shape[1])
    num_errors = int((val.argmax(1) != labels).sum())
    costs = np.append(np.sort(_row_costs(val, shares))[::-1], -np.inf)
    # Two solutions of one transport differ by rounding.
    above = _row_costs(target, shares) > costs[num_errors] + 1e-9
    return jnp.asarray(above.mean(), val.dtype)


def _refuse_traced(val_logits: object, val_labels: object, target_logits: object) -> None:
    for argument, value in (("val_logits", val_logits), ("val_labels", val_labels), ("target_logits", target_logits)):
        if is_traced(value):
            fail(argument, "a traced array", "a concrete one: exact transport runs on the host")


def _shares(labels: jax.Array, num_classes: int) -> np.ndarray:
    return np.bincount(np.asarray(labels), minlength=num_classes) / labels.shape[0]


def _row_costs(logits: jax.Array, shares: np.ndarray) -> np.ndarray:
    """Cost of moving each softmax row, an average over its parts, under an optimal plan."""
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    num, num_classes = p.shape
    rows = sparse.kron(sparse.eye_array(num), np.ones((1, num_classes)))
    columns = sparse.kron(np.ones((1, num)), sparse.eye_array(num_classes))
    # One mass a row, so that numbers are near 1; the last column follows from the others.
    constraints = sparse.vstack([rows, columns.tocsr()[:-1]])
    amounts = np.concatenate([np.ones(num), shares[:-1] * num])
    solution = optimize.linprog((1 - p).ravel(), A_eq=constraints, b_eq=amounts, method="highs")
    if solution.status != 0:
        raise RuntimeError(f"the transport was not solved: {solution.message}")
    return (solution.x.reshape(p.shape) * (1 - p)).sum(1)
