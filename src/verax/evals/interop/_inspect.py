"""Logs of Inspect: read through its own reader, written so that this reader accepts them."""

import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax.evals._table import Outcome, OutcomeTable

from ._records import Record, as_paths, build_table, outcome_of

_DEFAULT = {"C": Outcome.GOOD, "I": Outcome.BAD}
_VALUES = {Outcome.GOOD: "C", Outcome.BAD: "I", Outcome.UNCLEAR: "P"}


def from_inspect(
    path: str | pathlib.Path | Sequence[str | pathlib.Path],
    *,
    mapping: Mapping[Any, Outcome] | None = None,
    scorer: str | None = None,
    keep_text: bool = False,
) -> OutcomeTable | tuple[OutcomeTable, dict[tuple[str, str, str, int], str]]:
    """Read logs that Inspect wrote (``.eval`` or ``.json``).

    Parameters
    ----------
    path
        One log or several; a model each, or several tasks of one model.
    mapping
        From values of the score to outcomes; by default "C" is GOOD and "I" is BAD. Any other value is an error.
    scorer
        Whose scores; needed where samples have several.
    keep_text
        Also return completions by (model, attack, prompt, sample). By default no text leaves the log.

    Returns
    -------
    OutcomeTable, or with ``keep_text`` a pair of it and the completions
        Models and prompts as the log names them; the attack is ``metadata["attack"]`` of a sample, else "none"; its
        cluster ``metadata["cluster"]``; its epoch is the sample. Samples without a score, or that failed, are MISSING.

    Raises
    ------
    ValueError
        For a file that Inspect cannot read or that holds no samples, a score without an outcome, repeated or missing
        cells: naming the file and the sample.
    ImportError
        Without ``inspect_ai`` (the extra ``inspect``).
    """
    try:
        from inspect_ai.log import read_eval_log  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("reading Inspect's logs needs inspect_ai: pip install 'verax[inspect]'") from error
    records, texts = [], {}
    values = dict(_DEFAULT if mapping is None else mapping)
    paths = as_paths(path, "path")
    for one in paths:
        try:
            log = read_eval_log(str(one))
        except Exception as error:  # the reader raises what its parsers raise
            fail("path", f"{one}, which Inspect cannot read ({type(error).__name__}: {error})", "a complete log")
        check(
            bool(log.samples), "path", f"{one}, a log with status {log.status!r} and no samples", "a log with samples"
        )
        for sample in log.samples or ():
            where = f"{one}, sample {sample.id}, epoch {sample.epoch}"
            metadata = sample.metadata or {}
            attack, prompt = str(metadata.get("attack", "none")), str(sample.id)
            outcome = Outcome.MISSING
            if sample.scores and sample.error is None:
                outcome = outcome_of(_score(sample.scores, scorer, where).value, values, where, "path")
            cluster = metadata.get("cluster")
            model = str(log.eval.model)
            records.append(
                Record(model, attack, prompt, int(sample.epoch), int(outcome), where,
                       cluster=None if cluster is None else str(cluster))
            )  # fmt: skip
            if keep_text:
                texts[model, attack, prompt, int(sample.epoch)] = sample.output.completion if sample.output else ""
    table = build_table(records, argument="path", provenance="Inspect: " + ", ".join(one.name for one in paths))
    return (table, texts) if keep_text else table


def _score(scores: Mapping[str, Any], scorer: str | None, where: str) -> Any:
    if scorer is None:
        check(len(scores) == 1, "scorer", f"None; {where} has scores by {sorted(scores)}", "one of their names")
        return next(iter(scores.values()))
    check(scorer in scores, "scorer", f"{scorer!r}; {where} has scores by {sorted(scores)}", "one of their names")
    return scores[scorer]


def to_inspect(table: OutcomeTable, path: str | pathlib.Path, *, model: int | str = 0, task: str = "verax") -> None:
    """Write one model's verdicts as a JSON log (version 2) that Inspect's reader accepts.

    Parameters
    ----------
    table
        Verdicts; GOOD is written as "C", BAD as "I", UNCLEAR as "P", and MISSING as a sample without a score.
    path
        File to write; Inspect expects it to end in ``.json``.
    model
        Name or index.
    task
        Name of the task.

    Raises
    ------
    ValueError
        For a model that is not in the table.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> import numpy as np
    >>> from verax.evals import OutcomeTable, to_inspect
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "log.json"
    ...     to_inspect(OutcomeTable(np.array([0, 1, 3]).reshape(1, 1, 3, 1)), path)
    ...     log = json.loads(path.read_text())
    >>> log["version"], [s["scores"] for s in log["samples"]]
    (2, [{'verax': {'value': 'C'}}, {'verax': {'value': 'I'}}, {}])
    """
    chosen = int(table.models(model, argument="model")[0])
    labels = np.asarray(table.labels)[chosen]
    attacks = table.attack_names or tuple(map(str, range(labels.shape[0])))
    prompts = table.prompt_ids or tuple(map(str, range(labels.shape[1])))
    name = table.model_names[chosen] if table.model_names else f"model {chosen}"
    samples = []
    for (a, p, k), label in np.ndenumerate(labels):
        verdict = Outcome(int(label))
        metadata: dict[str, Any] = {"attack": attacks[a]}
        if table.cluster is not None:
            metadata["cluster"] = int(np.asarray(table.cluster)[p])
        scores = {} if verdict == Outcome.MISSING else {"verax": {"value": _VALUES[verdict]}}
        identity = prompts[p] if labels.shape[0] == 1 else f"{prompts[p]}/{attacks[a]}"
        samples.append(
            {"id": identity, "epoch": k + 1, "input": "", "target": "", "metadata": metadata, "scores": scores}
        )
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    digest = hashlib.sha256(labels.tobytes()).hexdigest()[:22]
    log = {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": digest,
            "run_id": digest,
            "created": created,
            "task": task,
            "task_id": digest,
            "task_version": 0,
            "model": name,
            "dataset": {"name": task, "samples": labels.shape[0] * labels.shape[1]},
            "config": {"epochs": labels.shape[2]},
        },
        "results": {"total_samples": len(samples), "completed_samples": len(samples), "scores": []},
        "samples": samples,
    }
    pathlib.Path(path).write_text(json.dumps(log) + "\n", encoding="utf-8")
