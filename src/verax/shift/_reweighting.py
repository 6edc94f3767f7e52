"""Scores from the holdout's labels, re-weighted or calibrated: importance re-weighting, CBPE."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._errors import check_integer, fail, is_traced
from verax._extras import extra
from verax._types import AnyArray

from ._checks import check_inputs


def importance_reweighting(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    num_bins: int = 10,
) -> Float[AnyArray, ""]:
    r"""Holdout errors re-weighted by the density ratio of the confidence.

    .. math:: \sum_b \frac{m_b}{m}\,\mathrm{err}_b

    over equal bins b of the confidence on [0, 1]; :math:`\mathrm{err}_b` is the error of the holdout's examples in the
    bin, or in the nearest bin that has some (the lower one if two are as near).

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`.
    num_bins
        10 in the reference.

    Returns
    -------
    scalar
        Predicted error.

    Raises
    ------
    ValueError
        As :func:`average_confidence`, and unless ``num_bins`` is a positive integer.

    Notes
    -----
    O(m K). The reference code drops target examples whose bin holds none of the holdout, as if they were all wrong;
    here nothing is dropped.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import importance_reweighting
    >>> p = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.55, 0.45]])
    >>> val, labels = np.log(p) + 1, np.array([0, 0, 0, 1])  # right when sure, half right when not
    >>> float(importance_reweighting(val, labels, val[1:]))  # two of three are unsure
    0.3333...

    References
    ----------
    M. Chen et al., "Mandoline: model evaluation under distribution shift", ICML 2021; as a baseline in S. Garg et al.,
    ICLR 2022.
    """
    check_integer("num_bins", num_bins, minimum=1)
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)

    def bins(logits: jax.Array) -> jax.Array:
        index = (jax.nn.softmax(logits).max(1) * num_bins).astype(jnp.int32)
        return jax.nn.one_hot(jnp.minimum(index, num_bins - 1), num_bins, dtype=val.dtype)

    val_bins = bins(val)
    counts = val_bins.sum(0)
    errors = jnp.matmul((val.argmax(1) != labels).astype(val.dtype), val_bins, precision="highest")
    position = jnp.arange(num_bins)
    distance = jnp.where(counts[None] > 0, jnp.abs(position[:, None] - position[None]), 2 * num_bins)
    nearest = distance.argmin(1)
    return (bins(target).mean(0) * errors[nearest] / counts[nearest]).sum()


def cbpe(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Confidence-based performance estimation: one minus the mean calibrated probability of the predicted class.

    Each class is calibrated one against the rest by isotonic regression on the holdout, and rows are divided by their
    sums (uniform where all calibrated probabilities are 0). The predicted class is that of the logits.

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`.

    Returns
    -------
    scalar
        Predicted error.

    Raises
    ------
    ValueError
        As :func:`average_confidence`; under ``jit``, since isotonic regression runs on the host.

    Notes
    -----
    O(K n log n). A host function, by scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import cbpe
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 4000)
    >>> logits = 5 * (np.eye(3)[labels] + rng.normal(size=(4000, 3)))  # far too sure
    >>> error = float(cbpe(logits[:2000], labels[:2000], logits[2000:]))
    >>> bool(abs(error - np.mean(logits[2000:].argmax(1) != labels[2000:])) < 0.03)
    True

    References
    ----------
    J. Białek et al., "Estimating model performance under covariate shift without labels", 2024 (arXiv:2401.08348);
    NannyML's documentation.
    """
    for argument, value in (("val_logits", val_logits), ("val_labels", val_labels), ("target_logits", target_logits)):
        if is_traced(value):
            fail(argument, "a traced array", "a concrete one: isotonic regression runs on the host")
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    with extra("probe"):
        from sklearn.isotonic import IsotonicRegression  # a second to import; only this score needs it

    val_p, target_p = (np.asarray(jax.jit(jax.nn.softmax)(logits), np.float64) for logits in (val, target))
    calibrated = np.empty_like(target_p)
    for k in range(target_p.shape[1]):
        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        isotonic.fit(val_p[:, k], np.asarray(labels) == k)
        calibrated[:, k] = isotonic.predict(target_p[:, k])
    total = calibrated.sum(1, keepdims=True)
    calibrated = np.where(total > 0, calibrated / np.where(total > 0, total, 1), 1 / calibrated.shape[1])
    return jnp.asarray(1 - calibrated[np.arange(len(calibrated)), np.asarray(target).argmax(1)].mean(), val.dtype)
