"""Samples that lm-evaluation-harness logged."""

import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from verax._errors import check
from verax.evals._table import Outcome, OutcomeTable

from ._records import Record, as_paths, build_table, entry_field, outcome_of, read_json_lines

_DEFAULT = {1: Outcome.GOOD, 0: Outcome.BAD}


def from_lm_eval(
    path: str | pathlib.Path | Sequence[str | pathlib.Path],
    *,
    metric: str = "acc",
    models: Sequence[str] | None = None,
    mapping: Mapping[Any, Outcome] | None = None,
) -> OutcomeTable:
    r"""Read ``samples_*.jsonl``, as lm-eval writes it with ``--log_samples``.

    Parameters
    ----------
    path
        One file or several of the same task, a model each.
    metric
        Whose value is read, such as "acc" or "exact_match".
    models
        Names of the models, one a file; by default the names of the files' folders.
    mapping
        From values to outcomes; by default 1 is GOOD and 0 is BAD.

    Returns
    -------
    OutcomeTable
        One attack, "none"; a document that occurs several times has as many samples. No text is read.

    Raises
    ------
    ValueError
        For a file that is no JSON lines, a record without the metric, or a value without an outcome: naming file and
        line.

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
    paths = as_paths(path, "path")
    names = [one.parent.name for one in paths] if models is None else list(models)
    check(len(names) == len(paths), "models", f"{len(names)} names", f"one for each of {len(paths)} files")
    check(len(set(names)) == len(names), "models", str(names), "names that differ")
    values = dict(_DEFAULT if mapping is None else mapping)
    records = []
    for name, one in zip(names, paths, strict=True):
        seen: Counter[str] = Counter()
        for where, entry in read_json_lines(one, "path"):
            document = str(entry_field(entry, "doc_id", where, "path"))
            outcome = outcome_of(entry_field(entry, metric, where, "path"), values, where, "path")
            records.append(Record(name, "none", document, seen[document], outcome, where))
            seen[document] += 1
    provenance = f"lm-eval ({metric}): " + ", ".join(one.name for one in paths)
    return build_table(records, argument="path", provenance=provenance)
