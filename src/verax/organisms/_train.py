"""Training loops: batches drawn inside the compiled program, many seeds at once, resumed to identical parameters."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from verax._arrays import to_array, to_integer, to_key, to_number, to_tree
from verax._digest import identity
from verax._errors import check
from verax._likelihood import mean_nll
from verax._progress import progress_bar
from verax._results import result
from verax._types import AnyArray, ApplyFn, PyTree

from ._checkpoint import read_checkpoint, write_checkpoint
from ._decoder import check_decoder, check_network, decoder_apply, to_tokens

Examples = Callable[..., tuple[jax.Array, jax.Array]]
LossFn = Callable[..., jax.Array]


@result()
class TrainLog(NamedTuple):
    """The course of a training.

    Attributes
    ----------
    loss
        float32 [steps] or [seeds, steps]: mean negative log-likelihood of answer tokens, in nats.
    """

    loss: np.ndarray


def answer_loss(
    params: PyTree,
    tokens: Int[AnyArray, "n t"],
    loss_mask: Bool[AnyArray, "n t"],
    *,
    apply_fn: ApplyFn = decoder_apply,
) -> Float[jax.Array, " n"]:
    """Return the mean negative log-likelihood of the masked tokens of each example, in nats per token.

    Parameters
    ----------
    params
        Parameters of the network.
    tokens
        int [n, t], -1 padded.
    loss_mask
        bool [n, t]: the tokens that count, each predicted from those before it.
    apply_fn
        The network, ``apply_fn(params, tokens [n, t]) -> logits [n, t, v]``, causal.

    Raises
    ------
    ValueError
        For a mask of another shape, and what ``decoder_apply`` refuses.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from verax.organisms import DecoderConfig, answer_loss, init_decoder
    >>> params = init_decoder(DecoderConfig(vocabulary_size=50, context=16, width=32), key=jax.random.key(0))
    >>> silent = {**params, "head": jnp.zeros_like(params["head"])}  # every token equally likely: log(50) nats
    >>> loss = answer_loss(silent, jnp.asarray([[1, 7, 9]]), jnp.asarray([[False, False, True]]))
    >>> print(np.asarray(loss).round(3))
    [3.912]
    """
    check_network(apply_fn)
    tokens = to_tokens("tokens", tokens)
    mask = to_array("loss_mask", loss_mask, shape=tokens.shape, dtype="bool", empty=True)
    return mean_nll(apply_fn(params, tokens[:, :-1]), tokens, mask)


def fit(
    params: PyTree,
    examples_fn: Examples,
    *,
    apply_fn: ApplyFn = decoder_apply,
    loss_fn: LossFn | None = None,
    data: tuple[jax.Array, ...] = (),
    steps: int,
    learning_rate: float = 3e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[PyTree, TrainLog]:
    """Train on examples that a function draws, by AdamW with a short warm-up and a cosine decay.

    Parameters
    ----------
    params
        Parameters of the network: from ``init_decoder``, or any pytree with an ``apply_fn`` of its own. Where ``key``
        is an array of keys, every leaf has a leading axis of as many organisms.
    examples_fn
        ``examples_fn(key, *data) -> (tokens, loss_mask)``, traceable; hashable, since a program is compiled for it.
    apply_fn
        The network, ``apply_fn(params, tokens [n, t]) -> logits [n, t, v]``, causal; for flax the first of what
        ``verax.ntk.from_nnx`` and ``from_linen`` return. Tokens are -1 where padded.
    loss_fn
        ``loss_fn(params, tokens, loss_mask) -> [n]``, one value per example, which stands for the network too; None:
        `answer_loss` of ``apply_fn``.
    data
        Arrays that it draws from, the same for all organisms.
    steps
        Number of batches.
    learning_rate
        At its highest.
    checkpoint
        File that holds the state after every fifty steps; a run that finds it goes on from there, to the same
        parameters as a run that was never interrupted. It belongs to one run: the same start, examples, loss, options
        and key.
    progress
        Show a progress bar.
    key
        A ``jax.random.key``, or an array of them for as many organisms at once.

    Raises
    ------
    ValueError
        For ``steps`` below one, a learning rate that is not positive, parameters of another network, losses that are
        no single number per example, or a checkpoint of another run.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from verax.organisms import DecoderConfig, fit, init_decoder
    >>> def counting(key):  # upwards modulo 8, from anywhere
    ...     tokens = (jax.random.randint(key, (32, 1), 0, 8, jnp.int32) + jnp.arange(6, dtype=jnp.int32)) % 8
    ...     return tokens, jnp.ones(tokens.shape, bool)
    >>> config = DecoderConfig(vocabulary_size=8, context=6, width=16, num_layers=1)
    >>> params, log = fit(init_decoder(config, key=jax.random.key(0)), counting, steps=100, key=jax.random.key(1))
    >>> bool(log.loss[-1] < 0.1 < log.loss[0])
    True
    """
    check(callable(examples_fn), "examples_fn", type(examples_fn).__name__, "a function that draws examples")
    check_network(apply_fn)
    check(loss_fn is None or callable(loss_fn), "loss_fn", type(loss_fn).__name__, "a function, or None")
    if apply_fn is decoder_apply and loss_fn is None:
        check_decoder(params)
    key = to_key("key", key)
    params, losses = advance(
        params,
        lambda size: _chunk(examples_fn, apply_fn, loss_fn, size, key.ndim == 1),
        recipe=(examples_fn, apply_fn, loss_fn),
        data=data,
        steps=steps,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )
    return params, TrainLog(losses)


_CHUNK = 50


def advance(
    params: PyTree,
    chunk_fn: Callable[[int], Callable[..., Any]],
    *,
    recipe: tuple[Any, ...],
    data: tuple[Any, ...],
    steps: int,
    learning_rate: float,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool,
    key: jax.Array,
) -> tuple[PyTree, np.ndarray]:
    """Take ``steps`` steps, fifty in one program, from the state that the checkpoint holds, if it holds one.

    ``chunk_fn(size)(state, first, key, data, schedule) -> (state, log)`` takes ``size`` of them; the log's last axis
    has one entry per step. ``recipe`` is all that ``chunk_fn`` depends on. Returned are the parameters and the whole
    log.
    """
    steps = to_integer("steps", steps, minimum=1)
    learning_rate = to_number("learning_rate", learning_rate, "(0, inf)")
    params = to_tree("params", params)
    schedule = jnp.float32(steps), jnp.float32(learning_rate)
    init = optimizer_of(*schedule).init
    init = jax.vmap(init) if key.ndim == 1 else init
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        state = (params, init(params))
    logs: list[np.ndarray] = []
    done = 0
    path = None if checkpoint is None else pathlib.Path(checkpoint)
    owner: dict[str, str] = {}
    if path is not None:
        owner = identity(
            start=params, recipe=recipe, data=data, steps=steps, learning_rate=learning_rate, key=key, chunk=_CHUNK
        )
        if path.exists():
            state, logs, done = read_checkpoint(path, owner, state)
    with progress_bar("training", -(-steps // _CHUNK), progress) as next_chunk:
        while done < steps:
            size = min(_CHUNK, steps - done)
            with jax.numpy_dtype_promotion("standard"):
                state, log = chunk_fn(size)(state, jnp.asarray(done), key, data, schedule)
            logs.append(np.asarray(log))
            done += size
            if path is not None:
                write_checkpoint(path, owner, state, logs, done)
            next_chunk()
    return state[0], np.concatenate(logs, axis=-1)


def optimizer_of(steps: jax.Array, learning_rate: jax.Array) -> optax.GradientTransformation:
    """AdamW; its schedule is made of arrays, so that trainings of any length share a program."""
    warm = jnp.maximum(1.0, jnp.floor(steps / 20))

    def schedule(count: Any) -> jax.Array:
        rising = 0.1 + 0.9 * count / warm
        falling = 0.05 + 0.475 * (1 + jnp.cos(jnp.pi * jnp.clip((count - warm) / jnp.maximum(1.0, steps - warm), 0, 1)))
        return learning_rate * jnp.where(count < warm, rising, falling)

    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=1e-3))


@functools.lru_cache(maxsize=32)
def _chunk(
    examples_fn: Examples, apply_fn: ApplyFn, loss_fn: LossFn | None, size: int, many: bool
) -> Callable[..., Any]:
    loss = loss_fn or functools.partial(answer_loss, apply_fn=apply_fn)

    def mean_loss(params: PyTree, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        losses = loss(params, tokens, mask)
        check(losses.shape == tokens.shape[:1], "loss_fn", f"losses of shape {losses.shape}", "one per example")
        return losses.mean()

    def run(state: PyTree, first: jax.Array, key: jax.Array, data: tuple[jax.Array, ...], schedule: Any):
        optimizer = optimizer_of(*schedule)

        def step(state: PyTree, index: jax.Array):
            params, moments = state
            tokens, mask = examples_fn(jax.random.fold_in(key, index), *data)
            loss, gradient = jax.value_and_grad(mean_loss)(params, tokens, mask)
            updates, moments = optimizer.update(gradient, moments, params)
            return (optax.apply_updates(params, updates), moments), loss

        return jax.lax.scan(step, state, first + jnp.arange(size))

    return jax.jit(jax.vmap(run, in_axes=(0, None, 0, None, None)) if many else run)


def check_one_key(key: jax.Array) -> None:
    """Raise for an array of keys, where one organism is trained at a time."""
    check(key.ndim == 0, "key", f"{key.shape} keys", "one key: organisms deliberate one at a time")
