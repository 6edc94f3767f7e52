"""TCT: features of stage 1, both second stages on them, and what is learned from them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import verax.federated as vf
from verax import ntk

from .config import SecondStage, Training
from .experiment import algorithm_of, history_fields, loss_of
from .problem import Problem

_BATCH = 250
"""Images at once outside of training: it divides all numbers of images here, so that one program serves."""


class Bootstrapped(NamedTuple):
    """TCT's model after both stages, with the features that stage 2 is fitted on."""

    model: vf.TCT
    features: np.ndarray
    """[K, n, m]."""
    test_features: np.ndarray
    targets: np.ndarray
    keep: np.ndarray
    """[K, n], which rows are examples."""
    total: vf.Statistics
    fit: vf.RidgeFit
    """The pooled optimum, at the ridge that GCV chooses."""
    message_bytes: int
    """Bytes that the clients send and receive for it."""


def bootstrap(
    problem: Problem, learning_rate: float, training: Training, stage2: SecondStage, key: jax.Array, *, rounds1: int
) -> Bootstrapped:
    """Train features by FedAvg for ``rounds1`` rounds (0 takes those of the initialisation), and fit stage 2."""
    network, clients = problem.network, problem.clients
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
        stage1=algorithm_of("fedavg", network, learning_rate, training),
        rounds1=rounds1,
        features_fn=network.features,
        width=network.width,
        sketch=ntk.Rademacher(stage2.num_features),
        stage2="scaffold",
        rounds2=training.rounds2,
        local_steps=stage2.local_steps,
        key=key,
        num_classes=problem.num_classes,
        held_out=held_out,
        test=problem.test,
        keep_features=True,
        batch_size=_BATCH,
    )
    assert model.client_features is not None
    phi = np.asarray(model.client_features)
    phi_test = np.asarray(model.features(problem.test[0], batch_size=_BATCH))
    targets = vf.class_targets(np.where(keep, np.asarray(clients.y), 0), problem.num_classes)
    parts = vf.client_statistics(phi, targets, keep)
    total = vf.total_statistics(parts)
    ridges = np.geomspace(1e-6, 1.0, stage2.ridge_grid) * float(np.trace(total.gram)) / total.num_examples
    fit = vf.fit_ridge(total, ridges=ridges)
    sent = len(keep) * parts[0].message_bytes + len(keep) * fit.coefficients.size * 4
    return Bootstrapped(model, phi, phi_test, targets, keep, total, fit, sent)


def run_tct(problem: Problem, boot: Bootstrapped, stage2: SecondStage) -> dict[str, np.ndarray]:
    """Both second stages on one set of features, and what is learned from them."""
    network, clients = problem.network, problem.clients
    model, phi, phi_test, targets, keep, total, fit, sent = boot
    result = history_fields(model.history)
    result.update(_judged("one_shot", phi_test @ fit.coefficients, problem))
    before = sum(
        entry.bytes_up + entry.bytes_down for entry in model.ledger if entry.step in ("stage 1", "standardisation")
    )
    result.update(ridge=np.array(fit.ridge), one_shot_bytes=np.array(before + sent))

    # Does stage 2 reach the pooled optimum? At the ridge that was chosen, from the same objective.
    optimum = _objective(fit.coefficients, total, fit.ridge)
    start = total.target_square / (2 * total.num_examples)
    spectra = vf.client_spectra(phi, keep)
    for name, control in (("scaffold", True), ("fedavg", False)):
        options = {
            "rounds": stage2.long_rounds,
            "local_steps": stage2.local_steps,
            "ridge": fit.ridge,
            "spectra": spectra,
        }
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


def run_second_stage(
    problem: Problem, boot: Bootstrapped, stage2: SecondStage, local_steps: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Accuracy [local steps, rounds] of SCAFFOLD on the features, at the ridge that GCV chose.

    With the recall and the relative distance from the pooled optimum after the last round, and FedAvg's distance.
    """
    spectra = vf.client_spectra(boot.features, boot.keep)
    optimum = _objective(boot.fit.coefficients, boot.total, boot.fit.ridge)
    start = boot.total.target_square / (2 * boot.total.num_examples)
    found: dict[str, list[np.ndarray]] = {"accuracy": [], "recall": [], "gap_scaffold": [], "gap_fedavg": []}
    for number in local_steps:
        for name, control in (("scaffold", True), ("fedavg", False)):
            fitted = vf.scaffold_linear(
                boot.features,
                boot.targets,
                boot.keep,
                rounds=stage2.long_rounds,
                local_steps=number,
                ridge=boot.fit.ridge,
                control_variates=control,
                spectra=spectra,
                evaluate=lambda theta: _judged("all", boot.test_features @ np.asarray(theta), problem),
            )
            reached = _objective(np.asarray(fitted.coefficients, np.float64), boot.total, boot.fit.ridge)
            found[f"gap_{name}"].append(np.array((reached - optimum) / (start - optimum)))
            if control:
                found["accuracy"].append(np.asarray(fitted.evaluations["all_accuracy"]))
                found["recall"].append(np.asarray(fitted.evaluations["all_recall"])[-1])
    return {name: np.stack(values) for name, values in found.items()}


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
