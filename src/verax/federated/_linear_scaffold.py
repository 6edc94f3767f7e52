"""SCAFFOLD for a linear model with squared loss: M local steps of gradient descent in closed form."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float

from verax._errors import check, check_integer, check_option
from verax._progress import progress_bar
from verax._results import result
from verax._types import AnyArray

from ._options import check_number
from ._standardize import check_features, check_targets

_POWER = 32
"""Exponent of the power mean that stands in for the maximum over clients: at most ``K^(1/32)`` above it."""


@result()
class ClientSpectra(NamedTuple):
    """Eigendecompositions of the clients' Hessians without ridge, ``H_i = Phi_i^T Phi_i / n_i``.

    Attributes
    ----------
    eigenvalues : [K, r]
        Ascending, ``r = min(n, m)``, float64; the Hessians' others are zero.
    eigenvectors : [K, r, r]
        Eigenvectors of the Hessians where n > m, of the Gram matrices ``Phi_i Phi_i^T / n_i`` otherwise.
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


@result()
class LinearFit(NamedTuple):
    """A linear model fitted over clients.

    Attributes
    ----------
    coefficients : [m, C]
        Coefficients after the last round, float64.
    objective : [R]
        Pooled objective before each round, by the clients' weights.
    step_size : float
        That was used; NaN for methods without.
    evaluations : dict
        What ``evaluate`` returned after each round, ``[R, ...]``.
    """

    coefficients: AnyArray
    objective: np.ndarray
    step_size: float
    evaluations: dict[str, np.ndarray]


def scaffold_linear(
    features: Float[AnyArray, "K n m"],
    targets: Float[AnyArray, "K n C"],
    mask: Bool[AnyArray, "K n"],
    *,
    rounds: int,
    local_steps: int,
    ridge: float | int = 0.0,
    step_size: float | int | None = None,
    weights: str = "num_examples",
    control_variates: bool = True,
    method: str = "closed_form",
    spectra: ClientSpectra | None = None,
    evaluate: Callable[[Any], dict[str, Any]] | None = None,
    progress: bool = False,
) -> LinearFit:
    r"""Minimise the pooled ridge objective by SCAFFOLD with full-batch local gradient descent.

    .. math::
        F(\theta) = \sum_i \omega_i F_i(\theta), \qquad
        F_i(\theta) = \frac1{2 n_i} \|\Phi_i \theta - Y_i\|_F^2 + \frac{\lambda}2 \|\theta\|_F^2

    A round: ``h_i <- h_i + (theta - theta_i) / (M eta)``; M steps of ``t <- t - eta (grad F_i(t) - h_i)`` from ``t =
    theta`` give ``theta_i``; the server averages. In the eigenbasis of the client's Hessian the M steps are a geometric
    series,

    .. math::
        \theta_i = \theta - q(H_i)\,(\nabla F_i(\theta) - h_i), \quad q(\lambda) = \frac{1 - (1 - \eta\lambda)^M}\lambda

    so that a round costs four matrix products whatever M is.

    Parameters
    ----------
    features : [K, n, m]
        Features of each client's examples; rows outside the mask are ignored.
    targets : [K, n, C]
        For classes, ``onehot - 1/C``.
    mask : [K, n]
        Which rows are examples.
    rounds
        Communication rounds, >= 1.
    local_steps
        M.
    ridge
        ``lambda``; 1/n-normalised. The paper uses none.
    step_size
        ``eta``; None: ``1 / max_i lambda_max(H_i)``, with the maximum taken as ``(sum_i lambda_i^32)^(1/32)``, which
        needs only a sum over clients and is at least the maximum and at most ``K^(1/32)`` times it. Every local
        map is then non-expansive.
    weights
        ``omega_i``: "num_examples", whose optimum is that of the pooled data, or "uniform".
    control_variates
        False gives FedAvg on the same problem.
    method
        "closed_form", or "loop": the M steps one by one, the same to rounding.
    spectra
        From `client_spectra` on the same features, where several problems share them; computed by default.
    evaluate : callable, optional
        ``evaluate(coefficients) -> dict`` after each round, with float64 NumPy coefficients.
    progress
        Draw a progress bar.

    Returns
    -------
    LinearFit

    Raises
    ------
    ValueError
        For shapes that do not fit, a client without data, options out of range, or non-finite features or targets.

    Notes
    -----
    Once: `client_spectra`. Each round: about ``8 N m C`` flops; the loop needs ``4 N m C M``.
    Each client sends and receives ``m C`` numbers per round; the control variates are never sent, and always sum to
    zero by weight.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import scaffold_linear
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(3, 20, 5)).astype(np.float32)
    >>> targets = features @ rng.normal(size=(5, 2)).astype(np.float32)
    >>> fit = scaffold_linear(features, targets, np.ones((3, 20), bool), rounds=30, local_steps=50)
    >>> bool(fit.objective[-1] < 1e-8 * fit.objective[0])
    True

    References
    ----------
    Yu, Wei, Karimireddy, Ma, Jordan, "TCT", NeurIPS 2022 (stage 2); Karimireddy et al., "SCAFFOLD", ICML 2020.
    """
    phi, keep = check_features(features, mask)
    targets = check_targets(targets, keep)
    check_integer("rounds", rounds, minimum=1)
    check_integer("local_steps", local_steps, minimum=1)
    check_number("ridge", ridge, minimum=0.0)
    if step_size is not None:
        check_number("step_size", step_size, above=0.0)
    check_option("weights", weights, ("num_examples", "uniform"))
    check_option("method", method, ("closed_form", "loop"))
    counts = keep.sum(1)
    values, vectors = _decompose(phi, keep) if spectra is None else _checked(spectra, phi)
    eta = _step_size(values, float(ridge)) if step_size is None else float(step_size)
    primal = phi.shape[1] > phi.shape[2]
    share = counts / counts.sum() if weights == "num_examples" else np.full(len(counts), 1 / len(counts))
    objective, evaluations = np.empty(rounds), []
    # In double precision: with features far from zero the optimum is the difference of large numbers.
    with jax.enable_x64(True):
        rows = in_double(phi, keep)
        problem = _Problem(
            rows,
            in_double(targets, keep),
            jnp.asarray(counts, float),
            jnp.asarray(share),
            jnp.asarray(vectors),
            jnp.asarray(_spectral_weights(values, eta, int(local_steps), float(ridge), primal=primal)),
            jnp.asarray(_geometric(np.array(float(ridge)), eta, int(local_steps))),
            jnp.asarray(eta),
            jnp.asarray(float(ridge)),
        )
        theta = jnp.zeros((phi.shape[2], problem.y.shape[2]))
        local = jnp.broadcast_to(theta, (len(counts), *theta.shape))
        control = jnp.zeros_like(local)
    with progress_bar("scaffold", rounds, progress) as advance:
        for number in range(rounds):
            with jax.enable_x64(True):
                theta, local, control, value = _round(
                    problem, theta, local, control, int(local_steps), primal, bool(control_variates), method
                )
            objective[number] = float(value)
            if evaluate is not None:
                evaluations.append(evaluate(np.asarray(theta)))
            advance()
    return LinearFit(np.asarray(theta), objective, eta, stacked(evaluations))


def client_spectra(features: Float[AnyArray, "K n m"], mask: Bool[AnyArray, "K n"]) -> ClientSpectra:
    """Quantities of `scaffold_linear` that depend on the features alone, not on ridge, step size or number of steps.

    Parameters
    ----------
    features : [K, n, m]
        Features of each client's examples; rows outside the mask are ignored.
    mask : [K, n]
        Which rows are examples.

    Returns
    -------
    ClientSpectra

    Raises
    ------
    ValueError
        For shapes that do not fit, a client without data, or non-finite features.

    Notes
    -----
    The eigendecomposition of each client's ``n`` x ``n`` Gram matrix, or of the ``m`` x ``m`` covariance where that is
    smaller, in float64 on the host: about ``9 K min(n, m)^3`` flops.

    Examples
    --------
    >>> import numpy as np
    >>> from verax.federated import client_spectra, scaffold_linear
    >>> features, mask = np.random.default_rng(0).normal(size=(3, 20, 5)), np.ones((3, 20), bool)
    >>> spectra = client_spectra(features, mask)
    >>> fits = [
    ...     scaffold_linear(features, features[:, :, :1], mask, rounds=5, local_steps=20, ridge=ridge, spectra=spectra)
    ...     for ridge in (0.1, 1.0)
    ... ]
    >>> bool(fits[0].objective[-1] < fits[1].objective[-1])
    True
    """
    phi, keep = check_features(features, mask)
    return _decompose(phi, keep)


def in_double(rows: Any, keep: np.ndarray) -> jax.Array:
    """Rows ``[K, n, ...]`` in float64, zeros outside the mask: they change neither a product nor a gradient.

    To be called with 64-bit types enabled.
    """
    rows = jnp.asarray(rows).astype(float)
    return jnp.where(jnp.asarray(keep)[:, :, None], rows, 0.0)


def _checked(spectra: ClientSpectra, phi: Any) -> ClientSpectra:
    check(isinstance(spectra, ClientSpectra), "spectra", type(spectra).__name__, "ClientSpectra, from client_spectra")
    size = min(phi.shape[1:])
    expected = ((len(phi), size), (len(phi), size, size))
    shapes = tuple(np.shape(part) for part in spectra)
    check(shapes == expected, "spectra", f"arrays of shapes {shapes}", f"{expected}, those of the features")
    return spectra


class _Problem(NamedTuple):
    phi: jax.Array
    y: jax.Array
    counts: jax.Array
    share: jax.Array
    vectors: jax.Array
    inner: jax.Array
    null: jax.Array
    eta: jax.Array
    ridge: jax.Array


def stacked(evaluations: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """One array per name, rounds on the leading axis."""
    return {name: np.array([one[name] for one in evaluations]) for name in (evaluations[0] if evaluations else ())}


def _decompose(phi: Any, keep: np.ndarray) -> ClientSpectra:
    primal = phi.shape[1] > phi.shape[2]
    values, vectors = [], []
    for client, count in enumerate(keep.sum(1)):
        rows = np.where(keep[client][:, None], np.asarray(phi[client], np.float64), 0.0)
        square = rows.T @ rows if primal else rows @ rows.T
        w, u = np.linalg.eigh(square / count)
        values.append(np.maximum(w, 0.0))
        vectors.append(u)
    return ClientSpectra(np.stack(values), np.stack(vectors))


def _step_size(values: np.ndarray, ridge: float) -> float:
    largest = values.max(1) + ridge
    top = largest.max()
    check(top > 0, "features", "zeros alone", "at least one feature that is not zero")
    # Scaled by the largest so that the power cannot overflow; the sum itself is what the clients would add up.
    return float(1 / (top * np.sum((largest / top) ** _POWER) ** (1 / _POWER)))


def _geometric(values: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """``q(l) = (1 - (1 - eta l)^M) / l``, which tends to ``eta M`` at 0."""
    x = eta * np.asarray(values, np.float64)
    small = x < 0.5
    with np.errstate(divide="ignore", over="ignore"):
        powers = np.where(small, -np.expm1(steps * np.log1p(-np.where(small, x, 0.0))), 1 - (1 - x) ** steps)
    tiny = x < 1e-12
    return np.where(tiny, eta * steps, eta * powers / np.where(tiny, 1.0, x))


def _spectral_weights(values: np.ndarray, eta: float, steps: int, ridge: float, *, primal: bool) -> np.ndarray:
    """``q(l + ridge)`` for eigenvectors of the covariance; ``(q(l + ridge) - q(ridge)) / l`` for the Gram matrix's."""
    q = _geometric(values + ridge, eta, steps)
    if primal:
        return q
    # Below this the difference is all rounding; the directions carry no feature, so any finite weight will do.
    floor = 1e-13 * values.max(1, keepdims=True)
    safe = np.maximum(values, floor)
    return np.where(values > floor, (q - _geometric(np.array(ridge), eta, steps)) / np.maximum(safe, 1e-300), 0.0)


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _round(
    p: _Problem,
    theta: jax.Array,
    local: jax.Array,
    control: jax.Array,
    steps: int,
    primal: bool,
    control_variates: bool,
    method: str,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    with jax.default_matmul_precision("highest"):
        if control_variates:
            control = control + (theta - local) / (steps * p.eta)
        count = p.counts[:, None, None]

        def gradient(t: jax.Array) -> tuple[jax.Array, jax.Array]:
            residual = jnp.einsum("knm,kmc->knc", p.phi, t) - p.y
            return jnp.einsum("knm,knc->kmc", p.phi, residual) / count + p.ridge * t, residual

        start = jnp.broadcast_to(theta, control.shape)
        slope, residual = gradient(start)
        losses = jnp.sum(jnp.square(residual), axis=(1, 2)) / (2 * p.counts)
        objective = jnp.sum(p.share * losses) + p.ridge / 2 * jnp.sum(jnp.square(theta))
        if method == "loop":
            local = lax.fori_loop(0, steps, lambda _, t: t - p.eta * (gradient(t)[0] - control), start)
        else:
            v = slope - control
            if primal:
                inside = jnp.einsum("kmr,kmc->krc", p.vectors, v) * p.inner[:, :, None]
                local = start - jnp.einsum("kmr,krc->kmc", p.vectors, inside)
            else:
                seen = jnp.einsum("knm,kmc->knc", p.phi, v)
                inside = jnp.einsum("knr,knc->krc", p.vectors, seen) * p.inner[:, :, None]
                back = jnp.einsum("knr,krc->knc", p.vectors, inside) / count
                local = start - p.null * v - jnp.einsum("knm,knc->kmc", p.phi, back)
        return jnp.einsum("k,kmc->mc", p.share, local), local, control, objective
