"""Projection Norm: scores of every network and seed, calibrated."""

from typing import NamedTuple

import numpy as np

from verax.shift import ErrorCalibration, Validation

from .config import Config
from .measure import Measurement, Sets, best_row
from .sets import EXTRA, FAMILIES

KERNEL = "kernel, initial features"


DEPLOYED = "kernel, deployed features"


RETRAINED = "retrained, parameter"
"""The paper's score."""


LEVEL = 0.9


class Judged(NamedTuple):
    """One score of one network and seed, calibrated on the 15 corruptions."""

    values: np.ndarray
    """Of all corrupted and clean sets, at the chosen budget."""
    calibration: ErrorCalibration | None
    validation: Validation | None
    budget: float | None


class Summary(NamedTuple):
    """Everything that claims, tables and figures read."""

    config: Config
    measurements: dict[str, list[Measurement]]
    judged: dict[str, list[dict[str, Judged]]]


def summarise(config: Config, measurements: dict[str, list[Measurement]]) -> Summary:
    """Calibrate every score of every network and seed on the 15 corruptions; budgets come from the held-out four."""
    judged = {
        network: [
            {name: judge(config, m, name) for name in m.corrupted.scores if not name.endswith("p-value")} for m in seeds
        ]
        for network, seeds in measurements.items()
    }
    return Summary(config, measurements, judged)


def judge(config: Config, measurement: Measurement, name: str, sets: Sets | None = None) -> Judged:
    """Calibrate one score on the 15 corruptions."""
    sets = measurement.corrupted if sets is None else sets
    values, budget = sets.scores[name], None
    if values.ndim == 2:
        index = choose_budget(sets, name)
        values, budget = values[index], config.budgets[index]
    calibrating = np.isin(sets.family, FAMILIES)
    if not np.all(np.isfinite(values[calibrating])):
        return Judged(values, None, None, budget)
    predicted = [labels for labels, inside in zip(sets.predicted(), calibrating, strict=True) if inside]
    calibration = ErrorCalibration.fit(
        values[calibrating],
        sets.error[calibrating],
        sets.family[calibrating],
        level=LEVEL,
        reference_labels=measurement.holdout_predicted,
        calibration_labels=predicted,
    )
    return Judged(values, calibration, calibration.validate(), budget)


def choose_budget(sets: Sets, name: str) -> int:
    """The budget that fits the held-out families best."""
    return best_row(sets.scores[name], sets.error, np.isin(sets.family, (*EXTRA, "clean")))


def at_budget(summary: Summary, judged: Judged, sets: Sets, name: str) -> np.ndarray:
    """Values of a score on other sets, at the budget chosen on the corrupted ones."""
    values = sets.scores[name]
    return values if judged.budget is None else values[summary.config.budgets.index(judged.budget)]


def validations(summary: Summary, name: str, network: str = "") -> list[Validation]:
    """Leave-one-family-out validations of a score, one for each seed of a network (the first) that has it."""
    seeds = summary.judged[network or summary.config.networks[0]]
    found = [seed[name].validation for seed in seeds if name in seed]
    return [validation for validation in found if validation is not None]


def line_of(judged: Judged, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated error with lower and upper limits."""
    assert judged.calibration is not None
    return judged.calibration.line(values)


def label_shift(summary: Summary, seed: int, name: str) -> tuple[float, float]:
    """Excess of the predicted error on sets of one class, and the share of skewed sets that are flagged."""
    network = summary.config.networks[0]
    sets, judged = summary.measurements[network][seed].label_shifted, summary.judged[network][seed][name]
    assert judged.calibration is not None
    predicted = line_of(judged, at_budget(summary, judged, sets, name))[0]
    single, few = sets.strength == 1, sets.strength < 10
    flagged = [
        judged.calibration.label_shift(labels) for labels, skewed in zip(sets.predicted(), few, strict=True) if skewed
    ]
    return float((predicted - sets.error)[single].mean()), float(np.mean(flagged))


def attacked_sets(summary: Summary, network: str) -> list[Sets]:
    """Adversarial sets of the first seeds, as many as have them."""
    return [m.adversarial for m in summary.measurements[network] if m.adversarial is not None]


def detects_attacks(summary: Summary, seed: int, name: str) -> bool:
    """Whether the predicted error of adversarial sets rises with the radius, as the criterion asks."""
    network = summary.config.networks[0]
    sets, judged = attacked_sets(summary, network)[seed], summary.judged[network][seed][name]
    predicted, lower, _ = line_of(judged, at_budget(summary, judged, sets, name))
    ranks = np.argsort(np.argsort(predicted))
    rising = np.corrcoef(ranks, np.arange(len(ranks)))[0, 1] >= 0.9
    return bool(rising and predicted[-1] >= 0.25 * sets.error[-1] and lower[-1] > predicted[0])
