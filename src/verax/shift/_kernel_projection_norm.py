"""Projection Norm in closed form, from features or Gram matrices."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from verax._arrays import same_dtype, to_array
from verax._errors import check, check_integer, check_option, fail
from verax._types import AnyArray

from ._checks import check_concrete, check_features, check_key, check_logits
from ._dispersity import centred
from ._scores import Scores, assemble, draw_rows, input_status, remaining_rows

NORMS = ("function", "parameter", "disagreement")


def kernel_projection_norm(
    reference_features: Float[AnyArray, "N P"],
    reference_logits: Float[AnyArray, "N K"],
    target_features: Float[AnyArray, "S m P"],
    target_logits: Float[AnyArray, "S m K"],
    *,
    budget: float | int | Sequence[float | int] | Float[AnyArray, " B"],
    norm: str = "function",
    holdout_features: Float[AnyArray, "h P"] | None = None,
    normalize: str | None = "set",
    null_features: Float[AnyArray, "N0 P"] | None = None,
    null_logits: Float[AnyArray, "N0 K"] | None = None,
    num_references: int = 4,
    num_nulls: int = 20,
    key: jax.Array,
) -> Scores:
    r"""Projection Norm of target sets without retraining: kernel ridge regression on pseudo-labels.

    With features :math:`\Phi` [m, P] and residuals R = onehot(argmax logits) - 1/K of a set,

    .. math:: W = \Phi^\top(\Phi\Phi^\top + m\lambda I)^{-1} R, \qquad \lambda = \bar d / \mathrm{budget},

    where :math:`\bar d` is the mean of the reference kernel's diagonal. A set's score is the distance between its W and
    that of a reference draw of the same size m:

    .. math:: \text{parameter: } \lVert W_t - W_r\rVert_F; \quad
        \text{function: } \sqrt{\tfrac1h}\,\lVert\Phi_h(W_t - W_r)\rVert_F; \quad
        \text{disagreement: the share of the holdout where their largest outputs differ.}

    Parameters
    ----------
    reference_features, reference_logits : [N, P], [N, K]
        In-distribution pool, N >= m. Features are those of the network at the initialisation (or any fixed network):
        inputs of its last layer, or ``verax.ntk.ntk_features``, sketched or exact. Logits are the deployed model's.
    target_features, target_logits : [S, m, P], [S, m, K]
        S unlabelled sets of m examples; one dtype with the reference.
    budget
        Training budget, 1/ridge in units of the inverse mean diagonal; a number, or B of them for a leading axis. At 0,
        the training-free limit: of value / budget ("disagreement": of the value).
    norm
        ``"function"`` (the steadiest over budgets), ``"parameter"`` or ``"disagreement"``.
    holdout_features : [h, P]
        In-distribution examples for "function" and "disagreement".
    normalize
        ``"set"``: each feature gets mean 0 and variance 1 over each set, as batch norm in training mode does (constant
        features become 0); ``"unit"``: each example gets norm 1; None.
    null_features, null_logits : [N0, P], [N0, K]
        Pool for the null draws, best unseen by the model; the reference pool by default.
    num_references, num_nulls
        Draws of m examples without replacement, disjoint as long as the pool lasts. The p-value is exact where all of
        them are, that is for pools of ``(num_references + num_nulls) m`` examples, and the holdout is apart.
    key
        A ``jax.random.key`` for the draws.

    Returns
    -------
    Scores
        In the features' dtype. Sets with non-finite features or logits have status NON_FINITE, sets with one predicted
        class ONE_CLASS.

    Raises
    ------
    ValueError
        For shapes, dtypes and options, a negative budget, pools smaller than m, a missing holdout.

    Notes
    -----
    One decomposition a set, of size min(m, P), serves all budgets: O(m P min(m, P)) a set, and O(P^2 K) a budget. Not
    normalising, or no reference of the target's size, makes values of sets of different sizes incomparable; compare
    ``excess``. Under squared loss a small budget is early stopping; the paper trains by cross-entropy.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.shift import kernel_projection_norm
    >>> rng = np.random.default_rng(0)
    >>> head = rng.normal(size=(20, 3)).astype(np.float32)
    >>> x = rng.normal(size=(2400, 20)).astype(np.float32)
    >>> shifted = x[:200] * np.where(np.arange(20) < 5, 6, 1).astype(np.float32)
    >>> sets = np.stack([x[:200], shifted])
    >>> scores = kernel_projection_norm(
    ...     x[400:], x[400:] @ head, sets, sets @ head, budget=10.0, holdout_features=x[200:400], num_nulls=5,
    ...     key=jax.random.key(0))
    >>> bool(scores.value[1] > scores.value[0]), scores.status.tolist(), round(float(scores.p_value[1]), 3)
    (True, [0, 0], 0.167)

    References
    ----------
    Y. Yu et al., "Predicting out-of-distribution error with the Projection Norm", ICML 2022: the score. The closed form
    and its normalisation are derived here; see the documentation of the paper.
    """
    check_concrete(
        reference_features=reference_features,
        reference_logits=reference_logits,
        target_features=target_features,
        target_logits=target_logits,
        holdout_features=holdout_features,
        null_features=null_features,
        null_logits=null_logits,
    )
    pool, pool_logits, target, logits = _check_sets(
        reference_features, reference_logits, target_features, target_logits
    )
    size = target.shape[1]
    num_classes = logits.shape[2]
    check_option("norm", norm, NORMS)
    if normalize is not None:
        check_option("normalize", normalize, ("set", "unit"))
    budgets, scalar = check_budget(budget)
    check_integer("num_references", num_references, minimum=1)
    check_integer("num_nulls", num_nulls, minimum=0)
    key = check_key(key)
    holdout = None
    if norm != "parameter":
        if holdout_features is None:
            fail("holdout_features", "None", f"features of in-distribution examples for norm={norm!r}")
        holdout = check_features("holdout_features", holdout_features, width=pool.shape[1])
        holdout = holdout.astype(pool.dtype)
    given = (null_features is None) == (null_logits is None)
    check(given, "null_features", "one of features and logits", "both, or neither")
    null_pool, null_pool_logits = pool, pool_logits
    if null_features is not None:
        null_pool = check_features("null_features", null_features, width=pool.shape[1])
        null_pool_logits = check_logits("null_logits", null_logits, num_classes)
        null_pool, null_pool_logits = null_pool.astype(pool.dtype), null_pool_logits.astype(pool.dtype)
        same = null_pool_logits.shape[0] == null_pool.shape[0]
        check(same, "null_logits", f"{null_pool_logits.shape[0]} rows", f"{null_pool.shape[0]}, as null_features")
    for argument, rows in (("reference_features", pool.shape[0]), ("null_features", null_pool.shape[0])):
        check(rows >= size, argument, f"{rows} rows", f"at least {size}, the size of a target set")

    reference_key, null_key = jax.random.split(key)
    reference_rows = draw_rows(reference_key, num_references, np.arange(pool.shape[0]), size)
    candidates = np.arange(null_pool.shape[0])
    if null_features is None:
        candidates = remaining_rows(pool.shape[0], reference_rows, size)
    null_rows = draw_rows(null_key, num_nulls, candidates, size)
    scale = _mean_diagonal(pool[reference_rows.ravel()].reshape(num_references, size, -1), normalize)
    if holdout is not None:
        holdout = normalise_set(holdout, normalize)

    def fit(features: jax.Array, logits: jax.Array) -> jax.Array:
        return _fit_sets(features, logits, jnp.asarray(budgets, pool.dtype), scale, normalize)

    references = fit(pool[reference_rows], pool_logits[reference_rows])
    targets = fit(target, logits)
    distance = functools.partial(_distance, references=references, holdout=holdout, norm=norm)
    values = distance(targets)
    nulls = jnp.zeros((len(budgets), 0), pool.dtype)
    if num_nulls:
        nulls = distance(fit(null_pool[null_rows], null_pool_logits[null_rows]))
    status = _status_of(target, logits)
    if scalar:
        values, nulls = values[0], nulls[0]
    return assemble(values, nulls, status)


@jax.jit
def _status_of(features: jax.Array, logits: jax.Array) -> jax.Array:
    finite = jnp.isfinite(features).all((1, 2)) & jnp.isfinite(logits).all((1, 2))
    return input_status(logits.argmax(-1), finite)


def gram_projection_norm(
    target_kernel: Float[AnyArray, "m m"],
    reference_kernel: Float[AnyArray, "r r"],
    cross_kernel: Float[AnyArray, "r m"],
    target_logits: Float[AnyArray, "m K"],
    reference_logits: Float[AnyArray, "r K"],
    *,
    budget: float | int | Sequence[float | int] | Float[AnyArray, " B"],
) -> Float[AnyArray, "*b"]:
    r"""Parameter-norm Projection Norm of one set from exact Gram matrices, such as those of ``verax.ntk``.

    .. math:: \mathrm{PN}^2 = \operatorname{tr}(a_t^\top K_{tt} a_t) + \operatorname{tr}(a_r^\top K_{rr} a_r)
        - 2\operatorname{tr}(a_r^\top K_{rt} a_t), \qquad a = (K + m\lambda I)^{-1} R

    Parameters
    ----------
    target_kernel, reference_kernel, cross_kernel : [m, m], [r, r], [r, m]
        Gram matrices of one feature map, of target, reference, and reference against target.
    target_logits, reference_logits : [m, K], [r, K]
        The deployed model's.
    budget
        As for :func:`kernel_projection_norm`, a number or B of them.

    Returns
    -------
    scalar or [B]
        As ``kernel_projection_norm(norm="parameter", normalize=None).value`` with this one reference.

    Raises
    ------
    ValueError
        For shapes, dtypes, non-finite values, a negative budget.

    Notes
    -----
    O(m^3 + r^3), one decomposition each for all budgets.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.shift import gram_projection_norm
    >>> k, z = np.eye(3, dtype=np.float32), 2 * np.eye(3, dtype=np.float32)
    >>> float(gram_projection_norm(k, k, k, z, z, budget=1.0))  # the reference itself
    0.0

    References
    ----------
    As :func:`kernel_projection_norm`.
    """
    target, reference = check_logits("target_logits", target_logits), check_logits("reference_logits", reference_logits)
    check(target.shape[1] == reference.shape[1], "target_logits", target.shape, f"{reference.shape[1]} classes")
    m, r = target.shape[0], reference.shape[0]
    kernels = []
    for argument, kernel, shape in (
        ("target_kernel", target_kernel, (m, m)),
        ("reference_kernel", reference_kernel, (r, r)),
        ("cross_kernel", cross_kernel, (r, m)),
    ):
        array = check_features(argument, kernel)
        check(array.shape == shape, argument, f"shape {array.shape}", f"shape {shape}")
        kernels.append(array)
    *kernels, target, reference = same_dtype(*kernels, target, reference)
    budgets, scalar = check_budget(budget)
    scale = jnp.trace(kernels[1]) / r
    weights = jnp.asarray(budgets, target.dtype)
    with jax.default_matmul_precision("highest"):
        a_t, a_r = (_duals(k, z, weights, scale) for k, z in ((kernels[0], target), (kernels[1], reference)))
        squared = jnp.einsum("bik,ij,bjk->b", a_t, kernels[0], a_t) + jnp.einsum("bik,ij,bjk->b", a_r, kernels[1], a_r)
        squared = squared - 2 * jnp.einsum("bik,ij,bjk->b", a_r, kernels[2], a_t)
    value = jnp.sqrt(jnp.maximum(squared, 0))  # a rounding error below 0 is a distance of 0
    return value[0] if scalar else value


def check_budget(budget: object) -> tuple[np.ndarray, bool]:
    """Budgets as an array [B], and whether one number came."""
    if isinstance(budget, bool) or not (isinstance(budget, int | float | list | tuple) or hasattr(budget, "dtype")):
        fail("budget", repr(budget), "a number >= 0, or a list of them")
    try:
        array = np.asarray(budget, np.float64)
    except (TypeError, ValueError):
        fail("budget", repr(budget), "a number >= 0, or a list of them")
    good = array.ndim <= 1 and array.size > 0 and bool(np.all(np.isfinite(array) & (array >= 0)))
    check(good, "budget", repr(budget), "finite numbers >= 0")
    return np.atleast_1d(array), array.ndim == 0


def _check_sets(reference_features, reference_logits, target_features, target_logits):
    pool = check_features("reference_features", reference_features)
    pool_logits = check_logits("reference_logits", reference_logits)
    same = pool.shape[0] == pool_logits.shape[0]
    check(same, "reference_logits", f"{pool_logits.shape[0]} rows", f"{pool.shape[0]}, as reference_features")
    target = to_array("target_features", target_features, finite=False, empty=True)
    logits = to_array("target_logits", target_logits, finite=False, empty=True)
    fits = target.ndim == 3 and target.size > 0 and target.shape[2] == pool.shape[1]
    check(fits, "target_features", f"shape {target.shape}", f"sets of features [S, m, {pool.shape[1]}]")
    expected = (*target.shape[:2], pool_logits.shape[1])
    check(logits.shape == expected, "target_logits", f"shape {logits.shape}", f"shape {expected}")
    return same_dtype(pool, pool_logits, target, logits)


def normalise_set(features: jax.Array, normalize: str | None) -> jax.Array:
    """Features [..., m, P] of sets, standardised over the set, or scaled to norm 1, or as they are."""
    if normalize == "set":
        mean, deviation = features.mean(-2, keepdims=True), centred(features)
        sd = jnp.sqrt((deviation**2).mean(-2, keepdims=True))
        # A constant feature leaves only rounding.
        alive = sd > 8 * jnp.finfo(features.dtype).eps * jnp.abs(mean) + jnp.finfo(features.dtype).tiny
        return jnp.where(alive, deviation / jnp.where(alive, sd, 1), 0)
    if normalize == "unit":
        length = jnp.sqrt((features**2).sum(-1, keepdims=True))
        return features / jnp.where(length > 0, length, 1)
    return features


@functools.partial(jax.jit, static_argnums=1)
def _mean_diagonal(features: jax.Array, normalize: str | None) -> jax.Array:
    return (normalise_set(features, normalize) ** 2).sum(-1).mean()


def residuals(logits: jax.Array) -> jax.Array:
    """Pseudo-labels, one-hot, less the uniform prediction of the initialisation."""
    return jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=logits.dtype) - 1 / logits.shape[-1]


@functools.partial(jax.jit, static_argnums=4)
def _fit_sets(
    features: jax.Array, logits: jax.Array, budgets: jax.Array, scale: jax.Array, normalize: str | None
) -> jax.Array:
    """Weights [S, B, P, K], one set after another, since each decomposition uses the whole machine."""

    def fit(one: tuple[jax.Array, jax.Array]) -> jax.Array:
        phi, target = normalise_set(one[0], normalize), residuals(one[1])
        num, width = phi.shape
        if num < width:
            return jnp.einsum("np,bnk->bpk", phi, _duals(phi @ phi.T, one[1], budgets, scale))
        values, vectors = jnp.linalg.eigh(phi.T @ phi / num)
        rotated = vectors.T @ (phi.T @ target) / num
        return jnp.einsum("pq,bq,qk->bpk", vectors, _filter(values, budgets, scale), rotated)

    with jax.default_matmul_precision("highest"):
        return lax.map(fit, (features, logits))


def _duals(kernel: jax.Array, logits: jax.Array, budgets: jax.Array, scale: jax.Array) -> jax.Array:
    """A = (K + m ridge I)^-1 R for each budget: [B, m, K]."""
    num = kernel.shape[0]
    values, vectors = jnp.linalg.eigh(kernel / num)
    rotated = vectors.T @ residuals(logits) / num
    return jnp.einsum("pq,bq,qk->bpk", vectors, _filter(values, budgets, scale), rotated)


def _filter(values: jax.Array, budgets: jax.Array, scale: jax.Array) -> jax.Array:
    """1 / (value + ridge) with ridge = scale / budget, [B, q]; at budget 0 its limit after division by the budget."""
    budgets = budgets[:, None]
    return jnp.where(budgets > 0, budgets, 1) / (budgets * jnp.maximum(values, 0) + scale)


@functools.partial(jax.jit, static_argnames="norm")
def _distance(fits: jax.Array, *, references: jax.Array, holdout: jax.Array | None, norm: str) -> jax.Array:
    """Mean distance [B, S] of weights [S, B, P, K] from those of the references [R, B, P, K]."""
    if norm == "parameter":
        gap = jnp.sqrt(((fits[:, None] - references[None]) ** 2).sum((-2, -1)))
        return gap.mean(1).T
    assert holdout is not None
    outputs, expected = (jnp.einsum("hp,sbpk->sbhk", holdout, w, precision="highest") for w in (fits, references))

    def one(output: jax.Array) -> jax.Array:
        if norm == "disagreement":
            return (output.argmax(-1) != expected.argmax(-1)).astype(output.dtype).mean((0, 2))
        return jnp.sqrt(((output - expected) ** 2).sum(-1).mean(-1)).mean(0)

    return lax.map(one, outputs).T
