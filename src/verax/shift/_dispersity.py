"""Scores of the whole set of predictions: nuclear norm, MaNo, MDE, dispersion, Frechet distance."""

from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._arrays import same_dtype
from verax._errors import check, check_integer, fail, is_traced
from verax._types import AnyArray

from ._checks import check_features, check_inputs


def nuclear_norm(
    val_logits: Float[AnyArray, "n K"], val_labels: Int[AnyArray, " n"], target_logits: Float[AnyArray, "m K"]
) -> Float[AnyArray, ""]:
    r"""Minus the nuclear norm of the softmax matrix, :math:`-\lVert P\rVert_* / \sqrt{m \min(m, K)}`.

    Large where predictions are confident and spread over the classes; hence the sign. Parameters and errors as for
    :func:`average_confidence`. A score in [-1, 0]. O(m K^2).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import nuclear_norm
    >>> sure = 100 * np.eye(4)  # each class once: the largest norm there is
    >>> round(float(nuclear_norm(sure, np.arange(4), sure)), 6)
    -1.0

    References
    ----------
    W. Deng et al., "Confidence and dispersity speak: characterising prediction matrix for unsupervised accuracy
    estimation", ICML 2023.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    singular_values = jnp.linalg.svd(jax.nn.softmax(target), compute_uv=False)
    return -singular_values.sum() / (target.shape[0] * min(target.shape)) ** 0.5


def mano(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    power: int = 4,
    threshold: float = 5.0,
) -> Float[AnyArray, ""]:
    r"""Minus the matrix norm of normalised logits.

    .. math:: -\Bigl(\frac{1}{mK}\sum_{ik} Q_{ik}^p\Bigr)^{1/p}

    Q is the softmax where :math:`\Phi = -\frac{1}{mK}\sum_{ik}\log p_{ik}` exceeds the threshold, and otherwise
    :math:`q_k = 1 + z_k + z_k^2/2`, less its smallest entry in the row, divided by the row's sum (uniform where that is
    0).

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`.
    power
        p, a positive integer; 4 in the paper.
    threshold
        Of Phi; 5 in the paper.

    Returns
    -------
    scalar
        A score in [-1, 0].

    Raises
    ------
    ValueError
        As :func:`average_confidence`, and for a power that is no positive integer.

    Notes
    -----
    O(m K). The reference code takes Phi from the last batch of the first set for all sets, with the network in training
    mode; here, as the paper defines it, Phi is of this whole set.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import mano
    >>> z = np.array([[2.0, 0.0]])  # Phi = 1.1: q = (5, 1) - 1, normalised (1, 0)
    >>> round(float(mano(z, np.array([0]), z)), 6)  # -(1 / 2) ** (1 / 4)
    -0.840896

    References
    ----------
    R. Xie et al., "MaNo: exploiting matrix norm for unsupervised accuracy estimation under distribution shifts",
    NeurIPS 2024.
    """
    check_integer("power", power, minimum=1)
    _, _, target = check_inputs(val_logits, val_labels, target_logits, log_zeros=False)
    log_p = jax.nn.log_softmax(target)
    taylor = 1 + target + target**2 / 2
    taylor = taylor - taylor.min(1, keepdims=True)
    total = taylor.sum(1, keepdims=True)
    taylor = jnp.where(total > 0, taylor / jnp.where(total > 0, total, 1), 1 / target.shape[1])
    q = jnp.where(-log_p.mean() > threshold, jnp.exp(log_p), taylor)
    return -((q**power).mean() ** (1 / power))


def mde(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    temperature: float = 1.0,
) -> Float[AnyArray, ""]:
    r"""Minus the meta-distribution energy.

    .. math:: -\log\Bigl(-\frac1m\sum_i \log\frac{e^{E_i}}{\sum_j e^{E_j}}\Bigr), \qquad
        E_i = -T\log\sum_k e^{z_{ik}/T}

    Energies of confident examples vary more, so the meta-distribution energy falls as the error rises; hence the sign.

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`. Logits enter themselves: adding a number to each row changes the score.
    temperature
        T > 0.

    Returns
    -------
    scalar
        A score, at most ``-log(log m)``; it depends on m, so compare sets of one size. For m = 1 infinite.

    Raises
    ------
    ValueError
        As :func:`average_confidence`; for fewer than two examples, and for a temperature that is not positive.

    Notes
    -----
    O(m K).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import mde
    >>> z = np.zeros((10, 3))  # equal energies: -log(log 10)
    >>> round(float(mde(z, np.zeros(10, int), z)), 4)
    -0.834

    References
    ----------
    R. Peng et al., "Energy-based automated model evaluation", ICLR 2024.
    """
    check(temperature > 0, "temperature", temperature, "a positive number")
    _, _, target = check_inputs(val_logits, val_labels, target_logits, log_zeros=False)
    check(target.shape[0] >= 2, "target_logits", "one example", "at least two")
    energy = -temperature * jax.nn.logsumexp(target / temperature, axis=1)
    # Minus the mean of log softmax is the log-sum-exp less the mean: here in units of the largest energy, so that
    # neither the sum over the set nor a difference overflows.
    largest = energy.max()
    unit = jnp.clip(jnp.abs(energy).max(), 1, 2.0**100)  # whose inverse is no subnormal number
    rest = jnp.log(jnp.exp(energy - largest).sum())
    mean_gap = (largest / unit - energy / unit).mean() + rest / unit
    return -(jnp.log(unit) + jnp.log(mean_gap))


def dispersion(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    target_features: Float[AnyArray, "m d"],
) -> Float[AnyArray, ""]:
    r"""Minus the log-dispersion of the features' centroids by predicted class.

    .. math:: -\log\frac{\sum_c m_c \lVert\mu_c - \mu\rVert^2}{K - 1}

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; the target's largest logits are the pseudo-labels.
    target_features : [m, d]
        Features of the target set, such as the input of the last layer.

    Returns
    -------
    scalar
        A score; it grows with m like ``-log m``, so compare sets of one size.

    Raises
    ------
    ValueError
        As :func:`average_confidence`; for features of another length or whose squares overflow, and where only one
        class is predicted (then there is no dispersion; under ``jit`` the result is infinite).

    Notes
    -----
    O(m (K + d)).

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import dispersion
    >>> z = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(dispersion(z + 1, np.array([0, 1]), z + 1, target_features=np.array([[1.0], [-1.0]])))  # -log 2
    -0.6931...

    References
    ----------
    R. Xie et al., "On the importance of feature separability in predicting out-of-distribution error", NeurIPS 2023.
    """
    _, _, target = check_inputs(val_logits, val_labels, target_logits)
    features = check_features("target_features", target_features, target.shape[0])
    value, predicted = _dispersion(*same_dtype(target, features))
    if not is_traced(predicted) and int(predicted) < 2:
        fail("target_logits", "one predicted class", "at least two: one class has no dispersion")
    if not is_traced(value) and not value > -np.inf:
        _refuse_large(target_features=features)
    return value


@jax.jit
def _dispersion(logits: jax.Array, features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Value, and the number of classes predicted."""
    one_hot = jax.nn.one_hot(logits.argmax(1), logits.shape[1], dtype=logits.dtype)
    counts = one_hot.sum(0)
    sums = jnp.matmul(one_hot.T, centred(features), precision="highest")
    between = (sums**2).sum(1) / jnp.maximum(counts, 1)
    return -jnp.log(between.sum() / (logits.shape[1] - 1)), (counts > 0).sum()


def frechet(
    val_logits: Float[AnyArray, "n K"],
    val_labels: Int[AnyArray, " n"],
    target_logits: Float[AnyArray, "m K"],
    *,
    val_features: Float[AnyArray, "n d"],
    target_features: Float[AnyArray, "m d"],
) -> Float[AnyArray, ""]:
    r"""Squared Frechet distance between Gaussians fitted to the two sets of features.

    .. math:: \lVert\mu - \mu_0\rVert^2 + \operatorname{tr}\bigl(\Sigma + \Sigma_0
        - 2 (\Sigma_0^{1/2}\Sigma\Sigma_0^{1/2})^{1/2}\bigr)

    Parameters
    ----------
    val_logits, val_labels, target_logits
        As for :func:`average_confidence`; only their lengths count.
    val_features, target_features : [n, d], [m, d]
        Features of holdout and target. Covariances are divided by n - 1 and m - 1.

    Returns
    -------
    scalar
        A distance >= 0 up to rounding, in squared units of the features.

    Raises
    ------
    ValueError
        As :func:`average_confidence`; for features of other shapes, fewer than two examples, and features whose
        squares overflow.

    Notes
    -----
    O((n + m) d^2 + d^3). The cross term is the nuclear norm of
    :math:`\Sigma^{1/2}\Sigma_0^{1/2}`, from the centred features' own factors, so that no square root of a negative
    eigenvalue is taken, as happens in implementations by ``sqrtm``.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import frechet
    >>> z, x = np.eye(2) + 1, np.array([[0.0], [2.0]])
    >>> float(frechet(z, np.array([0, 1]), z, val_features=x, target_features=x + 3))  # a shift of 3
    9.0

    References
    ----------
    W. Deng and L. Zheng, "Are labels always necessary for classifier accuracy evaluation?", CVPR 2021.
    """
    val, _, target = check_inputs(val_logits, val_labels, target_logits)
    first = check_features("val_features", val_features, val.shape[0])
    second = check_features("target_features", target_features, target.shape[0], first.shape[1])
    first, second = same_dtype(first, second)
    for argument, features in (("val_features", first), ("target_features", second)):
        check(features.shape[0] >= 2, argument, "one example", "at least two")
    value = _frechet(first, second)
    if not is_traced(value) and not np.isfinite(value):
        _refuse_large(val_features=first, target_features=second)
    return value


def _refuse_large(**features: jax.Array) -> NoReturn:
    """Raise for the features with the largest entry, whose squares overflow."""
    sizes = {argument: float(jnp.abs(array).max()) for argument, array in features.items()}
    argument = max(sizes, key=lambda name: sizes[name])
    need = f"entries whose squares do not overflow in {features[argument].dtype}"
    fail(argument, f"entries up to {sizes[argument]:.3g}", need)


@jax.jit
def _frechet(first: jax.Array, second: jax.Array) -> jax.Array:
    factors, means = [], []
    origin = first.mean(0)  # distances and covariances do not depend on it; their rounding does
    for features in (first - origin, second - origin):
        means.append(features.mean(0))
        factors.append(jnp.linalg.qr(centred(features) / (features.shape[0] - 1) ** 0.5, mode="r"))  # R^T R = Sigma
    product = jnp.matmul(factors[0], factors[1].T, precision="highest")
    cross = jnp.linalg.svd(product, compute_uv=False).sum()
    return ((means[0] - means[1]) ** 2).sum() + (factors[0] ** 2).sum() + (factors[1] ** 2).sum() - 2 * cross


def centred(features: jax.Array) -> jax.Array:
    """Features [..., m, d] less their means, twice: the first mean of features far from 0 is itself rounded."""
    once = features - features.mean(-2, keepdims=True)
    return once - once.mean(-2, keepdims=True)
