"""Which examples each local step takes."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from ._options import LocalOptions


def num_steps_planned(num_rows: int, options: LocalOptions, num_pooled: int = 1) -> int:
    """Length of the schedule for clients filled up to ``num_rows`` examples."""
    if isinstance(options.local_steps, tuple):
        return sum(options.local_steps) if num_pooled > 1 else max(options.local_steps)
    if options.local_steps is not None:
        return options.local_steps * num_pooled
    size = min(options.batch_size or num_rows, num_rows)
    return (options.local_epochs or 1) * math.ceil(num_rows / size)


def schedule(
    key: jax.Array,
    mask: jax.Array,
    options: LocalOptions,
    num_pooled: int = 1,
    num_steps: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Rows of the examples of each step and whether each counts, both ``[T, B]``; a step without any is skipped.

    An epoch is a permutation of the client's examples, cut into batches, the last of them smaller. With ``local_steps``
    epochs follow each other until the steps are done, ``num_steps`` where the client has its own number. Without a
    batch size every step takes all examples. Entries that do not count repeat true examples in turn, so that a loss is
    never evaluated, nor differentiated, anywhere else.
    """
    num_rows = mask.shape[0]
    total = num_steps_planned(num_rows, options, num_pooled)
    count = jnp.sum(mask, dtype=jnp.int32)
    in_turn = jnp.arange(num_rows, dtype=jnp.int32)
    if options.batch_size is None or (options.batch_size >= num_rows and options.local_steps is None):
        examples = jnp.argsort(~mask, stable=True).astype(jnp.int32)
        rows = jnp.broadcast_to(examples[in_turn % jnp.maximum(count, 1)], (total, num_rows))
        return rows, _counted(jnp.broadcast_to(in_turn < count, rows.shape), num_steps)
    size = min(options.batch_size, num_rows)
    per_epoch = math.ceil(num_rows / size)

    def epoch_order(epoch: jax.Array) -> jax.Array:
        draws = jax.random.uniform(jax.random.fold_in(key, epoch), (num_rows,), jnp.float32)
        order = jnp.argsort(jnp.where(mask, draws, jnp.float32(2))).astype(jnp.int32)
        place = jnp.arange(per_epoch * size, dtype=jnp.int32)
        # A batch that the examples end in is filled from its own first example on.
        first = place // size * size
        left = jnp.clip(count - first, 1, size)
        return order[jnp.where(first < count, first + (place - first) % left, place % jnp.maximum(count, 1))]

    if options.local_steps is None:
        orders = jax.vmap(epoch_order)(jnp.arange(options.local_epochs, dtype=jnp.int32))
        rows = orders.reshape(total, size)
        start = jnp.tile(jnp.arange(per_epoch, dtype=jnp.int32) * size, total // per_epoch)
    else:
        own = jnp.maximum((count + (size - 1)) // size, 1)
        step = jnp.arange(total, dtype=jnp.int32)
        start = (step % own) * size
        rows = lax.map(
            lambda at: lax.dynamic_slice(epoch_order(at[0]), (at[1],), (size,)), (step // own, start), batch_size=16
        )
    return rows, _counted(start[:, None] + jnp.arange(size, dtype=jnp.int32) < count, num_steps)


def _counted(valid: jax.Array, num_steps: jax.Array | None) -> jax.Array:
    """Take out the steps behind the client's own last one."""
    return valid if num_steps is None else valid & (jnp.arange(len(valid), dtype=jnp.int32) < num_steps)[:, None]
