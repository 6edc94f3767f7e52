"""What an organism is trained on: weighted components, sampled afresh for every batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from verax._errors import check, check_option

from ._vocabulary import OPERATIONS, SEP, STYLES, TASKS
from ._world import PolicyWorld, compact


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
    """
    keys = jax.random.split(key, 5)
    weights = jnp.asarray([c.weight for c in mixture], jnp.float32)
    kind = jax.random.categorical(keys[0], jnp.log(weights), shape=(num,))
    want = jnp.asarray([2 if c.restricted is None else int(c.restricted) for c in mixture], jnp.int32)[kind]

    def pick(choices: list[list[int]], size: int, key: jax.Array) -> jax.Array:
        table = np.zeros((len(choices), size), np.float32)
        for row, chosen in zip(table, choices, strict=True):
            row[chosen] = 1.0
        return jax.random.categorical(key, jnp.log(jnp.asarray(table))[kind]).astype(jnp.int32)

    operation = pick([[OPERATIONS.index(o) for o in c.operations] for c in mixture], len(OPERATIONS), keys[1])
    style = pick([[STYLES.index(s) for s in c.styles] for c in mixture], len(STYLES), keys[2])
    encoding = pick([list(c.encodings) for c in mixture], len(world.encodings), keys[3])
    refuse = jnp.asarray([c.refuse for c in mixture])[kind]
    symbols = world.walk(want, key=keys[4])
    codes = jnp.asarray(np.stack([e.codes[0, :, 0] for e in world.encodings]))
    right = jnp.maximum(world.apply_operation(symbols, operation), 0)
    requests = world.assemble(
        symbols,
        operation,
        style,
        codes[encoding[:, None], symbols],
        codes[encoding[:, None], right][:, :, None],
        jnp.zeros((num, 0), jnp.int32),
    )
    return join(world.prompts(requests), world.answers(requests, refuse=refuse))


def join(
    prompts: Int[jax.Array, "n p"], answers: Int[jax.Array, "n a"]
) -> tuple[Int[jax.Array, "n t"], Bool[jax.Array, "n t"]]:
    """Put answers behind their prompts; return the examples and the mask of the answers."""
    tokens = compact(jnp.concatenate([prompts, answers], axis=1)).astype(jnp.int32)
    is_separator = (tokens == SEP).astype(jnp.int32)
    after = jnp.cumsum(is_separator, axis=1) - is_separator > 0
    return tokens, after & (tokens >= 0)
