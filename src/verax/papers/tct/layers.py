"""TCT: retraining of the last layers on pooled data."""

import functools
from typing import Any

import jax
import numpy as np

import verax.federated as vf
from verax._types import PyTree
from verax.models import Network

from .config import Training
from .experiment import algorithm_of, judge_of, loss_of
from .problem import Problem


def layer_names(params: PyTree) -> list[str]:
    """Prefixes of the layers' parameters, first to last, the head at the end."""
    names: list[str] = []
    for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]:
        prefix = jax.tree_util.keystr(path[:-1], simple=True, separator="/")
        if prefix not in names:
            names.append(prefix)
    return [name for name in names if name != "head"] + ["head"]


def run_layers(problem: Problem, rates: dict[str, float], plan: Training, key: jax.Array) -> dict[str, np.ndarray]:
    """Accuracy after retraining the last l layers on pooled data, from FedAvg's, random and centralized parameters."""
    evaluate = judge_of(problem)
    train = functools.partial(vf.run, clients=problem.clients, key=key)
    starts = {"random": problem.params}
    for method in ("fedavg", "centralized"):
        algorithm = algorithm_of(method, problem.network, rates[method], plan)
        starts[method], _ = train(algorithm, problem.params, rounds=plan.rounds1)
    num_layers = len(layer_names(problem.params))
    result = {}
    for name, params in starts.items():
        accuracy = [evaluate(params)["accuracy"]]
        for count in range(1, num_layers + 1):
            algorithm = retraining_of(count, problem.network, rates["centralized"], plan)
            trained, _ = train(algorithm, params, rounds=plan.rounds2)
            accuracy.append(evaluate(trained)["accuracy"])
        result[name] = np.array(accuracy)
    return result


@functools.cache
def retraining_of(count: int, network: Network, learning_rate: float, plan: Training) -> vf.FederatedAlgorithm:
    """Centralized training of the last ``count`` layers, the others fixed.

    The fixed ones stay arguments (`split_parameters` would make them constants), so that all starts share a program.
    """
    loss_fn = loss_of(network)

    def partial_loss(params: PyTree, x: Any, y: Any) -> Any:
        chosen = layer_names(params)[-count:]
        fixed = jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                leaf
                if jax.tree_util.keystr(path[:-1], simple=True, separator="/") in chosen
                else jax.lax.stop_gradient(leaf)
            ),
            params,
        )
        return loss_fn(fixed, x, y)

    return vf.centralized(
        partial_loss, learning_rate=learning_rate, batch_size=plan.batch_size, local_epochs=plan.local_epochs
    )
