"""TCT: what the measurements say, as numbers over seeds."""

from typing import NamedTuple

import numpy as np

from verax.papers._estimate import Estimate, over_seeds

from .config import Config


class Results(NamedTuple):
    """All measurements: ``cells[setting, method, seed]`` holds arrays."""

    config: Config
    cells: dict[tuple[str, str, int], dict[str, np.ndarray]]
    rates: dict[tuple[str, str], float]

    def each(self, setting: str, method: str, field: str) -> np.ndarray:
        """One array per seed, stacked."""
        return np.stack([self.cells[setting, method, seed][field] for seed in range(self.config.num_seeds)])

    def has(self, setting: str, method: str) -> bool:
        """Whether this was run."""
        return (setting, method, 0) in self.cells

    def accuracy(self, setting: str, method: str) -> np.ndarray:
        """Accuracy of each seed: the mean of the last five rounds, or that of a method with one message."""
        if method == JUDGED:
            return self.each(setting, "stage 2", "accuracy")[:, self._judged(), -1]
        if method in ONE_MESSAGE:
            base, field = ONE_MESSAGE[method]
            return self.each(setting, base, field)
        return self.each(setting, method, "accuracy")[:, -5:].mean(1)

    def recall(self, setting: str, method: str) -> np.ndarray:
        """Recall by class, [seeds, C]."""
        if method == JUDGED:
            return self.each(setting, "stage 2", "recall")[:, self._judged()]
        if method in ONE_MESSAGE:
            base, field = ONE_MESSAGE[method]
            return self.each(setting, base, field.replace("accuracy", "recall"))
        return self.each(setting, method, "recall")[:, -5:].mean(1)

    def gain(self, setting: str, method: str, other: str) -> Estimate:
        """Paired difference of accuracies, in points."""
        return over_seeds(100 * (self.accuracy(setting, method) - self.accuracy(setting, other)))

    def _judged(self) -> int:
        return self.config.table_steps.index(self.config.judged_steps)

    def at_equal_bytes(self, setting: str, method: str) -> np.ndarray:
        """Accuracy of a baseline over the five rounds before it has used the bytes of the one-shot TCT, by seed."""
        values = []
        for seed in range(self.config.num_seeds):
            cell = self.cells[setting, method, seed]
            until = int(
                np.searchsorted(cell["bytes"], self.cells[setting, "tct", seed]["one_shot_bytes"], side="right")
            )
            values.append(cell["accuracy"][max(until - 5, 0) : max(until, 1)].mean())
        return np.array(values)


JUDGED = "TCT, judged stage 2"
"""TCT after the rounds and local steps at which its claims are judged."""

ONE_MESSAGE = {
    "one-shot TCT": ("tct", "one_shot_accuracy"),
    "one-shot, random features": ("tct, random", "one_shot_accuracy"),
    "penultimate ridge": ("tct", "penultimate_accuracy"),
    "TCT, long stage 2": ("tct", "long_scaffold_accuracy"),
    "TCT, FedAvg as stage 2": ("tct", "long_fedavg_accuracy"),
}
"""Rows without a curve: (where it is kept, field)."""


def rows_of(results: Results) -> list[str]:
    """Names of all rows of the main table."""
    rows = [*results.config.methods, "tct", JUDGED, *ONE_MESSAGE]
    if "initialisation" not in results.config.ablations:
        rows.remove("one-shot, random features")
    return rows


def label(method: str) -> str:
    """Name of a method as people write it."""
    names = {
        "tct": "TCT",
        "fedavg": "FedAvg",
        "fedprox": "FedProx",
        "fednova": "FedNova",
        "scaffold": "SCAFFOLD",
        "fedadam": "FedAdam",
        "fedyogi": "FedYogi",
        "fedavgm": "FedAvgM",
    }
    return names.get(method, method)
