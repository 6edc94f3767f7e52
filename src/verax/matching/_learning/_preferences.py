"""Three models of utilities, with what is learned about them and how well it is known."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from verax._arrays import to_array, to_host
from verax._errors import check, is_traced
from verax._results import result
from verax._types import AnyArray
from verax.matching._market import Market, Outcome

from ._policy import Feedback, pair_matrix

_MOST_TYPES = 100_000  # of a side: a table has a cell for each pair of types


@result()
class Confidence(NamedTuple):
    """Intervals that hold all utilities with high probability, within [-1, 1]."""

    lower: Market
    upper: Market


class Tally(NamedTuple):
    """Observations: how often, and their sums."""

    plays: jax.Array
    customer_sum: jax.Array
    provider_sum: jax.Array


class Unstructured:
    r"""Utilities of every pair on their own.

    .. math:: \left|u_a(a') - \hat u_a(a')\right| \le c \sqrt{\log(N T) / n_{aa'}}

    with N agents, horizon T, ``n`` observations of the pair and c the confidence scale.

    Notes
    -----
    For noise of unit variance (sub-Gaussian). The paper has c = 8; 2 is already valid: an interval fails with
    probability at most 2 / (N T)^2. With 1 it fails with probability up to 2 / sqrt(N T), a heuristic. State and cost
    of a round O(n m).

    References
    ----------
    M. Jagadeesan, A. Wei, Y. Wang, M. I. Jordan, J. Steinhardt, "Learning equilibria in matching markets from bandit
    feedback", NeurIPS 2021.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.matching import Unstructured
    >>> model = Unstructured()
    >>> confidence = model.confidence(model.init(2, 2, jnp.float32), 100, 2.0)
    >>> confidence.upper.customer_utility.tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """

    def init(self, num_customers: int, num_providers: int, dtype: Any) -> Tally:
        """Nothing observed yet."""
        return Tally(*(jnp.zeros((num_customers, num_providers), dtype) for _ in range(3)))

    def update(self, state: Tally, outcome: Outcome, feedback: Feedback) -> Tally:
        """Add one round's observations."""
        return Tally(*(old + new for old, new in zip(state, _observed(outcome, feedback), strict=True)))

    def mean(self, state: Tally) -> Market:
        """Averages; 0 where nothing was observed."""
        return Market(*(total / jnp.maximum(state.plays, 1) for total in state[1:]))

    def confidence(self, state: Tally, rounds: Any, scale: float) -> Confidence:
        """Intervals around the averages, for a union bound over ``rounds``."""
        width = scale * jnp.sqrt(log_term(sum(state.plays.shape), rounds, state.plays.dtype) / state.plays)
        return _intervals(self.mean(state), Market(width, width))

    def sample(self, state: Tally, key: jax.Array) -> Market:
        """Draw utilities from their posterior under a standard normal prior and unit noise."""
        return Market(*_posterior_draw(state, key))


def read_types(customer_types: Any, provider_types: Any) -> list[np.ndarray]:
    """Types of both sides; their number must be known, so they are concrete."""
    given = (("customer_types", customer_types), ("provider_types", provider_types))
    within = f"[0, {_MOST_TYPES})"
    return [to_host(name, types, shape=("n",), dtype="integer", within=within) for name, types in given]


class Typed:
    r"""Utilities that depend on the types of the two agents alone.

    .. math:: u_i(j) = f(c_i, c_j), \qquad u_j(i) = g(c_j, c_i)

    Observations of all pairs of the same two types are pooled.

    Parameters
    ----------
    customer_types, provider_types
        ``[n]`` and ``[m]`` integers from 0.

    Raises
    ------
    ValueError
        On types that are not vectors of integers, negative, or traced (their number must be known).

    Notes
    -----
    The paper has one function for all agents; here customers and providers have one each, so that types of the two
    sides may be numbered separately. Confidence intervals as those of :class:`Unstructured`, with the pooled count.

    References
    ----------
    As :class:`Unstructured`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.matching import Typed
    >>> Typed([0, 0, 1], [0, 1]).init(3, 2, jnp.float32).plays.shape
    (2, 2)
    """

    def __init__(
        self, customer_types: Int[AnyArray, " n"] | list[int], provider_types: Int[AnyArray, " m"] | list[int]
    ):
        self._types = read_types(customer_types, provider_types)

    def init(self, num_customers: int, num_providers: int, dtype: Any) -> Tally:
        """Nothing observed yet."""
        for name, types, size in zip(
            ("customer_types", "provider_types"), self._types, (num_customers, num_providers), strict=True
        ):
            check(len(types) == size, name, f"{len(types)} types", f"one for each of {size} agents")
        shape = tuple(int(types.max()) + 1 for types in self._types)
        return Tally(*(jnp.zeros(shape, dtype) for _ in range(3)))

    def update(self, state: Tally, outcome: Outcome, feedback: Feedback) -> Tally:
        """Add one round's observations to the cells of their types."""
        rows, columns = (
            (types[:, None] == np.arange(size)).astype(state.plays.dtype)
            for types, size in zip(self._types, state.plays.shape, strict=True)
        )
        pooled = (
            jnp.einsum("ic,ij,jd->cd", rows, new, columns, precision="highest") for new in _observed(outcome, feedback)
        )
        return Tally(*(old + new for old, new in zip(state, pooled, strict=True)))

    def mean(self, state: Tally) -> Market:
        """Averages of each pair's cell; 0 where nothing was observed."""
        return self._spread([total / jnp.maximum(state.plays, 1) for total in state[1:]])

    def confidence(self, state: Tally, rounds: Any, scale: float) -> Confidence:
        """Intervals around the averages, for a union bound over ``rounds``."""
        agents = sum(len(types) for types in self._types)
        width = scale * jnp.sqrt(log_term(agents, rounds, state.plays.dtype) / state.plays)
        return _intervals(self.mean(state), self._spread([width, width]))

    def sample(self, state: Tally, key: jax.Array) -> Market:
        """Draw the two functions of types from their posterior, as :meth:`Unstructured.sample`."""
        return self._spread(_posterior_draw(state, key))

    def _spread(self, cells: list[jax.Array]) -> Market:
        return Market(*(cell[self._types[0]][:, self._types[1]] for cell in cells))


class Regression(NamedTuple):
    """Ridge regression of each agent, customers first."""

    inverse: jax.Array  # [n + m, d, d], of the regularised Gram matrix
    moment: jax.Array  # [n + m, d]
    """Sum of context times utility."""


class SeparableLinear:
    r"""Utilities linear in a known context of the partner.

    .. math:: u_a(a') = \langle \phi_a, c_{a'} \rangle, \qquad \left|\langle \hat\phi_a - \phi_a, c \rangle\right|
        \le \tfrac c2 \beta \|c\|_{V_a^{-1}}, \qquad \beta = 1 + \sqrt{2 \log(N T) + d \log(1 + T / d)}

    with the vector of each agent hidden, in the unit ball, and ``V`` its Gram matrix of contexts plus the identity.

    Parameters
    ----------
    customer_contexts, provider_contexts
        ``[n, d]`` and ``[m, d]``, in the unit ball; floating.

    Raises
    ------
    ValueError
        On contexts of other shapes or dtypes, not finite, or outside the unit ball.

    Notes
    -----
    The self-normalised bound of Abbasi-Yadkori, Pal and Szepesvari (2011) for unit noise; valid at confidence scale 2.
    State O((n + m) d^2); a round costs O(n m d^2).

    References
    ----------
    As :class:`Unstructured`. Y. Abbasi-Yadkori, D. Pal, C. Szepesvari, "Improved algorithms for linear stochastic
    bandits", NeurIPS 2011, Theorem 2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.matching import SeparableLinear
    >>> model = SeparableLinear(jnp.eye(2), jnp.eye(2))
    >>> model.mean(model.init(2, 2, jnp.float32)).customer_utility.tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, customer_contexts: Float[AnyArray, "n d"], provider_contexts: Float[AnyArray, "m d"]):
        contexts = []
        for name, given in (("customer_contexts", customer_contexts), ("provider_contexts", provider_contexts)):
            array = to_array(name, given, shape=("agents", "d"))
            if not is_traced(array):
                longest = float(np.linalg.norm(np.asarray(array), axis=1).max())
                check(longest <= 1 + 1e-5, name, f"a vector of length {longest:.4g}", "vectors in the unit ball")
            contexts.append(array)
        wide = contexts[1].shape
        check(wide[1] == contexts[0].shape[1], "provider_contexts", f"shape {wide}", f"[m, {contexts[0].shape[1]}]")
        self._contexts = contexts

    def init(self, num_customers: int, num_providers: int, dtype: Any) -> Regression:
        """Nothing observed yet."""
        for name, contexts, size in zip(
            ("customer_contexts", "provider_contexts"), self._contexts, (num_customers, num_providers), strict=True
        ):
            check(len(contexts) == size, name, f"{len(contexts)} contexts", f"one for each of {size} agents")
            check(contexts.dtype == dtype, name, f"dtype {contexts.dtype}", f"{np.dtype(dtype)}, as the utilities")
        agents, d = num_customers + num_providers, self._contexts[0].shape[1]
        return Regression(jnp.broadcast_to(jnp.eye(d, dtype=dtype), (agents, d, d)), jnp.zeros((agents, d), dtype))

    def update(self, state: Regression, outcome: Outcome, feedback: Feedback) -> Regression:
        """Add one round's observations, by the Sherman-Morrison formula."""
        customers, providers = self._contexts
        pairs = pair_matrix(jnp.asarray(outcome.match), len(providers), customers.dtype)
        # The context of each agent's partner; zero, which changes nothing, where there is none.
        context = jnp.concatenate(
            [jnp.matmul(pairs, providers, precision="highest"), jnp.matmul(pairs.T, customers, precision="highest")]
        )
        seen = jnp.concatenate([feedback.customer, feedback.provider])
        turned = jnp.einsum("aij,aj->ai", state.inverse, context, precision="highest")
        length = (context * turned).sum(-1)
        inverse = state.inverse - turned[:, :, None] * turned[:, None, :] / (1 + length)[:, None, None]
        return Regression(inverse, state.moment + context * seen[:, None])

    def mean(self, state: Regression) -> Market:
        """Utilities by ridge regression."""
        return self._utilities(jnp.einsum("aij,aj->ai", state.inverse, state.moment, precision="highest"))

    def confidence(self, state: Regression, rounds: Any, scale: float) -> Confidence:
        """Ellipsoids around the estimates, for a union bound over ``rounds``."""
        agents, d = state.moment.shape
        logarithm = log_term(agents, rounds, state.moment.dtype)
        rounds = jnp.asarray(rounds).astype(state.moment.dtype)
        radius = scale / 2 * (1 + jnp.sqrt(2 * logarithm + d * jnp.log(1 + rounds / d)))
        customers, providers = self._contexts
        n = len(customers)
        norms = (
            jnp.einsum("bi,aij,bj->ab", contexts, inverse, contexts, precision="highest")
            for contexts, inverse in ((providers, state.inverse[:n]), (customers, state.inverse[n:]))
        )
        customer, provider = (radius * jnp.sqrt(jnp.maximum(norm, 0)) for norm in norms)
        return _intervals(self.mean(state), Market(customer, provider.T))

    def sample(self, state: Regression, key: jax.Array) -> Market:
        """Draw the hidden vectors from their posterior under a standard normal prior and unit noise."""
        root = jnp.linalg.cholesky(state.inverse)
        noise = jax.random.normal(key, state.moment.shape, state.moment.dtype)
        centre = jnp.einsum("aij,aj->ai", state.inverse, state.moment, precision="highest")
        return self._utilities(centre + jnp.einsum("aij,aj->ai", root, noise, precision="highest"))

    def _utilities(self, vectors: jax.Array) -> Market:
        customers, providers = self._contexts
        n = len(customers)
        customer = jnp.matmul(vectors[:n], providers.T, precision="highest")
        return Market(customer, jnp.matmul(customers, vectors[n:].T, precision="highest"))


Preferences = Unstructured | Typed | SeparableLinear


def learning(preferences: Preferences) -> Callable[[Any, jax.Array, Outcome, Feedback], Any]:
    """The update of a policy that learns from every round."""
    return lambda state, time, outcome, feedback: preferences.update(state, outcome, feedback)


def log_term(num_agents: int, rounds: Any, dtype: Any) -> jax.Array:
    """log(N T), for a union bound over all agents and rounds."""
    return jnp.log(num_agents * jnp.asarray(rounds).astype(dtype))


def _observed(outcome: Outcome, feedback: Feedback) -> tuple[jax.Array, jax.Array, jax.Array]:
    customer, provider = jnp.asarray(feedback.customer), jnp.asarray(feedback.provider)
    pairs = pair_matrix(jnp.asarray(outcome.match), provider.shape[0], customer.dtype)
    return pairs, pairs * customer[:, None], pairs * provider[None, :]


def _posterior_draw(state: Tally, key: jax.Array) -> list[jax.Array]:
    noise = jax.random.normal(key, (2, *state.plays.shape), state.plays.dtype)
    return [
        total / (state.plays + 1) + z / jnp.sqrt(state.plays + 1) for total, z in zip(state[1:], noise, strict=True)
    ]


def _intervals(mean: Market, width: Market) -> Confidence:
    pairs = list(zip(mean, width, strict=True))
    lower, upper = ([jnp.clip(m + sign * w, -1, 1) for m, w in pairs] for sign in (-1, 1))
    return Confidence(Market(*lower), Market(*upper))
