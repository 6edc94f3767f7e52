"""Accuracy of a global model, by class and by client; and models of which only a part is trained."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from verax._errors import check, check_integer, fail
from verax._tree import leading_size, leaf_paths
from verax._types import AnyArray, ApplyFn, PyTree

from ._partition import ClientData, check_labels


def evaluator(
    apply_fn: ApplyFn,
    x: PyTree,
    labels: Int[AnyArray, "n"],
    *,
    clients: ClientData | None = None,
    batch_size: int = 1000,
) -> Callable[[PyTree], dict[str, Any]]:
    """Make the function that `run` calls to judge a classifier.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x) -> [n, C]`` logits or scores.
    x : array or pytree of arrays [n, ...]
        Test examples.
    labels : [n]
        Integers from 0 to C - 1.
    clients
        Also report the accuracy on each client's own data, and the worst.
    batch_size
        Examples at once.

    Returns
    -------
    callable
        ``evaluate(params)`` gives ``accuracy``, ``recall`` [C] by class, and with ``clients`` ``client_accuracy`` [K]
        and ``worst_client``.

    Raises
    ------
    ValueError
        For labels that are not such integers, or another number of them than examples.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.federated import evaluator
    >>> evaluate = evaluator(lambda w, x: x @ w, jnp.eye(3), np.array([0, 1, 2]))
    >>> result = evaluate(jnp.eye(3)[:, [0, 1, 1]])
    >>> round(result["accuracy"], 3), result["recall"].tolist()
    (0.667, [1.0, 1.0, 0.0])
    """
    y = check_labels(labels)
    check(leading_size(x, "x") == len(y), "labels", f"{len(y)} of them", f"{leading_size(x, 'x')}, as x has")
    check_integer("batch_size", batch_size, minimum=1)
    predict = _predictor(apply_fn)

    def classes(params: PyTree, x: PyTree) -> np.ndarray:
        num = leading_size(x, "x")
        parts = [
            np.asarray(predict(params, jax.tree.map(lambda leaf, s=start: leaf[s : s + batch_size], x)))
            for start in range(0, num, batch_size)
        ]
        return np.concatenate(parts)

    def by_client(params: PyTree, clients: ClientData) -> dict[str, Any]:
        mask = np.asarray(clients.mask)
        hits = np.zeros(mask.shape, bool)
        # The rows that fill up short clients are not worth a forward pass.
        own = classes(params, jax.tree.map(lambda leaf: leaf[mask], clients.x))
        hits[mask] = own == np.asarray(clients.y)[mask]
        accuracy = hits.sum(1) / mask.sum(1)
        return {"client_accuracy": accuracy, "worst_client": float(accuracy.min())}

    def evaluate(params: PyTree) -> dict[str, Any]:
        right = classes(params, x) == y
        counts = np.bincount(y)
        result: dict[str, Any] = {"accuracy": float(right.mean()), "recall": np.bincount(y, right) / counts}
        return result if clients is None else result | by_client(params, clients)

    return evaluate


@functools.lru_cache(maxsize=64)
def _predictor(apply_fn: ApplyFn) -> Callable[[Any, Any], jax.Array]:
    """One compiled function for all evaluators of a network."""
    return jax.jit(lambda params, x: jnp.argmax(apply_fn(params, x), axis=-1))


def mean_over_clients(evaluate: Callable[[PyTree], dict[str, Any]]) -> Callable[[PyTree], dict[str, Any]]:
    """Evaluate each of the stacked models of `local_only` and average what comes out.

    Parameters
    ----------
    evaluate
        For one model, such as `evaluator` makes.

    Returns
    -------
    callable
        For models stacked on a leading axis.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.federated import mean_over_clients
    >>> mean_over_clients(lambda w: {"accuracy": w})(jnp.array([0.5, 1.0]))
    {'accuracy': 0.75}
    """

    def evaluate_all(stacked: PyTree) -> dict[str, Any]:
        num = leading_size(stacked, "params")
        results = [evaluate(jax.tree.map(lambda leaf, i=i: leaf[i], stacked)) for i in range(num)]
        means = {name: np.mean([np.asarray(result[name]) for result in results], axis=0) for name in results[0]}
        return {name: float(mean) if np.ndim(mean) == 0 else mean for name, mean in means.items()}

    return evaluate_all


def split_parameters(
    params: PyTree, param_filter: Callable[[str, Any], bool]
) -> tuple[list[Any], Callable[[list[Any]], PyTree]]:
    """Take out the parameters to train, to retrain some layers of a network on fixed others.

    Parameters
    ----------
    params
        All parameters.
    param_filter : callable
        ``param_filter(path, leaf) -> bool`` with paths such as ``"layers/0/kernel"``; true for those to train.

    Returns
    -------
    trainable : list of arrays
        The chosen leaves: the parameters of the smaller problem.
    merge : callable
        ``merge(trainable)`` gives all parameters, the others as they were.

    Raises
    ------
    ValueError
        If the filter chooses nothing.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from verax.federated import split_parameters
    >>> params = {"body": jnp.zeros(2), "head": jnp.ones(3)}
    >>> trainable, merge = split_parameters(params, lambda path, leaf: path == "head")
    >>> merge([leaf + 1 for leaf in trainable])["head"].tolist()
    [2.0, 2.0, 2.0]
    """
    leaves, structure = jax.tree.flatten(params)
    chosen = [bool(param_filter(path, leaf)) for path, leaf in zip(leaf_paths(params), leaves, strict=True)]
    if not any(chosen):
        fail("param_filter", f"none of {leaf_paths(params)}", "at least one parameter to train")

    def merge(trainable: list[Any]) -> PyTree:
        rest = iter(trainable)
        return jax.tree.unflatten(
            structure, [next(rest) if c else leaf for c, leaf in zip(chosen, leaves, strict=True)]
        )

    return [leaf for c, leaf in zip(chosen, leaves, strict=True) if c], merge
