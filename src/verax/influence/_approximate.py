"""Influence of training examples on a network's test losses, from gradients at its trained parameters."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from verax._arrays import to_examples, to_host, to_key, to_number, to_tree
from verax._errors import check, check_function, check_option, fail, is_traced
from verax._types import PyTree
from verax.gradients import gradient_features, gradient_products, per_example_gradients
from verax.gradients._loss import renamed
from verax.ntk import Rademacher
from verax.spectral import feature_spectrum, risk_path

from ._ekfac import ekfac_scores
from ._results import Influence, Status

METHODS = ("gradient_products", "trak", "ekfac")
# Damping of EK-FAC relative to the mean corrected eigenvalue of each layer.
_DAMPING = 0.1


def influence(
    loss_fn: Callable[[Any, Any], Any],
    params: PyTree,
    train: PyTree,
    test: PyTree,
    *,
    method: str = "gradient_products",
    measure_fn: Callable[[Any, Any], Any] | None = None,
    sample_fn: Callable[[Any, Any, Any], Any] | None = None,
    ridge: str | float = "gcv",
    sketch: Any = None,
    key: Any = None,
    progress: bool = False,
) -> Influence:
    r"""Estimate how much each training example helps each test example, without retraining.

    Parameters
    ----------
    loss_fn : callable
        ``loss_fn(params, batch) -> [n]``, the training loss, one value per example.
    params : pytree
        Trained parameters.
    train, test : pytree with leading axis n, m
        Examples as ``loss_fn`` takes them.
    method : {"gradient_products", "trak", "ekfac"}
        "gradient_products": :math:`\langle \nabla \ell_t, \nabla \ell_i \rangle`, the change of the test loss by a
        gradient step on example i.

        "trak": :math:`\phi_t (\Phi^\top \Phi + n \lambda I)^{-1} \phi_i (1 - p_i)` with sketched gradients
        :math:`\phi` of the measure.

        "ekfac": :math:`\langle \nabla \ell_t, F^{-1} \nabla \ell_i \rangle` with an eigenvalue-corrected
        Kronecker-factored Fisher matrix F and damping.
    measure_fn : callable, optional
        ``measure_fn(params, batch) -> [n]``, what is to be explained, larger where the model does better. None: the
        negative loss; for "trak" the margin :math:`\log(p / (1 - p))` with :math:`p = e^{-\ell}`.
    sample_fn : callable
        For "ekfac": ``sample_fn(params, batch, key) -> batch`` with labels drawn from the model's own predictions. The
        labels of the data would give the empirical Fisher matrix, which is another one.
    ridge : "gcv" or float
        For "trak", :math:`\lambda`; "gcv" takes the minimum of generalized cross-validation of the ridge regression of
        :math:`1 - p` on the features. For "ekfac", the damping relative to each layer's mean corrected eigenvalue; 0.1
        for "gcv".
    sketch : sketch of ``verax.ntk``, optional
        For "trak"; ``Rademacher(1024)`` when None.
    key : jax.random.key
        For "trak" and "ekfac".
    progress : bool
        Draw a progress bar.

    Returns
    -------
    Influence
        ``.scores [m, n]``, positive where the example helps. ``.standard_error`` is NaN: one model gives none.
        ``.ridge`` is the ridge that was used. ``.status`` is NON_FINITE where a score is not finite.

    Raises
    ------
    ValueError
        For a loss that returns a scalar or couples examples, "ekfac" without ``sample_fn``, a missing key, negative
        losses with "trak" (it needs negative log-likelihoods).

    Notes
    -----
    Scores of different methods have different units; :func:`linear_datamodeling_score` compares their rankings with
    retrained models. "ekfac" holds the rotated gradients of all test examples, ``m P`` numbers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.influence import influence
    >>> def loss_fn(w, batch):
    ...     return 0.5 * (batch["x"] @ w - batch["y"]) ** 2
    >>> train = {"x": jnp.array([[1.0, 0.0], [0.0, 1.0]]), "y": jnp.array([1.0, -1.0])}
    >>> test = {"x": jnp.array([[2.0, 1.0]]), "y": jnp.array([2.0])}
    >>> print(influence(loss_fn, jnp.zeros(2), train, test).scores)
    [[ 4. -2.]]

    References
    ----------
    Pruthi et al., "Estimating Training Data Influence by Tracing Gradient Descent", NeurIPS 2020; Park et al., "TRAK:
    Attributing Model Behavior at Scale", ICML 2023; Grosse et al., "Studying Large Language Model Generalization with
    Influence Functions", 2023 (EK-FAC).
    """
    check_option("method", method, METHODS)
    check_function("loss_fn", loss_fn, "a function loss_fn(params, batch) -> [n]")
    if measure_fn is not None:
        check_function("measure_fn", measure_fn, "a function measure_fn(params, batch) -> [n]")
    if ridge != "gcv":
        ridge = to_number("ridge", ridge, "(0, inf)")
    key = None if method == "gradient_products" else to_key("key", key)
    check(
        not is_traced((params, train, test)), "params", "traced arrays", "concrete values, outside jit, vmap and grad"
    )
    used: float | None = None
    train, _ = to_examples("train", train)
    test, _ = to_examples("test", test)
    if method == "gradient_products":
        if measure_fn is None:
            with renamed(batch="test", other="train"):
                scores = np.asarray(gradient_products(loss_fn, params, test, train, progress=progress))
        else:
            scores = _mixed_products(loss_fn, measure_fn, params, train, test)
    elif method == "trak":
        scores, used = _trak(loss_fn, measure_fn, params, train, test, ridge, sketch, key, progress)
    else:
        if sample_fn is None:
            fail("sample_fn", None, "a function (params, batch, key) -> batch with labels drawn from the model")
        check_function("sample_fn", sample_fn, "a function sample_fn(params, batch, key) -> batch")
        used = _DAMPING if ridge == "gcv" else float(ridge)
        scores = ekfac_scores(loss_fn, measure_fn, params, train, test, sample_fn(params, train, key), used)
    scores = np.asarray(scores, np.float64)
    status = Status.OK if np.isfinite(scores).all() else Status.NON_FINITE
    return Influence(scores, np.array(np.nan), np.array(status), ridge=used)


def _mixed_products(loss_fn: Any, measure_fn: Any, params: PyTree, train: PyTree, test: PyTree) -> np.ndarray:
    """Minus the products of the measure's gradients with the training losses' gradients, a test example at a time."""
    params = to_tree("params", params)
    rows = []
    for _, gradients in per_example_gradients(measure_fn, params, test, block_size=1):
        direction = jax.tree.map(lambda leaf: -leaf[0], gradients)
        rows.append(np.asarray(_derivative(loss_fn, params, direction, train)))
    return np.stack(rows)


@functools.partial(jax.jit, static_argnums=0)
def _derivative(loss_fn: Any, params: PyTree, direction: PyTree, batch: PyTree) -> Array:
    with jax.default_matmul_precision("highest"):
        return jax.jvp(lambda p: loss_fn(p, batch), (params,), (direction,))[1]


def _trak(
    loss_fn: Any,
    measure_fn: Any,
    params: PyTree,
    train: PyTree,
    test: PyTree,
    ridge: str | float,
    sketch: Any,
    key: Array,
    progress: bool,
) -> tuple[np.ndarray, float]:
    def margin(params: PyTree, batch: PyTree) -> Array:
        losses = loss_fn(params, batch)
        return -jnp.log(jnp.expm1(losses))

    margin = margin if measure_fn is None else measure_fn
    sketch = Rademacher(1024) if sketch is None else sketch
    losses = to_host("loss_fn", loss_fn(params, train), finite=False)
    check(bool((losses >= 0).all()), "loss_fn", "negative losses", "negative log-likelihoods, for method 'trak'")
    found = []
    for name, batch in (("train", train), ("test", test)):
        with renamed(batch=name):
            features = gradient_features(margin, params, batch, sketch=sketch, key=key, progress=progress)
        found.append(np.asarray(features, np.float64))
    features, others = found
    residual = -np.expm1(-losses)  # 1 - p
    n, m = features.shape
    if ridge == "gcv":
        path = risk_path(feature_spectrum(features, residual, center=False))
        ridge = float(path.ridge[np.argmin(path.gcv)])
    penalty = n * float(ridge)
    if n <= m:
        inverse = np.linalg.solve(features @ features.T + penalty * np.eye(n), features @ others.T).T
        # phi_t (Phi^T Phi + c)^-1 phi_i is the row of K_t (K + c)^-1.
        return inverse * residual, float(ridge)
    solved = np.linalg.solve(features.T @ features + penalty * np.eye(m), features.T)
    return others @ solved * residual, float(ridge)
