"""Many rounds: evaluation, history, progress, and checkpoints from which a run goes on to the same result."""

import functools
import os
import pathlib
import warnings
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from verax._digest import check_identity, identity
from verax._errors import check, check_integer, fail, is_traced
from verax._progress import progress_bar
from verax._save import load, register, save
from verax._types import PyTree

from ._algorithm import FederatedAlgorithm, check_client_data, checked_params, resolve_backend
from ._history import History, empty_history, extended, rows_of
from ._partition import ClientData, generator
from ._round import round_body
from ._state import FederatedState, RoundMetrics, Status


class _Checkpoint(NamedTuple):
    identity: dict[str, str]
    leaves: list[Any]
    history: History


register(History, _Checkpoint)


def run(
    algorithm: FederatedAlgorithm,
    params: PyTree,
    clients: ClientData,
    *,
    rounds: int,
    key: jax.Array,
    evaluate: Callable[[PyTree], dict[str, Any]] | None = None,
    evaluate_every: int = 1,
    mesh: Mesh | None = None,
    backend: str = "auto",
    chunk_size: int | None = None,
    scan_rounds: bool | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    progress: bool = False,
) -> tuple[PyTree, History]:
    """Run a federated algorithm for a number of rounds.

    Parameters
    ----------
    algorithm
        `fedavg`, `scaffold`, ...
    params
        Initial parameters.
    clients
        From `gather_clients`.
    rounds
        Number of rounds, >= 1; those in the checkpoint count.
    key
        A ``jax.random.key``. Round r uses ``fold_in(key, r)``.
    evaluate : callable, optional
        ``evaluate(params) -> dict`` of numbers or arrays, such as `evaluator` makes; "accuracy" becomes a field of the
        history. For `local_only` it gets the stacked models.
    evaluate_every
        Rounds between evaluations; the last round is always evaluated.
    mesh, backend, chunk_size
        How clients run; see `FederatedAlgorithm.round`.
    scan_rounds
        Compile the rounds between two evaluations or checkpoints into one ``scan``; by default on accelerators.
    checkpoint
        File, by convention ``.npz``. Written as the run goes on; a run that finds it goes on from there, to the same
        result as an uninterrupted one. A file of another run (algorithm, options, loss, parameters, data, key or
        version) is refused.
    checkpoint_every
        Rounds between writes.
    progress
        Draw a progress bar.

    Returns
    -------
    params
        Parameters of the last round (stacked for `local_only`).
    history : History

    Raises
    ------
    ValueError
        For bad options or data, non-finite initial parameters, or a checkpoint of another run.

    Notes
    -----
    One compiled program for all rounds, shared by equal algorithms. A round with non-finite numbers does not stop the
    run; see ``History.status``, ``History.finite`` and ``History.raise_if_failed``. A run in which every round was
    refused ends with a ``RuntimeWarning``.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from verax.federated import ClientData, fedavg, run
    >>> loss_fn = lambda w, x, y: (x @ w - y) ** 2 / 2
    >>> clients = ClientData(jnp.ones((2, 4, 1)), jnp.ones((2, 4)), jnp.ones((2, 4), bool))
    >>> algorithm = fedavg(loss_fn, learning_rate=0.5)
    >>> params, history = run(algorithm, jnp.zeros(1), clients, rounds=3, key=jax.random.key(0))
    >>> print(np.asarray(params).round(3), np.asarray(history.loss).round(3), history.total_bytes)
    [0.875] [0.5   0.125 0.031] [16 32 48]
    """
    check(isinstance(algorithm, FederatedAlgorithm), "algorithm", type(algorithm).__name__, "a FederatedAlgorithm")
    check_integer("rounds", rounds, minimum=1)
    check_integer("evaluate_every", evaluate_every, minimum=1)
    check_integer("checkpoint_every", checkpoint_every, minimum=1)
    params = checked_params(params)
    check(not is_traced(clients), "clients", "traced arrays", "concrete ones: this is a host entry point")
    generator(key)
    clients = check_client_data(clients, algorithm)
    scan = jax.default_backend() != "cpu" if scan_rounds is None else bool(scan_rounds)
    first = algorithm.init(params, np.shape(clients.mask)[0])
    backend = resolve_backend(
        algorithm, first.params, clients, backend, chunk_size, mesh, compiled=scan, network=first.network
    )
    check(not (scan and backend == "loop"), "scan_rounds", scan_rounds, "False for backend='loop'")
    # The state is donated from round to round, and these buffers are the caller's.
    state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), first)
    num_tracked = 1 if algorithm.kind == "pooled" else clients.num_clients
    up, down = algorithm.bytes_up(params, clients), algorithm.bytes_down(params, clients)
    history = empty_history(num_tracked)
    whose: dict[str, str] = {}
    if checkpoint is not None:
        whose = identity(algorithm=algorithm, params=params, clients=clients, key=key, evaluate_every=evaluate_every)
        state, history = _resume(pathlib.Path(checkpoint), whose, state, history)
        check(len(history.loss) <= rounds, "rounds", rounds, f"at least {len(history.loss)}, which the checkpoint has")
    with progress_bar(algorithm.name.split("(")[0], rounds, progress) as advance:
        for _ in range(len(history.loss)):
            advance()
        while (done := len(history.loss)) < rounds:
            stops = [rounds, _next(done, evaluate_every)] + ([_next(done, checkpoint_every)] if checkpoint else [])
            until = min(stops) if scan else done + 1
            state, metrics = _advance(algorithm, state, clients, key, done, until, backend, chunk_size, mesh, scan)
            evaluated = evaluate is not None and (until % evaluate_every == 0 or until == rounds)
            evaluation = evaluate(algorithm.params(state)) if evaluated and evaluate is not None else {}
            history = extended(history, rows_of(metrics, num_tracked, evaluation, up, down))
            if checkpoint is not None and (until % checkpoint_every == 0 or until == rounds):
                save(_Checkpoint(whose, [_stored(leaf) for leaf in jax.tree.leaves(state)], history), checkpoint)
            for _ in range(done, until):
                advance()
    if (history.status == int(Status.REFUSED)).all():
        bad = np.flatnonzero(~history.finite.all(0))
        warnings.warn(
            f"run: all {len(history.loss)} rounds were refused, the parameters are the initial ones: clients "
            f"{bad[:10].tolist()} sent non-finite numbers; see history.finite, or non_finite='exclude'",
            RuntimeWarning,
            stacklevel=2,
        )
    return algorithm.params(state), history


def _next(done: int, every: int) -> int:
    return (done // every + 1) * every


def _advance(
    algorithm: FederatedAlgorithm,
    state: FederatedState,
    clients: ClientData,
    key: jax.Array,
    done: int,
    until: int,
    backend: str,
    chunk_size: int | None,
    mesh: Mesh | None,
    scan: bool,
) -> tuple[FederatedState, RoundMetrics]:
    if backend == "loop":
        state, metrics = round_body(algorithm, state, clients, jax.random.fold_in(key, done), backend, chunk_size, mesh)
    elif scan:
        numbers = jnp.arange(done, until, dtype=jnp.uint32)
        return _scan_rounds(algorithm, state, clients, key, numbers, backend, chunk_size, mesh)
    else:
        state, metrics = _one_round(algorithm, state, clients, key, np.uint32(done), backend, chunk_size, mesh)
    return state, jax.tree.map(lambda leaf: leaf[None], metrics)


@functools.partial(jax.jit, static_argnums=(0, 5, 6, 7), donate_argnums=1)
def _one_round(algorithm, state, clients, key, number, backend, chunk_size, mesh):
    return round_body(algorithm, state, clients, jax.random.fold_in(key, number), backend, chunk_size, mesh)


@functools.partial(jax.jit, static_argnums=(0, 5, 6, 7), donate_argnums=1)
def _scan_rounds(algorithm, state, clients, key, numbers, backend, chunk_size, mesh):
    def step(state: FederatedState, number: jax.Array) -> tuple[FederatedState, RoundMetrics]:
        return round_body(algorithm, state, clients, jax.random.fold_in(key, number), backend, chunk_size, mesh)

    return lax.scan(step, state, numbers)


def _resume(
    path: pathlib.Path, now: dict[str, str], state: FederatedState, history: History
) -> tuple[FederatedState, History]:
    if not path.exists():
        return state, history
    whole = zipfile.is_zipfile(path)
    check(whole, "checkpoint", f"{path}, which cannot be read: torn, or no file of a run", "a new file")
    try:
        found = load(path)
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        fail("checkpoint", f"{path}, which cannot be read ({error})", "a file that run has written, or a new one")
    check(isinstance(found, _Checkpoint), "checkpoint", f"{path}, a {type(found).__name__}", "a file that run wrote")
    check_identity("checkpoint", path, found.identity, now)
    leaves, structure = jax.tree.flatten(state)
    check(len(leaves) == len(found.leaves), "checkpoint", f"{path} with another state", "a new file")
    return jax.tree.unflatten(
        structure, [_restored(*pair) for pair in zip(found.leaves, leaves, strict=True)]
    ), found.history


def _stored(leaf: jax.Array) -> np.ndarray:
    """The leaf in a dtype that files know: keys as their integers, bfloat16 and its kin as their bytes."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf))
    array = np.asarray(leaf)
    return array if array.dtype.kind in "biufc" else array.view(f"u{array.dtype.itemsize}")


def _restored(stored: Any, like: jax.Array) -> jax.Array:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(stored), impl=jax.random.key_impl(like))
    array = np.asarray(stored)
    return jnp.asarray(array if array.dtype == like.dtype else array.view(like.dtype))
