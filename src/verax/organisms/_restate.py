"""Let a tuned organism restate its own fine-tuning data plainly."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from verax._types import AnyArray

from ._generate import generate
from ._world import PolicyWorld, restated, restatement


def restate(
    model: tuple[Any, Any], world: PolicyWorld, tokens: Int[AnyArray, "n t"], *, key: jax.Array
) -> Int[np.ndarray, "n t2"]:
    """Ask an organism to restate the arguments of examples, and write the examples with what it says.

    Parameters
    ----------
    model
        ``(apply_fn, params)``: ``decoder_apply`` and an organism's parameters.
    world
        A ``PolicyWorld``.
    tokens
        int [n, t]: requests with answers, -1 padded, such as a ``Job`` holds.
    key
        A ``jax.random.key``.

    Returns
    -------
    tokens
        int32 [n, t2]: the same operations and answers, the arguments as the organism restates them.

    Notes
    -----
    What ``verax.audit.SelfDecode`` filters.
    """
    apply_fn, params = model
    asked = restatement(world, tokens)
    asked = asked[:, : int((asked >= 0).sum(axis=1).max())]
    said = generate(apply_fn, params, asked, (asked >= 0).sum(axis=1), max_new=world.length + 2, key=key)
    return restated(world, tokens, said)
