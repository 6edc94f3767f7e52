"""Small dense linear programmes in JAX: Mehrotra's predictor-corrector, batched by ``vmap``."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

_MAX_STEPS = 80
_TO_BOUNDARY = 0.995


class LinearProgramme(NamedTuple):
    """Where the interior-point method stopped.

    Attributes
    ----------
    x : [n]
        Primal point, positive.
    inequality_dual : [m]
        Multipliers of ``a_ub x <= b_ub``, positive.
    equality_dual : [k]
        Multipliers of ``a_eq x = b_eq``.
    gap : scalar
        Largest of the relative duality gap and the relative primal and dual residuals.
    num_steps : scalar int
    """

    x: Array
    inequality_dual: Array
    equality_dual: Array
    gap: Array
    num_steps: Array


class _Point(NamedTuple):
    x: Array  # primal
    s: Array  # slack of the inequalities
    y: Array  # multipliers of the inequalities
    w: Array  # multipliers of the equalities
    z: Array  # multipliers of x >= 0


def linear_programme(c: Array, a_ub: Array, b_ub: Array, a_eq: Array, b_eq: Array) -> LinearProgramme:
    r"""Minimise ``c x`` subject to ``a_ub x <= b_ub``, ``a_eq x = b_eq``, ``x >= 0``.

    Parameters
    ----------
    c, a_ub, b_ub, a_eq, b_eq : floating arrays [n], [m, n], [m], [k, n], [k]
        With entries of order one; rows of ``a_eq`` linearly independent.

    Returns
    -------
    LinearProgramme
        The best iterate. In float64 the gap is usually below 1e-9, in float32 about 1e-4; an infeasible or unbounded
        programme leaves it large.

    Notes
    -----
    A step costs ``m n^2`` operations and one Cholesky factorisation of ``n x n``.

    References
    ----------
    Mehrotra (1992), On the implementation of a primal-dual interior point method.
    """
    n, m, k = c.shape[0], b_ub.shape[0], b_eq.shape[0]
    dtype = c.dtype
    eps = jnp.finfo(dtype).eps
    norm_c, norm_b = 1 + jnp.abs(c).max(), 1 + jnp.maximum(jnp.abs(b_ub).max(initial=0), jnp.abs(b_eq).max(initial=0))

    def residuals(p: _Point) -> tuple[Array, Array, Array, Array]:
        dual = c + a_ub.T @ p.y - a_eq.T @ p.w - p.z
        return dual, a_ub @ p.x + p.s - b_ub, a_eq @ p.x - b_eq, p.x @ p.z + p.s @ p.y

    def error(p: _Point) -> Array:
        dual, ub, eq, complementary = residuals(p)
        primal = jnp.maximum(jnp.abs(ub).max(initial=0), jnp.abs(eq).max(initial=0))
        parts = jnp.stack([jnp.abs(dual).max() / norm_c, primal / norm_b, complementary / (1 + jnp.abs(c @ p.x))])
        return jnp.where(jnp.isfinite(parts).all(), parts.max(), jnp.inf)

    def step(p: _Point) -> _Point:
        dual, ub, eq, complementary = residuals(p)
        mu = complementary / (n + m)
        hessian = a_ub.T @ ((p.y / p.s)[:, None] * a_ub) + jnp.diag(p.z / p.x)
        scale = jnp.sqrt(jnp.diagonal(hessian))  # columns near their bound differ by many orders of magnitude
        factor = cho_factor(hessian / scale[:, None] / scale[None, :] + eps * jnp.eye(n, dtype=dtype), lower=True)

        def solve(rhs: Array) -> Array:
            columns = scale[:, None] if rhs.ndim == 2 else scale
            return cho_solve(factor, rhs / columns) / columns

        schur = cho_factor(a_eq @ solve(a_eq.T) + eps * jnp.eye(k, dtype=dtype), lower=True)

        def direction(xz: Array, sy: Array) -> _Point:  # xz, sy: what x z and s y shall become, less what they are
            rhs = -dual + xz / p.x - a_ub.T @ ((sy + p.y * ub) / p.s)
            dw = cho_solve(schur, -eq - a_eq @ solve(rhs))
            dx = solve(rhs + a_eq.T @ dw)
            ds = -ub - a_ub @ dx
            return _Point(dx, ds, (sy - p.y * ds) / p.s, dw, (xz - p.z * dx) / p.x)

        def longest(values: list[Array], moves: list[Array]) -> Array:
            ratio = jnp.concatenate(
                [jnp.where(d < 0, -v / jnp.where(d < 0, d, -1), jnp.inf) for v, d in zip(values, moves, strict=True)]
            )
            return jnp.minimum(1, _TO_BOUNDARY * ratio.min())

        d = direction(-p.x * p.z, -p.s * p.y)
        primal, adjoint = longest([p.x, p.s], [d.x, d.s]), longest([p.z, p.y], [d.z, d.y])
        after = (p.x + primal * d.x) @ (p.z + adjoint * d.z) + (p.s + primal * d.s) @ (p.y + adjoint * d.y)
        # A predictor that is blocked at once says that the point hugs the boundary: its curvature would keep it there.
        blocked = jnp.minimum(primal, adjoint) < 0.1
        centre = mu * jnp.where(blocked, 0.8, (after / complementary) ** 3)
        bend = jnp.where(blocked, 0, jnp.ones((), dtype))
        d = direction(centre - p.x * p.z - bend * d.x * d.z, centre - p.s * p.y - bend * d.s * d.y)
        primal, adjoint = longest([p.x, p.s], [d.x, d.s]), longest([p.z, p.y], [d.z, d.y])
        return _Point(
            p.x + primal * d.x, p.s + primal * d.s, p.y + adjoint * d.y, p.w + adjoint * d.w, p.z + adjoint * d.z
        )

    def going(state: tuple[_Point, _Point, Array, Array, Array]) -> Array:
        _, _, best, number, failed = state
        return (number < _MAX_STEPS) & (best > 50 * eps) & ~failed

    def advance(state: tuple[_Point, _Point, Array, Array, Array]) -> tuple[_Point, _Point, Array, Array, Array]:
        point, kept, best, number, _ = state
        point = step(point)
        now = error(point)
        better = now < best
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), point, kept)
        return point, kept, jnp.minimum(best, now), number + 1, ~jnp.isfinite(now)

    def ones(size: int) -> Array:
        return jnp.ones(size, dtype)

    start = _Point(ones(n), jnp.maximum(b_ub - a_ub @ ones(n), 1), ones(m), jnp.zeros(k, dtype), ones(n))
    with jax.default_matmul_precision("highest"):
        state = (start, start, error(start), jnp.int32(0), jnp.bool_(False))
        _, kept, best, number, _ = jax.lax.while_loop(going, advance, state)
    return LinearProgramme(kept.x, kept.y, kept.w, best, number)
