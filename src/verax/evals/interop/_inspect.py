"""Logs of Inspect: read from the summaries of their samples, and written so that Inspect's reader accepts them."""

import datetime
import hashlib
import json
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from verax._errors import check, fail
from verax.evals._table import Outcome, OutcomeTable

from ._inspect_log import InspectLog, read_inspect_log
from ._records import Record, as_name, as_paths, build_table
from ._verdicts import Verdicts, as_number, is_graded, is_missing, verdict_of

_PROMPT = "verax_prompt"  # in logs of ours, in which an id is that of a prompt and an attack
_VALUES = {Outcome.GOOD: "C", Outcome.BAD: "I", Outcome.UNCLEAR: "P"}


def from_inspect(
    path: str | pathlib.Path | Sequence[str | pathlib.Path],
    *,
    mapping: Verdicts | None = None,
    scorer: str | None = None,
    cluster: str = "cluster",
    missing: str = "error",
    keep_text: bool = False,
) -> OutcomeTable | tuple[OutcomeTable, dict[tuple[str, str, str, int], str]]:
    """Read logs that Inspect wrote (``.eval`` or ``.json``).

    Parameters
    ----------
    path
        Logs, folders of logs, or globs: one or several models, one or several tasks.
    mapping
        From values of the score to outcomes: a mapping, or a function that returns None for a value without a verdict.
        By default "C", 1, true and "yes" are GOOD; "I", "N" (no answer), 0, false and "no" are BAD; "P" is UNCLEAR.
    scorer
        Whose scores; needed where samples have several. ``"name.key"`` reads one entry of a score that is a dictionary.
    cluster
        Field of the samples' metadata that names the cluster of a prompt, such as "document" or "subject".
    missing
        ``"error"``, or ``"fill"``: models that answered different samples make one table, in which a sample that a
        model was not given is NOT_RUN.
    keep_text
        Also return completions by (model, attack, prompt, epoch). By default no text leaves the log.

    Returns
    -------
    OutcomeTable, or with ``keep_text`` a pair of it and the completions
        Prompts are named by the samples' ids, with the task in front ("task/id") where there are several tasks; the
        attack is ``metadata["attack"]`` of a sample, else "none"; epochs are samples, as many as each prompt has.
        Samples without a score, and scores that are NaN (a grade that could not be parsed), are MISSING; samples that
        failed and were scored keep their score. Where numbers lie strictly between 0 and 1, all are grades: the table's
        ``scores`` hold them, and verdicts are UNCLEAR unless ``mapping`` decides.

    Raises
    ------
    ValueError
        For a file that is no log or holds no samples, several scorers, a score without an outcome, repeated or missing
        cells: naming the file and the sample.
    ImportError
        Without ``zstandard`` (the extra ``inspect``), which ``.eval`` files need.

    Warns
    -----
    UserWarning
        For a run that stopped or has fewer samples than were planned, saying how many.

    Notes
    -----
    Reads summaries, not whole samples, unless ``keep_text``.
    """
    logs = [
        read_inspect_log(one, whole=keep_text, argument="path") for one in as_paths(path, "path", ("*.eval", "*.json"))
    ]
    tasks = {log.task for log in logs}
    read: list[tuple[Record, Any]] = []
    texts = {}
    for log in logs:
        _warn_if_incomplete(log)
        for sample in log.samples:
            epoch = sample.get("epoch", 1)
            where = f"{log.path}, sample {sample['id']}, epoch {epoch}"
            check(isinstance(epoch, int), "path", f"{where}: epoch {epoch!r}", "an integer")
            metadata = sample.get("metadata") or {}
            attack, prompt = as_name(metadata.get("attack", "none")), as_name(metadata.get(_PROMPT, sample["id"]))
            prompt = f"{log.task}/{prompt}" if len(tasks) > 1 else prompt
            value = _score(sample["scores"], scorer, where) if sample.get("scores") else None
            group = metadata.get(cluster)
            record = Record(
                log.model,
                attack,
                prompt,
                epoch,
                Outcome.MISSING,
                where,
                cluster=None if group is None else as_name(group),
            )
            read.append((record, value))
            if keep_text:
                texts[log.model, attack, prompt, epoch] = _completion(sample)
    known = any(record.cluster is not None for record, _ in read)
    check(known or cluster == "cluster", "cluster", f"{cluster!r}, which no sample has", "a field of their metadata")
    provenance = "Inspect: " + ", ".join(f"{log.path.name} ({log.status})" for log in logs)
    table = build_table(judged(read, mapping, "path"), argument="path", provenance=provenance, missing=missing)
    return (table, texts) if keep_text else table


def judged(read: Sequence[tuple[Record, Any]], mapping: Verdicts | None, argument: str) -> list[Record]:
    """Records with the outcomes of their values; with grades as scores where any value is a grade."""
    graded = any(is_graded(value) for _, value in read)
    records = []
    for record, value in read:
        score = None
        if graded and not is_missing(value):
            score = as_number(value)
            inside = score is not None and 0 <= score <= 1
            check(inside, argument, f"{record.where}: value {value!r} among grades", "grades in [0, 1]")
        if score is not None and mapping is None:
            outcome = Outcome.UNCLEAR  # a grade does not say which end of its scale is good
        else:
            outcome = verdict_of(value, mapping, record.where, argument)
        records.append(record._replace(outcome=int(outcome), score=score))
    return records


def _warn_if_incomplete(log: InspectLog) -> None:
    present = len(log.samples)
    if log.status != "success" or present < log.num_cells:
        planned = f" of {log.num_cells}" if log.num_cells else ""
        warnings.warn(f"{log.path.name}: status {log.status!r}, {present}{planned} cells", stacklevel=3)


def _score(scores: Mapping[str, Any], scorer: str | None, where: str) -> Any:
    names = sorted(scores)
    name, key = scorer or "", None
    if scorer is None:
        check(len(scores) == 1, "scorer", f"None; {where} has scores by {names}", "one of their names")
        name = names[0]
    elif scorer not in scores:
        name, _, key = scorer.rpartition(".")
        check(name in scores, "scorer", f"{scorer!r}; {where} has scores by {names}", "one of their names")
    score = scores[name]
    value = score.get("value") if isinstance(score, dict) else score
    if isinstance(value, dict):
        keys = [f"{name}.{one}" for one in value]
        check(key is not None, "scorer", f"{name!r}, whose values are dictionaries in {where}", f"one of {keys}")
        if key not in value:
            fail("scorer", f"{scorer!r}; {where} has {keys}", "one of them")
        return value[key]
    check(key is None, "scorer", f"{scorer!r}; the values of {name!r} in {where} have no keys", f"{name!r}")
    return value


def _completion(sample: Mapping[str, Any]) -> str:
    output = sample.get("output") or {}
    choices = output.get("choices") or []
    content = choices[0].get("message", {}).get("content", "") if choices else output.get("completion", "")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def to_inspect(table: OutcomeTable, path: str | pathlib.Path, *, model: int | str = 0, task: str = "verax") -> None:
    """Write one model's verdicts as a JSON log (version 2) that Inspect's reader accepts.

    Parameters
    ----------
    table
        Verdicts; GOOD is written as "C", BAD as "I", UNCLEAR as "P", MISSING as a sample without a score; NOT_RUN is
        not written.
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
        if verdict == Outcome.NOT_RUN:
            continue
        metadata: dict[str, Any] = {"attack": attacks[a], _PROMPT: prompts[p]}
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
