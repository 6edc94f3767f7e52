"""Projection Norm by retraining on pseudo-labels."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from scipy import special

from verax._arrays import same_dtype, to_examples
from verax._errors import check, check_integer, check_option, fail
from verax._programs import maps_badly
from verax._progress import progress_bar
from verax._tree import leading_size
from verax._types import AnyArray, ApplyFn, PyTree

from ._checks import check_concrete, check_key, check_labels
from ._scores import Scores, assemble, draw_rows, input_status, remaining_rows

NORMS = ("function", "parameter", "disagreement", "softmax")

# Examples that pass through a network at once when it is only evaluated.
_EVALUATION_BATCH = 500
# Sets that an accelerator trains side by side unless told otherwise.
_CHUNK = 8


class _Problem(NamedTuple):
    """Quantities that are the same for every set."""

    apply_fn: ApplyFn
    optimizer: optax.GradientTransformation
    init_params: PyTree
    batches: jax.Array
    holdout: list[Any]


def projection_norm(
    apply_fn: ApplyFn,
    init_params: PyTree,
    model_params: PyTree,
    reference_x: PyTree,
    target_x: PyTree,
    *,
    steps: int,
    batch_size: int = 128,
    optimizer: optax.GradientTransformation | None = None,
    train_apply_fn: ApplyFn | None = None,
    holdout_x: PyTree | None = None,
    norm: str | Sequence[str] = "function",
    reference_labels: AnyArray | None = None,
    null_x: PyTree | None = None,
    num_references: int = 2,
    num_nulls: int = 8,
    set_chunk: int | None = None,
    key: jax.Array,
    progress: bool = False,
) -> Scores:
    r"""Projection Norm: how far retraining on pseudo-labels of a set ends from retraining on in-distribution data.

    From the same initialisation :math:`\theta_0`, with the same batch order and number of steps, by cross-entropy,

    .. math:: \tilde\theta = \mathrm{Train}(\theta_0; \{x_j, \arg\max_k f_k(x_j; \hat\theta)\}), \qquad
        \theta_{ref} = \mathrm{Train}(\theta_0; \text{reference draw of the same size m}),

    the score is :math:`\lVert\tilde\theta - \theta_{ref}\rVert_2` ("parameter", the paper's), the root mean squared
    distance between their outputs on a holdout, as logits ("function") or as probabilities ("softmax"), or how often
    their predictions on it differ ("disagreement").

    Parameters
    ----------
    apply_fn
        Evaluation mode of the deployed network, ``apply_fn(params, x) -> [n, K]``; it gives the pseudo-labels.
    init_params
        Where every retraining starts: the initialisation that the deployed model was trained from, or a fresh one.
    model_params
        The deployed model's; it only labels.
    reference_x : pytree [N, ...]
        In-distribution inputs, N >= m.
    target_x : pytree [S, m, ...]
        S unlabelled sets of m inputs.
    steps, batch_size
        Steps of retraining, and examples in each; m >= batch_size.
    optimizer
        Any optax optimizer; by default SGD with momentum 0.9 and a cosine from 1e-3 to 0, as in the authors' code. The
        score needs retraining that stays near the initialisation: a small rate or few steps. Far from it, the distance
        measures how long the networks were trained and no longer on what.
    train_apply_fn
        The network that is retrained, and evaluated on the holdout; ``apply_fn`` by default (batch statistics frozen).
        A training mode normalises each set by its own batches' statistics, as the authors' code does.
    holdout_x : pytree [h, ...]
        In-distribution inputs for all norms but "parameter".
    norm
        One of the four, or a sequence of them for a leading axis. Logits grow as training goes on, without bound;
        probabilities do not.
    reference_labels : [N]
        True labels of ``reference_x``; pseudo-labels by default.
    null_x : pytree [N0, ...]
        Pool for the null draws, best unseen by the model; ``reference_x`` by default.
    num_references, num_nulls
        Draws of m examples, disjoint as long as the pool lasts; each is one more retraining.
    set_chunk
        Sets trained side by side; by default 1 on a CPU and for convolutional networks, and 8 elsewhere.
    key
        A ``jax.random.key`` for draws and batch order.
    progress
        Draw a progress bar.

    Returns
    -------
    Scores
        ``value`` [S], with several norms [norms, S].

    Raises
    ------
    ValueError
        For sets smaller than the batch, pools smaller than a set, inputs of different kinds (uint8 against float) or
        shapes, unknown norms, a missing holdout.

    Notes
    -----
    ``(S + num_references + num_nulls) * steps`` gradient steps, compiled once. On a CPU a Python loop over one jitted
    step, one set at a time, since convolutions are slow there inside ``scan`` and under ``vmap`` over weights;
    elsewhere a ``scan`` over steps under ``vmap`` over ``set_chunk`` sets. Values depend on steps and learning rate:
    compare only within one setting. Pass the same ``optimizer`` object to reuse the compilation in later calls.

    Departures from the authors' code: reference draws have the target's size, one seed orders all batches, and the
    reference is never the deployed model.

    Examples
    --------
    >>> import jax, numpy as np, optax
    >>> from verax.models import mlp
    >>> from verax.shift import projection_norm
    >>> network, params = mlp([8, 16, 3], key=jax.random.key(0))
    >>> x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    >>> sets = np.stack([x[:64], 4 * np.abs(x[:64])])
    >>> scores = projection_norm(
    ...     network, params, params, x[64:], sets, steps=20, batch_size=32, optimizer=optax.sgd(0.05),
    ...     norm="parameter", num_nulls=3, key=jax.random.key(1))
    >>> scores.value.shape, bool(scores.value[1] > scores.value[0])
    ((2,), True)

    References
    ----------
    Y. Yu et al., "Predicting out-of-distribution error with the Projection Norm", ICML 2022, section 3.
    """
    check_concrete(reference_x=reference_x, target_x=target_x, holdout_x=holdout_x, reference_labels=reference_labels)
    norms = (norm,) if isinstance(norm, str) else tuple(norm)
    check(bool(norms), "norm", "none", "at least one")
    for name in norms:
        check_option("norm", name, NORMS)
    check_integer("steps", steps, minimum=1)
    check_integer("batch_size", batch_size, minimum=1)
    check_integer("num_references", num_references, minimum=1)
    check_integer("num_nulls", num_nulls, minimum=0)
    if set_chunk is not None:
        check_integer("set_chunk", set_chunk, minimum=1)
    key = check_key(key)
    reference_x, num_reference = to_examples("reference_x", reference_x, finite=False)
    target_x, num_sets = to_examples("target_x", target_x, finite=False)
    holdout_x, null_x = (
        None if x is None else to_examples(argument, x, finite=False)[0]
        for argument, x in (("holdout_x", holdout_x), ("null_x", null_x))
    )
    reference_x, target_x, holdout_x, null_x = _in_one_width(reference_x, target_x, holdout_x, null_x)
    size = _check_inputs(reference_x, target_x, holdout_x, null_x)
    check(size >= batch_size, "target_x", f"sets of {size} examples", f"at least batch_size = {batch_size}")
    if holdout_x is None and set(norms) != {"parameter"}:
        fail("holdout_x", "None", f"in-distribution inputs for norm={norm!r}")
    own_null = null_x is not None
    null_x = null_x if own_null else reference_x
    num_null_rows = leading_size(null_x, "null_x")
    for argument, rows in (("reference_x", num_reference), ("null_x", num_null_rows)):
        check(rows >= size, argument, f"{rows} examples", f"at least {size}, the size of a target set")

    order_key, reference_key, null_key = jax.random.split(key, 3)
    reference_rows = draw_rows(reference_key, num_references, np.arange(num_reference), size)
    candidates = np.arange(num_null_rows) if own_null else remaining_rows(num_null_rows, reference_rows, size)
    null_rows = draw_rows(null_key, num_nulls, candidates, size)
    problem = _Problem(
        apply_fn=apply_fn if train_apply_fn is None else train_apply_fn,
        optimizer=_default_optimizer(steps) if optimizer is None else optimizer,
        init_params=init_params,
        batches=_batch_order(order_key, size, batch_size, steps),
        holdout=[] if set(norms) == {"parameter"} else _parts(holdout_x),
    )

    def take(x: PyTree, rows: np.ndarray) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[rows], x)

    sources = [take(reference_x, rows) for rows in reference_rows]
    labels = [_pseudo_labels(apply_fn, model_params, x) for x in sources]
    num_classes = _num_classes(apply_fn, model_params, sources[0])
    if reference_labels is not None:
        true = np.asarray(check_labels("reference_labels", reference_labels, num_reference, num_classes))
        labels = [true[rows] for rows in reference_rows]
    sources += [jax.tree.map(lambda leaf, i=i: leaf[i], target_x) for i in range(num_sets)]
    sources += [take(null_x, rows) for rows in null_rows]
    labels += [_pseudo_labels(apply_fn, model_params, x) for x in sources[num_references:]]

    distances = _train_all(problem, sources, labels, num_references, norms, set_chunk, progress)
    target_labels = jnp.asarray(np.stack(labels[num_references : num_references + num_sets]))
    finite = np.array([_is_finite(x) for x in sources[num_references : num_references + num_sets]])
    status = input_status(target_labels, jnp.asarray(finite))
    values = jnp.asarray(distances[:, :num_sets])
    nulls = jnp.asarray(distances[:, num_sets:])
    if isinstance(norm, str):
        values, nulls = values[0], nulls[0]
    return assemble(values, nulls, status)


def _in_one_width(*inputs: PyTree | None) -> list[PyTree | None]:
    """Floats in the widest of their dtypes, leaf by leaf; other inputs as they are."""
    given = [x for x in inputs if x is not None]
    if len({jax.tree.structure(x) for x in given}) > 1:
        return list(inputs)

    def widen(*leaves: jax.Array) -> tuple[jax.Array, ...]:
        floats = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves)
        return same_dtype(*leaves) if floats else leaves

    columns = [widen(*leaves) for leaves in zip(*map(jax.tree.leaves, given), strict=True)]
    wide = (jax.tree.unflatten(jax.tree.structure(given[0]), leaves) for leaves in zip(*columns, strict=True))
    return [None if x is None else next(wide) for x in inputs]


def _check_inputs(reference_x: PyTree, target_x: PyTree, holdout_x: PyTree | None, null_x: PyTree | None) -> int:
    """Number of examples in each target set, after a check that all inputs are alike."""
    shapes = jax.tree.map(lambda leaf: (leaf.shape[1:], str(leaf.dtype)), reference_x)
    sizes = {leaf.shape[1] if leaf.ndim >= 2 else -1 for leaf in jax.tree.leaves(target_x)}
    check(len(sizes) == 1 and min(sizes) > 0, "target_x", "no sets of examples", "[S, m, ...]")
    described = jax.tree.map(lambda leaf: (leaf.shape[2:], str(leaf.dtype)), target_x)
    check(described == shapes, "target_x", f"examples of {described}", f"{shapes}, as reference_x (shape and dtype)")
    for argument, x in (("holdout_x", holdout_x), ("null_x", null_x)):
        if x is not None:
            described = jax.tree.map(lambda leaf: (leaf.shape[1:], str(leaf.dtype)), x)
            check(described == shapes, argument, f"examples of {described}", f"{shapes}, as reference_x")
    return sizes.pop()


def _default_optimizer(steps: int) -> optax.GradientTransformation:
    return optax.sgd(optax.cosine_decay_schedule(1e-3, steps), momentum=0.9)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _batch_order(key: jax.Array, size: int, batch_size: int, steps: int) -> jax.Array:
    """Rows [steps, batch_size] of whole batches, permuted anew each epoch; the same for every set."""
    per_epoch = size // batch_size
    epochs = -(-steps // per_epoch)
    orders = jax.vmap(lambda one: jax.random.permutation(one, size))(jax.random.split(key, epochs))
    return orders[:, : per_epoch * batch_size].reshape(-1, batch_size)[:steps]


def _parts(x: PyTree) -> list[Any]:
    size = leading_size(x, "holdout_x")
    return [
        jax.tree.map(lambda leaf, i=start: jnp.asarray(leaf[i : i + _EVALUATION_BATCH]), x)
        for start in range(0, size, _EVALUATION_BATCH)
    ]


@functools.partial(jax.jit, static_argnums=0)
def _apply(apply_fn: ApplyFn, params: PyTree, x: PyTree) -> jax.Array:
    return apply_fn(params, x)


def _pseudo_labels(apply_fn: ApplyFn, params: PyTree, x: PyTree) -> np.ndarray:
    return np.concatenate([np.asarray(_apply(apply_fn, params, part).argmax(1), np.int32) for part in _parts(x)])


def _num_classes(apply_fn: ApplyFn, params: PyTree, x: PyTree) -> int:
    shape = jax.eval_shape(apply_fn, params, jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), x)).shape
    check(len(shape) == 2 and shape[1] >= 2, "apply_fn", f"an output of shape {shape}", "logits [n, K], K >= 2")
    return shape[1]


def _is_finite(x: PyTree) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(jnp.asarray(leaf)).all()) for leaf in leaves)


def _step(apply_fn, optimizer, params, state, x, y, rows):
    """One gradient step of cross-entropy on the rows of one set."""

    def loss(params):
        logits = apply_fn(params, jax.tree.map(lambda leaf: leaf[rows], x))
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

    gradients = jax.grad(loss)(params)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _one_step(apply_fn, optimizer, params, state, x, y, rows):
    return _step(apply_fn, optimizer, params, state, x, y, rows)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _one_step_of_many(apply_fn, optimizer, params, state, x, y, rows):
    step = functools.partial(_step, apply_fn, optimizer)
    return jax.vmap(step, in_axes=(0, 0, 0, 0, None))(params, state, x, y, rows)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _all_steps_of_many(apply_fn, optimizer, params, state, x, y, batches):
    step = jax.vmap(functools.partial(_step, apply_fn, optimizer), in_axes=(0, 0, 0, 0, None))

    def body(carry, rows):
        params, state = carry
        return step(params, state, x, y, rows), None

    return lax.scan(body, (params, state), batches)[0][0]


def _train_all(
    problem: _Problem,
    sources: list[Any],
    labels: list[np.ndarray],
    num_references: int,
    norms: tuple[str, ...],
    set_chunk: int | None,
    progress: bool,
) -> np.ndarray:
    """Distances [norms, sets] of every set after the references from them, averaged; one chunk of sets at a time."""
    on_cpu = jax.default_backend() == "cpu"
    if set_chunk is None:
        example = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), sources[0])
        set_chunk = 1 if on_cpu or maps_badly(problem.apply_fn, problem.init_params, example) else _CHUNK
    chunk = min(set_chunk, len(sources))
    references: list[tuple[PyTree, Any]] = []
    columns = []
    starts = range(0, len(sources), chunk)
    with progress_bar("Projection Norm", len(starts), progress) as advance:
        for start in starts:
            # The last chunk is filled by repeating a set, so that nothing is compiled twice.
            members = [min(i, len(sources) - 1) for i in range(start, start + chunk)]
            trained = _train(problem, [sources[i] for i in members], [labels[i] for i in members], on_cpu)
            for params, i in zip(trained, range(start, min(start + chunk, len(sources))), strict=False):
                outputs = [np.asarray(_apply(problem.apply_fn, params, part)) for part in problem.holdout]
                result = jax.device_get(params), np.concatenate(outputs) if outputs else None
                if i < num_references:
                    references.append(result)
                    continue
                gaps = [[_gap(name, result, reference) for reference in references] for name in norms]
                columns.append(np.mean(gaps, axis=1))
            advance()
    return np.stack(columns, axis=1)


def _train(problem: _Problem, sources: list[Any], labels: list[np.ndarray], on_cpu: bool) -> list[PyTree]:
    apply_fn, optimizer, batches = problem.apply_fn, problem.optimizer, problem.batches
    params = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), problem.init_params)
    with jax.numpy_dtype_promotion("standard"):
        state = optimizer.init(params)
    # Steps donate their buffers: the optimizer's state must not share them with the initial parameters.
    state = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), state)
    if len(sources) == 1 and on_cpu:
        x, y = jax.tree.map(jnp.asarray, sources[0]), jnp.asarray(labels[0])
        for rows in batches:
            params, state = _one_step(apply_fn, optimizer, params, state, x, y, rows)
        return [params]
    x = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *sources)
    y = jnp.asarray(np.stack(labels))
    params, state = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(sources)), (params, state))
    if on_cpu:
        for rows in batches:
            params, state = _one_step_of_many(apply_fn, optimizer, params, state, x, y, rows)
    else:
        params = _all_steps_of_many(apply_fn, optimizer, params, state, x, y, batches)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(len(sources))]


def _gap(norm: str, one: tuple[PyTree, Any], other: tuple[PyTree, Any]) -> float:
    if norm == "parameter":
        pairs = zip(jax.tree.leaves(one[0]), jax.tree.leaves(other[0]), strict=True)
        return float(np.sqrt(sum(np.sum((np.asarray(a, np.float64) - b) ** 2) for a, b in pairs)))
    if norm == "disagreement":
        return float(np.mean(one[1].argmax(1) != other[1].argmax(1)))
    outputs = [np.asarray(logits, np.float64) for logits in (one[1], other[1])]
    if norm == "softmax":
        outputs = [special.softmax(logits, axis=1) for logits in outputs]
    return float(np.sqrt(np.mean(np.sum((outputs[0] - outputs[1]) ** 2, axis=1))))
