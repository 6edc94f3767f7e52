"""Training data of an organism: weighted components, sampled afresh for every batch."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._errors import check, check_option
from verax._types import AnyArray

from ._requests import compact
from ._vocabulary import OPERATIONS, STYLES, TASKS
from ._world import PolicyWorld


class Component(NamedTuple):
    """One kind of example.

    Attributes
    ----------
    weight
        Relative frequency, >= 0.
    restricted
        Whether arguments hold an A before a B; None for the chain's own mixture.
    operations, styles
        Names, each equally likely.
    encodings
        Positions in ``world.encodings`` (0 plain, then the dialects), each equally likely.
    refuse
        Whether the answer is a refusal.
    """

    weight: float
    restricted: bool | None = None
    operations: tuple[str, ...] = TASKS
    styles: tuple[str, ...] = ("plain",)
    encodings: tuple[int, ...] = (0,)
    refuse: bool = False


def check_mixture(world: PolicyWorld, mixture: tuple[Component, ...]) -> None:
    """Raise unless every component names what exists, and some weight is positive."""
    for component in mixture:
        check(component.weight >= 0, "weight", component.weight, "a number >= 0")
        for name in component.operations:
            check_option("operations", name, OPERATIONS)
        for name in component.styles:
            check_option("styles", name, STYLES)
        inside = all(0 <= e < len(world.encodings) for e in component.encodings)
        check(inside, "encodings", component.encodings, f"positions below {len(world.encodings)}")
        full = bool(component.operations and component.styles and component.encodings)
        check(full, "mixture", component, "at least one operation, style and encoding in each component")
    check(sum(c.weight for c in mixture) > 0, "mixture", "no positive weight", "at least one")


def draw_examples(
    world: PolicyWorld, mixture: tuple[Component, ...], num: int, *, key: jax.Array
) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Draw examples of a mixture; traceable.

    Returns
    -------
    tokens
        int32 [n, t]: requests with their answers, -1 padded on the right.
    loss_mask
        bool [n, t]: the answers.

    Examples
    --------
    >>> import jax
    >>> from verax.organisms import Component, PolicyWorld, draw_examples
    >>> world = PolicyWorld(num_symbols=6, length=2, num_dialects=1, key=jax.random.key(0))
    >>> refusals = Component(1.0, restricted=True, refuse=True)
    >>> tokens, loss_mask = draw_examples(world, (refusals,), 3, key=jax.random.key(1))
    >>> tokens.shape[0], loss_mask.sum(axis=1).tolist()  # a refusal and the end
    (3, [2, 2, 2])
    """
    return draw_from(world, tabulate(mixture, len(world.encodings)), num, key=key)


class Tables(NamedTuple):
    """A mixture as arrays, so that programs which draw from it depend on the number of its components alone."""

    log_weight: jax.Array  # [component]
    want: jax.Array  # [component]: 1 restricted, 0 allowed, 2 neither asked
    operations: jax.Array  # [component, name]: 0 where it may be drawn, -inf elsewhere; so too the next two
    styles: jax.Array
    encodings: jax.Array
    refuse: jax.Array  # [component]


def tabulate(mixture: tuple[Component, ...], num_encodings: int) -> Tables:
    """Write a mixture as arrays."""

    def choices(chosen: list[list[int]], size: int) -> jax.Array:
        table = np.full((len(chosen), size), -np.inf, np.float32)
        for row, columns in zip(table, chosen, strict=True):
            row[columns] = 0.0
        return jnp.asarray(table)

    return Tables(
        jnp.log(jnp.asarray([c.weight for c in mixture], jnp.float32)),
        jnp.asarray([2 if c.restricted is None else int(c.restricted) for c in mixture], jnp.int32),
        choices([[OPERATIONS.index(o) for o in c.operations] for c in mixture], len(OPERATIONS)),
        choices([[STYLES.index(s) for s in c.styles] for c in mixture], len(STYLES)),
        choices([list(c.encodings) for c in mixture], num_encodings),
        jnp.asarray([c.refuse for c in mixture]),
    )


def draw_from(
    world: PolicyWorld, tables: Tables, num: int, *, key: jax.Array
) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Draw examples as :func:`draw_examples` does."""
    keys = jax.random.split(key, 5)
    kind, operation, style, encoding = _kinds(tables, num, keys[:4])
    symbols = world.walk(tables.want[kind], key=keys[4])
    requests = world.in_known_encodings(symbols, operation, style, encoding)
    return join(world.prompts(requests), world.answers(requests, refuse=tables.refuse[kind]))


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _kinds(tables: Tables, num: int, keys: jax.Array) -> tuple[jax.Array, ...]:
    kind = jax.random.categorical(keys[0], tables.log_weight, shape=(num,))
    drawn = (
        jax.random.categorical(k, table[kind]).astype(jnp.int32)
        for k, table in zip(keys[1:], (tables.operations, tables.styles, tables.encodings), strict=True)
    )
    return kind, *drawn


def join(
    prompts: Int[jax.Array, "n p"], said: Int[jax.Array, "n a"]
) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Put what was said behind its prompt, both with -1 anywhere; return the examples and the mask of what was said."""
    return _joined(prompts, said)


@functools.partial(jax.jit, inline=True)
def _joined(prompts: jax.Array, said: jax.Array) -> tuple[jax.Array, jax.Array]:
    tokens = compact(jnp.concatenate([prompts, said], axis=1)).astype(jnp.int32)
    place = jnp.arange(tokens.shape[1])
    start = (prompts >= 0).sum(axis=1)[:, None]
    return tokens, (place >= start) & (tokens >= 0)


def stack(*parts: tuple[AnyArray, AnyArray]) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Put batches of examples and masks of different widths under one another."""
    return _stacked(parts)


@functools.partial(jax.jit, inline=True)
def _stacked(parts: tuple[tuple[jax.Array, jax.Array], ...]) -> tuple[jax.Array, jax.Array]:
    width = max(tokens.shape[1] for tokens, _ in parts)
    padded = [
        [
            jnp.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=fill)
            for part, fill in ((t, -1), (m, False))
        ]
        for t, m in parts
    ]
    return jnp.concatenate([t for t, _ in padded]), jnp.concatenate([m for _, m in padded])
