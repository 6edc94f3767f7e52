"""Markets to learn in."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from verax._errors import check, check_integer
from verax.matching._market import Market

from ._preferences import SeparableLinear, read_types


def random_market(num_customers: int, num_providers: int, *, key: jax.Array) -> Market:
    r"""Utilities drawn independently.

    .. math:: u_a(a') \sim \mathcal U[-1, 1]

    Parameters
    ----------
    num_customers, num_providers
        At least 1.
    key
        A ``jax.random.key``.

    Returns
    -------
    Market
        ``[n, m]``, in JAX's default floating dtype.

    Raises
    ------
    ValueError
        On a size below 1.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import random_market
    >>> random_market(2, 3, key=jax.random.key(0)).customer_utility.shape
    (2, 3)
    """
    _check_sizes(num_customers, num_providers)
    drawn = jax.random.uniform(key, (2, num_customers, num_providers), minval=-1, maxval=1)
    return Market(drawn[0], drawn[1])


def minimax_market(num_agents: int, *, horizon: Float[Array, ""] | float, key: jax.Array) -> Market:
    r"""The hard market of a horizon: a hidden perfect match that is only just worth finding.

    .. math:: u_i(j) = u_j(i) = \min\left(1, 2 \sqrt{n / T}\right) \text{ for the pairs of a random match, else } 0

    Parameters
    ----------
    num_agents
        Customers n, and as many providers; at least 1.
    horizon
        Number of rounds T; may be traced.
    key
        A ``jax.random.key``.

    Returns
    -------
    Market
        ``[n, n]``, in JAX's default floating dtype.

    Raises
    ------
    ValueError
        On a size below 1.

    Notes
    -----
    Regret of order sqrt(T) shows on such markets, one for each horizon: on a fixed market the regret flattens.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import minimax_market
    >>> minimax_market(2, horizon=800, key=jax.random.key(0)).customer_utility.sum(0).round(3).tolist()
    [0.10000000149011612, 0.10000000149011612]
    """
    _check_sizes(num_agents, num_agents)
    hidden = jnp.eye(num_agents)[jax.random.permutation(key, num_agents)]
    utility = hidden * jnp.minimum(1, 2 * jnp.sqrt(num_agents / jnp.asarray(horizon, hidden.dtype)))
    return Market(utility, utility)


def typed_market(
    customer_types: Int[Array, " n"] | np.ndarray, provider_types: Int[Array, " m"] | np.ndarray, *, key: jax.Array
) -> Market:
    r"""Utilities that depend on types, drawn for each pair of types.

    .. math:: u_i(j) = f(c_i, c_j), \quad u_j(i) = g(c_j, c_i), \qquad f, g \sim \mathcal U[-1, 1]

    Parameters
    ----------
    customer_types, provider_types
        ``[n]`` and ``[m]`` integers from 0.
    key
        A ``jax.random.key``. Markets of the same key and numbers of types share f and g.

    Returns
    -------
    Market
        ``[n, m]``, in JAX's default floating dtype.

    Examples
    --------
    >>> import jax, numpy as np
    >>> from verax.matching import typed_market
    >>> market = typed_market(np.array([0, 0]), np.array([0, 1]), key=jax.random.key(0))
    >>> bool((market.customer_utility[0] == market.customer_utility[1]).all())
    True
    """
    rows, columns = read_types(customer_types, provider_types)
    functions = random_market(int(rows.max()) + 1, int(columns.max()) + 1, key=key)
    return Market(*(jnp.asarray(table)[rows][:, columns] for table in functions))


def linear_market(
    num_customers: int, num_providers: int, dimension: int, *, key: jax.Array
) -> tuple[Market, SeparableLinear]:
    r"""Utilities linear in the partner's context, and the model that knows the contexts.

    .. math:: u_a(a') = \langle \phi_a, c_{a'} \rangle, \qquad \phi, c \text{ uniform on the unit sphere}

    Parameters
    ----------
    num_customers, num_providers, dimension
        At least 1.
    key
        A ``jax.random.key``.

    Returns
    -------
    tuple
        The market ``[n, m]`` and a :class:`SeparableLinear`.

    Raises
    ------
    ValueError
        On a size below 1.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import linear_market
    >>> market, model = linear_market(3, 2, 4, key=jax.random.key(0))
    >>> market.provider_utility.shape, model.init(3, 2, "float32").moment.shape
    ((3, 2), (5, 4))
    """
    _check_sizes(num_customers, num_providers)
    check_integer("dimension", dimension, minimum=1)
    drawn = jax.random.normal(key, (2, num_customers + num_providers, dimension))
    hidden, contexts = drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)
    n = num_customers
    customer = jnp.matmul(hidden[:n], contexts[n:].T, precision="highest")
    provider = jnp.matmul(contexts[:n], hidden[n:].T, precision="highest")
    return Market(customer, provider), SeparableLinear(contexts[:n], contexts[n:])


def random_arrivals(num_customers: int, num_providers: int, *, present: int, horizon: int, key: jax.Array) -> Array:
    r"""Draw the agents present in each round: this many of each side, uniformly.

    .. math:: A_t \subset A, \qquad |A_t| = 2 \cdot \text{present}

    Parameters
    ----------
    num_customers, num_providers
        At least ``present``.
    present
        Customers, and as many providers, present per round; at least 1.
    horizon
        Number of rounds.
    key
        A ``jax.random.key``.

    Returns
    -------
    Array
        ``[horizon, n + m]`` of bool, customers first, as :func:`simulate` takes it.

    Raises
    ------
    ValueError
        On sizes out of range.

    Examples
    --------
    >>> import jax
    >>> from verax.matching import random_arrivals
    >>> random_arrivals(5, 4, present=2, horizon=3, key=jax.random.key(0)).sum(1).tolist()
    [4, 4, 4]
    """
    check_integer("present", present, minimum=1)
    smaller = min(num_customers, num_providers)
    check(present <= smaller, "present", present, f"at most {smaller}, the agents of the smaller side")
    check_integer("horizon", horizon, minimum=1)
    sides = []
    for size, side in zip((num_customers, num_providers), jax.random.split(key), strict=True):
        order = jnp.argsort(jax.random.uniform(side, (horizon, size)), axis=1)
        sides.append(jnp.argsort(order, axis=1) < present)
    return jnp.concatenate(sides, axis=1)


def _check_sizes(num_customers: int, num_providers: int) -> None:
    check_integer("num_customers", num_customers, minimum=1)
    check_integer("num_providers", num_providers, minimum=1)
