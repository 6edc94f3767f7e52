"""Scores of confidence: average confidence, entropy, difference of confidences, average thresholded confidence."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from verax._errors import check_option
from verax._types import AnyArray

from ._checks import check_inputs


def average_confidence(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Error that a model expects of itself, :math:`1 - \frac1m\sum_i \max_k p_{ik}` with p the softmax of the logits.

    Parameters
    ----------
    val_logits, val_labels
        Labelled in-distribution holdout; not used, so that every score has one signature.
    target_logits : [m, K]
        Logits of the unlabelled target set. Every score takes float16 and bfloat16 too, one logit per example for two
        classes, ``-inf`` for a probability of zero, and labels as integers, strings or booleans.

    Returns
    -------
    scalar
        Predicted error; as good as the model is calibrated on the target.

    Raises
    ------
    ValueError
        For shapes, dtypes and labels out of range; for NaN, infinities and probabilities instead of logits where the
        values can be seen (not under ``jit``).

    Notes
    -----
    O(m K). Traceable: ``jit``, ``vmap`` over target sets, ``grad``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import average_confidence
    >>> logits = np.log(np.array([[0.8, 0.2], [0.6, 0.4]]) * 2)  # any row offset gives the same
    >>> round(float(average_confidence(logits, np.array([0, 1]), logits)), 6)
    0.3

    References
    ----------
    D. Hendrycks and K. Gimpel, "A baseline for detecting misclassified and out-of-distribution examples", ICLR 2017.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    return 1 - jax.nn.softmax(target).max(1).mean()


def entropy(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Mean predictive entropy in nats, :math:`-\frac1m\sum_{ik} p_{ik}\log p_{ik}`.

    Parameters, errors and cost as for :func:`average_confidence`. A score in [0, log K], not an error.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import entropy
    >>> flat = np.zeros((3, 4))
    >>> round(float(entropy(flat, np.array([0, 1, 2]), flat)), 4)  # log 4
    1.3863

    References
    ----------
    D. Guillory et al., "Predicting with confidence on unseen distributions", ICCV 2021.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    return _row_entropy(target).mean()


def difference_of_confidence(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Validation error plus the fall in mean confidence.

    .. math:: \mathrm{err}_{val} + \frac1n\sum_i \max_k p^{val}_{ik} - \frac1m\sum_i \max_k p_{ik}

    Parameters, errors and cost as for :func:`average_confidence`; the holdout counts. Unbounded: not clipped to [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import difference_of_confidence
    >>> val, target = np.log([[0.9, 0.1], [0.9, 0.1]]) + 1, np.log([[0.7, 0.3]]) + 1
    >>> round(float(difference_of_confidence(val, np.array([0, 1]), target)), 6)
    0.7

    References
    ----------
    D. Guillory et al., "Predicting with confidence on unseen distributions", ICCV 2021.
    """
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    error = (val.argmax(1) != labels).astype(val.dtype).mean()
    return error + jax.nn.softmax(val).max(1).mean() - jax.nn.softmax(target).max(1).mean()


def atc(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    score: str = "max_confidence",
) -> Float[AnyArray, ""]:
    r"""Average thresholded confidence: the share of the target below a threshold learned on the holdout.

    .. math:: \frac1m\sum_i 1\{s(z_i) < t\}, \qquad \frac1n\sum_i 1\{s(z^{val}_i) < t\} = \mathrm{err}_{val}

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; scale by a temperature first (:func:`fit_temperature`).
    score
        ``"max_confidence"``, :math:`s = \max_k p_k`, or ``"negative_entropy"``, :math:`s = \sum_k p_k \log p_k`.

    Returns
    -------
    scalar
        Predicted error. t is the (e + 1)-th smallest score of the holdout, e its number of errors; infinite if all are.
        Ties at t count as above it.

    Raises
    ------
    ValueError
        As :func:`average_confidence`, and for an unknown score.

    Notes
    -----
    O(m K + n log n).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import atc
    >>> val = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.5, 0.0]])
    >>> target = np.array([[2.5, 0.0], [0.7, 0.0], [0.4, 0.0], [0.0, 0.1]])
    >>> float(atc(val, np.array([0, 0, 0, 1]), target))  # one error of four: the threshold is between 0.5 and 1
    0.75

    References
    ----------
    S. Garg et al., "Leveraging unlabeled data to predict out-of-distribution performance", ICLR 2022, section 4.
    """
    check_option("score", score, ("max_confidence", "negative_entropy"))
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    return _atc(val, labels, target, score)


@functools.partial(jax.jit, static_argnums=3)
def _atc(val: jax.Array, labels: jax.Array, target: jax.Array, score: str) -> jax.Array:
    num_errors = (val.argmax(1) != labels).sum()
    val_score, target_score = (_confidence(logits, score) for logits in (val, target))
    padded = jnp.append(jnp.sort(val_score), jnp.asarray(jnp.inf, val.dtype))
    return (target_score < padded[num_errors]).astype(val.dtype).mean()


def _confidence(logits: jax.Array, score: str) -> jax.Array:
    if score == "max_confidence":
        return margins(logits).max(1)
    return -_row_entropy(logits)


def margins(logits: jax.Array) -> jax.Array:
    r"""Log-odds of each class, :math:`z_k - \log\sum_{j \ne k} e^{z_j}`: they differ where confidences round to 1."""
    largest = logits.max(1, keepdims=True)
    first = jnp.arange(logits.shape[1]) == logits.argmax(1)[:, None]
    below = logits - largest
    odds = jnp.where(first, 0, jnp.exp(below))
    # Against every other class the sum holds the largest, 1, so that the subtraction loses nothing.
    others = jnp.log1p(odds.sum(1, keepdims=True) - odds)
    of_first = largest - jax.nn.logsumexp(jnp.where(first, -jnp.inf, logits), axis=1, keepdims=True)
    return jnp.where(first, of_first, below - others)


def _row_entropy(logits: jax.Array) -> jax.Array:
    """Entropy as two sums of terms that are not negative, without the largest class, whose own term rounds to 0."""
    below = logits - logits.max(1, keepdims=True)
    first = jnp.arange(logits.shape[1]) == logits.argmax(1)[:, None]
    odds = jnp.where(first, 0, jnp.exp(below))
    total = odds.sum(1)
    spread = jnp.where(odds > 0, odds * below, 0).sum(1)
    return jnp.log1p(total) - spread / (1 + total)
