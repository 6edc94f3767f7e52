"""TCT: baselines on one problem, a data set divided among clients by one rule with one seed."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

import verax.federated as vf
from verax._errors import check
from verax._types import PyTree
from verax.models import Network

from .config import Training
from .problem import Problem

_BATCH = 250
"""Images at once outside of training: it divides all numbers of images here, so that one program serves."""


BASELINES = ("centralized", "fedavg", "fedprox", "fednova", "scaffold", "fedadam")


@functools.cache
def loss_of(network: Network) -> Callable[[Any, Any, Any], Any]:
    """Cross-entropy, one value per example."""

    def loss_fn(params: PyTree, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(network(params, x), y)

    return loss_fn


@functools.cache
def algorithm_of(method: str, network: Network, learning_rate: float, plan: Training) -> vf.FederatedAlgorithm:
    """A baseline with the options of training."""
    options = {"learning_rate": learning_rate, "batch_size": plan.batch_size, "local_epochs": plan.local_epochs}
    loss_fn = loss_of(network)
    if method == "fedprox":
        return vf.fedprox(loss_fn, mu=0.1, **options)
    if method == "scaffold":  # client sizes may differ
        return vf.scaffold(loss_fn, form="textbook", **options)
    if method == "fedadam":
        return vf.fedadam(loss_fn, server_learning_rate=0.01, **options)
    makers = {
        "fedavg": vf.fedavg,
        "fednova": vf.fednova,
        "fedyogi": functools.partial(vf.fedyogi, server_learning_rate=0.01),
        "fedavgm": vf.fedavgm,
        "centralized": vf.centralized,
        "local only": vf.local_only,
    }
    check(method in makers, "methods", repr(method), f"one of {BASELINES}, 'fedyogi', 'fedavgm', 'local only'")
    return makers[method](loss_fn, **options)


def judge_of(problem: Problem) -> Callable[[PyTree], dict[str, Any]]:
    """Accuracy and recall on the test images, and accuracy on the validation images."""
    on_test = vf.evaluator(problem.network, *problem.test, batch_size=_BATCH)
    on_validation = vf.evaluator(problem.network, *problem.validation, batch_size=_BATCH)

    def evaluate(params: PyTree) -> dict[str, Any]:
        return {**on_test(params), "validation": on_validation(params)["accuracy"]}

    return evaluate


def run_baseline(
    problem: Problem, method: str, learning_rate: float, plan: Training, key: jax.Array
) -> dict[str, np.ndarray]:
    """One algorithm for as many rounds as both stages of TCT together."""
    algorithm = algorithm_of(method, problem.network, learning_rate, plan)
    evaluate = judge_of(problem)
    if method == "local only":
        evaluate = vf.mean_over_clients(evaluate)
    rounds = plan.rounds1 + plan.rounds2
    _, history = vf.run(algorithm, problem.params, problem.clients, rounds=rounds, key=key, evaluate=evaluate)
    return history_fields(history)


def history_fields(history: vf.History) -> dict[str, np.ndarray]:
    """Curves of a run by round."""
    kept = ("accuracy", "recall", "validation")
    curves = {name: history.evaluations[name] for name in kept if name in history.evaluations}
    return {**curves, "bytes": history.total_bytes, "drift": history.drift, "status": history.status}
