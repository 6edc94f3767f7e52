"""Accuracy of a global model, by class and by client; and models of which only a part is trained."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verax._arrays import to_examples, to_tree
from verax._errors import check, check_integer, fail, is_traced
from verax._tree import leading_size, leaf_paths
from verax._types import ApplyFn, PyTree

from ._labels import encode_labels
from ._partition import ClientData, to_clients


def evaluator(
    apply_fn: ApplyFn,
    x: PyTree,
    labels: Any,
    *,
    classes: Any = None,
    clients: ClientData | None = None,
    batch_size: int = 1000,
) -> Callable[[PyTree], dict[str, Any]]:
    """Make the function that `run` calls to evaluate a classifier.

    Parameters
    ----------
    apply_fn : callable
        ``apply_fn(params, x) -> [n, C]`` logits or scores; ``params`` are those that `run` returns, `Variables` for a
        network with state.
    x : array or pytree of arrays [n, ...]
        Test examples.
    labels : [n]
        Integers from 0 to C - 1, the positions of the outputs, or members of ``classes``. Some classes may be absent.
    classes : [C]
        Label of each output, such as the ``classes`` of `encode_labels`.
    clients
        Also report the accuracy on each client's own data, whose labels are integers, and the worst.
    batch_size
        Examples at once.

    Returns
    -------
    callable
        ``evaluate(params)`` gives ``accuracy``, ``recall`` [C] by class, NaN for classes without an example, and with
        ``clients`` ``client_accuracy`` [K] and ``worst_client``.

    Raises
    ------
    ValueError
        For labels that are not such classes, another number of them than examples, or non-finite examples; from
        ``evaluate``, for labels beyond the outputs of ``apply_fn``.

    Examples
    --------
    >>> import jax.numpy as jnp, numpy as np
    >>> from verax.federated import evaluator
    >>> evaluate = evaluator(lambda w, x: x @ w, jnp.eye(3), np.array([0, 1, 2]))
    >>> result = evaluate(jnp.eye(3)[:, [0, 1, 1]])
    >>> round(result["accuracy"], 3), result["recall"].tolist()
    (0.667, [1.0, 1.0, 0.0])
    """
    y = _positions("labels", labels, classes)
    x, num_examples = to_examples("x", x)
    check(num_examples == len(y), "labels", f"{len(y)} of them", f"{num_examples}, as x has")
    clients = None if clients is None else to_clients("clients", clients)
    check_integer("batch_size", batch_size, minimum=1)
    predict = _predictor(apply_fn)

    def predicted(params: PyTree, x: PyTree) -> tuple[np.ndarray, int]:
        num, parts, width = leading_size(x, "x"), [], 0
        for start in range(0, num, batch_size):
            part, width = predict(params, jax.tree.map(lambda leaf, s=start: leaf[s : s + batch_size], x))
            parts.append(np.asarray(part))
        return np.concatenate(parts), int(width)

    def by_client(params: PyTree, clients: ClientData) -> dict[str, Any]:
        mask = np.asarray(clients.mask)
        hits = np.zeros(mask.shape, bool)
        # Only the clients' own examples pass through the network.
        own, _ = predicted(params, jax.tree.map(lambda leaf: leaf[mask], clients.x))
        hits[mask] = own == np.asarray(clients.y)[mask]
        accuracy = hits.sum(1) / mask.sum(1)
        return {"client_accuracy": accuracy, "worst_client": float(accuracy.min())}

    def evaluate(params: PyTree) -> dict[str, Any]:
        found, width = predicted(params, x)
        check(int(y.max()) < width, "labels", f"a largest class of {y.max()}", f"classes below {width}, the outputs")
        counts = np.bincount(y, minlength=width)
        hits = np.bincount(y, found == y, minlength=width)
        recall = np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)
        result: dict[str, Any] = {"accuracy": float((found == y).mean()), "recall": recall}
        return result if clients is None else result | by_client(params, clients)

    return evaluate


def _positions(argument: str, labels: Any, classes: Any) -> np.ndarray:
    """Labels as positions among the outputs."""
    codes, values = encode_labels(labels, classes)
    if classes is not None:
        return codes
    need = (
        "integers from 0 to C - 1, the positions of the outputs; name the label of each output by classes= for others"
    )
    good = values.dtype.kind in "iub" and int(values[0]) >= 0 and int(values[-1]) < 2**31
    check(good, argument, f"{values[:5].tolist()}, ...", need)
    return values.astype(np.int64)[codes]


@functools.lru_cache(maxsize=64)
def _predictor(apply_fn: ApplyFn) -> Callable[[Any, Any], Any]:
    """One compiled function for all evaluators of a network: predicted classes, and the number of classes."""

    def predict(params: PyTree, x: PyTree) -> tuple[jax.Array, int]:
        outputs = apply_fn(params, x)
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            fail("apply_fn", f"an output of shape {outputs.shape}", "scores [n, C] of at least two classes")
        return jnp.argmax(outputs, axis=-1), outputs.shape[1]

    return jax.jit(predict)


def mean_over_clients(evaluate: Callable[[PyTree], dict[str, Any]]) -> Callable[[PyTree], dict[str, Any]]:
    """Evaluate each of several stacked models, as `local_only` returns them, and average the results.

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
        check(not is_traced(stacked), "params", "traced arrays", "concrete models: results are averaged on the host")
        stacked, num = to_examples("params", stacked, finite=False)
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
    params = to_tree("params", params)
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
