"""TCT: one experiment, a data set divided among clients by one rule with one seed, and everything measured on it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import verax.federated as vf
from verax import ntk
from verax._errors import check
from verax._types import PyTree
from verax.models import Network

from .problem import Problem

_BATCH = 250
"""Images at once outside of training: it divides all numbers of images here, so that one program serves."""


BASELINES = ("centralized", "fedavg", "fedprox", "fednova", "scaffold", "fedadam")


class Plan(NamedTuple):
    """What is run on a problem; a part of the configuration, so that results are kept under it."""

    rounds1: int
    rounds2: int
    local_epochs: int
    batch_size: int
    local_steps: int
    num_features: int
    long_rounds: int
    ridge_grid: int = 40


@functools.cache
def loss_of(network: Network) -> Callable[[Any, Any, Any], Any]:
    """Cross-entropy, one value an example."""

    def loss_fn(params: PyTree, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(network(params, x), y)

    return loss_fn


@functools.cache
def algorithm_of(method: str, network: Network, learning_rate: float, plan: Plan) -> vf.FederatedAlgorithm:
    """A baseline with the plan's options."""
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
    problem: Problem, method: str, learning_rate: float, plan: Plan, key: jax.Array
) -> dict[str, np.ndarray]:
    """One algorithm for as many rounds as both stages of TCT together."""
    algorithm = algorithm_of(method, problem.network, learning_rate, plan)
    evaluate = judge_of(problem)
    if method == "local only":
        evaluate = vf.mean_over_clients(evaluate)
    rounds = plan.rounds1 + plan.rounds2
    _, history = vf.run(algorithm, problem.params, problem.clients, rounds=rounds, key=key, evaluate=evaluate)
    return _of_history(history)


def _of_history(history: vf.History) -> dict[str, np.ndarray]:
    kept = ("accuracy", "recall", "validation")
    curves = {name: history.evaluations[name] for name in kept if name in history.evaluations}
    return {**curves, "bytes": history.total_bytes, "drift": history.drift, "status": history.status}


def run_tct(
    problem: Problem, learning_rate: float, plan: Plan, key: jax.Array, *, bootstrapped: bool
) -> dict[str, np.ndarray]:
    """Both stage 2s on one set of features, and what is learned from them; without stage 1 unless bootstrapped."""
    network, clients = problem.network, problem.clients
    sketch = ntk.Rademacher(plan.num_features)
    stage1 = algorithm_of("fedavg", network, learning_rate, plan)
    keep = np.asarray(clients.mask)
    held_out = vf.gather_clients(
        *problem.validation,
        vf.partition_iid(problem.validation[1], min(len(keep), len(problem.validation[1])), key=key),
    )
    model = vf.tct(
        network,
        loss_of(network),
        problem.params,
        clients,
        stage1=stage1,
        rounds1=plan.rounds1 if bootstrapped else 0,
        features_fn=network.features,
        width=network.width,
        sketch=sketch,
        stage2="scaffold",
        rounds2=plan.rounds2,
        local_steps=plan.local_steps,
        key=key,
        num_classes=problem.num_classes,
        held_out=held_out,
        test=problem.test,
        keep_features=True,
        batch_size=_BATCH,
    )
    assert model.client_features is not None
    phi = model.client_features
    phi_test = np.asarray(model.features(problem.test[0], batch_size=_BATCH))
    targets = vf.class_targets(np.where(keep, np.asarray(clients.y), 0), problem.num_classes)
    parts = vf.client_statistics(phi, targets, keep)
    total = vf.total_statistics(parts)
    ridges = np.geomspace(1e-6, 1.0, plan.ridge_grid) * float(np.trace(total.gram)) / total.num_examples
    fit = vf.fit_ridge(total, ridges=ridges)
    result = _of_history(model.history)
    result.update(_judged("one_shot", phi_test @ fit.coefficients, problem))
    sent = len(keep) * parts[0].message_bytes + len(keep) * fit.coefficients.size * 4
    before = sum(
        entry.bytes_up + entry.bytes_down for entry in model.ledger if entry.step in ("stage 1", "standardisation")
    )
    result.update(ridge=np.array(fit.ridge), one_shot_bytes=np.array(before + sent))

    # Does stage 2 reach the pooled optimum? At the ridge that was chosen, from the same objective.
    optimum = _objective(fit.coefficients, total, fit.ridge)
    start = total.target_square / (2 * total.num_examples)
    spectra = vf.client_spectra(phi, keep)
    for name, control in (("scaffold", True), ("fedavg", False)):
        options = {"rounds": plan.long_rounds, "local_steps": plan.local_steps, "ridge": fit.ridge, "spectra": spectra}
        longer = vf.scaffold_linear(phi, targets, keep, control_variates=control, **options)
        reached = _objective(np.asarray(longer.coefficients, np.float64), total, fit.ridge)
        result[f"gap_{name}"] = np.array((reached - optimum) / (start - optimum))
        result.update(_judged(f"long_{name}", phi_test @ np.asarray(longer.coefficients), problem))

    # The estimated risk of the one-shot fit, from data that stage 1 has seen and from data that it has not.
    assert model.risk is not None
    assert fit.path is not None
    seen = float(np.min(fit.path.gcv)) / _square_error(phi_test @ fit.coefficients, problem)
    fresh_rows = np.asarray(model.features(problem.validation[0], batch_size=_BATCH))
    fresh_targets = vf.class_targets(problem.validation[1], problem.num_classes)
    ones = np.ones((1, len(fresh_rows)), bool)
    fresh = vf.total_statistics(vf.client_statistics(fresh_rows[None], fresh_targets[None], ones))
    fresh_fit = vf.fit_ridge(fresh, model.risk.best_ridge)
    apart = float(np.min(model.risk.gcv)) / _square_error(phi_test @ fresh_fit.coefficients, problem)
    result.update(seen_risk=np.array(seen), held_out_risk=np.array(apart))

    # Features of the last hidden layer alone.
    hidden = np.asarray(jax.jit(network.features)(model.params, jnp.asarray(np.asarray(clients.x)[keep])))
    hidden_test = np.asarray(jax.jit(network.features)(model.params, jnp.asarray(problem.test[0])))
    last = np.zeros((*keep.shape, hidden.shape[1]), hidden.dtype)
    last[keep] = hidden
    standard = vf.fit_standardizer(last, keep)
    penultimate = vf.fit_ridge(vf.total_statistics(vf.client_statistics(standard(last), targets, keep)))
    result.update(_judged("penultimate", standard(hidden_test) @ penultimate.coefficients, problem))
    return result


def _judged(name: str, scores: np.ndarray, problem: Problem) -> dict[str, np.ndarray]:
    right = scores.argmax(1) == problem.test[1]
    counts = np.bincount(problem.test[1], minlength=problem.num_classes)
    recall = np.bincount(problem.test[1], right, minlength=problem.num_classes) / counts
    return {f"{name}_accuracy": np.array(right.mean()), f"{name}_recall": recall}


def _objective(theta: np.ndarray, total: vf.Statistics, ridge: float) -> float:
    quadratic = np.sum(theta * (total.gram @ theta)) - 2 * np.sum(theta * total.cross) + total.target_square
    return float(quadratic / (2 * total.num_examples) + ridge / 2 * np.sum(theta**2))


def _square_error(scores: np.ndarray, problem: Problem) -> float:
    targets = vf.class_targets(problem.test[1], problem.num_classes, np.float64)
    return float(np.mean(np.sum((scores - targets) ** 2, axis=1)))
