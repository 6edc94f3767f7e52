"""Local training of one client between two messages: mini-batch optimization on its own examples."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from verax._errors import fail
from verax._frozen_state import watch
from verax._types import PyTree

from ._options import LocalOptions, LossFn
from ._schedule import schedule
from ._state import LocalRun, Task, Work

_STEP_KEYS = 2**31 - 2
"""Folded into the client's key for the keys of its steps; no epoch has this number."""


class _Carry(NamedTuple):
    """Local training after some steps; ``memory`` is the velocity, or the optimizer's state."""

    params: PyTree
    network: PyTree
    memory: PyTree
    total: jax.Array
    num: jax.Array


class _Fixed(NamedTuple):
    """Arrays that all steps of a client share."""

    start: PyTree
    correction: PyTree | None
    rate: Any
    key: jax.Array


def local_sgd(
    loss_fn: LossFn,
    start: PyTree,
    task: Task,
    options: LocalOptions,
    *,
    correction: PyTree | None = None,
    proximal: float = 0.0,
    work: Work = Work(),  # noqa: B008 (a tuple of constants)
) -> LocalRun:
    """Train on one client's examples, from ``start``.

    ``correction`` is added to every gradient, ``proximal`` times the distance from ``start`` as well. Unrolled, a loop
    in Python over small compiled pieces, which is much faster on CPUs for convolutional networks; not under ``jit``.
    """
    x, y, mask = task.data
    fixed = _Fixed(start, correction, options.rate(task.round), jax.random.fold_in(task.key, _STEP_KEYS))
    loss_dtype = jnp.result_type(float)
    carry = _Carry(start, task.network, _init(options, start), jnp.zeros((), loss_dtype), jnp.zeros((), loss_dtype))
    if work.unrolled:
        rows, valid = _jitted_schedule(task.key, mask, options, work.num_pooled, task.num_steps)
        last = (jax.device_get(valid) * np.arange(1, valid.shape[1] + 1)).max(1)  # nothing behind it counts
        whole = options.takes_key or bool(jax.tree.leaves(task.network))  # such a loss sees a batch as one
        size = valid.shape[1] if whole else _piece_size(valid.shape[1])
        for number, end in enumerate(last.tolist()):
            step, summed = jnp.int32(number), None
            for begin in range(0, end, size):
                at = step, jnp.int32(begin)
                summed = _jitted_piece(loss_fn, options, size, carry, fixed.key, (x, y), rows, valid, at, summed)
            if summed is not None:
                carry = _jitted_update(options, proximal, fixed, carry, summed)
    else:
        rows, valid = schedule(task.key, mask, options, work.num_pooled, task.num_steps)

        def step(carry: _Carry, batch: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[_Carry, None]:
            number, rows, valid = batch

            def take(carry: _Carry) -> _Carry:
                key = jax.random.fold_in(fixed.key, number)
                found = _loss_and_gradient(loss_fn, options, carry, key, (x, y), rows, valid, jnp.sum(valid))
                return _update(options, proximal, fixed, carry, found)

            return lax.cond(jnp.any(valid), take, lambda carry: carry, carry), None

        numbers = jnp.arange(len(rows), dtype=jnp.int32)
        carry = _scan_steps(step, carry, (numbers, rows, valid), mask.shape[0], options)
    return LocalRun(carry.params, carry.num, carry.total / jnp.maximum(carry.num, 1), carry.network)


def _init(options: LocalOptions, params: PyTree) -> PyTree:
    if options.optimizer is not None:
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            return options.optimizer.init(params)
    return jax.tree.map(jnp.zeros_like, params) if options.momentum else None


def _scan_steps(step: Any, carry: _Carry, batches: Any, num_rows: int, options: LocalOptions) -> _Carry:
    """All steps in order; where the last batch of an epoch would be filler for the most part, in its own size.

    Such a batch is compiled by itself: worth it where it spares more than an eighth of all the rows.
    """
    total, size = batches[1].shape
    per_epoch = total // (options.local_epochs or total)
    tail = num_rows - (per_epoch - 1) * size
    if per_epoch == 1 or 8 * (size - tail) <= per_epoch * size:
        return lax.scan(step, carry, batches)[0]

    def epoch(carry: _Carry, batches: Any) -> tuple[_Carry, None]:
        carry, _ = lax.scan(step, carry, jax.tree.map(lambda leaf: leaf[:-1], batches))
        number, rows, valid = jax.tree.map(lambda leaf: leaf[-1], batches)
        return step(carry, (number, rows[:tail], valid[:tail]))

    split = jax.tree.map(lambda leaf: leaf.reshape(-1, per_epoch, *leaf.shape[1:]), batches)
    return lax.scan(epoch, carry, split)[0]


def _loss_and_gradient(
    loss_fn: LossFn,
    options: LocalOptions,
    carry: _Carry,
    key: jax.Array,
    data: Any,
    rows: jax.Array,
    valid: jax.Array,
    count: jax.Array,
) -> tuple[tuple[jax.Array, PyTree], PyTree]:
    """Sum of the losses of the valid rows over ``count``, the network's new state, and the gradient."""
    batch_x, batch_y = jax.tree.map(lambda leaf: leaf[rows], data)

    def scaled_loss(params: PyTree) -> tuple[jax.Array, PyTree]:
        losses, network = _losses(loss_fn, options, params, carry.network, batch_x, batch_y, key)
        if getattr(losses, "shape", None) != rows.shape:
            got = f"losses of shape {getattr(losses, 'shape', type(losses).__name__)} for {rows.shape[0]} examples"
            fail("loss_fn", got, "one value per example")
        mean = jnp.sum(jnp.where(valid, losses, jnp.zeros((), losses.dtype))) / count.astype(losses.dtype)
        return mean, network

    return jax.value_and_grad(scaled_loss, has_aux=True)(carry.params)


def _losses(
    loss_fn: LossFn, options: LocalOptions, params: PyTree, network: PyTree, x: Any, y: Any, key: jax.Array
) -> tuple[Any, PyTree]:
    """Losses ``[n]``, and the state that the network is left in."""
    more = {"key": key} if options.takes_key else {}
    with watch() as frozen:
        if not jax.tree.leaves(network):
            losses, new = loss_fn(params, x, y, **more), network
        else:
            result = loss_fn(params, network, x, y, **more)
            if not (isinstance(result, tuple) and len(result) == 2):
                fail("loss_fn", type(result).__name__, "(losses [n], new state) from loss_fn(params, state, x, y)")
            losses, new = result
    if frozen and options.state is None:
        fail(
            "loss_fn",
            f"a network whose state would stay as it is: {', '.join(frozen)[:200]}",
            "state='frozen' to keep it so on purpose, or 'average' or 'local' with params=Variables(params, state)",
        )
    if options.state == "frozen":
        return losses, network
    like, got = (jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree) for tree in (network, new))
    if like != got:
        fail("loss_fn", f"a new state of {got}"[:300], f"the structure, shapes and dtypes of the old, {like}"[:300])
    return losses, new


def _update(
    options: LocalOptions, proximal: float, fixed: _Fixed, carry: _Carry, found: tuple[tuple[jax.Array, Any], PyTree]
) -> _Carry:
    """One step from the loss of its batch and its gradient."""
    (loss, network), gradient = found
    params, memory = carry.params, carry.memory
    if proximal:
        gradient = jax.tree.map(lambda g, p, s: g + proximal * (p - s), gradient, params, fixed.start)
    if fixed.correction is not None:
        gradient = jax.tree.map(jnp.add, gradient, fixed.correction)
    if options.optimizer is not None:
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
            updates, memory = options.optimizer.update(gradient, memory, params)
            params = optax.apply_updates(params, updates)
    else:
        if options.momentum:
            gradient = memory = jax.tree.map(lambda v, g: options.momentum * v + g, memory, gradient)
        params = jax.tree.map(lambda p, g: p - jnp.asarray(fixed.rate, p.dtype) * g, params, gradient)
    return _Carry(params, network, memory, carry.total + loss.astype(carry.total.dtype), carry.num + 1)


_jitted_schedule = jax.jit(schedule, static_argnums=(2, 3))
_jitted_update = jax.jit(_update, static_argnums=(0, 1))


def _piece_size(batch_size: int) -> int:
    """Rows of a batch worked on together: at most 16, in pieces as equal as can be.

    Activations of more rows leave the cache, and from 32 MiB on the C library returns them to the system after every
    step: faulting the pages in again costs as much as the step. A short batch is also done after its last piece.
    """
    return math.ceil(batch_size / math.ceil(batch_size / 16))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _jitted_piece(
    loss_fn: LossFn,
    options: LocalOptions,
    size: int,
    carry: _Carry,
    key: jax.Array,
    data: Any,
    rows: jax.Array,
    valid: jax.Array,
    at: tuple[jax.Array, jax.Array],
    summed: Any,
) -> tuple[tuple[jax.Array, PyTree], PyTree]:
    """The share of ``size`` rows in the loss and gradient of a step; ``at`` are the step and its first such row."""
    step, start = at
    batch, of_batch = rows[step], valid[step]
    missing = -len(batch) % size
    piece, of_piece = (
        lax.dynamic_slice_in_dim(jnp.pad(whole, (0, missing), mode=mode), start, size)
        for whole, mode in ((batch, "edge"), (of_batch, "constant"))
    )
    found = _loss_and_gradient(
        loss_fn, options, carry, jax.random.fold_in(key, step), data, piece, of_piece, jnp.sum(of_batch)
    )
    if summed is None:
        return found
    (loss, network), gradient = found
    return (summed[0][0] + loss, network), jax.tree.map(jnp.add, summed[1], gradient)


def step_mass(num_steps: jax.Array, momentum: float) -> jax.Array:
    r"""Sum of the coefficients with which the gradients enter the local displacement, in units of the learning rate.

    ``tau`` for plain SGD; ``[tau - rho (1 - rho^tau) / (1 - rho)] / (1 - rho)`` with momentum ``rho``.
    """
    if not momentum:
        return num_steps
    decay = jnp.power(jnp.asarray(momentum, num_steps.dtype), num_steps)
    return (num_steps - momentum * (1 - decay) / (1 - momentum)) / (1 - momentum)
