"""Samples that lm-evaluation-harness logged."""

import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from verax._errors import check, fail
from verax.evals._table import Outcome, OutcomeTable

from ._inspect import judged
from ._records import Record, as_name, as_paths, build_table, entry_field, read_entries
from ._verdicts import Verdicts

_TIME = r"(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?"
_USUAL = ("acc", "exact_match")


def from_lm_eval(
    path: str | pathlib.Path | Sequence[str | pathlib.Path],
    *,
    metric: str | None = None,
    filter: str | None = None,
    models: Sequence[str] | None = None,
    mapping: Verdicts | None = None,
    missing: str = "error",
) -> OutcomeTable:
    r"""Read ``samples_*.jsonl``, as lm-eval writes it with ``--log_samples``, in the present and the former layout.

    Parameters
    ----------
    path
        Files, folders of them, or globs: one or several models, one or several tasks.
    metric
        Whose value is read, such as "exact_match"; by default "acc", or else the only metric that the records name.
    filter
        Which of the task's filters is read, such as "strict-match"; needed where there are several, since each filter
        gives another verdict on the same answer.
    models
        Names of the models, one per file; by default the names of the files' folders.
    mapping
        From values to outcomes; by default 1 is GOOD and 0 is BAD.
    missing
        ``"error"``, or ``"fill"`` for models that answered different documents.

    Returns
    -------
    OutcomeTable
        One attack, "none"; documents are prompts, with the task in front ("task/doc") where there are several tasks; a
        document that occurs several times has as many samples. No text is read.

    Raises
    ------
    ValueError
        For a file that is no JSON lines, a record without the metric, several filters, or a value without an outcome:
        naming file and line.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from verax.evals import from_lm_eval
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "samples_task.jsonl"
    ...     _ = path.write_text("\n".join(json.dumps({"doc_id": i, "acc": float(i % 2)}) for i in range(4)))
    ...     from_lm_eval(path, models=["m"]).labels.ravel().tolist()
    [1, 0, 1, 0]
    """
    paths = as_paths(path, "path", ("samples_*.jsonl", "*.jsonl"))
    names = [one.parent.name or one.stem for one in paths] if models is None else list(models)
    check(len(names) == len(paths), "models", f"{len(names)} names", f"one for each of {len(paths)} files")
    tasks = [_task(one) for one in paths]
    twice = [key for key, number in Counter(zip(names, tasks, strict=True)).items() if number > 1]
    got = f"two files of model {twice[0][0]!r} and task {twice[0][1]!r}" if twice else ""
    check(not twice, "models", got, "names that differ, one per file")
    several = len(set(tasks)) > 1
    read: list[tuple[Record, Any]] = []
    for name, task, one in zip(names, tasks, paths, strict=True):
        entries = list(read_entries(one, "path"))
        seen: Counter[str] = Counter()
        for where, entry in _of_filter(entries, filter, one):
            document = as_name(entry_field(entry, "doc_id", where, "path"))
            value = entry_field(entry, metric or _metric(entry), where, "path")
            prompt = f"{task}/{document}" if several else document
            read.append((Record(name, "none", prompt, seen[document], Outcome.MISSING, where), value))
            seen[document] += 1
    provenance = f"lm-eval ({metric or 'default metric'}): " + ", ".join(one.name for one in paths)
    return build_table(judged(read, mapping, "path"), argument="path", provenance=provenance, missing=missing)


def _task(path: pathlib.Path) -> str:
    found = re.fullmatch(rf"samples_(.+?){_TIME}", path.stem)
    return found[1] if found else path.stem


def _metric(entry: Mapping[str, Any]) -> str:
    named = entry.get("metrics")
    candidates = [name for name in named if name in entry] if isinstance(named, list) else []
    candidates = candidates or [name for name in _USUAL if name in entry]
    usual = [name for name in _USUAL if name in candidates]
    if len(candidates) > 1 and not usual:
        fail("metric", f"None; the records have {candidates}", "one of them")
    return (usual or candidates or ["acc"])[0]


def _of_filter(entries: list, wanted: str | None, path: pathlib.Path) -> list:
    """The records of one filter; the former layout has none."""
    present = sorted({str(entry["filter"]) for _, entry in entries if "filter" in entry})
    if wanted is None:
        check(len(present) < 2, "filter", f"None; {path} has records of the filters {present}", "one of them")
        return entries
    check(wanted in present, "filter", f"{wanted!r}; {path} has the filters {present}", "one of them")
    return [(where, entry) for where, entry in entries if str(entry.get("filter")) == wanted]
