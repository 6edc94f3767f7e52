"""Finite online games, solved by linear programmes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real

from verax._arrays import to_host
from verax._errors import check, check_finite, check_integer, fail, is_traced
from verax._lp import linear_programme
from verax._results import raise_if_failed, result
from verax._types import AnyArray
from verax.online._arguments import check_range, floating
from verax.online._status import SENTENCES, Status

from ._certificate import GameCertificate, certify
from ._policy import PolicyCertificate, measure, read_policy, worst_of_points

_Prediction = int | tuple[int, int] | Any | None


@result(SENTENCES)
class Response(NamedTuple):
    """A randomized policy and what it guarantees.

    Attributes
    ----------
    policy : [..., a]
        Probability of each plan.
    robustness : [...]
        Its exact largest ratio of cost to optimum over all instances.
    consistency : [...]
        The objective: its ratio at the prediction (for an interval the largest there; for a distribution the mean).
    lower_bound : [...]
        No policy of the allowed robustness has a smaller objective: proved by ``weights``.
    gap : [...]
        ``consistency - lower_bound``, at least 0 up to rounding.
    weights : [..., x]
        The proof: non-negative weights of the instances.
    status : [...], int
        A :class:`verax.online.Status`.
    """

    policy: Float[Array, "... a"]
    robustness: Float[Array, "..."]
    consistency: Float[Array, "..."]
    lower_bound: Float[Array, "..."]
    gap: Float[Array, "..."]
    weights: Float[Array, "... x"]
    status: Int[Array, "..."]

    raise_if_failed = raise_if_failed


class FiniteOnlineGame:
    r"""An online problem as a matrix: plan ``a`` costs ``cost[x, a]`` on instance ``x``, whose optimum is ``opt[x]``.

    A plan is everything that a deterministic algorithm would do; a policy is a distribution ``p`` over plans.

    Parameters
    ----------
    cost : [x, a]
        Non-negative and finite.
    opt : [x]
        Positive: the ratio to an optimum of zero is undefined.

    Raises
    ------
    ValueError
        For other shapes, negative or non-finite costs, or an optimum that is not positive.

    Notes
    -----
    Every answer carries the best lower bound that weak duality gives for its multipliers, so the gap is a true one
    whatever the solver did. In double precision (``jax_enable_x64``) gaps are below 1e-6 of the value; in single
    precision from 1e-4 to 1e-2, by the programme and how it was compiled; the status says which exceed 2e-3.

    Examples
    --------
    Ski rental with a price of 3 days, plans to buy on day 1, 2 or 3, seasons of 1, 2 or 3 days:

    >>> import numpy as np
    >>> from verax.online.games import FiniteOnlineGame
    >>> cost = np.array([[3, 1, 1], [3, 4, 2], [3, 4, 5]])
    >>> game = FiniteOnlineGame(cost, np.array([1, 2, 3]))
    >>> print(round(float(game.minimax().robustness), 3))  # 1 / (1 - (2/3)^3)
    1.421
    """

    def __init__(self, cost: Real[AnyArray, "x a"], opt: Real[AnyArray, "x"]):
        cost, opt = floating("cost", cost), floating("opt", opt)
        check(cost.ndim == 2 and cost.size > 0, "cost", f"shape {cost.shape}", "[instances, plans], not empty")
        check(opt.shape == cost.shape[:1], "opt", f"shape {opt.shape}", f"one optimum per instance, ({cost.shape[0]},)")
        check_finite("cost", cost)
        check_finite("opt", opt)
        check_range("cost", cost, 0, np.inf, "costs that are not negative")
        check_range("opt", opt, np.nextafter(0.0, 1.0), np.inf, "positive optima, since ratios to 0 are undefined")
        dtype = jnp.promote_types(cost.dtype, opt.dtype)
        self.cost, self.opt = cost.astype(dtype), opt.astype(dtype)

    @property
    def ratios(self) -> Float[Array, "x a"]:
        """Ratio of each plan's cost to the optimum on each instance."""
        return self.cost / self.opt[:, None]

    def minimax(self) -> Response:
        """Return the most robust policy; its ``consistency`` is its robustness.

        Returns
        -------
        Response

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> game = FiniteOnlineGame(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2))
        >>> print(np.asarray(game.minimax().policy).round(3))
        [0.5 0.5]
        """
        every = jnp.eye(self.cost.shape[0], dtype=self.cost.dtype)
        found = _solve(every, self.ratios, jnp.asarray(jnp.inf, self.cost.dtype))
        return _response(self.ratios, every, found, found.policy, found.row_weights)

    def best_response(self, robustness: float | Real[AnyArray, "..."], prediction: _Prediction) -> Response:
        r"""Return the most consistent policy among those of a given robustness.

        .. math:: \min_p \max_{y} \frac{(C p)_y}{o_y} \quad \text{subject to} \quad C p \le \gamma\,o

        Parameters
        ----------
        robustness
            ``gamma``; an array solves one programme per entry.
        prediction
            An instance's index; a pair ``(first, last)`` for an interval of instances, both included; or a
            distribution ``[x]`` over instances, whose mean ratio is minimised.

        Returns
        -------
        Response
            Where the robustness cannot be attained the status says so, and the policy is the most robust one.

        Raises
        ------
        ValueError
            For a concrete robustness below the smallest that is attained, which the message gives; for an index or a
            distribution that is none.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> cost = np.array([[3, 1, 1], [3, 4, 2], [3, 4, 5]])
        >>> game = FiniteOnlineGame(cost, np.array([1, 2, 3]))
        >>> print(round(float(game.best_response(1.8, 2).consistency), 3))
        1.2
        """
        gamma = floating("robustness", robustness).astype(self.cost.dtype)
        selection, least, tolerance = self._selection(prediction), self.minimax(), _tolerance(self.cost.dtype)
        if not is_traced((gamma, self.cost)):
            values = np.asarray(gamma, np.float64)
            if not bool((values >= float(least.lower_bound) * (1 - tolerance)).all()):
                need = f"at least {float(least.robustness):.10g}, the smallest that any policy attains in this game"
                fail("robustness", robustness, need)
        solve = _solve
        for _ in range(gamma.ndim):
            solve = jax.vmap(solve, in_axes=(None, None, 0))
        found = solve(selection, self.ratios, gamma)
        # A policy that breaks the cap by the solver's rounding is mixed with the most robust one until it keeps it.
        reached = _largest(self.ratios, found.policy)
        room = jnp.maximum(reached - least.robustness, jnp.finfo(gamma.dtype).tiny)
        share = jnp.clip(jnp.where(reached > gamma, (reached - gamma) / room, 0), 0, 1)[..., None]
        policy = (1 - share) * found.policy + share * least.policy
        response = _response(self.ratios, selection, found, policy, found.weights)
        infeasible = gamma < least.lower_bound * (1 - tolerance)
        return response._replace(status=jnp.where(infeasible, Status.INFEASIBLE, response.status).astype(jnp.int32))

    def frontier(self, robustness: Real[AnyArray, "g"], prediction: _Prediction) -> Response:
        """Return the best response at each robustness of a grid, batched in one programme.

        Parameters
        ----------
        robustness : [g]
            Caps, each at least the smallest that is attained.
        prediction
            As for :meth:`best_response`.

        Returns
        -------
        Response
            Fields with a leading axis ``g``.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> game = FiniteOnlineGame(np.array([[3, 1, 1], [3, 4, 2], [3, 4, 5]]), np.array([1, 2, 3]))
        >>> print(np.asarray(game.frontier(np.array([1.5, 1.8, 3.0]), 2).consistency).round(2))
        [1.38 1.2  1.  ]
        """
        grid = floating("robustness", robustness)
        check(grid.ndim == 1 and grid.size > 0, "robustness", f"shape {grid.shape}", "a grid [g], not empty")
        return self.best_response(grid, prediction)

    def certificate(self, robustness: float, prediction: _Prediction) -> GameCertificate:
        """Return a proof that no policy of this robustness is more consistent, checked in rational arithmetic.

        Parameters
        ----------
        robustness
            The cap, at least the smallest that is attained.
        prediction
            As for :meth:`best_response`.

        Returns
        -------
        GameCertificate
            Its ``verify()`` needs nothing but the matrix.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> game = FiniteOnlineGame(np.array([[3, 1, 1], [3, 4, 2], [3, 4, 5]]), np.array([1, 2, 3]))
        >>> proof = game.certificate(1.8, 2)
        >>> proof.verify() >= 0, bool(proof.bound > 1.19)
        (True, True)
        """
        check(np.ndim(robustness) == 0, "robustness", f"shape {np.shape(robustness)}", "one number")
        selection = self._selection(prediction)
        found = _solve(selection, self.ratios, jnp.asarray(robustness, self.cost.dtype))
        chosen = np.asarray(found.row_weights, np.float64) @ np.asarray(selection, np.float64)
        weights = np.asarray(found.weights, np.float64)
        return certify(np.asarray(self.cost), np.asarray(self.opt), float(robustness), chosen, weights)

    def certify(self, policy: Real[AnyArray, "a"], prediction: _Prediction) -> PolicyCertificate:
        """Return what a policy of your own guarantees, and by how much another could better it.

        Parameters
        ----------
        policy : [a]
            Probability of each plan; a deterministic algorithm is a single 1.
        prediction
            What this policy was told, as for :meth:`best_response`.

        Returns
        -------
        PolicyCertificate
            Its ``verify()`` needs nothing but the matrix.

        Raises
        ------
        ValueError
            For a policy that is no distribution over the plans, or a prediction that is none.

        Notes
        -----
        Robustness and consistency are exact for the matrix as the game holds it (in JAX's precision). The lower bound
        is exact too, and as sharp as the solver's multipliers.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> game = FiniteOnlineGame(np.array([[3, 1, 1], [3, 4, 2], [3, 4, 5]]), np.array([1, 2, 3]))
        >>> found = game.certify(np.array([0.5, 0.5, 0.0]), 2)
        >>> found.robustness, found.worst_instance, round(found.consistency, 4), found.verify() >= 0
        (2.0, 0, 1.1667, True)
        """
        weights = read_policy(to_host("policy", policy).astype(np.float64), self.cost.shape[1])
        selection = np.asarray(self._selection(prediction), np.float64)
        game = np.asarray(self.cost, np.float64), np.asarray(self.opt, np.float64)
        robustness, worst, consistency = measure(*game, weights, selection)
        proof = self._sharpest(robustness, selection)
        return PolicyCertificate(
            robustness=robustness,
            worst_instance=worst,
            consistency=consistency,
            worst_predicted=worst_of_points(*game, weights, selection),
            bound=proof.bound,
            gap=consistency - proof.bound,
            policy=weights,
            selection=selection,
            proof=proof,
        )

    def _sharpest(self, robustness: float, selection: np.ndarray) -> GameCertificate:
        """Multipliers prove a bound for any cap: at the least robustness those of a larger cap are the stable ones."""
        rows, proofs = jnp.asarray(selection, self.cost.dtype), []
        for factor in (1.0, 1 + _tolerance(self.cost.dtype)):
            found = _solve(rows, self.ratios, jnp.asarray(robustness * factor, self.cost.dtype))
            parts = np.asarray(found.row_weights, np.float64), np.asarray(found.weights, np.float64)
            if all(bool(np.isfinite(part).all()) for part in parts):
                proofs.append((np.maximum(parts[0], 0) @ selection, parts[1]))
        proofs.append((selection[0], np.zeros(selection.shape[1])))
        game = np.asarray(self.cost), np.asarray(self.opt)
        return max((certify(*game, robustness, *proof) for proof in proofs), key=lambda proof: proof.bound)

    def error_profile(
        self, policy: Real[AnyArray, "x a"], distance: Real[AnyArray, "x y"], errors: Real[AnyArray, "e"]
    ) -> Float[Array, "e"]:
        r"""Return the worst ratio of a predicted policy as a function of the prediction's error.

        .. math:: g(\eta) = \max \Bigl\{ \frac{(C p_y)_x}{o_x} : d(x, y) \le \eta \Bigr\}

        Parameters
        ----------
        policy : [y, a]
            Row ``y`` is the policy that follows the prediction ``y``.
        distance : [x, y]
            Error of predicting ``y`` when the instance is ``x``.
        errors : [e]
            Values of ``eta``.

        Returns
        -------
        [e]
            ``g(0)`` is the consistency, ``g(inf)`` the robustness of the family; -inf where no pair is that close.

        Examples
        --------
        >>> import numpy as np
        >>> from verax.online.games import FiniteOnlineGame
        >>> game = FiniteOnlineGame(np.array([[1.0, 4.0], [4.0, 2.0]]), np.array([1.0, 2.0]))
        >>> days = np.array([1.0, 2.0])
        >>> print(game.error_profile(np.eye(2), abs(days[:, None] - days), np.array([0.0, 1.0])))
        [1. 4.]
        """
        instances, plans = self.cost.shape
        policies, gaps = floating("policy", policy), floating("distance", distance)
        grid = floating("errors", errors)
        check(policies.ndim == 2 and policies.shape[1] == plans, "policy", f"shape {policies.shape}", f"[y, {plans}]")
        shape = (instances, policies.shape[0])
        check(gaps.shape == shape, "distance", f"shape {gaps.shape}", f"[x, y] = {shape}")
        ratio = jnp.matmul(self.ratios, policies.T.astype(self.cost.dtype), precision="highest")
        order = jnp.argsort(gaps.ravel())
        worst = jax.lax.associative_scan(jnp.maximum, ratio.ravel()[order])
        number = jnp.searchsorted(gaps.ravel()[order], grid.astype(gaps.dtype), side="right")
        return jnp.where(number > 0, worst[jnp.maximum(number - 1, 0)], -jnp.inf)

    def _selection(self, prediction: _Prediction) -> Array:
        """Distributions over instances ``[r, x]``; the largest mean ratio under one of them is minimised."""
        num = self.cost.shape[0]
        identity = jnp.eye(num, dtype=self.cost.dtype)
        if isinstance(prediction, tuple):
            check(len(prediction) == 2, "prediction", prediction, "a pair (first, last) of instances")
            for end in prediction:
                check_integer("prediction", end, minimum=0)
            first, last = prediction
            check(first <= last < num, "prediction", prediction, f"first <= last, below the {num} instances")
            return identity[first : last + 1]
        if isinstance(prediction, int | np.integer):
            check_integer("prediction", prediction, minimum=0)
            check(prediction < num, "prediction", prediction, f"an index below the {num} instances")
            return identity[prediction][None]
        if not hasattr(prediction, "shape"):
            fail("prediction", repr(prediction), "an index, a pair of indices, or a distribution over the instances")
        belief = floating("prediction", prediction).astype(self.cost.dtype)
        check(belief.shape == (num,), "prediction", f"shape {belief.shape}", f"a distribution over {num} instances")
        check_range("prediction", belief, 0, np.inf, "probabilities")
        if not is_traced(belief):
            total = float(np.asarray(belief, np.float64).sum())
            check(abs(total - 1) <= 1e-5, "prediction", f"a sum of {total}", "probabilities that sum to 1")
        return belief[None]


class _Solution(NamedTuple):
    policy: Array
    row_weights: Array  # of the objective's rows, summing to 1
    weights: Array  # of the instances, for the cap on robustness
    bound: Array


@jax.jit
def _solve(selection: Array, ratios: Array, cap: Array) -> _Solution:
    """Minimise ``max(selection @ ratios @ p)`` over policies with ``ratios @ p <= cap``."""
    num_rows, plans = selection.shape[0], ratios.shape[1]
    num, dtype = ratios.shape[0], ratios.dtype
    with jax.default_matmul_precision("highest"):
        rows = selection @ ratios
    scale, row_scale = jnp.maximum(1, ratios.max(1)), jnp.maximum(1, rows.max(1))  # to rows of order one
    capped = jnp.isfinite(cap)
    upper = jnp.concatenate([rows, -jnp.ones((num_rows, 1), dtype)], axis=1) / row_scale[:, None]
    lower = jnp.concatenate([ratios / scale[:, None], jnp.zeros((num, 1), dtype)], axis=1)
    limit = jnp.where(capped, jnp.where(capped, cap, 1) / scale, 2)  # a row of at most 1 never reaches 2
    result = linear_programme(
        jnp.zeros(plans + 1, dtype).at[-1].set(1),
        jnp.concatenate([upper, lower]),
        jnp.concatenate([jnp.zeros(num_rows, dtype), limit]),
        jnp.concatenate([jnp.ones((1, plans), dtype), jnp.zeros((1, 1), dtype)], axis=1),
        jnp.ones(1, dtype),
    )
    row_weights = result.inequality_dual[:num_rows] / row_scale
    row_weights = row_weights / row_weights.sum()
    weights = jnp.where(capped, result.inequality_dual[num_rows:] / scale, 0)
    with jax.default_matmul_precision("highest"):
        bound = (row_weights @ rows + weights @ ratios).min() - jnp.where(capped, cap, 0) * weights.sum()
    return _Solution(result.x[:-1] / result.x[:-1].sum(), row_weights, weights, bound)


def _tolerance(dtype: Any) -> float:
    """Relative gap that counts as solved."""
    return 1e-6 if jnp.finfo(dtype).bits == 64 else 2e-3


def _largest(rows: Array, policy: Array) -> Array:
    return jnp.einsum("xa,...a->...x", rows, policy, precision="highest").max(-1)


def _response(ratios: Array, selection: Array, found: _Solution, policy: Array, weights: Array) -> Response:
    """Measure a policy on the game itself, whatever the solver believed of it."""
    rows = jnp.matmul(selection, ratios, precision="highest")
    consistency, robustness = _largest(rows, policy), _largest(ratios, policy)
    gap = consistency - found.bound
    solved = jnp.abs(gap) <= _tolerance(ratios.dtype) * jnp.maximum(1, consistency)
    status = jnp.where(solved, Status.OK, Status.NOT_CONVERGED).astype(jnp.int32)
    return Response(policy, robustness, consistency, found.bound, gap, weights, status)
