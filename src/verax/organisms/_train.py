"""Training loops: batches drawn inside the compiled program, many seeds at once, resumed to identical parameters."""

import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from verax._errors import check, check_integer, fail
from verax._likelihood import mean_nll
from verax._numpy_random import key_words
from verax._progress import progress_bar
from verax._types import AnyArray, PyTree

from ._decoder import Params, decoder_apply

Examples = Callable[..., tuple[jax.Array, jax.Array]]


class TrainLog(NamedTuple):
    """The course of a training.

    Attributes
    ----------
    loss
        float32 [steps] or [seeds, steps]: mean negative log-likelihood of answer tokens, in nats.
    """

    loss: np.ndarray


def answer_loss(
    params: Params, tokens: Int[AnyArray, "n t"], loss_mask: Bool[AnyArray, "n t"]
) -> Float[jax.Array, " n"]:
    """Return the mean negative log-likelihood of each example's masked tokens, in nats a token.

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
    tokens = jnp.asarray(tokens)
    return mean_nll(decoder_apply(params, tokens[:, :-1]), tokens, jnp.asarray(loss_mask))


def fit(
    params: Params,
    examples_fn: Examples,
    *,
    data: tuple[jax.Array, ...] = (),
    steps: int,
    learning_rate: float = 3e-3,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    key: jax.Array,
) -> tuple[Params, TrainLog]:
    """Train on examples that a function draws, by AdamW with a short warm-up and a cosine decay.

    Parameters
    ----------
    params
        From ``init_decoder``. Where ``key`` is an array of keys, every leaf has a leading axis of as many organisms.
    examples_fn
        ``examples_fn(key, *data) -> (tokens, loss_mask)``, traceable; hashable, since a program is compiled for it.
    data
        Arrays that it draws from, the same for all organisms.
    steps
        Number of batches.
    learning_rate
        At its highest.
    checkpoint
        File that holds the state after every fifty steps; a run that finds it goes on from there, to the same
        parameters as a run that was never interrupted.
    progress
        Show a progress bar.
    key
        A ``jax.random.key``, or an array of them for as many organisms at once.

    Raises
    ------
    ValueError
        For ``steps`` below one, a learning rate that is not positive, or a checkpoint of another run.

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
    many = key.ndim == 1
    params, loss = advance(
        params,
        lambda size: _chunk(examples_fn, size, many),
        data=data,
        steps=steps,
        learning_rate=learning_rate,
        checkpoint=checkpoint,
        progress=progress,
        key=key,
    )
    return params, TrainLog(loss)


_CHUNK = 50


def advance(
    params: Params,
    chunk_fn: Callable[[int], Callable[..., Any]],
    *,
    data: tuple[Any, ...],
    steps: int,
    learning_rate: float,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool,
    key: jax.Array,
) -> tuple[Params, np.ndarray]:
    """Take ``steps`` steps, fifty in one program, from the state that the checkpoint holds, if it holds one.

    ``chunk_fn(size)(state, first, key, data, schedule) -> (state, log)`` takes ``size`` of them; the log's last axis
    has one entry a step. Returned are the parameters and the whole log.
    """
    check_integer("steps", steps, minimum=1)
    check(learning_rate > 0, "learning_rate", learning_rate, "a number > 0")
    schedule = jnp.float32(steps), jnp.float32(learning_rate)
    init = optimizer_of(*schedule).init
    init = jax.vmap(init) if key.ndim == 1 else init
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        state = (params, init(params))
    logs: list[np.ndarray] = []
    done = 0
    path = None if checkpoint is None else pathlib.Path(checkpoint)
    identity = json.dumps([steps, float(learning_rate), key_words(key)])
    if path is not None and path.exists():
        state, logs, done = _read(path, identity, state)
    with progress_bar("training", -(-steps // _CHUNK), progress) as next_chunk:
        while done < steps:
            size = min(_CHUNK, steps - done)
            with jax.numpy_dtype_promotion("standard"):
                state, log = chunk_fn(size)(state, jnp.asarray(done), key, data, schedule)
            logs.append(np.asarray(log))
            done += size
            if path is not None:
                _write(path, identity, state, logs, done)
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
def _chunk(examples_fn: Examples, size: int, many: bool) -> Callable[..., Any]:
    def mean_loss(params: Params, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        return answer_loss(params, tokens, mask).mean()

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


def _write(path: pathlib.Path, identity: str, state: PyTree, logs: list[np.ndarray], done: int) -> None:
    leaves = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            identity=np.array(identity),
            done=np.array(done),
            log=np.concatenate(logs, axis=-1),
            **leaves,
        )
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _read(path: pathlib.Path, identity: str, state: PyTree) -> tuple[PyTree, list[np.ndarray], int]:
    with np.load(path, allow_pickle=False) as archive:
        if str(archive["identity"]) != identity:
            fail("checkpoint", f"{path}, of a run with other steps, learning rate or key", "this run's own, or no file")
        leaves, structure = jax.tree.flatten(state)
        stored = [archive[f"leaf{i}"] for i in range(len(leaves))]
        for old, new in zip(leaves, stored, strict=True):
            check(old.shape == new.shape, "checkpoint", f"an array {new.shape}", f"{old.shape}, as the parameters have")
        return (
            jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in stored]),
            [archive["log"]],
            int(archive["done"]),
        )


def check_one_key(key: jax.Array) -> None:
    """Raise for an array of keys, where one organism is trained at a time."""
    check(key.ndim == 0, "key", f"{key.shape} keys", "one key: organisms deliberate one at a time")
