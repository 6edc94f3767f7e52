"""``verax evals``: rates, comparisons and scorecards of logs that other tools wrote."""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np


def run_evals(action: str, logs: Sequence[pathlib.Path], *, paired: bool, metric: str, out: pathlib.Path) -> int:
    """Run the command; see ``verax evals --help``."""
    import rich.console

    actions = {"summarize": _summarize, "compare": _compare, "scorecard": _scorecard}
    try:
        title, tables, found = actions[action](list(logs), paired=paired, metric=metric)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"verax evals: {error}", file=sys.stderr)
        return 2
    console = rich.console.Console()
    for name, table in tables.items():
        console.print(_on_screen(name, table))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{action}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    page = _page(title, tables, out / "index.html")
    console.print(f"Page: {page}\nNumbers: {out / f'{action}.json'}", highlight=False, soft_wrap=True)
    return 0


def _read(path: pathlib.Path, metric: str) -> Any:
    import verax.evals as ve

    if path.suffix in (".csv", ".parquet"):
        return ve.from_frame(path)
    if path.suffix == ".jsonl":
        return ve.from_lm_eval(path, metric=metric, models=[path.parent.name or path.stem])
    return ve.from_inspect(path)


def _summarize(logs: list[pathlib.Path], *, paired: bool, metric: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    import verax.evals as ve
    from verax.report import Table

    del paired
    if not logs:
        raise ValueError("LOG: got none; need at least one log")
    rows, found = [], []
    for path in logs:
        table = _read(path, metric)
        bad, any_of = ve.rate(table), ve.any_of(table)
        for m, model in enumerate(table.model_names or ("model",)):
            for a, attack in enumerate(table.attack_names or ("none",)):
                row = _row(bad, (m, a))
                rows.append((path.name, model, attack, *row))
                found.append({"log": path.name, "model": model, "attack": attack, **_named(row)})
            if table.labels.shape[1] > 1:
                row = _row(any_of, (m,))
                rows.append((path.name, model, "any of them", *row))
                found.append({"log": path.name, "model": model, "attack": "any of them", **_named(row)})
    columns = ("log", "model", "attack", "BAD", "lower", "upper", "units", "status")
    return "Outcome rates", {"share of BAD, 95 %": Table(columns, rows)}, {"rates": found}


def _row(interval: Any, index: tuple[int, ...]) -> tuple[float | None, float, float, int, str]:
    import verax.evals as ve

    estimate, lower, upper = (float(np.asarray(part)[index]) for part in interval[:3])
    units, status = (int(np.asarray(part)[index]) for part in (interval.num_units, interval.status))
    return None if np.isnan(estimate) else estimate, lower, upper, units, ve.Status(status).name


def _named(row: tuple) -> dict[str, Any]:
    return dict(zip(("estimate", "lower", "upper", "num_units", "status"), row, strict=True))


def _compare(logs: list[pathlib.Path], *, paired: bool, metric: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    import verax.evals as ve
    from verax.report import Table

    if len(logs) != 2:
        raise ValueError(f"LOG: got {len(logs)} logs; need two to compare")
    first, second = (_read(path, metric) for path in logs)
    if paired:
        both = ve.stack_models([first, second])
        result = ve.paired_difference(both, model_a=0, model_b=first.labels.shape[0])
        kept = [np.asarray(part) for part in (result.difference, result.lower, result.upper, result.p_value)]
        columns = ("attack", "difference", "lower", "upper", "p (Holm)", "detectable", "only first", "only second")
        last = (np.asarray(result.minimum_detectable), *np.asarray(result.discordant).T)
        names = both.attack_names
    else:
        names = first.attack_names
        if names != second.attack_names:
            raise ValueError(f"LOG: got attacks {names} and {second.attack_names}; need the same")
        a, b = ve.rate(first), ve.rate(second)
        difference = np.asarray(a.estimate)[0] - np.asarray(b.estimate)[0]
        # Newcombe's hybrid: each side's own limits, combined as independent.
        sides = [[np.asarray(part)[0] for part in rate[:3]] for rate in (a, b)]
        (p, p_low, p_high), (q, q_low, q_high) = sides
        lower = difference - np.hypot(p - p_low, q_high - q)
        upper = difference + np.hypot(p_high - p, q - q_low)
        kept, last = [difference, lower, upper], ()
        columns = ("attack", "difference", "lower", "upper")
    rows = [
        (name, *(float(part[i]) for part in kept), *(float(part[i]) for part in last))
        for i, name in enumerate(names or ("none",))
    ]
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    caption = f"share of BAD, {logs[0].name} less {logs[1].name}, {'paired by prompt' if paired else 'unpaired'}"
    return "Comparison", {caption: Table(columns, rows)}, {"paired": paired, "differences": found}


def _scorecard(logs: list[pathlib.Path], *, paired: bool, metric: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    import verax.evals as ve
    from verax.report import Table

    del paired
    if len(logs) != 1:
        raise ValueError(f"LOG: got {len(logs)} files; need one specification of indicators (JSON)")
    text = logs[0].read_text(encoding="utf-8")
    try:
        specification = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"LOG: got {logs[0]}, which is no JSON ({error}); need a specification") from error
    indicators, thresholds = {}, {}
    for name, one in specification.items():
        missing = {"category", "thresholds"} - set(one)
        if missing or not ({"log", "hits"} & set(one)):
            raise ValueError(
                f"LOG: got indicator {name!r} with {sorted(one)}; need category, thresholds, and log or hits"
            )
        if "log" in one:
            table = _read(logs[0].parent / one["log"], one.get("metric", metric))
            whole = ve.any_of(table)
            rate = ve.Interval(*(np.asarray(part)[0] for part in whole))
        else:
            rate = ve.proportion(int(one["hits"]), int(one["trials"]))
        indicators[name] = ve.Indicator(one["category"], rate, bool(one.get("mitigated", True)))
        thresholds[name] = one["thresholds"]
    card = ve.scorecard(indicators, thresholds=thresholds)
    rows = [
        (n, i.category, "yes" if i.mitigated else "no", float(np.asarray(i.rate.estimate)),
         float(np.asarray(i.rate.upper)), card.level[n].name, card.conservative[n].name, *card.probability[n])
        for n, i in indicators.items()
    ]  # fmt: skip
    columns = ("indicator", "category", "mitigated", "rate", "upper", "level", "not ruled out", "P(≥ MEDIUM)",
               "P(≥ HIGH)", "P(≥ CRITICAL)")  # fmt: skip
    gates = [
        ("deployable", str(card.deployable)),
        ("developable", str(card.developable)),
        ("overall", card.overall.name),
    ]
    tables = {"indicators": Table(columns, rows), "gates": Table(("gate", "value"), gates)}
    found = {"indicators": [dict(zip(columns, row, strict=True)) for row in rows], **dict(gates)}
    return "Scorecard", tables, found


def _on_screen(name: str, table: Any) -> Any:
    import rich.table

    shown = rich.table.Table(title=name)
    for column in table.columns:
        shown.add_column(str(column))
    for row in table.rows:
        shown.add_row(*("-" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v) for v in row))
    return shown


def _page(title: str, tables: dict[str, Any], path: pathlib.Path) -> pathlib.Path:
    from verax.report import write_card

    return write_card(
        path, title=title, lead="Rates with 95 % limits; see verax.evals for what they cover.", facts=[], notices=[],
        figures={}, tables=tables, captions={},
    )  # fmt: skip
