"""``verax evals``: rates, comparisons and scorecards of logs that other tools wrote."""

import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._evals_compare import compare_logs, default_outcome
from ._evals_logs import Log, ReadOptions, read_log, read_logs
from ._evals_screen import forest_plot, make_outputs, plain, say, show_table, terminal_width, write_page

_OUTCOMES = ("good", "bad", "score")


def run_evals(
    action: str,
    logs: Sequence[pathlib.Path],
    *,
    out: pathlib.Path,
    scorer: str | None = None,
    metric: str | None = None,
    filter: str | None = None,
    mapping: pathlib.Path | None = None,
    good: str | None = None,
    bad: str | None = None,
    cluster: str | None = None,
    outcome: str | None = None,
    folder: pathlib.Path | None = None,
    level: float = 0.95,
    paired: bool = False,
    unpaired: bool = False,
) -> int:
    """Run the command; see ``verax evals --help``."""
    actions = {"summarize": _summarize, "compare": _compare, "scorecard": _scorecard}
    try:
        make_outputs(out)
        if paired and unpaired:
            raise ValueError("--paired: got it beside --unpaired; need one of the two")
        pairing = True if paired else False if unpaired else None
        options = ReadOptions(scorer, metric, filter, _mapping(mapping, good, bad), cluster)
        paths = [path if folder is None else folder / path for path in logs]
        if not paths and folder is not None:
            paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        title, sentences, tables, forest, found = actions[action](paths, options, outcome, level, pairing)
        _write(out, action, title, sentences, tables, forest, found)
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"verax evals: {error}".encode("ascii", "backslashreplace").decode(), file=sys.stderr)
        return 2
    width = terminal_width()
    say(*sentences)
    for name, table in tables.items():
        say(*show_table(name, table.columns, table.rows, width))
    say("", f"Page: {out / 'index.html'}", f"Numbers: {out / f'{action}.json'}")
    return 0


_Result = tuple[str, list[str], dict[str, Any], dict[str, Any], dict[str, Any]]


def _mapping(path: pathlib.Path | None, good: str | None, bad: str | None) -> Any:
    if path is None:
        if good is None and bad is None:
            return None
        lists = ((good, "GOOD"), (bad, "BAD"))
        return {text.strip(): name for part, name in lists for text in (part or "").split(",") if text.strip()}
    if good is not None or bad is not None:
        raise ValueError("--mapping: got a file beside --good or --bad; need one of the two")
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--mapping: got {path}, which is no JSON ({error}); need values by outcome") from error
    if not isinstance(found, dict):
        raise ValueError(f'--mapping: got {path} with a {type(found).__name__}; need an object, as {{"C": "GOOD"}}')
    return found


def _write(
    out: pathlib.Path,
    action: str,
    title: str,
    sentences: list[str],
    tables: dict[str, Any],
    forest: dict[str, Any],
    found: dict[str, Any],
) -> None:
    text = json.dumps(plain(found), indent=2, ensure_ascii=False)
    (out / f"{action}.json").write_text(text + "\n", encoding="utf-8")
    lead = sentences[0] if sentences else "Rates with limits; see verax.evals for what they cover."
    write_page(out / "index.html", title, lead, tables, forest, sentences[1:])


def _chosen(outcome: str | None, logs: Sequence[Log]) -> Any:
    import verax.evals as ve

    if outcome is None:
        return default_outcome(logs)
    if outcome.lower() not in _OUTCOMES:
        raise ValueError(f"--outcome: got {outcome!r}; need one of {', '.join(_OUTCOMES)}")
    return "score" if outcome.lower() == "score" else ve.Outcome[outcome.upper()]


def _words(outcome: Any) -> str:
    return {"score": "mean score"}.get(outcome) or {0: "correct", 1: "BAD"}[int(outcome)]


def _summarize(
    paths: list[pathlib.Path], options: ReadOptions, outcome: str | None, level: float, paired: bool | None
) -> _Result:
    import verax.evals as ve
    from verax.report import Table

    del paired
    if not paths:
        raise ValueError("LOG: got none; need at least one log")
    logs = read_logs(paths, options)
    wanted = _chosen(outcome, logs)
    rows, found, forest, sentences = [], [], [], []
    for log in logs:
        table = log.table
        share = ve.rate(table, outcome=wanted, level=level)
        parts = [(m, a) for m in range(table.labels.shape[0]) for a in range(table.labels.shape[1])]
        shown = [(_name(table.model_names, m), _name(table.attack_names, a), _row(share, (m, a))) for m, a in parts]
        if wanted == ve.Outcome.BAD and table.labels.shape[1] > 1:
            any_of = ve.any_of(table, level=level)
            names = [_name(table.model_names, m) for m in range(table.labels.shape[0])]
            shown += [(name, "any of them", _row(any_of, (m,))) for m, name in enumerate(names)]
        for model, attack, row in shown:
            rows.append((log.name, model, attack, *row))
            fields = ("estimate", "lower", "upper", "num_units", "status")
            found.append({"log": log.name, "model": model, "attack": attack, **dict(zip(fields, row, strict=True))})
            forest.append((model if attack == "none" else f"{model}, {attack}", *map(_number, row[:3])))
        sentences += log.notes
    title = f"share {_words(wanted)}, {100 * level:g} %" if wanted != "score" else f"mean score, {100 * level:g} %"
    columns = ("log", "model", "attack", _words(wanted), "lower", "upper", "units", "status")
    data = {"outcome": _words(wanted), "level": level, "rates": found, "notes": sentences}
    figures = {"Rates with limits": forest_plot(forest, zero=False)}
    return "Outcome rates", sentences, {title: Table(columns, rows)}, figures, data


def _name(names: tuple[str, ...] | None, place: int) -> str:
    return names[place] if names else str(place)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _row(interval: Any, index: tuple[int, ...]) -> tuple[float | None, float, float, int, str]:
    import verax.evals as ve

    estimate, lower, upper = (float(np.asarray(part)[index]) for part in interval[:3])
    units, status = (int(np.asarray(part)[index]) for part in (interval.num_units, interval.status))
    return None if np.isnan(estimate) else estimate, lower, upper, units, ve.Status(status).name


def _compare(
    paths: list[pathlib.Path], options: ReadOptions, outcome: str | None, level: float, paired: bool | None
) -> _Result:
    from verax.report import Table

    if not paths:
        raise ValueError("LOG: got none; need two logs to compare, or one of several models")
    logs = read_logs(paths, options)
    wanted = _chosen(outcome, logs)
    answer = compare_logs(logs, outcome=wanted, level=level, paired=paired)
    sentences = [*answer.sentences, *(note for log in logs for note in log.notes)]
    caption = f"difference of {'mean scores' if wanted == 'score' else f'shares {_words(wanted)}'}, "
    caption += f"{'paired by prompt' if answer.found['paired'] else 'unpaired'}"
    data = {"sentences": sentences, "outcome": _words(wanted), "level": level, **answer.found}
    figures = {"Differences with limits": forest_plot(answer.forest, zero=True)}
    return "Comparison", sentences, {caption: Table(answer.columns, answer.rows)}, figures, data


def _scorecard(
    paths: list[pathlib.Path], options: ReadOptions, outcome: str | None, level: float, paired: bool | None
) -> _Result:
    import verax.evals as ve
    from verax.report import Table

    del outcome, paired
    if len(paths) != 1:
        raise ValueError(f"LOG: got {len(paths)} files; need one specification of indicators (JSON)")
    indicators, thresholds = {}, {}
    for name, one in _specification(paths[0]).items():
        if "log" in one:
            own = options._replace(**{key: str(one[key]) for key in ("metric", "scorer", "filter") if key in one})
            rate = ve.any_of(read_log(paths[0].parent / str(one["log"]), own), level=level)
            rate = ve.Interval(*(np.asarray(part)[0] for part in rate))
        else:
            rate = _counted(name, one, level)
        indicators[name] = ve.Indicator(str(one["category"]), rate, bool(one.get("mitigated", True)))
        thresholds[name] = one["thresholds"]
    card = ve.scorecard(indicators, thresholds=thresholds)
    rows = [
        (
            n,
            i.category,
            "yes" if i.mitigated else "no",
            float(np.asarray(i.rate.estimate)),
            float(np.asarray(i.rate.upper)),
            card.level[n].name,
            card.conservative[n].name,
            *card.probability[n],
        )
        for n, i in indicators.items()
    ]
    columns = (
        "indicator",
        "category",
        "mitigated",
        "rate",
        "upper",
        "level",
        "not ruled out",
        "P(>= MEDIUM)",
        "P(>= HIGH)",
        "P(>= CRITICAL)",
    )
    gates = [
        ("deployable", str(card.deployable)),
        ("developable", str(card.developable)),
        ("overall", card.overall.name),
    ]
    tables = {"indicators": Table(columns, rows), "gates": Table(("gate", "value"), gates)}
    found = {"indicators": [dict(zip(columns, row, strict=True)) for row in rows], **dict(gates)}
    return "Scorecard", [f"overall {card.overall.name}, deployable: {card.deployable}"], tables, {}, found


def _specification(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"LOG: got {path}, which is no JSON ({error}); need a specification") from error
    if not isinstance(found, dict) or not found or not all(isinstance(one, dict) for one in found.values()):
        raise ValueError(f"LOG: got {path} of another structure; need an object of indicators by name")
    for name, one in found.items():
        if {"category", "thresholds"} - set(one) or not ({"log", "hits"} & set(one)):
            got = f"indicator {name!r} with {sorted(one)}"
            raise ValueError(f"LOG: got {got}; need category, thresholds, and log or hits with trials")
    return found


def _counted(name: str, one: dict[str, Any], level: float) -> Any:
    import verax.evals as ve

    counts = [one.get("hits"), one.get("trials")]
    if any(isinstance(count, bool) or not isinstance(count, int) for count in counts):
        raise ValueError(
            f"LOG: got indicator {name!r} with hits {counts[0]} and trials {counts[1]}; need whole numbers"
        )
    try:
        return ve.proportion(*counts, level=level)
    except ValueError as error:
        raise ValueError(f"LOG: indicator {name!r}: {error}") from error
