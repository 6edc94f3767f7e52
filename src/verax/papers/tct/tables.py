"""TCT: the tables."""

from typing import Any

from verax.papers._estimate import over_seeds
from verax.report import Table

from .results import Results, label, rows_of


def make_tables(results: Results) -> dict[str, tuple[Table, str]]:
    """All tables with their captions."""
    config = results.config
    accuracy = []
    for method in rows_of(results):
        row: list[Any] = [label(method)]
        for setting in config.settings:
            estimate = over_seeds(results.accuracy(setting, method))
            row += [_percent(estimate.value), _percent(estimate.standard_error)]
        accuracy.append(row)
    columns = ["method", *(name for setting in config.settings for name in (setting, f"s.e. {setting}"))]
    rows, long = config.rounds1 + config.rounds2, config.long_rounds
    tables = {
        "accuracy": (
            Table(columns, accuracy),
            f"Test accuracy in %, mean of the last five rounds, and standard error over {config.num_seeds} seeds. "
            f"Baselines run for {rows} rounds, as many as both stages of TCT. The judged stage 2 takes {long} rounds "
            f"of {config.judged_steps} local steps, the last two rows {long} rounds of {config.local_steps}, at the "
            "ridge that GCV chose.",
        ),
        "communication": (
            Table(("setting", "method", "megabytes", "accuracy at equal bytes"), _communication(results)),
            "Bytes of all clients, both ways. A baseline's accuracy is that of the five rounds before it has spent "
            "what the one-shot TCT spends in all, or of its last five.",
        ),
        "learning rates": (
            Table(("setting", "method", "learning rate"), [[s, label(m), r] for (s, m), r in results.rates.items()]),
            "Chosen on validation images with the first seed, from the same grid.",
        ),
        "stage 2 by local steps and rounds": _second_stage(results),
        "stage 2": (
            Table(("setting", *_STAGE2.values()), [_stage2(results, setting) for setting in config.settings]),
            "Relative distance of the objective from the pooled optimum on the eNTK after the long stage 2; and "
            "estimated over true squared error of a ridge regression, on the data that stage 1 was trained on and on "
            "data that it has not seen.",
        ),
    }
    if results.has(config.settings[0], "layers"):
        counts = len(results.cells[config.settings[0], "layers", 0]["random"])
        rows = [
            [name, *(round(100 * float(v), 1) for v in results.each(config.settings[0], "layers", name).mean(0))]
            for name in ("fedavg", "random", "centralized")
        ]
        tables["layers"] = (
            Table(("features of", *(f"last {n} retrained" for n in range(counts))), rows),
            f"Test accuracy in % after retraining the last layers on pooled data, {config.settings[0]}.",
        )
    return tables


_STAGE2 = {
    "gap_scaffold": "gap, SCAFFOLD",
    "gap_fedavg": "gap, FedAvg",
    "seen_risk": "GCV / truth, seen",
    "held_out_risk": "GCV / truth, held out",
}


def _second_stage(results: Results) -> tuple[Table, str]:
    """Test accuracy on the features of stage 1 by local steps and rounds: the cost curve of stage 2."""
    config = results.config
    shown = sorted({rounds for rounds in (config.rounds2, 50, config.long_rounds) if rounds <= config.long_rounds})
    rows = []
    for setting in config.settings:
        accuracy = results.each(setting, "stage 2", "accuracy")
        for index, steps in enumerate(config.table_steps):
            estimates = [over_seeds(accuracy[:, index, rounds - 1]) for rounds in shown]
            cells = [_percent(part) for estimate in estimates for part in (estimate.value, estimate.standard_error)]
            rows.append([setting, steps, *cells])
    columns = ["setting", "local steps", *(name for rounds in shown for name in (f"{rounds} rounds", "s.e."))]
    return Table(columns, rows), "Test accuracy in % of SCAFFOLD on the features of stage 1, and its standard error."


def _stage2(results: Results, setting: str) -> list[Any]:
    return [setting, *(float(f"{results.each(setting, 'tct', field).mean():.3g}") for field in _STAGE2)]


def _communication(results: Results) -> list[list[Any]]:
    rows = []
    for setting in results.config.settings:
        for method in results.config.methods:
            if method not in ("centralized", "local only"):
                spent = results.each(setting, method, "bytes")[:, -1].mean()
                equal = over_seeds(results.at_equal_bytes(setting, method)).value
                rows.append([setting, label(method), round(spent / 1e6, 2), _percent(equal)])
        spent = {
            "tct": results.each(setting, "tct", "bytes")[:, -1],
            "one-shot TCT": results.each(setting, "tct", "one_shot_bytes"),
        }
        for method, total in spent.items():
            mean = results.accuracy(setting, method).mean()
            rows.append([setting, label(method), round(float(total.mean()) / 1e6, 2), _percent(mean)])
    return rows


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * float(value), 1)
