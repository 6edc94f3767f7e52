"""Scores from several models, or from a second task: agreement, agreement-on-the-line, rotation."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Float, Int

from verax._arrays import to_array
from verax._errors import check, check_option, fail, is_traced
from verax._types import AnyArray

from ._checks import check_inputs, check_logits

# Pairs whose agreement lies outside carry little information on a probit scale; as in the authors' notebook.
_LEAST_AGREEMENT, _MOST_AGREEMENT = 0.05, 0.98


def agreement(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    other_target_logits: Float[AnyArray, "m K"],
) -> Float[AnyArray, ""]:
    r"""Disagreement of two independently trained models on the target (generalization disagreement equality).

    .. math:: \frac1m\sum_i 1\{\arg\max_k z_{ik} \ne \arg\max_k z'_{ik}\}

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`.
    other_target_logits : [m, K]
        The other model's logits on the same target examples, in the same order.

    Returns
    -------
    scalar
        Predicted error.

    Raises
    ------
    ValueError
        As :func:`average_confidence`, and for logits of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import agreement
    >>> z = np.array([[2.0, 0.0], [2.0, 0.0]])
    >>> float(agreement(z, np.array([0, 0]), z, other_target_logits=z[:, ::-1] * np.array([[1.0], [-1.0]])))
    0.5

    References
    ----------
    Y. Jiang et al., "Assessing generalization of SGD via disagreement", ICLR 2022.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    other = check_logits("other_target_logits", other_target_logits, target.shape[1])
    check(other.shape == target.shape, "other_target_logits", f"shape {other.shape}", f"shape {target.shape}")
    return (target.argmax(1) != other.argmax(1)).astype(target.dtype).mean()


def agreement_on_the_line(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    other_val_logits: Float[AnyArray, "J n K"],
    other_target_logits: Float[AnyArray, "J m K"],
    variant: str = "D",
) -> Float[AnyArray, ""]:
    r"""Error of a model from the line on which several models' agreements lie (ALine-S, ALine-D).

    On the probit scale, target agreement of pairs of models is fitted by a line in their holdout agreement,
    :math:`\Phi^{-1}(A^{t}_{ij}) \approx a\,\Phi^{-1}(A^{v}_{ij}) + b`. "S" puts the model's holdout accuracy on that
    line. "D" solves for all models' target accuracies :math:`\Phi(u_i)` by least squares over pairs,

    .. math:: \tfrac12(u_i + u_j) = \Phi^{-1}(A^{t}_{ij}) + a\Bigl(\tfrac12\bigl(\Phi^{-1}(\alpha^{v}_i) +
        \Phi^{-1}(\alpha^{v}_j)\bigr) - \Phi^{-1}(A^{v}_{ij})\Bigr).

    Parameters
    ----------
    val_logits, val_labels, target_logits
        Logits and labels of the model whose error is wanted, as for :func:`average_confidence`.
    other_val_logits, other_target_logits : [J, n, K], [J, m, K]
        Of J >= 2 further models on the same examples.
    variant
        ``"D"`` or ``"S"``.

    Returns
    -------
    scalar
        Predicted error of the first model.

    Raises
    ------
    ValueError
        As :func:`average_confidence`; for other shapes or an unknown variant; and where the line or the system is not
        determined: fewer than three pairs with both agreements in [0.05, 0.98], no spread of their holdout agreements,
        a model in no pair, or a holdout accuracy of 0 or 1. Under ``jit`` the result is then NaN.

    Notes
    -----
    O(J^2 (n + m)).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import agreement_on_the_line
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 5, 4000)
    >>> def models(signal):
    ...     noise = np.array([0.8, 1.0, 1.2, 1.4])[:, None, None] * rng.normal(size=(4, 4000, 5))
    ...     return signal * np.eye(5)[labels] + noise
    >>> val, target = models(2.0), models(2.0)  # no shift: the holdout's error is the answer
    >>> others = {"other_val_logits": val[1:], "other_target_logits": target[1:]}
    >>> error = float(agreement_on_the_line(val[0], labels, target[0], **others))
    >>> bool(abs(error - np.mean(target[0].argmax(1) != labels)) < 0.03)
    True

    References
    ----------
    C. Baek et al., "Agreement-on-the-line: predicting the performance of neural networks under distribution shift",
    NeurIPS 2022, section 4.
    """
    check_option("variant", variant, ("D", "S"))
    val, labels, target = check_inputs(val_logits, val_labels, target_logits)
    others = []
    for argument, logits, own in (
        ("other_val_logits", other_val_logits, val),
        ("other_target_logits", other_target_logits, target),
    ):
        array = to_array(argument, logits)
        fits = array.ndim == 3 and array.shape[1:] == own.shape and array.shape[0] >= 2
        check(fits, argument, f"shape {array.shape}", f"shape [J, {own.shape[0]}, {own.shape[1]}] with J >= 2")
        others.append(array)
    same = others[0].shape[0] == others[1].shape[0]
    check(same, "other_target_logits", f"{others[1].shape[0]} models", f"{others[0].shape[0]}, as other_val_logits")
    predicted_val = jnp.concatenate([val[None], others[0].astype(val.dtype)]).argmax(2)
    predicted_target = jnp.concatenate([target[None], others[1].astype(val.dtype)]).argmax(2)
    first, second = np.array(list(itertools.combinations(range(predicted_val.shape[0]), 2))).T

    def agree(predicted: jax.Array) -> jax.Array:
        return (predicted[first] == predicted[second]).astype(val.dtype).mean(1)

    agreed = jnp.stack([agree(predicted_val), agree(predicted_target)])
    kept = jnp.all((agreed >= _LEAST_AGREEMENT) & (agreed <= _MOST_AGREEMENT), axis=0)
    x, y = norm.ppf(jnp.where(kept, agreed, 0.5))
    weight = kept.astype(val.dtype)
    total = weight.sum()
    mean_x, mean_y = (weight * x).sum() / total, (weight * y).sum() / total
    variance = (weight * (x - mean_x) ** 2).sum()
    slope = (weight * (x - mean_x) * (y - mean_y)).sum() / variance
    accuracy = (predicted_val == labels).astype(val.dtype).mean(1)
    probit = norm.ppf(accuracy)
    determined = (total >= 3) & (variance > 0) & jnp.all(jnp.isfinite(probit))
    if variant == "S":
        estimate = slope * probit[0] + mean_y - slope * mean_x
    else:
        system = np.zeros((len(first), predicted_val.shape[0]))
        system[np.arange(len(first)), first] = system[np.arange(len(first)), second] = 0.5
        matrix = weight[:, None] * jnp.asarray(system, val.dtype)
        values = weight * (y + slope * ((probit[first] + probit[second]) / 2 - x))
        multiply = functools.partial(jnp.matmul, precision="highest")
        gram = multiply(matrix.T, matrix)
        determined &= jnp.linalg.eigvalsh(gram)[0] > 1e-5
        estimate = jnp.linalg.solve(gram, multiply(matrix.T, values))[0]
    error = jnp.where(determined, 1 - norm.cdf(estimate), jnp.nan)
    if not is_traced(error) and bool(jnp.isnan(error)):
        fail(
            "other_val_logits",
            f"{int(total)} usable pairs of models, holdout accuracies {np.asarray(accuracy).round(3).tolist()}",
            "at least three pairs with agreement in [0.05, 0.98] that differ, and accuracies strictly inside (0, 1)",
        )
    return error


def rotation(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    target_rotation_logits: Float[AnyArray, "R m R"],
) -> Float[AnyArray, ""]:
    """Error of a rotation head on the target: how often it misses by which quarter turn an image was rotated.

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; not used.
    target_rotation_logits : [R, m, R]
        Entry r holds the rotation head's logits for the target images rotated by r quarter turns (R = 4).

    Returns
    -------
    scalar
        The error of the rotation task, a score for that of the classifier.

    Raises
    ------
    ValueError
        As :func:`average_confidence`, and for another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import rotation
    >>> z = np.eye(4)[:, None, :] * np.ones((4, 4, 1))  # knows every turn
    >>> z[3] = 0.0; z[3, :, 0] = 1.0                     # except the last
    >>> float(rotation(np.eye(4) + 1, np.arange(4), np.eye(4) + 1, target_rotation_logits=z))
    0.25

    References
    ----------
    W. Deng, S. Gould, L. Zheng, "What does rotation prediction tell us about classifier accuracy under varying testing
    environments?", ICML 2021.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    logits = to_array("target_rotation_logits", target_rotation_logits)
    turns = logits.shape[0] if logits.ndim == 3 else 0
    fits = turns >= 2 and logits.shape == (turns, target.shape[0], turns)
    check(fits, "target_rotation_logits", f"shape {logits.shape}", f"[R, {target.shape[0]}, R] with R >= 2")
    return (logits.argmax(2) != jnp.arange(turns)[:, None]).astype(target.dtype).mean()
