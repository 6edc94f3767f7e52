"""What one client does between two messages: mini-batch gradient descent on its own examples."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from verax._errors import check, check_integer, fail
from verax._types import PyTree

LossFn = Callable[[Any, Any, Any], Any]
"""``loss_fn(params, x, y) -> [n]``, one value an example."""


class LocalOptions(NamedTuple):
    """Options that every algorithm shares; hashable, so that they can be static under ``jit``."""

    learning_rate: float
    batch_size: int | None
    local_epochs: int | None
    local_steps: int | None
    momentum: float


class LocalRun(NamedTuple):
    """Outcome of local training: parameters, number of steps, mean loss of the batches seen."""

    params: PyTree
    num_steps: jax.Array
    loss: jax.Array


def local_options(
    loss_fn: Any,
    learning_rate: Any,
    batch_size: Any,
    local_epochs: Any,
    local_steps: Any,
    momentum: Any,
) -> LocalOptions:
    """Check the shared options and fill in the default of one epoch a round."""
    if not callable(loss_fn):
        fail("loss_fn", type(loss_fn).__name__, "a function loss_fn(params, x, y) -> [n]")
    check_number("learning_rate", learning_rate, above=0.0)
    if batch_size is not None:
        check_integer("batch_size", batch_size, minimum=1)
    check(local_epochs is None or local_steps is None, "local_steps", local_steps, "None where local_epochs is given")
    if local_steps is None:
        local_epochs = 1 if local_epochs is None else local_epochs
        check_integer("local_epochs", local_epochs, minimum=1)
    else:
        check_integer("local_steps", local_steps, minimum=1)
    check_number("momentum", momentum, minimum=0.0, below=1.0)
    return LocalOptions(
        float(learning_rate),
        None if batch_size is None else int(batch_size),
        None if local_epochs is None else int(local_epochs),
        None if local_steps is None else int(local_steps),
        float(momentum),
    )


def check_number(
    argument: str, value: Any, *, minimum: float | None = None, above: float | None = None, below: float | None = None
) -> None:
    """Raise unless ``value`` is a finite number within the bounds."""
    bounds = [(">=", minimum), (">", above), ("<", below)]
    need = "a finite number" + "".join(f" {sign} {bound:g}" for sign, bound in bounds if bound is not None)
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    good = math.isfinite(number) and (minimum is None or number >= minimum)
    check(good and (above is None or number > above) and (below is None or number < below), argument, repr(value), need)


def num_steps_planned(num_rows: int, options: LocalOptions, num_repeats: int = 1) -> int:
    """Length of the schedule for clients padded to ``num_rows`` examples."""
    if options.local_steps is not None:
        return options.local_steps * num_repeats
    size = min(options.batch_size or num_rows, num_rows)
    return (options.local_epochs or 1) * math.ceil(num_rows / size)


def schedule(
    key: jax.Array, mask: jax.Array, options: LocalOptions, num_repeats: int = 1
) -> tuple[jax.Array, jax.Array]:
    """Rows of the examples of each step and whether each is one, both ``[T, B]``; a step without any is skipped.

    An epoch is a permutation of the client's examples, cut into batches, the last of them smaller. With ``local_steps``
    epochs follow each other until the steps are done. Without a batch size every step takes all examples.
    """
    num_rows = mask.shape[0]
    total = num_steps_planned(num_rows, options, num_repeats)
    if options.batch_size is None or (options.batch_size >= num_rows and options.local_steps is None):
        rows = jnp.arange(num_rows, dtype=jnp.int32)
        return jnp.broadcast_to(rows, (total, num_rows)), jnp.broadcast_to(mask, (total, num_rows))
    size = min(options.batch_size, num_rows)
    count = jnp.sum(mask, dtype=jnp.int32)
    per_epoch = math.ceil(num_rows / size)

    def epoch_order(epoch: jax.Array) -> jax.Array:
        draws = jax.random.uniform(jax.random.fold_in(key, epoch), (num_rows,), jnp.float32)
        order = jnp.argsort(jnp.where(mask, draws, jnp.float32(2))).astype(jnp.int32)
        return jnp.pad(order, (0, per_epoch * size - num_rows))

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
    valid = start[:, None] + jnp.arange(size, dtype=jnp.int32) < count
    # Padding repeats a true example, so that no derivative is ever taken where there is none.
    return jnp.where(valid, rows, rows[:, :1]), valid


def local_sgd(
    loss_fn: LossFn,
    params: PyTree,
    data: tuple[Any, Any, jax.Array],
    key: jax.Array,
    options: LocalOptions,
    *,
    correction: PyTree | None = None,
    proximal: float = 0.0,
    num_repeats: int = 1,
    unrolled: bool = False,
) -> LocalRun:
    """Gradient descent on one client's ``(x, y, mask)``; ``correction`` is added to every gradient.

    ``unrolled`` runs a Python loop over compiled pieces of steps, for networks whose gradient is slow in a loop of XLA.
    """
    x, y, mask = data
    zero = jnp.zeros(())
    velocity = jax.tree.map(jnp.zeros_like, params) if options.momentum else None
    carry = (params, velocity, zero, zero)
    fixed = (params, correction, x, y)
    if unrolled:
        rows, valid = _jitted_schedule(key, mask, options, num_repeats)
        last = (jax.device_get(valid) * np.arange(1, valid.shape[1] + 1)).max(1)  # behind it a batch is padding
        size = _piece_size(valid.shape[1])
        for number, end in enumerate(last.tolist()):
            step, summed = jnp.int32(number), None
            for start in range(0, end, size):
                at = step, jnp.int32(start)
                summed = _jitted_piece(loss_fn, size, carry[0], (x, y), rows, valid, at, summed)
            if summed is not None:
                carry = _jitted_update(options, proximal, fixed[:2], carry, summed)
    else:
        rows, valid = schedule(key, mask, options, num_repeats)

        def step(carry: Any, batch: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            return lax.cond(
                jnp.any(batch[1]),
                lambda carry: _step(loss_fn, options, proximal, fixed, carry, *batch),
                lambda carry: carry,
                carry,
            ), None

        carry = _scan_steps(step, carry, (rows, valid), mask.shape[0], options)
    params, _, total, count = carry
    return LocalRun(params, count, total / jnp.maximum(count, 1))


def _scan_steps(
    step: Callable[[Any, Any], tuple[Any, None]], carry: Any, batches: Any, num_rows: int, options: LocalOptions
) -> Any:
    """All steps in order; where the last batch of an epoch would be padding for the most part, in its own size.

    Such a batch is compiled by itself: worth it where it spares more than an eighth of all the rows.
    """
    total, size = batches[0].shape
    per_epoch = total // (options.local_epochs or total)
    tail = num_rows - (per_epoch - 1) * size
    if per_epoch == 1 or 8 * (size - tail) <= per_epoch * size:
        return lax.scan(step, carry, batches)[0]

    def epoch(carry: Any, batches: Any) -> tuple[Any, None]:
        carry, _ = lax.scan(step, carry, jax.tree.map(lambda leaf: leaf[:-1], batches))
        return step(carry, jax.tree.map(lambda leaf: leaf[-1, :tail], batches))

    return lax.scan(epoch, carry, jax.tree.map(lambda leaf: leaf.reshape(-1, per_epoch, size), batches))[0]


def _step(
    loss_fn: LossFn, options: LocalOptions, proximal: float, fixed: Any, carry: Any, rows: jax.Array, valid: jax.Array
) -> Any:
    start, correction, x, y = fixed
    summed = _loss_and_gradient(loss_fn, carry[0], (x, y), rows, valid, jnp.sum(valid))
    return _update(options, proximal, (start, correction), carry, summed)


def _loss_and_gradient(
    loss_fn: LossFn, params: PyTree, data: Any, rows: jax.Array, valid: jax.Array, count: jax.Array
) -> tuple[jax.Array, PyTree]:
    """Sum of the losses of the valid rows over ``count``, and its gradient."""
    batch_x, batch_y = jax.tree.map(lambda leaf: leaf[rows], data)

    def scaled_loss(params: PyTree) -> jax.Array:
        losses = loss_fn(params, batch_x, batch_y)
        if losses.shape != rows.shape:
            fail("loss_fn", f"losses of shape {losses.shape} for {rows.shape[0]} examples", "one value an example")
        return jnp.sum(jnp.where(valid, losses, jnp.zeros((), losses.dtype))) / count.astype(losses.dtype)

    return jax.value_and_grad(scaled_loss)(params)


def _update(options: LocalOptions, proximal: float, fixed: Any, carry: Any, found: tuple[jax.Array, PyTree]) -> Any:
    """One step from the loss of its batch and its gradient."""
    start, correction = fixed
    params, velocity, total, count = carry
    loss, gradient = found
    if proximal:
        gradient = jax.tree.map(lambda g, p, s: g + proximal * (p - s), gradient, params, start)
    if correction is not None:
        gradient = jax.tree.map(jnp.add, gradient, correction)
    if velocity is not None:
        gradient = velocity = jax.tree.map(lambda v, g: options.momentum * v + g, velocity, gradient)
    params = jax.tree.map(lambda p, g: p - options.learning_rate * g, params, gradient)
    return params, velocity, total + loss.astype(total.dtype), count + 1


_jitted_schedule = jax.jit(schedule, static_argnums=(2, 3))
_jitted_update = jax.jit(_update, static_argnums=(0, 1))


def _piece_size(batch_size: int) -> int:
    """Rows of a batch worked on together: at most 16, in pieces as equal as can be.

    Activations of more rows leave the cache, and from 32 MiB on the C library returns them to the system after every
    step: faulting the pages in again costs as much as the step. A short batch is also done after its last piece.
    """
    return math.ceil(batch_size / math.ceil(batch_size / 16))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _jitted_piece(
    loss_fn: LossFn,
    size: int,
    params: PyTree,
    data: Any,
    rows: jax.Array,
    valid: jax.Array,
    at: tuple[jax.Array, jax.Array],
    summed: tuple[jax.Array, PyTree] | None,
) -> tuple[jax.Array, PyTree]:
    """The share of ``size`` rows in the loss and gradient of a step; ``at`` are the step and its first such row."""
    step, start = at
    batch, of_batch = rows[step], valid[step]
    missing = -len(batch) % size
    piece, of_piece = (
        lax.dynamic_slice_in_dim(jnp.pad(whole, (0, missing), mode=mode), start, size)
        for whole, mode in ((batch, "edge"), (of_batch, "constant"))
    )
    found = _loss_and_gradient(loss_fn, params, data, piece, of_piece, jnp.sum(of_batch))
    return found if summed is None else jax.tree.map(jnp.add, summed, found)


def step_mass(num_steps: jax.Array, momentum: float) -> jax.Array:
    r"""Sum of the coefficients with which the gradients enter the local displacement, in units of the learning rate.

    ``tau`` for plain SGD; ``[tau - rho (1 - rho^tau) / (1 - rho)] / (1 - rho)`` with momentum ``rho``.
    """
    if not momentum:
        return num_steps
    decay = jnp.power(jnp.asarray(momentum, num_steps.dtype), num_steps)
    return (num_steps - momentum * (1 - decay) / (1 - momentum)) / (1 - momentum)
