"""The answer of ``verax evals compare``: sentences, a table of pairs, and numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._evals_logs import Log

COLUMNS = ("attack", "models", "difference", "lower", "upper", "p", "prompts", "only 1st", "only 2nd", "detectable")


class Answer(NamedTuple):
    """Everything that a comparison says."""

    sentences: list[str]
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    forest: list[tuple[str, float, float, float]]
    found: dict[str, Any]


def compare_logs(logs: Sequence[Log], *, outcome: Any, level: float, paired: bool | None) -> Answer:
    """Compare the models of several logs: by prompt where they share prompts, else as independent rates."""
    import verax.evals as ve

    tables = [_renamed(log, logs) for log in logs]
    if sum(table.labels.shape[0] for table in tables) < 2:
        raise ValueError("LOG: got one model; need two to compare: two logs, or a log of several models")
    shared = _num_shared(tables)
    if paired and not shared:
        raise ValueError("--paired: got logs without a common prompt and attack; need logs of the same prompts")
    if paired is None:
        paired = bool(shared)
    if paired:
        table = ve.stack_models(tables, common=True) if len(tables) > 1 else tables[0]
        left_out = sorted({name for one in tables for name in one.prompt_ids or ()} - set(table.prompt_ids or ()))
        return _paired(table, outcome, level, left_out)
    if len(tables) != 2:
        raise ValueError(f"LOG: got {len(tables)} logs without common prompts; need two, or logs of the same prompts")
    return _unpaired(tables[0], tables[1], outcome, level)


def default_outcome(logs: Sequence[Log]) -> Any:
    """BAD where there are attacks, the score where there are only grades, else GOOD."""
    import verax.evals as ve

    if all(log.table.scores is not None and not _has_verdicts(log.table) for log in logs):
        return "score"
    attacks = {name for log in logs for name in log.table.attack_names or ()}
    return ve.Outcome.BAD if attacks - {"none"} else ve.Outcome.GOOD


def _has_verdicts(table: Any) -> bool:
    labels = np.asarray(table.labels)
    return bool(((labels == 0) | (labels == 1)).any())


def _renamed(log: Log, logs: Sequence[Log]) -> Any:
    """The table, its model called by its log's name where several logs have a model of one name."""
    import verax.evals as ve

    names = [name for one in logs for name in one.table.model_names or ("model",)]
    own = log.table.model_names or ("model",)
    if all(names.count(name) == 1 for name in own) and log.table.model_names:
        return log.table
    stem = log.name.rsplit(".", 1)[0]
    renamed = [stem if len(own) == 1 else f"{stem}/{name}" for name in own]
    fields = {name: getattr(log.table, name) for name in log.table._fields if name not in ("labels", "model_names")}
    return ve.OutcomeTable(log.table.labels, model_names=renamed, **fields)


def _num_shared(tables: Sequence[Any]) -> int:
    def shared(field: str) -> int:
        names = [set(getattr(table, field) or ()) for table in tables]
        return len(names[0].intersection(*names))

    return shared("prompt_ids") if shared("attack_names") else 0


def _paired(table: Any, outcome: Any, level: float, left_out: list[str]) -> Answer:
    import verax.evals as ve

    sentences, rows, forest, found = [], [], [], []
    attacks = table.attack_names or ("none",)
    models = []
    for number, attack in enumerate(attacks):
        c = ve.compare_models(table, outcome=outcome, attack=number, level=level)
        head = f"{attack}: " if len(attacks) > 1 else ""
        sentences += [head + sentence for sentence in c.sentences()]
        models.append(
            {
                "attack": attack,
                "ranking": [c.model_names[i] for i in c.order],
                "may_be_best": [name for name, best in zip(c.model_names, c.may_be_best, strict=True) if best],
                "rates": [
                    {"model": name, "estimate": c.estimate[i], "lower": c.lower[i], "upper": c.upper[i]}
                    for i, name in enumerate(c.model_names)
                ],
            }
        )
        for i in range(len(c.model_names)):
            for j in range(i + 1, len(c.model_names)):
                # The later model less the earlier one: what changed.
                values = (-c.difference[i, j], -c.difference_upper[i, j], -c.difference_lower[i, j])
                pair = f"{c.model_names[j]} - {c.model_names[i]}"
                row = (
                    attack,
                    pair,
                    *map(float, values),
                    float(c.p_value[i, j]),
                    int(c.num_units[i, j]),
                    int(c.discordant[j, i]),
                    int(c.discordant[i, j]),
                    float(c.minimum_detectable[i, j]),
                )
                rows.append(row)
                forest.append((head + pair, *map(float, values)))
                found.append(
                    {
                        "attack": attack,
                        "model_a": c.model_names[i],
                        "model_b": c.model_names[j],
                        "rate_a": c.estimate[i],
                        "rate_b": c.estimate[j],
                        "difference": values[0],
                        "lower": values[1],
                        "upper": values[2],
                        "p_value": c.p_value[i, j],
                        "test": _test(table, outcome),
                        "adjusted": "holm over pairs",
                        "num_units": c.num_units[i, j],
                        "num_excluded": c.num_excluded[i, j],
                        "only_b": c.discordant[j, i],
                        "only_a": c.discordant[i, j],
                        "minimum_detectable": c.minimum_detectable[i, j],
                        "status": ve.Status(int(c.status[i, j])).name,
                    }
                )
    if left_out:
        more = f" and {len(left_out) - 5} more" if len(left_out) > 5 else ""
        sentences.append(f"left out, not in all logs: {len(left_out)} prompts ({', '.join(left_out[:5])}{more})")
    data = {"paired": True, "differences": found, "models": models, "excluded_prompts": left_out}
    return _without_attack(Answer(sentences, COLUMNS, rows, forest, data))


def _without_attack(answer: Answer) -> Answer:
    """The answer without the column of attacks, where there is none."""
    if any(row[0] != "none" for row in answer.rows):
        return answer
    return answer._replace(columns=answer.columns[1:], rows=[row[1:] for row in answer.rows])


def _test(table: Any, outcome: Any) -> str:
    simple = table.labels.shape[-1] == 1 and table.cluster is None and table.weight is None and outcome != "score"
    return "McNemar, exact" if simple else "t over prompts" if table.cluster is None else "t over clusters"


def _unpaired(first: Any, second: Any, outcome: Any, level: float) -> Answer:
    import verax.evals as ve

    if first.labels.shape[0] > 1 or second.labels.shape[0] > 1:
        raise ValueError("LOG: got logs of several models without common prompts; need one model per log")
    found = ve.unpaired_difference(second, first, outcome=outcome, level=level)
    names = found.model_names[::-1]
    rows, forest, data = [], [], []
    for a, attack in enumerate(found.attack_names):
        limits = tuple(float(part[a]) for part in (found.difference, found.lower, found.upper))
        own, units = found.estimate[a, ::-1], [int(n) for n in found.num_units[a]]
        pair = f"{names[1]} - {names[0]}"
        rows.append((attack, pair, *limits, float(found.p_value[a]), units[1], units[0]))
        forest.append((pair if len(found.attack_names) == 1 else f"{attack}: {pair}", *limits))
        data.append(
            {
                "attack": attack,
                "model_a": names[0],
                "model_b": names[1],
                "rate_a": own[0],
                "rate_b": own[1],
                "difference": limits[0],
                "lower": limits[1],
                "upper": limits[2],
                "p_value": found.p_value[a],
                "test": "square-and-add of independent limits",
                "num_units": [units[1], units[0]],
                "status": ve.Status(int(found.status[a])).name,
            }
        )
    columns = ("attack", "models", "difference", "lower", "upper", "p", "prompts of a", "prompts of b")
    return Answer(
        found.sentences(), columns, rows, forest, {"paired": False, "differences": data, "excluded_prompts": []}
    )
