"""Reports of garak: the outputs of each prompt, or totals where a report holds nothing else."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax.evals._any_of import any_of
from verax.evals._indicators import proportion
from verax.evals._interval import Interval, Status
from verax.evals._numeric import take_count, take_level
from verax.evals._rate import rate
from verax.evals._table import Outcome, OutcomeTable

from ._records import as_paths, entry_field, read_entries
from ._verdicts import as_number, is_missing

_THRESHOLD = 0.5  # garak's own default of run.eval_threshold
_MOST = 2**53  # larger totals are no counts

_Name = tuple[str, str]


def from_garak(path: str | pathlib.Path, *, draws: int = 1, level: float = 0.95) -> dict[_Name, Interval]:
    r"""Failure rates of each probe and detector from a ``report.jsonl``.

    Parameters
    ----------
    path
        A report.
    draws
        1: share of outputs that failed. ``k``: share of prompts for which at least one of ``k`` outputs failed, which
        garak reports as ``hit_at_k``; unbiased, for at most the number of generations per prompt.
    level
        Coverage of the limits, in (0, 1).

    Returns
    -------
    dict
        By (probe, detector). Limits are over prompts, whose outputs (five by default) are not independent; outputs
        without a verdict count as passed for the lower limit and as failed for the upper. A report without attempts
        holds totals only: limits are then Clopper-Pearson limits over outputs, and the status is ``TOTALS_ONLY``.

    Raises
    ------
    ValueError
        For a file that is no JSON lines or no report, counts that contradict each other, and ``draws`` above 1 for a
        report of totals: naming the line.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import from_garak
    >>> row = {"entry_type": "attempt", "status": 2, "probe_classname": "p", "detector_results": {"d": [1.0, 0.0]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "r.jsonl"
    ...     _ = file.write_text("\n".join(json.dumps({"uuid": str(i)} | row) for i in range(10)))
    ...     outputs, prompts = from_garak(file), from_garak(file, draws=2)
    >>> print(f"{outputs['p', 'd'].estimate:.2f} {prompts['p', 'd'].estimate:.2f} {prompts['p', 'd'].num_units}")
    0.50 1.00 10
    """
    draws, level = take_count("draws", draws), take_level(level)
    file, entries = _report(path)
    tables = _tables(entries)
    if not tables:
        check(draws == 1, "draws", f"{draws}; {file} holds totals only", "1, or a report with attempts")
        return _from_totals(file, entries, level)
    found = {}
    for name, table in tables.items():
        if draws == 1:
            found[name] = Interval(*(np.asarray(part)[0, 0] for part in rate(table, level=level)))
        else:
            found[name] = Interval(*(np.asarray(part)[0] for part in any_of(table, draws=draws, level=level)))
    return found


def garak_tables(path: str | pathlib.Path, *, model: str | None = None) -> dict[_Name, OutcomeTable]:
    """Outcome tables ``[1, 1, prompt, output]`` of each probe and detector, to pair two models' reports by prompt.

    Parameters
    ----------
    path
        A report with attempts.
    model
        Name of the model; by default the report's ``plugins.target_name``, else the name of the file.

    Returns
    -------
    dict
        By (probe, detector); the probe is the attack, prompts are numbered in the order of the report, and a detector's
        result of at least the report's threshold (0.5 by default) is BAD. No text is read.

    Raises
    ------
    ValueError
        For a file that is no report, or one without attempts.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import garak_tables
    >>> row = {"entry_type": "attempt", "status": 2, "probe_classname": "p", "detector_results": {"d": [1.0, None]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "r.jsonl"
    ...     _ = file.write_text(json.dumps({"uuid": "0"} | row))
    ...     garak_tables(file)["p", "d"].labels.tolist()
    [[[[1, 3]]]]
    """
    file, entries = _report(path)
    tables = _tables(entries, model or _setup(entries).get("plugins.target_name") or file.stem)
    check(bool(tables), "path", f"{file}, which holds totals only", "a report with attempts and detector_results")
    return tables


def _report(path: str | pathlib.Path) -> tuple[pathlib.Path, list[tuple[str, dict[str, Any]]]]:
    file = as_paths(path, "path")[0]
    kinds = ("attempt", "eval", "start_run setup")
    return file, [(where, entry) for where, entry in read_entries(file, "path") if entry.get("entry_type") in kinds]


def _setup(entries: list[tuple[str, dict[str, Any]]]) -> Mapping[str, Any]:
    return next((entry for _, entry in entries if entry["entry_type"] == "start_run setup"), {})


def _tables(entries: list[tuple[str, dict[str, Any]]], model: Any = "model") -> dict[_Name, OutcomeTable]:
    given = as_number(_setup(entries).get("run.eval_threshold"))
    threshold = _THRESHOLD if given is None else given
    rows: dict[_Name, dict[str, list[int]]] = {}
    for number, (where, entry) in enumerate(entries):
        results = entry.get("detector_results") if entry["entry_type"] == "attempt" else None
        if not results:
            continue
        check(isinstance(results, dict), "path", f"{where}: detector_results of another kind", "results by detector")
        probe = str(entry_field(entry, "probe_classname", where, "path"))
        for detector, scores in results.items():
            sound = isinstance(scores, list) and bool(scores)
            check(sound, "path", f"{where}: {detector} with {scores!r}", "one result per output")
            cells = [_outcome(score, threshold, f"{where}: {detector}") for score in scores]
            rows.setdefault((probe, str(detector)), {})[str(entry.get("uuid", number))] = cells
    return {name: _table(list(cells.values()), name, str(model)) for name, cells in rows.items()}


def _outcome(score: Any, threshold: float, where: str) -> int:
    if is_missing(score):
        return Outcome.MISSING
    number = as_number(score)
    if number is None:
        fail("path", f"{where} with {score!r}", "results that are numbers or null")
    return Outcome.BAD if number >= threshold else Outcome.GOOD


def _table(cells: list[list[int]], name: _Name, model: str) -> OutcomeTable:
    labels = np.full((1, 1, len(cells), max(map(len, cells))), Outcome.NOT_RUN, np.int8)
    for prompt, row in enumerate(cells):
        labels[0, 0, prompt, : len(row)] = row
    prompts = [str(number) for number in range(len(cells))]
    return OutcomeTable(
        labels, model_names=[model], attack_names=[name[0]], prompt_ids=prompts, provenance=f"garak: {name[1]}"
    )


def _from_totals(file: pathlib.Path, entries: list[tuple[str, dict[str, Any]]], level: float) -> dict[_Name, Interval]:
    found: dict[_Name, Interval] = {}
    for where, entry in entries:
        if entry["entry_type"] != "eval":
            continue
        probe, detector = (str(entry_field(entry, name, where, "path")) for name in ("probe", "detector"))
        if (probe, detector) in found:
            fail("path", f"{where}: a second row for {probe}, {detector}", "one report per file")
        total_name = "total_evaluated" if "total_evaluated" in entry else "total"
        passed, total = (entry_field(entry, name, where, "path") for name in ("passed", total_name))
        nones = entry.get("nones", 0)
        whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _MOST for n in (passed, total, nones))
        consistent = whole and passed <= total
        check(consistent, "path", f"{where}: {passed} passed of {total}, {nones} without a verdict", "counts")
        middle = proportion(total - passed, total, level=level)
        lower = proportion(total - passed, total + nones, level=level).lower
        upper = proportion(total - passed + nones, total + nones, level=level).upper
        status = middle.status if total == 0 else np.int32(Status.TOTALS_ONLY)
        found[probe, detector] = middle._replace(lower=lower, upper=upper, status=status)
    check(bool(found), "path", f"{file}, which has neither attempts nor rows with entry_type 'eval'", "a report")
    return found
